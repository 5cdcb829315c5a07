/** Cancellation: how a caller's patience travels down, and how a deadline joins it. */
import { setMaxListeners } from 'node:events'
import type { Clock, Timer } from './clock.js'
import { SubnetError } from './errors.js'

/** The last parameter of every function that may wait. */
export interface AbortOptions {
  readonly signal?: AbortSignal
}

/** A signal that must be released when the work is over, or its timer and listeners stay. */
export interface ScopedSignal extends Disposable {
  readonly signal: AbortSignal
  readonly abort: (reason: unknown) => void
}

/**
 * A signal that aborts with `TIMEOUT` after `timeoutMs`, or with the parent's reason before that.
 * `what` names the work in the error: "<what> took longer than 5000 ms".
 */
export function deadline(
  clock: Clock,
  timeoutMs: number,
  what: string,
  parent?: AbortSignal | undefined,
): ScopedSignal {
  const scope = childSignal(parent)
  const timer = clock.after(timeoutMs, () => {
    scope.abort(
      new SubnetError('TIMEOUT', `${what} took longer than ${timeoutMs} ms`, { data: { timeoutMs } }),
    )
  })
  return {
    signal: scope.signal,
    abort: scope.abort,
    [Symbol.dispose]() {
      timer.cancel()
      scope[Symbol.dispose]()
    },
  }
}

export interface WatchedSignal extends ScopedSignal {
  /** Something happened: the silence begins anew. */
  readonly alive: () => void
}

export interface Patience {
  readonly silenceMs: number
  readonly totalMs: number
}

/**
 * As `deadline`, for work in many steps: aborts `scope` after a silence between two of them, or when the whole takes too
 * long. The scope is the caller's, who may use it for one work after the other as long as none was aborted: making one
 * for each of thousands a second is felt.
 */
export function watchdog(
  clock: Clock,
  { silenceMs, totalMs }: Patience,
  what: string,
  scope: ScopedSignal,
): WatchedSignal {
  const startMs = clock.monotonicMs()
  let aliveMs = startMs
  // One timer that looks again, not one for each step: there may be thousands of steps a second.
  const look = (): Timer => {
    const nowMs = clock.monotonicMs()
    const leftMs = Math.min(aliveMs + silenceMs, startMs + totalMs) - nowMs
    if (leftMs > 0) return clock.after(leftMs, () => (timer = look()))
    const timeoutMs = nowMs - aliveMs >= silenceMs ? silenceMs : totalMs
    scope.abort(
      new SubnetError('TIMEOUT', `${what} took longer than ${timeoutMs} ms`, { data: { timeoutMs } }),
    )
    return { cancel: () => undefined }
  }
  let timer = look()
  return {
    signal: scope.signal,
    abort: scope.abort,
    alive() {
      aliveMs = clock.monotonicMs()
    },
    [Symbol.dispose]() {
      timer.cancel()
    },
  }
}

/** A signal that follows its parent and can be aborted on its own. */
export function childSignal(parent?: AbortSignal | undefined): ScopedSignal {
  const controller = new AbortController()
  // One transfer hangs dozens of deadlines on its caller's signal, each released in time: no leak to warn of.
  if (parent !== undefined) setMaxListeners(0, parent)
  setMaxListeners(0, controller.signal)
  const follow = () => controller.abort(parent?.reason)
  if (parent?.aborted === true) follow()
  else parent?.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    [Symbol.dispose]() {
      parent?.removeEventListener('abort', follow)
    },
  }
}

/** Settles as `work` does, or rejects with the signal's reason if that comes first. `work` itself goes on. */
export function raceAbort<T>(work: Promise<T>, signal?: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  if (signal.aborted) {
    // The loser's failure has no reader left: the caller already gets the signal's reason.
    work.catch(() => undefined)
    return Promise.reject(signal.reason)
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
