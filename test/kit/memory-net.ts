/**
 * The stream half of the `Net` port in memory: nets of one `MemoryNetwork` reach each other over pairs of duplexes, with
 * connections that can be lost. No gossip, no DHT, no addresses.
 */
import { type AbortOptions, raceAbort } from '../../src/base/abort.js'
import { invariant, SubnetError } from '../../src/base/errors.js'
import type { Duplex, WriteOptions } from '../../src/net/duplex.js'
import type { Net, PeerAddress, ProtocolLimits, StreamHandler } from '../../src/net/net.js'
import { type DuplexPairInit, duplexPair } from './duplex-pair.js'

export class MemoryNetwork {
  readonly #nets = new Map<string, MemoryNet>()
  /** How its streams are: buffered, cut into small reads. */
  readonly streams: DuplexPairInit

  constructor(streams: DuplexPairInit = {}) {
    this.streams = streams
  }

  join(peerId: string): MemoryNet {
    invariant(!this.#nets.has(peerId), `${peerId} joins once`)
    const net = new MemoryNet(peerId, this)
    this.#nets.set(peerId, net)
    return net
  }

  find(peerId: string): MemoryNet | undefined {
    return this.#nets.get(peerId)
  }
}

/** One end of a stream, with what went through it. */
export class CountedDuplex implements Duplex {
  readonly #inner: Duplex
  readonly remotePeer: string
  readonly protocol: string
  readBytes = 0
  writtenBytes = 0
  /** What its handler failed with: the network then resets the stream, and may do so before the last bytes arrive. */
  failure: unknown

  constructor(inner: Duplex, protocol: string) {
    this.#inner = inner
    this.remotePeer = inner.remotePeer
    this.protocol = protocol
  }

  async read(options?: AbortOptions): Promise<Uint8Array | undefined> {
    const piece = await this.#inner.read(options)
    this.readBytes += piece?.length ?? 0
    return piece
  }

  async write(bytes: Uint8Array, options?: WriteOptions): Promise<void> {
    this.writtenBytes += bytes.length
    await this.#inner.write(bytes, options)
  }

  drained(options?: AbortOptions): Promise<void> {
    return this.#inner.drained(options)
  }

  closeWrite(options?: AbortOptions): Promise<void> {
    return this.#inner.closeWrite(options)
  }

  abort(reason: Error): void {
    this.#inner.abort(reason)
  }
}

export class MemoryNet implements Net {
  readonly peerId: string
  readonly #network: MemoryNetwork
  readonly #protocols = new Map<
    string,
    { readonly limits: ProtocolLimits; readonly handler: StreamHandler }
  >()
  readonly #listeners = new Set<(peerId: string) => void>()
  readonly #connected = new Set<string>()
  /** Both ends of every stream, by the peer at the other side. */
  readonly #streams = new Map<string, Set<Duplex>>()
  /** Inbound streams whose handler still runs. */
  readonly serving = new Set<CountedDuplex>()
  /** Every inbound stream there was, oldest first. */
  readonly served: CountedDuplex[] = []
  /** Called before a stream is handed to the peer's handler: what a network may do at the worst moment. */
  onOpen: (protocol: string) => Promise<void> = async () => undefined

  constructor(peerId: string, network: MemoryNetwork) {
    this.peerId = peerId
    this.#network = network
  }

  addresses(): readonly string[] {
    return []
  }

  handle(limits: ProtocolLimits, handler: StreamHandler): void {
    invariant(!this.#protocols.has(limits.id), `${limits.id} is registered twice`)
    this.#protocols.set(limits.id, { limits, handler })
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const peerId of [...this.#connected]) await this.disconnect(peerId)
  }

  async connect(peer: PeerAddress, options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    const other = this.#network.find(peer.peerId)
    if (other === undefined) throw new SubnetError('DISCONNECTED', `cannot reach ${peer.peerId}`)
    this.#connected.add(other.peerId)
    other.#connected.add(this.peerId)
  }

  async open(peer: PeerAddress, protocol: string, options: AbortOptions = {}): Promise<Duplex> {
    await this.connect(peer, options)
    const other = this.#network.find(peer.peerId) as MemoryNet
    const entry = other.#protocols.get(protocol)
    if (entry === undefined) throw new SubnetError('REFUSED', `${peer.peerId} does not serve ${protocol}`)
    await raceAbort(this.onOpen(protocol), options.signal)
    const [near, far] = duplexPair({ ...this.#network.streams, peers: [this.peerId, other.peerId] })
    this.#track(other.peerId, near)
    other.#track(this.peerId, far)
    other.#accept(far, protocol, entry)
    return new CountedDuplex(near, protocol)
  }

  /** Loses every connection to the peer: streams break first, then both sides hear of it, as in libp2p. */
  async disconnect(peerId: string): Promise<void> {
    const other = this.#network.find(peerId)
    if (other === undefined || !this.#connected.has(peerId)) return
    for (const [net, remote] of [
      [this, peerId],
      [other, this.peerId],
    ] as const) {
      const lost = new SubnetError('DISCONNECTED', 'the connection is lost')
      for (const duplex of net.#streams.get(remote) ?? []) duplex.abort(lost)
      net.#streams.delete(remote)
    }
    this.#lost(peerId)
    other.#lost(this.peerId)
  }

  onDisconnect(listener: (peerId: string) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  subscribe(): void {
    throw new SubnetError('CONFIG', 'the net in memory has no gossip')
  }

  async publish(): Promise<number> {
    throw new SubnetError('CONFIG', 'the net in memory has no gossip')
  }

  async provide(): Promise<readonly Uint8Array[]> {
    throw new SubnetError('CONFIG', 'the net in memory has no DHT')
  }

  findProviders(): AsyncIterable<PeerAddress> {
    throw new SubnetError('CONFIG', 'the net in memory has no DHT')
  }

  #lost(peerId: string): void {
    if (!this.#connected.delete(peerId)) return
    for (const listener of this.#listeners) listener(peerId)
  }

  #track(peerId: string, duplex: Duplex): void {
    const streams = this.#streams.get(peerId) ?? new Set()
    this.#streams.set(peerId, streams)
    streams.add(duplex)
  }

  #accept(
    inner: Duplex,
    protocol: string,
    entry: { readonly limits: ProtocolLimits; readonly handler: StreamHandler },
  ): void {
    const duplex = new CountedDuplex(inner, protocol)
    const same = [...this.serving].filter(
      (other) => other.protocol === protocol && other.remotePeer === inner.remotePeer,
    )
    if (same.length >= entry.limits.inboundStreamsMax) {
      inner.abort(new SubnetError('BUSY', 'too many streams'))
      return
    }
    this.serving.add(duplex)
    this.served.push(duplex)
    void this.#serve(duplex, inner, entry.handler)
  }

  /** As the libp2p adapter: a handler that fails resets the stream, one that is done leaves its last bytes to be read. */
  async #serve(duplex: CountedDuplex, inner: Duplex, handler: StreamHandler): Promise<void> {
    try {
      await handler(duplex)
      this.serving.delete(duplex)
      await inner.closeWrite()
      while ((await inner.read()) !== undefined);
    } catch (error) {
      this.serving.delete(duplex)
      duplex.failure = error
      inner.abort(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
