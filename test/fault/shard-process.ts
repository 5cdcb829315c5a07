/**
 * A process that puts and removes chunks until it is killed, and tells its parent what was acknowledged. Arguments: the
 * shard's directory and the number of the first chunk. Started by `shard-kill.test.ts`.
 */
import { createLevelShard } from '../../src/shard/level-shard.js'
import { testChunk } from '../kit/test-chunk.js'
import { KILLED_SHARD, killedSize } from './killed-shard.js'

const [path, first] = process.argv.slice(2)
// The parent's end closes when it dies too.
process.on('disconnect', () => process.exit())
const shard = createLevelShard({ path: String(path), ...KILLED_SHARD })
await shard.start()

let next = Number(first)
async function work(): Promise<never> {
  for (;;) {
    const seed = next++
    await shard.put(testChunk(seed, killedSize(seed)))
    process.send?.({ stored: seed })
    // Most chunks go again, so that body files become sparse and are emptied meanwhile.
    if (seed % 3 !== 0) {
      process.send?.({ removing: seed })
      await shard.remove(testChunk(seed, killedSize(seed)).digest)
    }
  }
}
await Promise.all(Array.from({ length: 6 }, work))
