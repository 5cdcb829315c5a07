/** The one allowed wait of the tests: looks again every 10 ms until a condition holds, and fails at a deadline. */
import { systemClock } from '../../src/base/clock.js'

export interface UntilOptions {
  /** Ten times what it usually takes. */
  readonly deadlineMs: number
  /** What is waited for, named in the error. */
  readonly title?: string
}

/** Resolves with the first value of `check` that is neither `undefined` nor `false`. */
export async function until<T>(
  check: () => T | undefined | false | Promise<T | undefined | false>,
  options: UntilOptions,
): Promise<T> {
  const startMs = systemClock.monotonicMs()
  for (;;) {
    const value = await check()
    if (value !== undefined && value !== false) return value
    if (systemClock.monotonicMs() - startMs > options.deadlineMs) {
      const title = options.title ?? check.toString()
      throw new Error(`not within ${options.deadlineMs} ms: ${title}`)
    }
    await systemClock.sleep(10)
  }
}
