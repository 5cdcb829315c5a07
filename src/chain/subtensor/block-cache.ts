/** Answers that belong to one block, by its hash: what a block says never changes. Failures are not kept. */
import { type AbortOptions, raceAbort } from '../../base/abort.js'
import type { BlockRef } from './state-reader.js'

const CACHED_BLOCKS_MAX = 8

export class BlockCache<T> {
  readonly #answers = new Map<string, Promise<T>>()

  /** `ask` runs without the caller's signal, since others may wait for the same answer. */
  get({ hash }: BlockRef, options: AbortOptions, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(hash)
    if (known !== undefined) return raceAbort(known, options.signal)
    const asked = ask()
    this.#answers.set(hash, asked)
    asked.catch(() => {
      // Each waiter gets the failure; the next one asks again.
      if (this.#answers.get(hash) === asked) this.#answers.delete(hash)
    })
    for (const oldest of this.#answers.keys()) {
      if (this.#answers.size <= CACHED_BLOCKS_MAX) break
      this.#answers.delete(oldest)
    }
    return raceAbort(asked, options.signal)
  }
}
