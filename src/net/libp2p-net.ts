/**
 * The `Net` port over libp2p 3: TCP, Noise, Yamux, identify, ping, kad-dht, gossipsub. Owns the libp2p node and the
 * life of its streams; bytes are `libp2p-duplex.ts`, settings `libp2p-config.ts`, limits `libp2p-limits.ts`.
 */
import type { Connection, Stream } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import type { Multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { type AbortOptions, deadline, raceAbort } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { invariant, SubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import { describeRate, RateLimit } from '../base/rate-limit.js'
import type { Duplex } from './duplex.js'
import { dialAddresses, parsePeerId } from './libp2p-addresses.js'
import {
  dhtProtocol,
  libp2pOptions,
  NET_DEFAULTS,
  type NetInit,
  type NetServices,
  privateKeyOf,
  publicAddresses,
} from './libp2p-config.js'
import { findProviders } from './libp2p-dht.js'
import { Libp2pDuplex } from './libp2p-duplex.js'
import { GOSSIP_MESSAGE_MAX_BYTES, subscribeTopic } from './libp2p-gossip.js'
import { NET_LIMITS } from './libp2p-limits.js'
import type { GossipHandler, Net, PeerAddress, ProtocolLimits, StreamHandler } from './net.js'
import { ProviderRecords } from './provider-records.js'

export type { NetInit } from './libp2p-config.js'

export interface NetComponents {
  readonly clock: Clock
  readonly logger: Logger
}

/** How long a stream whose handler is done waits for the peer to read our last bytes and close its side. */
const LINGER_MS = 10_000
/** Streams we may have open on one connection for a protocol we do not serve ourselves. */
const OUTBOUND_STREAMS_MAX = 64
/** When to come back after our own limit of streams to one peer was hit: some transfer of them ends. */
const STREAM_RETRY_MS = 250
const PING: ProtocolLimits = {
  id: '/ipfs/ping/1.0.0',
  inboundStreamsMax: NET_LIMITS.pingStreamsMax,
  outboundStreamsMax: NET_LIMITS.pingStreamsMax,
}

export class Libp2pNet implements Net {
  readonly peerId: string
  readonly #init: NetInit
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #protocols = new Map<
    string,
    { readonly limits: ProtocolLimits; readonly handler: StreamHandler }
  >()
  readonly #topics = new Map<string, GossipHandler>()
  readonly #disconnectListeners = new Set<(peerId: string) => void>()
  readonly #connected = new Set<string>()
  readonly #duplexes = new Set<Duplex>()
  readonly #handlers = new Set<Promise<void>>()
  readonly #records: ProviderRecords
  readonly #arrivals: (address: Multiaddr) => SubnetError | undefined
  /** Connections that came too fast, and what their peers are told. */
  readonly #refused = new WeakMap<Connection, SubnetError>()
  #node: Libp2p<NetServices> | undefined
  #stopping: Promise<void> | undefined

  /** Does no I/O. */
  constructor(init: NetInit, components: NetComponents) {
    this.#init = init
    this.#clock = components.clock
    this.#logger = components.logger
    this.#arrivals = arrivals(this.#clock, init.inboundPerSecondMax ?? NET_DEFAULTS.inboundPerSecondMax)
    const self = peerIdFromPrivateKey(privateKeyOf(init.privateKeySeed))
    this.peerId = self.toString()
    this.#records = new ProviderRecords(
      { clock: this.#clock, open: (peer, options) => this.open(peer, dhtProtocol(init.netuid), options) },
      self,
    )
  }

  addresses(): readonly string[] {
    const node = this.#node
    if (node === undefined) return []
    const known = node.getMultiaddrs()
    return (this.#init.privateAddresses ? known : publicAddresses(node.peerId, known)).map(String)
  }

  handle(limits: ProtocolLimits, handler: StreamHandler): void {
    invariant(this.#node === undefined, 'protocols are registered before start')
    invariant(!this.#protocols.has(limits.id), `${limits.id} is registered twice`)
    this.#protocols.set(limits.id, { limits, handler })
  }

  /** Listens and joins. Rejects with `CONFIG` when an address is none or cannot be listened on. */
  async start(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    invariant(this.#node === undefined, 'started twice')
    const node = await createLibp2p(libp2pOptions(this.#init, this.#logger))
    this.#node = node
    node.addEventListener('connection:open', ({ detail }) => this.#onConnection(detail))
    node.addEventListener('peer:connect', ({ detail }) => this.#connected.add(detail.toString()))
    node.addEventListener('peer:disconnect', ({ detail }) => this.#onDisconnected(detail.toString()))
    for (const { limits, handler } of this.#protocols.values())
      await this.#serveProtocol(node, limits, handler)
    try {
      await node.start()
    } catch (cause) {
      this.#node = undefined
      throw cannotListen(this.#init.listen, cause)
    }
    await this.#serveProtocol(node, PING, this.#answerPings)
    for (const [topic, handler] of this.#topics) this.#subscribe(node, topic, handler)
    this.#logger.info({ peerId: this.peerId, addresses: this.addresses() }, 'network started')
  }

  stop(): Promise<void> {
    const node = this.#node
    if (node !== undefined) {
      this.#node = undefined
      this.#stopping = this.#stop(node)
    }
    return this.#stopping ?? Promise.resolve()
  }

  async connect(peer: PeerAddress, options: AbortOptions = {}): Promise<void> {
    await this.#connection(this.#running(), peer, options)
  }

  /** Also rejects with `BUSY` at our own limit of streams to that peer, and `TIMEOUT` when the peer does not answer. */
  async open(peer: PeerAddress, protocol: string, options: AbortOptions = {}): Promise<Duplex> {
    const connection = await this.#connection(this.#running(), peer, options)
    const what = `opening ${protocol}`
    using scope = deadline(this.#clock, NET_LIMITS.negotiationMs, what, options.signal)
    try {
      const stream = await connection.newStream(protocol, {
        signal: scope.signal,
        maxOutboundStreams: OUTBOUND_STREAMS_MAX,
      })
      return this.#adopt(stream, connection)
    } catch (cause) {
      // The caller's own abort and our deadline pass unwrapped; libp2p would call both "AbortError".
      scope.signal.throwIfAborted()
      throw openError(cause, what, peer.peerId)
    }
  }

  async disconnect(peerId: string): Promise<void> {
    const cut = new SubnetError('DISCONNECTED', `${peerId} was disconnected`)
    for (const duplex of this.#duplexes) if (duplex.remotePeer === peerId) duplex.abort(cut)
    const connections = this.#running().getConnections(parsePeerId(peerId))
    await Promise.all(connections.map((connection) => this.#close(connection)))
  }

  /** Not called for peers that our own `stop` disconnects. */
  onDisconnect(listener: (peerId: string) => void): () => void {
    this.#disconnectListeners.add(listener)
    return () => this.#disconnectListeners.delete(listener)
  }

  subscribe(topic: string, handler: GossipHandler): void {
    invariant(!this.#topics.has(topic), `${topic} is subscribed twice`)
    invariant(
      handler.maxBytes <= GOSSIP_MESSAGE_MAX_BYTES,
      `${topic} wants larger messages than gossip carries`,
    )
    this.#topics.set(topic, handler)
    if (this.#node?.status === 'started') this.#subscribe(this.#node, topic, handler)
  }

  async publish(topic: string, bytes: Uint8Array): Promise<number> {
    const { gossip } = this.#running().services
    if (gossip === undefined) throw new SubnetError('CONFIG', 'this node runs without gossip')
    invariant(bytes.length <= GOSSIP_MESSAGE_MAX_BYTES, 'the message is larger than gossip carries')
    const { recipients } = await gossip.publish(topic, bytes)
    return recipients.length
  }

  /** Rejects with `CONFIG` also when nobody could dial us: not listening, or public without `announce`. */
  async provide(
    digests: readonly Uint8Array[],
    members: readonly PeerAddress[],
    options: AbortOptions = {},
  ): Promise<readonly Uint8Array[]> {
    this.#dht()
    const addresses = this.addresses()
    if (addresses.length === 0) throw new SubnetError('CONFIG', 'this node has no address to announce')
    return await this.#records.tell(digests, members, addresses, options)
  }

  findProviders(digest: Uint8Array, options: AbortOptions = {}): AsyncIterable<PeerAddress> {
    return findProviders(this.#dht(), this.#clock, digest, this.peerId, options)
  }

  async #serveProtocol(
    node: Libp2p<NetServices>,
    limits: ProtocolLimits,
    handler: StreamHandler,
  ): Promise<void> {
    await node.handle(limits.id, (stream, connection) => this.#accept(stream, connection, handler), {
      maxInboundStreams: limits.inboundStreamsMax,
      maxOutboundStreams: limits.outboundStreamsMax,
      // Takes the place of the ping package's handler; our own protocols are registered once.
      force: true,
    })
  }

  #accept(stream: Stream, connection: Connection, handler: StreamHandler): void {
    const duplex = this.#adopt(stream, connection)
    if (this.#node === undefined) {
      duplex.abort(new SubnetError('STOPPED', 'this node is stopping'))
      return
    }
    const run = this.#serve(duplex, connection, handler).finally(() => this.#handlers.delete(run))
    this.#handlers.add(run)
  }

  /** Instead of the ping package's own handler, which keeps all that a peer sends while it does not read the answers. */
  readonly #answerPings = async (duplex: Duplex): Promise<void> => {
    using scope = deadline(this.#clock, NET_LIMITS.pingMs, 'answering pings')
    const options = { signal: scope.signal }
    for (let piece = await duplex.read(options); piece !== undefined; piece = await duplex.read(options)) {
      await duplex.write(piece, options)
    }
  }

  /** Never rejects: what goes wrong on one stream ends that stream. */
  async #serve(duplex: Duplex, connection: Connection, handler: StreamHandler): Promise<void> {
    const refusal = this.#refused.get(connection)
    try {
      await handler(duplex, refusal)
      await this.#finish(duplex)
    } catch (error) {
      this.#logger.debug({ peer: duplex.remotePeer, error: String(error) }, 'stream failed')
      duplex.abort(error instanceof Error ? error : new Error(String(error)))
    } finally {
      if (refusal !== undefined) await this.#close(connection)
    }
  }

  /** An abort right after the last write could overtake what the peer has not read yet, so it gets time to close first. */
  async #finish(duplex: Duplex): Promise<void> {
    using scope = deadline(this.#clock, LINGER_MS, 'waiting for the peer to close its side')
    await duplex.closeWrite({ signal: scope.signal })
    // The handler is done, so what still comes has no reader.
    while ((await duplex.read({ signal: scope.signal })) !== undefined);
  }

  #adopt(stream: Stream, connection: Connection): Duplex {
    const duplex = new Libp2pDuplex(stream, connection.remotePeer.toString(), (ended) => {
      this.#duplexes.delete(ended)
    })
    if (stream.status === 'open') this.#duplexes.add(duplex)
    return duplex
  }

  async #connection(
    node: Libp2p<NetServices>,
    peer: PeerAddress,
    options: AbortOptions,
  ): Promise<Connection> {
    options.signal?.throwIfAborted()
    const peerId = parsePeerId(peer.peerId)
    if (peerId.toString() === this.peerId)
      throw new SubnetError('INVALID', 'a node does not connect to itself')
    const open = node.getConnections(peerId).find(({ status }) => status === 'open')
    if (open !== undefined) return open
    const addresses = dialAddresses(peerId.toString(), peer.addresses)
    using scope = deadline(this.#clock, NET_LIMITS.dialMs, `dialling ${peer.peerId}`, options.signal)
    try {
      const connection = await node.dial(addresses.length > 0 ? addresses : peerId, { signal: scope.signal })
      // Noise has proven who answered and libp2p checks it against the address; never hand out another peer's connection.
      invariant(connection.remotePeer.equals(peerId), 'libp2p dialled another peer than it was asked to')
      return connection
    } catch (cause) {
      options.signal?.throwIfAborted()
      throw new SubnetError('DISCONNECTED', `cannot reach ${peer.peerId}`, {
        cause: scope.signal.aborted ? scope.signal.reason : cause,
        data: { peerId: peer.peerId, addresses: peer.addresses },
      })
    }
  }

  #onConnection(connection: Connection): void {
    if (connection.direction !== 'inbound') return
    const refusal = this.#arrivals(connection.remoteAddr)
    if (refusal !== undefined) this.#refused.set(connection, refusal)
  }

  #onDisconnected(peerId: string): void {
    // libp2p also reports peers whose connection closed before it was ever told open.
    if (!this.#connected.delete(peerId) || this.#node === undefined) return
    for (const listener of this.#disconnectListeners) listener(peerId)
  }

  #subscribe(node: Libp2p<NetServices>, topic: string, handler: GossipHandler): void {
    const { gossip } = node.services
    if (gossip === undefined) throw new SubnetError('CONFIG', 'this node runs without gossip')
    subscribeTopic(gossip, topic, {
      maxBytes: handler.maxBytes,
      validate: (bytes, fromPeer) => handler.validate(bytes, fromPeer),
      deliver: (bytes, fromPeer) => {
        try {
          handler.deliver(bytes, fromPeer)
        } catch (error) {
          // A defect of the handler; thrown on, it would end the process, at any peer's will.
          this.#logger.error({ topic, error: String(error) }, 'gossip handler failed')
        }
      },
    })
  }

  async #stop(node: Libp2p<NetServices>): Promise<void> {
    const reason = new SubnetError('STOPPED', 'this node is stopping')
    for (const duplex of [...this.#duplexes]) duplex.abort(reason)
    await Promise.all(this.#handlers)
    // Before libp2p does it: its listener destroys sockets with the last bytes of finished streams still in them.
    await Promise.all(node.getConnections().map((connection) => this.#close(connection)))
    await node.stop()
    this.#connected.clear()
  }

  /** Sends what is queued, then closes; cuts the connection when that takes too long. */
  async #close(connection: Connection): Promise<void> {
    if (connection.status !== 'open' && connection.status !== 'closing') return
    using scope = deadline(this.#clock, NET_LIMITS.connectionCloseMs, 'closing a connection')
    // Not the promise of `close`: it misses the end of a connection whose peer closes at the same moment.
    const closed = new Promise<void>((resolve) => {
      connection.addEventListener('close', () => resolve(), { once: true })
    })
    connection.close({ signal: scope.signal }).catch((error: Error) => connection.abort(error))
    await raceAbort(closed, scope.signal).catch((error: Error) => connection.abort(error))
  }

  #running(): Libp2p<NetServices> {
    if (this.#node === undefined) throw new SubnetError('STOPPED', 'the network is not started')
    return this.#node
  }

  #dht(): KadDHT {
    const { dht } = this.#running().services
    if (dht === undefined) throw new SubnetError('CONFIG', 'this node runs without the DHT')
    return dht
  }
}

/** Counts connections by the IP address they come from; what comes back is for the peer to read. */
function arrivals(clock: Clock, perSecond: number): (address: Multiaddr) => SubnetError | undefined {
  const rate = { perSecond, burst: perSecond }
  const limit = new RateLimit(clock, { ...rate, keysMax: NET_LIMITS.arrivalsMax })
  return (address) => {
    const host = address.getComponents().find(({ name }) => name === 'ip4' || name === 'ip6')?.value
    const retryAfterMs = limit.take(host ?? address.toString())
    if (retryAfterMs === 0) return undefined
    const text = `too many connections from this address; the limit is ${describeRate(rate)}`
    return new SubnetError('BUSY', text, { data: { retryAfterMs } })
  }
}

function openError(cause: unknown, what: string, peerId: string): SubnetError {
  const name = cause instanceof Error ? cause.name : ''
  const data = { peerId }
  if (name === 'UnsupportedProtocolError') {
    return new SubnetError('REFUSED', `${what}: the peer does not serve it`, { cause, data })
  }
  if (name === 'TooManyOutboundProtocolStreamsError') {
    return new SubnetError('BUSY', `${what}: too many streams to that peer are open`, {
      cause,
      data: { ...data, retryAfterMs: STREAM_RETRY_MS },
    })
  }
  return new SubnetError('DISCONNECTED', `${what} failed`, { cause, data })
}

/** libp2p's own message is about its settings and has stacks in it; the operator needs the line with the reason. */
function cannotListen(listen: readonly string[], cause: unknown): SubnetError {
  const text = `cannot listen on ${listen.join(', ')}`
  const [, reason] = /\bError: (.*)/.exec(cause instanceof Error ? cause.message : '') ?? []
  return reason === undefined
    ? new SubnetError('CONFIG', text, { cause, data: { listen } })
    : new SubnetError('CONFIG', `${text}: ${reason}`, { data: { listen } })
}
