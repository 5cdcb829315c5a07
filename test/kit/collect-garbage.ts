/** Shows that nothing holds an object any more: what leaks where no caller can see it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { turn } from './fake-clock.js'

/** True if the object is gone after a full collection. The caller must not have it in a variable either. */
export async function isCollected(ref: WeakRef<object>): Promise<boolean> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // A WeakRef holds its object until the end of the turn in which it was made or read.
  await turn()
  collect()
  return ref.deref() === undefined
}
