/** Sending the chunks of one segment, or the copies of one manifest node, each to its holder or else to a spare. */
import { toString as bytesToText } from 'uint8arrays'
import { LeaseEntryList } from '../../protocols/lease/entry-list.js'
import { MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import { type AbortOptions, deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import type { Placement } from '../redundancy/placement.js'
import type { EncodedChunk } from '../redundancy/segment.js'
import { sendAll } from './long-tail.js'
import { LEASE_CHUNKS_MAX } from './object-limit.js'
import { type Seating, seatHeld } from './seats.js'
import type { StorePool } from './store-pool.js'

/** Who has not said by then what it holds gets the bodies: a miner that is gone must not hold up the others. */
const HAVE_TIMEOUT_MS = 15_000

export interface SpreadComponents {
  readonly pool: Pick<StorePool, 'send' | 'have' | 'retries'>
  readonly clock: Clock
}

export interface SpreadInit {
  readonly candidates: number
  /** Ask what is there before sending: for a put that was begun before. */
  readonly resumes: boolean
}

export interface SpreadPlan extends Placement {
  /** With so many kept, the rest need not be waited for. */
  readonly quorum: number
  /** Ask what is there before sending, in a first run too: these bytes were sent as something else before. */
  readonly asksFirst?: boolean
}

export interface SpreadOptions extends AbortOptions {
  /** Called for each chunk that is durable, also for those that were before. */
  readonly onKept?: () => void
  /** Called for each chunk that is durable, as soon as nobody is being sent its bytes any more. */
  readonly onFree?: (chunk: number) => void
}

const NO_BYTES = new Uint8Array(0)

export class Spread {
  /** Per candidate, what it said is durable: the entries of its lease. */
  readonly entries: LeaseEntryList[]
  readonly #components: SpreadComponents
  readonly #resumes: boolean
  readonly #slow = new Set<number>()
  /** Per candidate, chunks on their way. */
  readonly #sending: number[] = []
  #moved = 0
  #reusedBytes = 0
  #lastFailure: unknown

  constructor(components: SpreadComponents, { candidates, resumes }: SpreadInit) {
    this.#components = components
    this.#resumes = resumes
    this.entries = Array.from({ length: candidates }, () => new LeaseEntryList())
  }

  /** Chunks that had to be offered again: to the same miner or to a spare. */
  get retries(): number {
    return this.#components.pool.retries + this.#moved
  }

  /** Bytes that did not have to be sent, for a miner held them. */
  get reusedBytes(): number {
    return this.#reusedBytes
  }

  get lastFailure(): unknown {
    return this.#lastFailure
  }

  /**
   * How many of `chunks` became durable; the bytes of each are let go of as soon as it is. `placeOf` says under which segment and index chunk i enters the lease. Ends
   * when every chunk is kept or out of spares, as `long-tail.ts` says; rejects only when aborted.
   */
  async send(
    chunks: EncodedChunk[],
    plan: SpreadPlan,
    placeOf: (chunk: number) => readonly [segment: number, index: number],
    options: SpreadOptions,
  ): Promise<number> {
    const { clock } = this.#components
    /** How many candidates have each chunk and have not answered. */
    const readers = chunks.map(() => 0)
    const kept = new Set<number>()
    const chunkAt = (index: number) => chunks[index] as EncodedChunk
    const keep = (candidate: number, index: number) => {
      const { digest, auditRoot, sizeBytes } = chunkAt(index)
      this.entries[candidate]?.push([digest, auditRoot, sizeBytes, ...placeOf(index)])
      chunks[index] = { digest, auditRoot, sizeBytes, bytes: NO_BYTES }
      options.onKept?.()
      kept.add(index)
      if (readers[index] === 0) options.onFree?.(index)
    }
    const asks = this.#resumes || plan.asksFirst === true
    const seating = asks ? await this.#seat(chunks, plan, options) : { ...plan, held: new Set<number>() }
    for (const index of seating.held) {
      keep(seating.holders[index] as number, index)
      if (this.#resumes) this.#reusedBytes += chunkAt(index).sizeBytes
    }
    return await sendAll(
      { ...seating, isEnough: (kept) => kept >= plan.quorum },
      {
        clock,
        slow: this.#slow,
        send: async (candidate, index) => {
          readers[index] = (readers[index] ?? 0) + 1
          try {
            await this.#sendOne(candidate, chunkAt(index), placeOf(index)[0], options)
          } finally {
            readers[index] = (readers[index] ?? 1) - 1
            if (kept.has(index) && readers[index] === 0) options.onFree?.(index)
          }
        },
        onKept: keep,
        onMoved: (failure) => {
          this.#moved += 1
          if (failure !== undefined) this.#lastFailure = failure
        },
      },
      options,
    )
  }

  /** Chunks that a candidate does not hold after all. */
  drop(candidate: number, digests: readonly Uint8Array[]): void {
    if (digests.length === 0) return
    const gone = new Set(digests.map((digest) => bytesToText(digest, 'hex')))
    const left = new LeaseEntryList()
    for (const entry of this.entries[candidate] ?? []) {
      if (!gone.has(bytesToText(entry[0], 'hex'))) left.push(entry)
    }
    this.entries[candidate] = left
  }

  /** A lease names so many chunks and no more: beyond that a candidate is as good as full. */
  async #sendOne(
    candidate: number,
    chunk: EncodedChunk,
    segment: number,
    options: AbortOptions,
  ): Promise<void> {
    const sending = this.#sending[candidate] ?? 0
    const leased = (this.entries[candidate]?.length ?? 0) + sending
    if (segment !== MANIFEST_SEGMENT && leased >= LEASE_CHUNKS_MAX) {
      throw new SubnetError('NO_SPACE', `one lease names at most ${LEASE_CHUNKS_MAX} chunks of an object`)
    }
    this.#sending[candidate] = sending + 1
    try {
      await this.#components.pool.send(candidate, chunk, options)
    } finally {
      this.#sending[candidate] = (this.#sending[candidate] ?? 1) - 1
    }
  }

  /** Asks everybody in the plan about all chunks: since the first run, spares and other weights may have moved them. */
  async #seat(chunks: readonly EncodedChunk[], plan: SpreadPlan, options: AbortOptions): Promise<Seating> {
    const candidates = [...new Set([...plan.holders, ...plan.spares])]
    const digests = chunks.map(({ digest }) => digest)
    const answers = new Map<number, readonly boolean[]>()
    const ask = async (candidate: number) => {
      using scope = deadline(this.#components.clock, HAVE_TIMEOUT_MS, 'asking what is held', options.signal)
      try {
        answers.set(candidate, await this.#components.pool.have(candidate, digests, scope))
      } catch (error) {
        options.signal?.throwIfAborted()
        // Whoever does not say is sent the bodies, or fails at those.
        if (!isSubnetError(error)) throw error
      }
    }
    await Promise.all(candidates.map(ask))
    return seatHeld(plan, (candidate, chunk) => answers.get(candidate)?.[chunk] === true)
  }
}
