/**
 * Verified operations that wait for a block, first come first served. A hotkey's operations are in by nonce without a
 * gap, so the order of arrival is an order in which all of them can run.
 */
import { refused } from './refusals.js'
import type { Operation } from './state.js'

/** Operations that may wait in all, and of one hotkey. */
export const POOL_OPERATIONS_MAX = 4_096
export const POOL_OPERATIONS_PER_HOTKEY_MAX = 16

export interface Pooled {
  readonly id: string
  readonly operation: Operation
}

export class OperationPool {
  readonly #waiting = new Map<string, Operation>()
  readonly #countByHotkey = new Map<string, number>()

  has(id: string): boolean {
    return this.#waiting.has(id)
  }

  /** Operations of this hotkey that wait. */
  count(hotkey: string): number {
    return this.#countByHotkey.get(hotkey) ?? 0
  }

  /** Throws `CHAIN_REFUSED` `ImmediatelyDropped` when there is no room for another one of this hotkey. */
  requireRoom(hotkey: string): void {
    const full = this.#waiting.size >= POOL_OPERATIONS_MAX
    if (full || this.count(hotkey) >= POOL_OPERATIONS_PER_HOTKEY_MAX) throw refused('ImmediatelyDropped')
  }

  add({ id, operation }: Pooled): void {
    this.#waiting.set(id, operation)
    this.#countByHotkey.set(operation.hotkey, this.count(operation.hotkey) + 1)
  }

  /** Takes out up to `max` operations, oldest first. */
  take(max: number): readonly Pooled[] {
    const taken: Pooled[] = []
    for (const [id, operation] of this.#waiting) {
      if (taken.length >= max) break
      taken.push({ id, operation })
    }
    for (const { id, operation } of taken) this.#remove(id, operation.hotkey)
    return taken
  }

  #remove(id: string, hotkey: string): void {
    this.#waiting.delete(id)
    const left = this.count(hotkey) - 1
    if (left === 0) this.#countByHotkey.delete(hotkey)
    else this.#countByHotkey.set(hotkey, left)
  }
}
