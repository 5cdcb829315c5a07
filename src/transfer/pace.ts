/** How long this transfer's requests take, and from when on one more than needed is worth its bytes. */

/** Times remembered: enough for a percentile, few enough to follow a line that changes. */
const SAMPLES_MAX = 64
/** Fewer than these say nothing yet. */
const SAMPLES_MIN = 8
/** The share of requests that are answered before a hedge is made. */
const HEDGE_PERCENTILE = 0.95
/** Before there are enough times. */
const HEDGE_FIRST_MS = 2_000
/** On a fast line a hedge sooner than this would only answer the disk's and the scheduler's hiccups. */
const HEDGE_MS_MIN = 250
/** On a slow line patience ends here: by then a holder is rather stuck than slow. */
const HEDGE_MS_MAX = 20_000

/** One transfer's own times. */
export class Pace {
  readonly #times: number[] = []

  add(elapsedMs: number): void {
    this.#times.push(elapsedMs)
    if (this.#times.length > SAMPLES_MAX) this.#times.shift()
  }

  /** The pause without an answer after which a reader asks one holder more. */
  get hedgeAfterMs(): number {
    if (this.#times.length < SAMPLES_MIN) return HEDGE_FIRST_MS
    return Math.min(HEDGE_MS_MAX, Math.max(HEDGE_MS_MIN, percentile(this.#times, HEDGE_PERCENTILE)))
  }
}

/** The smallest of `times` that the given share of them does not exceed; 0 for none. */
export function percentile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}
