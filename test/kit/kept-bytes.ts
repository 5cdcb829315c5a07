/** What a thing keeps in memory: inside V8's heap and in buffers outside of it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { turn } from './fake-clock.js'

/** Bytes by which memory in use grows while `make` makes a thing, which is given back so that it is not collected. */
export async function keptBytes<T>(make: () => T | Promise<T>): Promise<{ thing: T; bytes: number }> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  // Once for nothing: the first time also compiles code and fills caches.
  await make()
  await settled(collect)
  const before = inUse()
  const thing = await make()
  await settled(collect)
  return { thing, bytes: inUse() - before }
}

/** Buffers outside of the heap are swept by another thread; the next collection waits for it. */
async function settled(collect: () => void): Promise<void> {
  for (let times = 0; times < 2; times += 1) {
    await turn()
    collect()
  }
}

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
