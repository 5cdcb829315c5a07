/** How often each of many may do something: a leaky bucket per key (GCRA), one number of memory each. */
import type { Clock } from './clock.js'

export interface Rate {
  /** What may go on for ever. */
  readonly perSecond: number
  /** What may come at once after a pause. At least 1. */
  readonly burst: number
}

export interface RateLimitInit extends Rate {
  /** Keys remembered. Beyond that the one that was let through longest ago begins anew. */
  readonly keysMax: number
}

export class RateLimit {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #toleranceMs: number
  readonly #keysMax: number
  /** When each key would be at rest again, by when it was last let through. */
  readonly #restMs = new Map<string, number>()

  constructor(clock: Clock, init: RateLimitInit) {
    this.#clock = clock
    this.#intervalMs = 1_000 / init.perSecond
    this.#toleranceMs = (init.burst - 1) * this.#intervalMs
    this.#keysMax = init.keysMax
  }

  /** Lets one through and returns 0, or returns the milliseconds after which it would; a refusal costs nothing. */
  take(key: string): number {
    const nowMs = this.#clock.monotonicMs()
    const restMs = Math.max(this.#restMs.get(key) ?? nowMs, nowMs)
    const waitMs = restMs - nowMs - this.#toleranceMs
    // A sum of intervals is not exact: what is a rounding error too early is in time.
    if (waitMs > 1e-6) return Math.ceil(waitMs)
    this.#restMs.delete(key)
    this.#restMs.set(key, restMs + this.#intervalMs)
    if (this.#restMs.size > this.#keysMax) this.#forgetOldest()
    return 0
  }

  #forgetOldest(): void {
    const [oldest] = this.#restMs.keys()
    if (oldest !== undefined) this.#restMs.delete(oldest)
  }
}

/** As a refusal names it. */
export function describeRate({ perSecond, burst }: Rate): string {
  return `${perSecond} a second, ${burst} at once`
}
