/**
 * The `Net` port: streams, publish/subscribe, and provide/find. Roles and protocols know only this; the libp2p adapter
 * (`libp2p-net.ts`) and the simulator implement it, and the conformance suite runs against each.
 */
import type { AbortOptions } from '../base/abort.js'
import type { SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import type { Duplex } from './duplex.js'

/** How long a DHT record "this peer holds these bytes" lives. */
export const PROVIDER_RECORD_MS = 24 * 3_600_000

/** Where a peer can be reached. */
export interface PeerAddress {
  readonly peerId: string
  /** Multiaddrs; may be empty when a connection exists or the address book knows the peer. */
  readonly addresses: readonly string[]
}

/** What the adapter enforces for one protocol before its handler sees anything. */
export interface ProtocolLimits {
  /** e.g. `/subnet/1/store/0`. */
  readonly id: string
  /** Streams one connection may have open to us; the next is reset. */
  readonly inboundStreamsMax: number
  /** Streams we may have open on one connection. */
  readonly outboundStreamsMax: number
}

/**
 * Runs one inbound stream; when it settles the stream is over. Resolved: what was written is delivered, our side is
 * closed, and what the peer still sends is dropped. Rejected: the stream is aborted. Must settle when its stream breaks.
 * With a `refusal` the connection is one too many: the handler only tells the peer so, and then the connection is closed.
 */
export type StreamHandler = (duplex: Duplex, refusal?: SubnetError) => Promise<void>

/** What to do with a gossip message before it is passed on. */
export type GossipVerdict = 'accept' | 'ignore' | 'reject'

export interface GossipHandler {
  /** Larger messages are rejected before `validate` sees them. At most 64 KiB. */
  readonly maxBytes: number
  /**
   * Decides whether the message is delivered and passed on, and our opinion of the neighbour that brought it: after
   * some `reject`s it is not listened to. `fromPeer` is the author, proven by signature; `bytes` are only lent.
   */
  validate(bytes: Uint8Array, fromPeer: string): GossipVerdict
  /** `bytes` belong to the handler. Own messages are not delivered. */
  deliver(bytes: Uint8Array, fromPeer: string): void
}

export interface Net extends Startable {
  readonly peerId: string

  /** Our own multiaddrs that others may dial, each with `/p2p/<peerId>`; empty before start or for a node that only dials. */
  addresses(): readonly string[]

  /** Registers a protocol. Must be called before `start`. */
  handle(limits: ProtocolLimits, handler: StreamHandler): void

  /** Makes sure there is a connection. Rejects with `DISCONNECTED` when no address answers. */
  connect(peer: PeerAddress, options?: AbortOptions): Promise<void>

  /**
   * Opens a stream, dialling if needed. Rejects with `DISCONNECTED`, `REFUSED` if the peer lacks the protocol, `BUSY`
   * at our own limit of streams. At the peer's limit it resolves, and the stream's first use rejects `DISCONNECTED`.
   */
  open(peer: PeerAddress, protocol: string, options?: AbortOptions): Promise<Duplex>

  /** Ends every stream with the peer at once, then closes every connection to it. */
  disconnect(peerId: string): Promise<void>

  /** Calls back once when the last connection to a peer is gone, not at our own stop. Returns the function that unregisters. */
  onDisconnect(listener: (peerId: string) => void): () => void

  /** Once per topic, before or after start. */
  subscribe(topic: string, handler: GossipHandler): void
  /** Resolves to the number of peers the message was sent to; 0 is no error. */
  publish(topic: string, bytes: Uint8Array): Promise<number>

  /**
   * Announces in the DHT, once, that we hold the bytes with these sha2-256 digests: each to the nearest of `members`, which
   * are all the DHT's servers. A record lives `PROVIDER_RECORD_MS`: the caller announces again before that, or stops.
   * Resolves with the digests that no peer took.
   */
  provide(
    digests: readonly Uint8Array[],
    members: readonly PeerAddress[],
    options?: AbortOptions,
  ): Promise<readonly Uint8Array[]>
  /** Peers that announced the digest, ourselves left out, as they are found; ends at `signal` or when the search does. */
  findProviders(digest: Uint8Array, options?: AbortOptions): AsyncIterable<PeerAddress>
}
