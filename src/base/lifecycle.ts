/** Long-lived things: started in listed order, stopped in reverse, also when a start fails half-way. */
import type { AbortOptions } from './abort.js'

export interface Startable {
  start(options?: AbortOptions): Promise<void>
  /** Waits for what is in flight and leaves no open handle. Safe to call twice. */
  stop(): Promise<void>
}

/** Joins parts into one `Startable`. A failing stop does not keep the others from stopping; the first error is thrown at the end. */
export function sequence(parts: readonly Startable[]): Startable {
  let started: Startable[] = []
  const stop = async () => {
    const stopping = started.reverse()
    started = []
    const failures: unknown[] = []
    for (const part of stopping) {
      await part.stop().catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }
  return {
    async start(options = {}) {
      try {
        for (const part of parts) {
          options.signal?.throwIfAborted()
          // Listed before it starts: a part whose start failed half-way still gets its stop.
          started.push(part)
          await part.start(options)
        }
      } catch (error) {
        // The reason of the failed start is what the caller must see, not what the clean-up met.
        await stop().catch(() => undefined)
        throw error
      }
    },
    stop,
  }
}

/** A `Startable` from one or both of its halves. */
export function step(half: Partial<Startable>): Startable {
  return { start: half.start ?? (async () => undefined), stop: half.stop ?? (async () => undefined) }
}
