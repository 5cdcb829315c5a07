/**
 * Two `Duplex` ends joined in memory, with the same backpressure and failure rules as the libp2p adapter (both run
 * `test/conformance/duplex.ts`). For testing protocols without a network; it adds no delay and no loss.
 */
import { type AbortOptions, raceAbort } from '../../src/base/abort.js'
import type { Clock } from '../../src/base/clock.js'
import { invariant, SubnetError } from '../../src/base/errors.js'
import { KIB } from '../../src/base/units.js'
import type { Duplex, WriteOptions } from '../../src/net/duplex.js'

export interface DuplexPairInit {
  /** Unread bytes in one direction above which a write waits. Default 256 KiB. */
  readonly bufferBytes?: number
  /** Cuts what is written into reads of at most this many bytes, as a network may. Default: reads as written. */
  readonly fragmentBytes?: number
  /** A line that delivers no faster than this, each direction, by this clock. Default: at once. */
  readonly line?: { readonly bytesPerSecond: number; readonly clock: Clock }
  /** Peer ids of the two ends; each end's `remotePeer` is the other's. Default `peer-a`, `peer-b`. */
  readonly peers?: readonly [string, string]
}

/** Returns the two ends; what one writes, the other reads. */
export function duplexPair(init: DuplexPairInit = {}): [Duplex, Duplex] {
  const [peerA, peerB] = init.peers ?? ['peer-a', 'peer-b']
  const [aToB, bToA] = [new Pipe(init), new Pipe(init)]
  const a = new PairEnd(peerB, bToA, aToB)
  const b = new PairEnd(peerA, aToB, bToA)
  a.join(b)
  b.join(a)
  const { line } = init
  return line === undefined ? [a, b] : [new SlowEnd(a, line), new SlowEnd(b, line)]
}

/** Reads as slowly as its line is. */
class SlowEnd implements Duplex {
  readonly #inner: Duplex
  readonly #line: NonNullable<DuplexPairInit['line']>
  /** On the line: it arrives at `dueMs`. A read that gives up leaves it there. */
  #arriving: { readonly piece: Uint8Array; readonly dueMs: number } | undefined

  constructor(inner: Duplex, line: NonNullable<DuplexPairInit['line']>) {
    this.#inner = inner
    this.#line = line
  }

  get remotePeer(): string {
    return this.#inner.remotePeer
  }

  async read(options: AbortOptions = {}): Promise<Uint8Array | undefined> {
    const { clock, bytesPerSecond } = this.#line
    if (this.#arriving === undefined) {
      const piece = await this.#inner.read(options)
      if (piece === undefined) return undefined
      this.#arriving = { piece, dueMs: clock.monotonicMs() + (piece.length * 1_000) / bytesPerSecond }
    }
    const { piece, dueMs } = this.#arriving
    await clock.sleep(dueMs - clock.monotonicMs(), options)
    this.#arriving = undefined
    return piece
  }

  write(bytes: Uint8Array, options?: AbortOptions): Promise<void> {
    return this.#inner.write(bytes, options)
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

/** Bytes of one write that are queued at a time, about as many as the real adapter hands over. */
const SLICE_BYTES = 64 * KIB

/** One direction: a bounded queue whose ends wait for "something changed" and look again. */
class Pipe {
  readonly #bufferBytes: number
  readonly #fragmentBytes: number
  #pieces: Uint8Array[] = []
  #queuedBytes = 0
  #change: Promise<void> | undefined
  #wake: () => void = () => undefined
  /** The writer said that nothing more comes. */
  closed = false

  constructor(init: DuplexPairInit) {
    this.#bufferBytes = init.bufferBytes ?? 256 * KIB
    this.#fragmentBytes = init.fragmentBytes ?? Number.POSITIVE_INFINITY
  }

  get full(): boolean {
    return this.#queuedBytes > this.#bufferBytes
  }

  changed(): Promise<void> {
    this.#change ??= new Promise((resolve) => {
      this.#wake = resolve
    })
    return this.#change
  }

  notify(): void {
    this.#change = undefined
    this.#wake()
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.#fragmentBytes) {
      // Copied: the reader owns what it gets, and the writer's own bytes stay as they were.
      this.#pieces.push(bytes.slice(at, Math.min(at + this.#fragmentBytes, bytes.length)))
    }
    this.#queuedBytes += bytes.length
    this.notify()
  }

  shift(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (piece === undefined) return undefined
    this.#queuedBytes -= piece.length
    this.notify()
    return piece
  }
}

class PairEnd implements Duplex {
  readonly remotePeer: string
  readonly #incoming: Pipe
  readonly #outgoing: Pipe
  #other: PairEnd = this
  #failure: Error | undefined
  #aborted = false
  #reading = false
  #writing = false

  constructor(remotePeer: string, incoming: Pipe, outgoing: Pipe) {
    this.remotePeer = remotePeer
    this.#incoming = incoming
    this.#outgoing = outgoing
  }

  join(other: PairEnd): void {
    this.#other = other
  }

  async read(options: AbortOptions = {}): Promise<Uint8Array | undefined> {
    invariant(!this.#reading, 'one read at a time')
    this.#reading = true
    try {
      for (;;) {
        options.signal?.throwIfAborted()
        if (this.#failure !== undefined && (this.#aborted || !this.#incoming.closed)) throw this.#failure
        const piece = this.#incoming.shift()
        if (piece !== undefined || this.#incoming.closed) return piece
        await raceAbort(this.#incoming.changed(), options.signal)
      }
    } finally {
      this.#reading = false
    }
  }

  async write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    invariant(!this.#writing, 'one write at a time')
    invariant(!this.#outgoing.closed, 'a write after closeWrite')
    options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    this.#writing = true
    try {
      for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
        this.#outgoing.push(bytes.subarray(at, at + SLICE_BYTES))
        while (this.#outgoing.full) {
          await raceAbort(this.#outgoing.changed(), options.signal)
          if (this.#failure !== undefined) throw this.#failure
          options.onProgress?.()
        }
      }
    } finally {
      this.#writing = false
    }
  }

  async drained(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    // The buffer is the network's: what fits in it has left.
    while (this.#failure === undefined && this.#outgoing.full) {
      await raceAbort(this.#outgoing.changed(), options.signal)
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  async closeWrite(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    this.#outgoing.closed = true
    this.#outgoing.notify()
  }

  /** The other end keeps what it has not read yet if this end had closed its side before: that input is complete. */
  abort(reason: Error): void {
    const ended = this.#incoming.closed && this.#outgoing.closed
    this.#aborted = true
    this.#fail(reason)
    if (!ended) this.#other.#fail(new SubnetError('DISCONNECTED', 'the peer reset the stream'))
  }

  #fail(reason: Error): void {
    this.#failure ??= reason
    this.#incoming.notify()
    this.#outgoing.notify()
  }
}
