/**
 * The open `store` streams of one upload: one per miner, opened when first needed. A miner that fails is left alone for
 * the rest of the upload; its chunks go to spares. One that only takes no more keeps its lease for what it has.
 */
import { sameKey, type WireDomain } from '../../protocols/common/signed.js'
import type { PeerComponents } from '../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { PackedLease } from '../../protocols/lease/packed-lease.js'
import type { Candidate } from '../../protocols/order/messages.js'
import type { LeaseTerms, OutgoingChunk } from '../../protocols/store/client.js'
import { StoreStream } from '../../protocols/store/client.js'
import { type AbortOptions, childSignal, raceAbort } from '../base/abort.js'
import { type ErrorCode, isSubnetError, SubnetError, toSubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { randomFraction } from '../base/random.js'

/** Times a chunk is offered again to a miner that says BUSY, before a spare gets it. */
const BUSY_RETRIES_MAX = 6
/** A miner that says one of these of a chunk holds what it took before. */
const NO_MORE_CODES: ReadonlySet<ErrorCode> = new Set(['NO_SPACE', 'BUSY', 'REFUSED', 'UNAVAILABLE'])
/** First pause after BUSY when the miner names none; it doubles. */
const BUSY_PAUSE_MS = 250
/** Longest pause, whatever the miner asks for: then a spare is sooner. */
const BUSY_PAUSE_MAX_MS = 10_000

export interface StorePoolComponents extends PeerComponents {
  readonly random: Random
}

export class StorePool {
  readonly #components: StorePoolComponents
  readonly #domain: WireDomain
  readonly #candidates: Candidate[]
  readonly #streams = new Map<number, Promise<StoreStream>>()
  /** Streams of earlier orders, on which the last answers come. */
  readonly #retired: Promise<StoreStream>[] = []
  /** A stream serves every chunk of the upload, so none of them may end its opening: only `close` does. */
  readonly #life = childSignal()
  readonly #failures = new Map<number, Error>()
  /** Why a candidate takes no more chunks; those it took it holds. */
  readonly #full = new Map<number, Error>()
  retries = 0
  /** Bytes of bodies that were given to streams, those sent twice included. */
  sentBytes = 0

  constructor(components: StorePoolComponents, domain: WireDomain, candidates: readonly Candidate[]) {
    this.#components = components
    this.#domain = domain
    this.#candidates = [...candidates]
  }

  /** Miners with an open stream. */
  get peers(): number {
    return this.#streams.size - this.#failures.size
  }

  /** Why a candidate is not used any more, if so. */
  failure(candidate: number): Error | undefined {
    return this.#failures.get(candidate)
  }

  /** Resolves when the chunk is durable at this candidate. */
  async send(candidate: number, chunk: OutgoingChunk, options: AbortOptions = {}): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const full = this.#full.get(candidate)
      if (full !== undefined) throw full
      try {
        const stream = await raceAbort(this.#stream(candidate), options.signal)
        const sending = stream.send(chunk, options)
        this.sentBytes += chunk.bytes.length
        await sending
        return
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!isSubnetError(error, 'BUSY') || attempt >= BUSY_RETRIES_MAX) {
          if (isSubnetError(error) && NO_MORE_CODES.has(error.code)) this.#full.set(candidate, error)
          else this.#giveUp(candidate, error)
          throw error
        }
        this.retries += 1
        const hintMs = error.data.retryAfterMs
        const wishMs = (typeof hintMs === 'number' ? hintMs : BUSY_PAUSE_MS) * 2 ** attempt
        const pauseMs = Math.min(wishMs, BUSY_PAUSE_MAX_MS)
        await this.#components.clock.sleep(pauseMs * (0.5 + randomFraction(this.#components.random)), options)
      }
    }
  }

  /** Later orders of the same miners: streams begin anew with them. Who was full, or failed, gets another chance. */
  renew(candidates: readonly Candidate[]): void {
    this.forgive()
    this.#full.clear()
    for (const [candidate, known] of this.#candidates.entries()) {
      const renewed = candidates.find(({ hotkey }) => sameKey(hotkey, known.hotkey))
      // One that is offered no more keeps its order until that ends.
      if (renewed === undefined) continue
      const { order, peerId, address } = renewed
      this.#candidates[candidate] = { ...known, order, peerId, address }
      const stream = this.#streams.get(candidate)
      if (stream !== undefined) this.#retired.push(stream)
      this.#streams.delete(candidate)
    }
  }

  /** Tries those that failed again, with new streams. */
  forgive(): void {
    for (const candidate of this.#failures.keys()) this.#streams.delete(candidate)
    this.#failures.clear()
  }

  /** For each digest whether this candidate holds it. One that does not say is not given up for that. */
  async have(
    candidate: number,
    digests: readonly Uint8Array[],
    options: AbortOptions = {},
  ): Promise<readonly boolean[]> {
    const stream = await raceAbort(this.#stream(candidate), options.signal)
    return await stream.have(digests, options)
  }

  async lease(candidate: number, terms: LeaseTerms, options: AbortOptions = {}): Promise<PackedLease> {
    try {
      const stream = await raceAbort(this.#stream(candidate), options.signal)
      return await stream.lease(terms, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      this.#giveUp(candidate, error)
      throw error
    }
  }

  /** Ends every stream: in peace, or with a reason that reaches the miners as a reset. */
  async close(reason?: Error): Promise<void> {
    this.#life.abort(reason ?? overtaken())
    const streams = await Promise.allSettled([...this.#retired, ...this.#streams.values()])
    for (const result of streams) {
      if (result.status === 'rejected') continue
      const { value: stream } = result
      // One that still owes an answer was overtaken: waiting for it now would make the cut pointless.
      if (reason !== undefined || stream.waiting > 0) stream.abort(reason ?? overtaken())
      // A miner that is gone by now has given its receipts; there is nothing left to lose.
      else await stream.close().catch(() => undefined)
    }
  }

  /** The candidate's stream; a new one in place of one that ended idle, which says nothing about the miner. */
  async #stream(candidate: number): Promise<StoreStream> {
    for (;;) {
      const failure = this.#failures.get(candidate)
      if (failure !== undefined) throw failure
      const opening = this.#streams.get(candidate) ?? this.#open(candidate)
      const stream = await opening
      if (!stream.ended || this.#failures.has(candidate)) return stream
      if (this.#streams.get(candidate) === opening) this.#streams.delete(candidate)
    }
  }

  #open(candidate: number): Promise<StoreStream> {
    const { order, ...place } = this.#candidateAt(candidate)
    const stream = StoreStream.open(this.#components, candidatePeer(place), order, this.#domain, this.#life)
    this.#streams.set(candidate, stream)
    // Whoever waits for it gets the reason. A miner that has no room for a stream now is asked for one again.
    stream.catch((error: unknown) => isSubnetError(error, 'BUSY') && this.#streams.delete(candidate))
    return stream
  }

  #candidateAt(candidate: number): Candidate {
    const found = this.#candidates[candidate]
    if (found === undefined) throw new RangeError(`there is no candidate ${candidate}`)
    return found
  }

  #giveUp(candidate: number, error: unknown): void {
    const failure = toSubnetError(error)
    if (this.#failures.has(candidate)) return
    this.#failures.set(candidate, failure)
    this.#streams.get(candidate)?.then(
      (stream) => stream.abort(failure),
      // It never opened: the failure is recorded already.
      () => undefined,
    )
  }
}

function overtaken(): SubnetError {
  return new SubnetError('STOPPED', 'the upload is over; others were sooner')
}

export function candidatePeer(place: Pick<Candidate, 'hotkey' | 'peerId' | 'address'>): KnownPeer {
  return { hotkey: place.hotkey, peerId: place.peerId, addresses: [place.address] }
}
