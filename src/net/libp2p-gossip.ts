/**
 * The one place that names the gossip package. `@libp2p/gossipsub` is a stopgap of its maintainers until the chainsafe
 * package supports libp2p 3: the swap back is the import line. What goes over topics is the protocols' business.
 */
import { type GossipSub, type GossipSubComponents, gossipsub, type Message } from '@libp2p/gossipsub'
import { KIB, MIB } from '../base/units.js'
import { sha256Of } from '../crypto/hash.js'
import type { GossipHandler } from './net.js'

/** Largest message of any topic: gossip announces, bodies go over streams. */
export const GOSSIP_MESSAGE_MAX_BYTES = 64 * KIB

const GOSSIP_LIMITS = {
  /** One RPC carries several messages and control entries; larger ones end the stream. */
  rpcMaxBytes: 2 * MIB,
  /** Unsent output per peer; a peer that reads slower loses gossip from us until it reconnects. */
  unsentMaxBytes: 4 * MIB,
  /** Streams per connection and direction: one in use, one being replaced. */
  streamsMax: 2,
  /** Memory for the topics one peer subscribes to; an entry costs about 1 KiB, we have about ten topics. */
  topicBytesPerPeerMax: 64 * KIB,
  /** Entries of one RPC, before anything in it is looked at. */
  rpc: {
    maxSubscriptions: 64,
    maxMessages: 512,
    maxIhaveMessageIDs: 1000,
    maxIwantMessageIDs: 1000,
    maxIdontwantMessageIDs: 512,
    maxControlMessages: 256,
    maxPeerInfos: 16,
  },
  /** Mesh upkeep; costs well under a millisecond with 20 peers. */
  heartbeatMs: 1000,
  /** A message id is remembered, and its copies dropped, this long. */
  seenMs: 120_000,
} as const

/**
 * A peer that forwards what topic validators reject loses score: (rejected messages)² × this. At gossipsub's graylist
 * threshold of −80, thirteen within some minutes make us deaf to it.
 */
const REJECTED_WEIGHT = -0.5
/** Share of the counted rejections left after each second: half are forgotten in about five minutes. */
const REJECTED_DECAY = 0.998

/** Signed messages only (`StrictSign`): the author a handler sees is the author who signed. */
export function createGossip(): (components: GossipSubComponents) => GossipSub {
  return gossipsub({
    globalSignaturePolicy: 'StrictSign',
    msgIdFn: messageId,
    emitSelf: false,
    // Our own messages go to every subscriber we know, so a young or eclipsed mesh does not lose them.
    floodPublish: true,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    fallbackToFloodsub: false,
    // Peers come from the chain and the DHT; strangers' lists of strangers are not dialled.
    doPX: false,
    heartbeatInterval: GOSSIP_LIMITS.heartbeatMs,
    seenTTL: GOSSIP_LIMITS.seenMs,
    maxInboundStreams: GOSSIP_LIMITS.streamsMax,
    maxOutboundStreams: GOSSIP_LIMITS.streamsMax,
    maxInboundDataLength: GOSSIP_LIMITS.rpcMaxBytes,
    maxOutboundBufferSize: GOSSIP_LIMITS.unsentMaxBytes,
    maxTopicBytesPerPeer: GOSSIP_LIMITS.topicBytesPerPeerMax,
    decodeRpcLimits: GOSSIP_LIMITS.rpc,
    // Miners share addresses (one operator, one host, loopback): with the default weight eleven of them would be deaf to
    // each other. Who counts is decided by stake, in the topics' validators.
    scoreParams: { IPColocationFactorWeight: 0 },
  })
}

/** Subscribes, validates before passing on, and delivers what was accepted, with its author's peer id. */
export function subscribeTopic(gossip: GossipSub, topic: string, handler: GossipHandler): void {
  scoreRejections(gossip, topic)
  gossip.topicValidators.set(topic, (_neighbour, message) => {
    const verdict =
      message.data.length > handler.maxBytes ? 'reject' : handler.validate(message.data, author(message))
    // The package's enum has exactly these three strings as values.
    return verdict as ReturnType<Parameters<typeof gossip.topicValidators.set>[1]>
  })
  gossip.addEventListener('message', ({ detail: message }) => {
    // Copied: the package keeps these bytes to pass them on, and they are views into a whole RPC.
    if (message.topic === topic) handler.deliver(message.data.slice(), author(message))
  })
  gossip.subscribe(topic)
}

/** Named by everything that was signed, so that one author cannot make two messages share an id. */
function messageId(message: Message): Uint8Array {
  const sequence = new Uint8Array(8)
  if (message.type === 'signed') new DataView(sequence.buffer).setBigUint64(0, message.sequenceNumber)
  const text = new TextEncoder()
  return sha256Of([text.encode(`${author(message)}\n${message.topic}\n`), sequence, message.data])
}

function author(message: Message): string {
  // Under StrictSign an unsigned message never gets past the package's own check.
  return message.type === 'signed' ? message.from.toString() : ''
}

/**
 * Without parameters for its topic a rejection costs the forwarder nothing, and the package takes them only at
 * construction, when topics are not known yet; its scorer reads this object live. Only rejections are scored: mesh
 * delivery rates would punish quiet topics.
 */
function scoreRejections(gossip: GossipSub, topic: string): void {
  const live = gossip as unknown as { opts: { scoreParams: { topics: Record<string, unknown> } } }
  live.opts.scoreParams.topics[topic] = {
    topicWeight: 1,
    timeInMeshWeight: 0,
    timeInMeshQuantum: 1,
    timeInMeshCap: 1,
    firstMessageDeliveriesWeight: 0,
    firstMessageDeliveriesDecay: 0.5,
    firstMessageDeliveriesCap: 1,
    meshMessageDeliveriesWeight: 0,
    meshMessageDeliveriesDecay: 0.5,
    meshMessageDeliveriesCap: 1,
    meshMessageDeliveriesThreshold: 1,
    meshMessageDeliveriesWindow: 10,
    meshMessageDeliveriesActivation: 5000,
    meshFailurePenaltyWeight: 0,
    meshFailurePenaltyDecay: 0.5,
    invalidMessageDeliveriesWeight: REJECTED_WEIGHT,
    invalidMessageDeliveriesDecay: REJECTED_DECAY,
  }
}
