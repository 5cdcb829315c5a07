/** A counter of permits with a bounded, first-come queue: how bytes and tasks in flight are capped. */
import type { AbortOptions } from './abort.js'
import { invariant, SubnetError } from './errors.js'

interface Waiter {
  readonly permits: number
  readonly grant: () => void
}

export interface SemaphoreInit {
  /** Permits in all, in whatever unit the user counts (bytes, tasks). */
  readonly permitsMax: number
  /** Callers that may wait; the next one is refused with `BUSY`. */
  readonly waitersMax: number
}

export class Semaphore {
  readonly #init: SemaphoreInit
  readonly #waiters: Waiter[] = []
  #free: number

  constructor(init: SemaphoreInit) {
    this.#init = init
    this.#free = init.permitsMax
  }

  /** Permits nobody holds; callers may wait for more than that. */
  get free(): number {
    return this.#free
  }

  /** Waits for `permits` and returns the function that gives them back; that function works once. */
  async acquire(permits = 1, options: AbortOptions = {}): Promise<() => void> {
    options.signal?.throwIfAborted()
    invariant(permits <= this.#init.permitsMax, 'asked for more permits than there are')
    if (this.#waiters.length === 0 && permits <= this.#free) {
      this.#free -= permits
      return this.#releaser(permits)
    }
    if (this.#waiters.length >= this.#init.waitersMax) {
      throw new SubnetError('BUSY', `${this.#waiters.length} callers already wait`, {
        data: { retryAfterMs: 250 },
      })
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
        this.#grantNext()
        reject(options.signal?.reason)
      }
      const waiter: Waiter = {
        permits,
        grant: () => {
          options.signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      this.#waiters.push(waiter)
      options.signal?.addEventListener('abort', onAbort, { once: true })
    })
    return this.#releaser(permits)
  }

  /** Runs `work` with `permits` held. */
  async run<T>(
    work: () => Promise<T>,
    options: AbortOptions & { readonly permits?: number } = {},
  ): Promise<T> {
    const release = await this.acquire(options.permits ?? 1, options)
    try {
      return await work()
    } finally {
      release()
    }
  }

  #releaser(permits: number): () => void {
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#free += permits
      this.#grantNext()
    }
  }

  #grantNext(): void {
    for (
      let next = this.#waiters[0];
      next !== undefined && next.permits <= this.#free;
      next = this.#waiters[0]
    ) {
      this.#waiters.shift()
      this.#free -= next.permits
      next.grant()
    }
  }
}
