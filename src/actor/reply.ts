/** The kernel's side of an ask: one caller waiting, until an answer, a refusal or its own abort, whichever is first. */
import type { Reply } from './behavior.js'

interface Caller {
  resolve(value: unknown): void
  reject(error: unknown): void
}

export class PendingReply implements Reply<unknown> {
  #caller: Caller | undefined
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = () => this.refuse(this.#signal?.reason)

  /** Called once, when it settles: whoever keeps this reply (a mailbox, then an incarnation) forgets it. */
  letGo: (() => void) | undefined

  constructor(caller: Caller, signal: AbortSignal | undefined) {
    this.#caller = caller
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  answer(value: unknown): void {
    this.#settle()?.resolve(value)
  }

  refuse(error: unknown): void {
    this.#settle()?.reject(error)
  }

  #settle(): Caller | undefined {
    const caller = this.#caller
    if (caller === undefined) return undefined
    this.#caller = undefined
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.letGo?.()
    this.letGo = undefined
    return caller
  }
}
