/**
 * The client's side of `store`: one stream to one miner, headers and bodies pipelined within the miner's credit.
 *
 * Next hop on the store path: protocols/store/server.ts, on the miner.
 */
import type { AbortOptions } from '../../src/base/abort.js'
import { raceAbort } from '../../src/base/abort.js'
import type { Clock, Timer } from '../../src/base/clock.js'
import { SubnetError, toSubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import type { FrameStream } from '../common/frames.js'
import { slowestMs, unlessFailure } from '../common/frames.js'
import { sameKey, type WireDomain } from '../common/signed.js'
import { fromFailure } from '../common/status.js'
import type { PeerComponents } from '../hello/exchange.js'
import { openFrames } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import { LeaseEntryList } from '../lease/entry-list.js'
import type { SignedLease } from '../lease/lease.js'
import { checkLeaseHeld } from '../lease/lease.js'
import { encodeWithEntries, type LeaseEntries, type PackedLease, packLease } from '../lease/packed-lease.js'
import type { Order } from '../order/order.js'
import { fromBits } from './bits.js'
import type { StoreAnswer } from './messages.js'
import { STORE, STORE_IDLE_TIMEOUT_MS, storeAnswerSchema, storeOpenedSchema } from './messages.js'

/** A chunk as it is sent. */
export interface OutgoingChunk {
  readonly digest: Uint8Array
  readonly auditRoot: Uint8Array
  readonly bytes: Uint8Array
}

export interface LeaseTerms {
  readonly object: Uint8Array
  readonly entries: LeaseEntries
  readonly endBlock: number
}

interface Pending<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

export class StoreStream {
  readonly peer: KnownPeer
  readonly #frames: FrameStream
  readonly #order: Order
  readonly #domain: WireDomain
  readonly #clock: Clock
  readonly #credit: Semaphore
  /** One frame with its body at a time. */
  readonly #writer = new Semaphore({ permitsMax: 1, waitersMax: 1_024 })
  readonly #chunks = new Map<number, Pending<boolean> & { readonly sizeBytes: number }>()
  /** In the order in which they were asked for, which is that of the answers. */
  readonly #leases: Pending<SignedLease>[] = []
  /** The same of what is asked for with `have`. */
  readonly #haves: (Pending<boolean[]> & { readonly count: number })[] = []
  /** Frames being written now: while bytes leave, a missing answer is not silence. */
  #writing = 0
  #silence: Timer | undefined
  #next = 0
  #failure: SubnetError | undefined

  private constructor(
    peer: KnownPeer,
    frames: FrameStream,
    order: Order,
    domain: WireDomain,
    clock: Clock,
    creditChunks: number,
  ) {
    this.peer = peer
    this.#frames = frames
    this.#order = order
    this.#domain = domain
    this.#clock = clock
    this.#credit = new Semaphore({ permitsMax: creditChunks, waitersMax: 1_024 })
  }

  /** Opens the stream and presents the order. Rejects with the miner's refusal. */
  static async open(
    components: PeerComponents,
    peer: KnownPeer,
    order: Order,
    domain: WireDomain,
    options: AbortOptions = {},
  ): Promise<StoreStream> {
    const frames = await openFrames(components, STORE, peer, options)
    try {
      await frames.writeMessage({ type: 'open', order }, options)
      const opened = unlessFailure(
        await frames.readMessage(storeOpenedSchema, 'opened', options),
        peer.peerId,
      )
      const stream = new StoreStream(peer, frames, order, domain, components.clock, opened.creditChunks)
      void stream.#readAnswers()
      return stream
    } catch (error) {
      frames.abort(error)
      throw error
    }
  }

  /** Nothing more can be asked of it. */
  get ended(): boolean {
    return this.#failure !== undefined
  }

  /** Chunks and questions not answered yet. */
  get waiting(): number {
    return this.#chunks.size + this.#leases.length + this.#haves.length
  }

  /** For each of at most `STORE_HAVE_MAX` digests whether the miner holds it: its word, which its lease then binds. */
  async have(digests: readonly Uint8Array[], options: AbortOptions = {}): Promise<readonly boolean[]> {
    const answer = this.#ask<boolean[]>(
      (pending) => this.#haves.push({ ...pending, count: digests.length }),
      () => this.#frames.writeMessage({ type: 'have', digests }),
      options,
    )
    return await raceAbort(answer, options.signal)
  }

  /** Resolves when the miner says that the chunk is durable: true if it held it already. */
  async send(chunk: OutgoingChunk, options: AbortOptions = {}): Promise<boolean> {
    const release = await this.#credit.acquire(1, options)
    // Given back with the answer, also when nobody waits for that any more: credit counts what the miner has to do.
    return await raceAbort(this.#send(chunk, options).finally(release), options.signal)
  }

  /** The miner's signature that it holds these chunks, verified. */
  async lease(terms: LeaseTerms, options: AbortOptions = {}): Promise<PackedLease> {
    const { entries, ...asked } = terms
    const answer = this.#ask<SignedLease>(
      (pending) => this.#leases.push(pending),
      async () => await this.#frames.writeHeader(encodeWithEntries({ type: 'lease', ...asked }, entries)),
      options,
    )
    // Packed at once: an upload has as many of them as there are miners.
    const lease = packLease(await raceAbort(answer, options.signal))
    const isAsked =
      sameKey(lease.object, terms.object) &&
      sameKey(lease.validator, this.#order.validator) &&
      sameKey(lease.miner, this.peer.hotkey) &&
      lease.endBlock === terms.endBlock &&
      lease.entries.equals(asList(entries))
    if (!isAsked) {
      throw new SubnetError('MISMATCH', `${this.peer.peerId} signed another lease than asked for`)
    }
    checkLeaseHeld({ lease, minerSignature: lease.minerSignature }, this.#domain)
    return lease
  }

  /** Says that nothing more will be sent. */
  async close(options: AbortOptions = {}): Promise<void> {
    await this.#frames.end(options)
  }

  abort(reason: Error): void {
    this.#end(toSubnetError(reason, 'STOPPED'))
  }

  async #send({ digest, auditRoot, bytes }: OutgoingChunk, options: AbortOptions): Promise<boolean> {
    const number = this.#next
    this.#next += 1
    return await this.#ask<boolean>(
      (pending) => this.#chunks.set(number, { ...pending, sizeBytes: bytes.length }),
      () => {
        const header = { type: 'chunk', number, digest, auditRoot, sizeBytes: bytes.length }
        return this.#frames.writeMessageAndBody(header, bytes)
      },
      options,
    )
  }

  /** Writes a request when it is its turn, and resolves with the answer to what `register` is given. */
  async #ask<T>(
    register: (pending: Pending<T>) => void,
    write: () => Promise<void>,
    options: AbortOptions,
  ): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const writing = this.#writer.run(async () => {
        options.signal?.throwIfAborted()
        if (this.#failure !== undefined) throw this.#failure
        register({ resolve, reject })
        this.#writing += 1
        this.#listen()
        await write().catch((error: unknown) => this.#end(toSubnetError(error, 'DISCONNECTED')))
        this.#writing -= 1
        this.#listen()
      })
      writing.catch(reject)
    })
  }

  async #readAnswers(): Promise<void> {
    try {
      for (;;) {
        const answer = await this.#frames.readOptional(storeAnswerSchema, 'store answer', {
          // Silence is measured by #listen: it begins when our bytes have left, not when the last answer came.
          waitMs: Number.POSITIVE_INFINITY,
        })
        if (answer === undefined)
          throw new SubnetError('DISCONNECTED', `${this.peer.peerId} ended the stream`)
        this.#settle(unlessFailure(answer, this.peer.peerId))
        this.#listen()
      }
    } catch (error) {
      this.#end(toSubnetError(error, 'DISCONNECTED'))
    }
  }

  #settle(answer: Exclude<StoreAnswer, { type: 'failure' }>): void {
    if (answer.type === 'held') {
      const asked = this.#haves.shift()
      if (asked === undefined) throw new SubnetError('INVALID', 'what is held, never asked for')
      try {
        asked.resolve(fromBits(answer.bits, asked.count))
      } catch (error) {
        asked.reject(error)
        throw error
      }
      return
    }
    if (answer.type === 'leased') {
      const asked = this.#leases.shift()
      if (asked === undefined) throw new SubnetError('INVALID', 'a lease, never asked for')
      asked.resolve(answer.lease)
      return
    }
    const pending = this.#chunks.get(answer.number)
    if (pending === undefined)
      throw new SubnetError('INVALID', `an answer to chunk ${answer.number}, never sent`)
    this.#chunks.delete(answer.number)
    if (answer.type === 'kept') pending.resolve(answer.present)
    else pending.reject(fromFailure(answer.failure, this.peer.peerId))
  }

  /** Measures the miner's silence anew: only while it owes an answer and has all that we said. */
  #listen(): void {
    this.#silence?.cancel()
    this.#silence = undefined
    if (this.#failure !== undefined || this.waiting === 0 || this.#writing > 0) return
    const [next] = this.#chunks.values()
    // What is written lies in buffers on the way for as long as a slow line takes: the next answer comes after a chunk.
    const timeoutMs = STORE_IDLE_TIMEOUT_MS + slowestMs(next?.sizeBytes ?? 0)
    this.#silence = this.#clock.after(timeoutMs, () => {
      const text = `${this.peer.peerId} has not answered for ${timeoutMs} ms`
      this.#end(new SubnetError('TIMEOUT', text))
    })
  }

  /** The stream is over for everybody who waits on it. */
  #end(reason: SubnetError): void {
    this.#failure ??= reason
    this.#silence?.cancel()
    const waiting = [...this.#chunks.values(), ...this.#leases, ...this.#haves]
    for (const pending of waiting) pending.reject(this.#failure)
    this.#chunks.clear()
    this.#leases.length = 0
    this.#haves.length = 0
    this.#frames.abort(this.#failure)
  }
}

function asList(entries: LeaseEntries): LeaseEntryList {
  return entries instanceof LeaseEntryList ? entries : LeaseEntryList.of(entries)
}
