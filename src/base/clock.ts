/** Time as a port: everything outside this folder waits and reads time only through a `Clock`. */
import type { AbortOptions } from './abort.js'

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. For stamps that people read and for block times. */
  nowMs(): number
  /** Milliseconds from an arbitrary start; never goes back. For measuring. */
  monotonicMs(): number
  /** Calls `fire` once after `delayMs`. A pending timer does not keep the process alive when `background`. */
  after(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted first. */
  sleep(delayMs: number, options?: AbortOptions): Promise<void>
}

/** The clock of the machine. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fire, options) {
    const handle = setTimeout(fire, delayMs)
    if (options?.background === true) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
  sleep(delayMs, options) {
    return new Promise((resolve, reject) => {
      const signal = options?.signal
      if (signal?.aborted === true) {
        reject(signal.reason)
        return
      }
      const onAbort = () => {
        clearTimeout(handle)
        reject(signal?.reason)
      }
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
}
