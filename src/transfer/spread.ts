/** Sending the chunks of one segment, or the copies of one manifest node, each to its holder or else to a spare. */
import type { LeaseEntry } from '../../protocols/lease/lease.js'
import type { AbortOptions } from '../base/abort.js'
import { isSubnetError } from '../base/errors.js'
import type { Placement } from '../redundancy/placement.js'
import type { EncodedChunk } from '../redundancy/segment.js'
import type { StorePool } from './store-pool.js'

export class Spread {
  /** Per candidate, what it said is durable: the entries of its lease. */
  readonly entries: LeaseEntry[][]
  readonly #pool: StorePool
  #moved = 0
  #lastFailure: unknown

  constructor(pool: StorePool, candidates: number) {
    this.#pool = pool
    this.entries = Array.from({ length: candidates }, () => [])
  }

  /** Chunks that had to be offered again: to the same miner or to a spare. */
  get retries(): number {
    return this.#pool.retries + this.#moved
  }

  get lastFailure(): unknown {
    return this.#lastFailure
  }

  /**
   * How many of `chunks` became durable. `placeOf` says under which segment and index chunk i enters the lease. Ends
   * when every chunk is kept or out of spares; rejects only when aborted.
   */
  async send(
    chunks: readonly EncodedChunk[],
    plan: Placement,
    placeOf: (chunk: number) => readonly [segment: number, index: number],
    options: AbortOptions,
  ): Promise<number> {
    const spares = [...plan.spares]
    const sendOne = async (chunk: EncodedChunk, index: number): Promise<boolean> => {
      for (let holder = plan.holders[index]; holder !== undefined; holder = spares.shift()) {
        try {
          await this.#pool.send(holder, chunk, options)
          this.entries[holder]?.push([chunk.digest, chunk.auditRoot, chunk.sizeBytes, ...placeOf(index)])
          return true
        } catch (error) {
          options.signal?.throwIfAborted()
          if (!isSubnetError(error)) throw error
          this.#lastFailure = error
          this.#moved += 1
        }
      }
      return false
    }
    const kept = await Promise.all(chunks.map(sendOne))
    return kept.filter(Boolean).length
  }
}
