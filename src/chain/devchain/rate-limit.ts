/** How fast one client may ask: a bucket of a second's requests that refills steadily, and may be overdrawn. */
import type { Clock } from '../../base/clock.js'

export class RateLimit {
  readonly #clock: Clock
  readonly #perSecondMax: number
  #tokens: number
  #refilledMs: number

  constructor(clock: Clock, perSecondMax: number) {
    this.#clock = clock
    this.#perSecondMax = perSecondMax
    this.#tokens = perSecondMax
    this.#refilledMs = clock.monotonicMs()
  }

  /** Counts one request and returns the milliseconds until the bucket is out of debt; 0 while there is none. */
  spend(): number {
    const nowMs = this.#clock.monotonicMs()
    const refill = ((nowMs - this.#refilledMs) * this.#perSecondMax) / 1_000
    this.#refilledMs = nowMs
    this.#tokens = Math.min(this.#perSecondMax, this.#tokens + refill) - 1
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1_000) / this.#perSecondMax)
  }
}
