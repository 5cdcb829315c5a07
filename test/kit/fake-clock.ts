/** A `Clock` that moves only when a test moves it, so that timers fire in one order and nothing waits for real. */
import type { AbortOptions } from '../../src/base/abort.js'
import type { Clock, Timer } from '../../src/base/clock.js'

interface Pending {
  readonly dueMs: number
  readonly fire: () => void
}

/** Lets everything run that waits for nothing but promises. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export class FakeClock implements Clock {
  readonly #startMs: number
  /** By `dueMs`, those with the same in the order in which they were set. */
  readonly #pending: Pending[] = []
  #elapsedMs = 0

  constructor(startMs = 1_700_000_000_000) {
    this.#startMs = startMs
  }

  /** Timers that have neither fired nor been cancelled. */
  get pendingTimers(): number {
    return this.#pending.length
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs
  }

  monotonicMs(): number {
    return this.#elapsedMs
  }

  after(delayMs: number, fire: () => void): Timer {
    const timer = { dueMs: this.#elapsedMs + Math.max(0, delayMs), fire }
    const later = this.#pending.findIndex(({ dueMs }) => dueMs > timer.dueMs)
    this.#pending.splice(later < 0 ? this.#pending.length : later, 0, timer)
    return {
      cancel: () => {
        const at = this.#pending.indexOf(timer)
        if (at >= 0) this.#pending.splice(at, 1)
      },
    }
  }

  sleep(delayMs: number, options: AbortOptions = {}): Promise<void> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Moves on by `durationMs`, firing what comes due at its own time; promises run before and after each moment. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#elapsedMs + durationMs
    await turn()
    for (let next = this.#pending[0]; next !== undefined && next.dueMs <= untilMs; next = this.#pending[0]) {
      this.#elapsedMs = next.dueMs
      const { dueMs } = next
      for (const timer of this.#pending.filter((each) => each.dueMs === dueMs)) {
        const at = this.#pending.indexOf(timer)
        // One that fired before it may have cancelled it.
        if (at < 0) continue
        this.#pending.splice(at, 1)
        timer.fire()
      }
      await turn()
    }
    this.#elapsedMs = untilMs
  }
}
