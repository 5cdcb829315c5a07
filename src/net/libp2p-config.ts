/**
 * From our settings to libp2p's, with no limit left to libp2p (`libp2p-limits.ts` has them all). Nothing here runs;
 * `libp2p-net.ts` creates the node.
 */
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { GossipSub } from '@libp2p/gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import type {
  ComponentLogger,
  ConnectionGater,
  Logger as Libp2pLogger,
  PeerId,
  PrivateKey,
} from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper, removePrivateAddressesMapper } from '@libp2p/kad-dht'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Libp2pOptions, ServiceFactoryMap } from 'libp2p'
import { concat } from 'uint8arrays/concat'
import { SubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { ed25519Signer } from '../crypto/keys.js'
import { NetDatastore } from './libp2p-datastore.js'
import { createGossip } from './libp2p-gossip.js'
import { NET_LIMITS } from './libp2p-limits.js'
import { limitedYamux } from './libp2p-muxer.js'
import { batchedNoise } from './libp2p-noise.js'
import { PROVIDER_RECORD_MS } from './net.js'

export interface NetInit {
  /** Part of the DHT's protocol id: nodes of different subnets do not mix. */
  readonly netuid: number
  /** 32-byte ed25519 seed of the node's network identity. Not a hotkey: `hello` binds the two. */
  readonly privateKeySeed: Uint8Array
  /** Multiaddrs to listen on, e.g. `/ip4/0.0.0.0/tcp/4001`; empty for a node that only dials. */
  readonly listen: readonly string[]
  /** Multiaddrs told to others instead of those listened on. Needed for a public address: libp2p tells only private ones unasked. */
  readonly announce?: readonly string[]
  /** Whether private and loopback addresses are dialled and passed on: true for a local network, false on the internet. */
  readonly privateAddresses: boolean
  /** Connections in all; further inbound ones are refused. */
  readonly connectionsMax?: number
  /** Inbound connections a second from one IP address; more are told so, many more are cut off. */
  readonly inboundPerSecondMax?: number
  /** Takes part in the DHT: as a server when listening, else as a client. */
  readonly dht: boolean
  readonly gossip: boolean
  /** What identify tells about us. */
  readonly agent?: string
}

export const NET_DEFAULTS = {
  /** 256 hotkeys of a subnet, their clients, and room; each costs about 0.6 MiB when busy with the DHT. */
  connectionsMax: 512,
  /** A host with many nodes restarts at once; libp2p's 5 makes 30 of them fail with a misleading ECONNRESET. */
  inboundPerSecondMax: 128,
  agent: 'subnet-node/0.1.0',
} as const

export interface NetServices extends Record<string, unknown> {
  identify: Identify
  ping: Ping
  dht?: KadDHT
  gossip?: GossipSub
}

/** The libp2p identity of a seed: an Ed25519 key, so that the peer id contains the public key. */
export function privateKeyOf(seed: Uint8Array): PrivateKey {
  return privateKeyFromRaw(concat([seed, ed25519Signer(seed).publicKey]))
}

/** Throws `CONFIG` on an address that is none. */
export function libp2pOptions(init: NetInit, logger: Logger): Libp2pOptions<NetServices> {
  const connectionsMax = init.connectionsMax ?? NET_DEFAULTS.connectionsMax
  const privateKey = privateKeyOf(init.privateKeySeed)
  const self = peerIdFromPrivateKey(privateKey)
  const agent = init.agent ?? NET_DEFAULTS.agent
  return {
    start: false,
    privateKey,
    nodeInfo: { name: 'subnet-node', userAgent: agent },
    addresses: { listen: checked(init.listen), announce: checked(init.announce ?? []) },
    logger: libp2pLogger(logger),
    transports: [
      tcp({
        inboundSocketInactivityTimeout: NET_LIMITS.socketIdleMs,
        outboundSocketInactivityTimeout: NET_LIMITS.socketIdleMs,
        maxConnections: connectionsMax + NET_LIMITS.inboundPendingMax,
        backlog: NET_LIMITS.listenBacklog,
      }),
    ],
    connectionEncrypters: [batchedNoise()],
    streamMuxers: [limitedYamux()],
    connectionGater: init.privateAddresses ? {} : publicOnly(self),
    connectionManager: {
      maxConnections: connectionsMax,
      inboundConnectionThreshold:
        NET_LIMITS.toldFactor * (init.inboundPerSecondMax ?? NET_DEFAULTS.inboundPerSecondMax),
      maxIncomingPendingConnections: NET_LIMITS.inboundPendingMax,
      inboundUpgradeTimeout: NET_LIMITS.inboundUpgradeMs,
      maxParallelDials: NET_LIMITS.dialsParallelMax,
      maxDialQueueLength: NET_LIMITS.dialQueueMax,
      maxPeerAddrsToDial: NET_LIMITS.dialAddressesMax,
      dialTimeout: NET_LIMITS.dialMs,
      addressDialTimeout: NET_LIMITS.dialAddressMs,
      connectionCloseTimeout: NET_LIMITS.connectionCloseMs,
      outboundStreamProtocolNegotiationTimeout: NET_LIMITS.negotiationMs,
      inboundStreamProtocolNegotiationTimeout: NET_LIMITS.negotiationMs,
      reconnectRetries: NET_LIMITS.reconnectRetriesMax,
    },
    connectionMonitor: {
      pingInterval: NET_LIMITS.monitorPingMs,
      pingTimeout: { minTimeout: NET_LIMITS.monitorTimeoutMinMs, maxTimeout: NET_LIMITS.monitorTimeoutMaxMs },
    },
    datastore: new NetDatastore(self),
    peerStore: { maxAddressAge: NET_LIMITS.peerMemoryMs, maxPeerAge: NET_LIMITS.peerMemoryMs },
    services: services(init),
  }
}

/** libp2p would find a wrong one only later, in a timer, and take the process down. */
function checked(addresses: readonly string[]): string[] {
  for (const address of addresses) {
    try {
      multiaddr(address)
    } catch (cause) {
      throw new SubnetError('CONFIG', `"${address}" is not a multiaddr like /ip4/0.0.0.0/tcp/4001`, { cause })
    }
  }
  return [...addresses]
}

/** On the internet, strangers' addresses must not have us knock on the doors of our own network. */
function publicOnly(id: PeerId): ConnectionGater {
  return { denyDialMultiaddr: (address) => publicAddresses(id, [address]).length === 0 }
}

/** Those of a peer's addresses that are routed on the internet, or names. */
export function publicAddresses(id: PeerId, addresses: readonly Multiaddr[]): readonly Multiaddr[] {
  return removePrivateAddressesMapper({ id, multiaddrs: [...addresses] }).multiaddrs
}

function services(init: NetInit): ServiceFactoryMap<NetServices> {
  const factories = {
    identify: identify({
      timeout: NET_LIMITS.identifyMs,
      maxMessageSize: NET_LIMITS.identifyMaxBytes,
      maxInboundStreams: NET_LIMITS.identifyStreamsMax,
      maxOutboundStreams: NET_LIMITS.identifyStreamsMax,
    }),
    ping: ping({
      maxInboundStreams: NET_LIMITS.pingStreamsMax,
      maxOutboundStreams: NET_LIMITS.pingStreamsMax,
      timeout: NET_LIMITS.pingMs,
    }),
  }
  return {
    ...factories,
    ...(init.dht ? { dht: dht(init) } : {}),
    ...(init.gossip ? { gossip: createGossip() } : {}),
  }
}

export function dhtProtocol(netuid: number): string {
  return `/subnet/${netuid}/kad/1.0.0`
}

function dht(init: NetInit) {
  return kadDHT({
    protocol: dhtProtocol(init.netuid),
    clientMode: init.listen.length === 0,
    peerInfoMapper: init.privateAddresses ? passthroughMapper : removePrivateAddressesMapper,
    kBucketSize: NET_LIMITS.dhtBucketPeers,
    alpha: NET_LIMITS.dhtParallelMax,
    // A lonely node's lookups end with nothing, instead of waiting for a first peer.
    allowQueryWithZeroPeers: true,
    initialQuerySelfInterval: NET_LIMITS.dhtSelfQueryInitialMs,
    querySelfInterval: NET_LIMITS.dhtSelfQueryMs,
    maxInboundStreams: NET_LIMITS.dhtInboundStreamsMax,
    maxOutboundStreams: NET_LIMITS.dhtOutboundStreamsMax,
    incomingMessageTimeout: NET_LIMITS.dhtMessageMs,
    onPeerConnectTimeout: NET_LIMITS.dhtMessageMs,
    // kad-dht announces nothing of ours (see `provider-records.ts`); this only sweeps others' expired records.
    reprovide: { interval: NET_LIMITS.dhtSweepMs, validity: PROVIDER_RECORD_MS },
  })
}

/** libp2p's errors at our debug level; its running commentary (several lines per frame) nowhere. */
function libp2pLogger(logger: Logger): ComponentLogger {
  const forComponent = (component: string): Libp2pLogger =>
    Object.assign(() => undefined, {
      enabled: false,
      trace: () => undefined,
      error: (text: unknown, ...details: unknown[]) =>
        logger.debug({ component, details: details.map(String) }, String(text)),
      newScope: (name: string) => forComponent(`${component}:${name}`),
    })
  return { forComponent }
}
