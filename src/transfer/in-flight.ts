/** Several pieces of work at once, results in order: how segments overlap without losing their sequence. */
import { type AbortOptions, childSignal, raceAbort } from '../base/abort.js'

/**
 * Maps with at most `max` calls running or finished and not yet taken. The first failure ends the iteration at once,
 * whether the source has more to give or not: what still runs is aborted and waited for. `work`'s signal aborts with the
 * caller's, and when the consumer stops early; an abort does not wait for a source that has nothing to give.
 */
export async function* mapInOrder<In, Out>(
  source: AsyncIterable<In>,
  max: number,
  work: (item: In, signal: AbortSignal) => Promise<Out>,
  options: AbortOptions = {},
): AsyncGenerator<Out> {
  using scope = childSignal(options.signal)
  /** Follows `scope`, and aborts with the first failure. */
  using failure = childSignal(scope.signal)
  const items = source[Symbol.asyncIterator]()
  let asking = false
  const running: Promise<Out>[] = []
  const take = async () => {
    const result = await raceAbort(running[0] as Promise<Out>, failure.signal)
    running.shift()
    return result
  }
  try {
    for (;;) {
      asking = true
      const next = await raceAbort(items.next(), failure.signal)
      if (next.done === true) break
      asking = false
      const result = work(next.value, scope.signal)
      result.catch(failure.abort)
      running.push(result)
      if (running.length >= max) yield await take()
    }
    while (running.length > 0) yield await take()
  } finally {
    scope.abort(new DOMException('the consumer has stopped', 'AbortError'))
    await Promise.allSettled(running)
    if (!asking) await items.return?.()
    // It ends when it has something to give, if ever; what it says then is of no use to anybody.
    else items.return?.().catch(() => undefined)
  }
}
