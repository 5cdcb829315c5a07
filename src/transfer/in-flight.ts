/** Several pieces of work at once, results in order: how segments overlap without losing their sequence. */
import { type AbortOptions, childSignal, raceAbort } from '../base/abort.js'

/**
 * Maps with at most `max` calls running or finished and not yet taken. The first failure ends the iteration after what
 * is running has settled. `work`'s signal aborts with the caller's, and when the consumer stops early; an abort does not
 * wait for a source that has nothing to give.
 */
export async function* mapInOrder<In, Out>(
  source: AsyncIterable<In>,
  max: number,
  work: (item: In, signal: AbortSignal) => Promise<Out>,
  options: AbortOptions = {},
): AsyncGenerator<Out> {
  using scope = childSignal(options.signal)
  const items = source[Symbol.asyncIterator]()
  let asking = false
  const running: Promise<Out>[] = []
  try {
    for (;;) {
      asking = true
      const next = await raceAbort(items.next(), scope.signal)
      if (next.done === true) break
      asking = false
      const result = work(next.value, scope.signal)
      // Taken in order below; a failure that is not its turn yet must not be an unhandled one meanwhile.
      result.catch(() => undefined)
      running.push(result)
      if (running.length >= max) yield await (running.shift() as Promise<Out>)
    }
    while (running.length > 0) yield await (running.shift() as Promise<Out>)
  } finally {
    scope.abort(new DOMException('the consumer has stopped', 'AbortError'))
    await Promise.allSettled(running)
    if (!asking) await items.return?.()
    // It ends when it has something to give, if ever; what it says then is of no use to anybody.
    else items.return?.().catch(() => undefined)
  }
}
