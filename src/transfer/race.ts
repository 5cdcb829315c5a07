/** As many successes as needed out of many attempts: a slow or dead holder costs a reader a pause, not the object. */
import { type AbortOptions, childSignal } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'

export type Attempt<T> = (signal: AbortSignal) => Promise<T>

export interface Pacing {
  readonly clock: Clock
  /** Silence after which one more attempt is made than needed; again after each such pause. Asked at each. */
  readonly pace: { readonly hedgeAfterMs: number }
  /** Attempts that begin at once, if that is more than are needed. */
  readonly atOnce?: number
}

/**
 * What the first `needed` attempts to succeed give, fewer when all others failed. They begin in their order: as many as
 * needed (or `atOnce`) at once, the next for each that fails, one more after each pause. What still runs at the end is
 * aborted.
 */
export async function firstOf<T>(
  attempts: readonly Attempt<T>[],
  needed: number,
  { clock, pace, atOnce = 0 }: Pacing,
  options: AbortOptions = {},
): Promise<T[]> {
  using scope = childSignal(options.signal)
  const untried = [...attempts]
  const found: T[] = []
  return await new Promise((resolve, reject) => {
    let running = 0
    let over = false
    const end = (settle: () => void) => {
      if (over) return
      over = true
      timer.cancel()
      scope.signal.removeEventListener('abort', onAbort)
      settle()
      scope.abort(new DOMException('enough has come', 'AbortError'))
    }
    const onAbort = () => end(() => reject(scope.signal.reason))
    const hedge = () => {
      timer = clock.after(pace.hedgeAfterMs, hedge)
      startNext()
    }
    let timer = clock.after(pace.hedgeAfterMs, hedge)
    const succeed = (value: T) => {
      if (over) return
      found.push(value)
      timer.cancel()
      timer = clock.after(pace.hedgeAfterMs, hedge)
    }
    const fail = (error: unknown) => {
      // An expected failure is the next one's turn; a defect must be seen.
      if (!isSubnetError(error)) end(() => reject(error))
    }
    const startNext = () => {
      const attempt = untried.shift()
      if (attempt === undefined) return
      running += 1
      attempt(scope.signal)
        .then(succeed, fail)
        .finally(() => {
          running -= 1
          step()
        })
    }
    const step = () => {
      if (over) return
      const missing = needed - found.length
      while (missing > 0 && running < Math.max(missing, atOnce) && untried.length > 0) startNext()
      if (missing <= 0 || running === 0) end(() => resolve(found))
    }
    scope.signal.addEventListener('abort', onAbort, { once: true })
    if (scope.signal.aborted) onAbort()
    else step()
  })
}
