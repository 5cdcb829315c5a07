/**
 * Verified operations that wait for a block, first come first served. A key's operations are in by nonce without a
 * gap, so the order of arrival is an order in which all of them can run.
 */
import { refused } from './refusals.js'
import type { Operation } from './state.js'

/** Operations that may wait in all, and of one key. */
export const POOL_OPERATIONS_MAX = 4_096
export const POOL_OPERATIONS_PER_KEY_MAX = 16

export interface Pooled {
  readonly id: string
  /** As it was signed. */
  readonly body: Uint8Array
  readonly operation: Operation
}

export class OperationPool {
  readonly #waiting = new Map<string, Pooled>()
  readonly #countByKey = new Map<string, number>()

  has(id: string): boolean {
    return this.#waiting.has(id)
  }

  /** Operations of this key that wait. */
  count(key: string): number {
    return this.#countByKey.get(key) ?? 0
  }

  /** Throws `CHAIN_REFUSED` `ImmediatelyDropped` when there is no room for another one of this key. */
  requireRoom(key: string): void {
    const full = this.#waiting.size >= POOL_OPERATIONS_MAX
    if (full || this.count(key) >= POOL_OPERATIONS_PER_KEY_MAX) throw refused('ImmediatelyDropped')
  }

  add(pooled: Pooled): void {
    const { signer } = pooled.operation
    this.#waiting.set(pooled.id, pooled)
    this.#countByKey.set(signer, this.count(signer) + 1)
  }

  /** Takes out up to `max` operations, oldest first. */
  take(max: number): readonly Pooled[] {
    const taken: Pooled[] = []
    for (const pooled of this.#waiting.values()) {
      if (taken.length >= max) break
      taken.push(pooled)
    }
    for (const { id, operation } of taken) this.#remove(id, operation.signer)
    return taken
  }

  /** Puts back what was taken, in front of all others. */
  putBack(pooled: readonly Pooled[]): void {
    const others = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#countByKey.clear()
    for (const each of [...pooled, ...others]) this.add(each)
  }

  #remove(id: string, key: string): void {
    this.#waiting.delete(id)
    const left = this.count(key) - 1
    if (left === 0) this.#countByKey.delete(key)
    else this.#countByKey.set(key, left)
  }
}
