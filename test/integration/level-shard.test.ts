/** The shard on a real file system with a real LevelDB. */
import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../src/base/errors.js'
import { versionKey } from '../../src/shard/index-codec.js'
import { openLevelIndex } from '../../src/shard/level-index.js'
import { createLevelShard } from '../../src/shard/level-shard.js'
import { shardConformance } from '../conformance/shard.js'
import { tempDir } from '../kit/temp-dir.js'
import { bodyOf, testChunk } from '../kit/test-chunk.js'

shardConformance({
  name: 'LevelDB and files',
  async make() {
    const dir = await tempDir()
    const shard = createLevelShard({ path: join(dir.path, 'shard') })
    await shard.start()
    return {
      shard,
      async [Symbol.asyncDispose]() {
        await shard.stop()
        await dir[Symbol.asyncDispose]()
      },
    }
  },
})

describe('createLevelShard on disk', () => {
  it('refuses a directory that another shard has open', async () => {
    await using dir = await tempDir()
    const [first, second] = [createLevelShard(dir), createLevelShard(dir)]
    await first.start()
    await assert.rejects(second.start(), (error) => isSubnetError(error, 'DATA_DIR'))
    await first.stop()
    await second.start()
    await second.stop()
  })

  it('refuses a directory of another version', async () => {
    await using dir = await tempDir()
    const shard = createLevelShard(dir)
    await shard.start()
    await shard.stop()
    const index = await openLevelIndex(join(dir.path, 'index'))
    await index.write([{ key: versionKey, value: Uint8Array.of(99) }])
    await index.close()
    await assert.rejects(shard.start(), (error) => isSubnetError(error, 'DATA_DIR'))
  })

  it('deletes body files that its index does not name, and leaves what is not its own', async () => {
    await using dir = await tempDir()
    const shard = createLevelShard(dir)
    await shard.start()
    const chunk = testChunk(1, 5_000)
    await shard.put(chunk)
    await shard.stop()
    for (const name of ['00000007', 'lost+found'])
      await writeFile(join(dir.path, 'bodies', name), 'left over')
    await shard.start()
    assert.deepEqual((await readdir(join(dir.path, 'bodies'))).sort(), ['00000001', 'lost+found'])
    assert.deepEqual(await shard.read(chunk.digest, 0, 5_000), bodyOf(chunk))
    await shard.stop()
  })

  it('says DISK for a body that was cut off under it, and keeps new ones away from there', async () => {
    await using dir = await tempDir()
    const shard = createLevelShard(dir)
    await shard.start()
    const [lost, next] = [testChunk(1, 5_000), testChunk(2, 5_000)]
    await shard.put(lost)
    await shard.stop()
    await writeFile(join(dir.path, 'bodies', '00000001'), new Uint8Array(4_999))
    await shard.start()
    await shard.put(next)
    await assert.rejects(shard.read(lost.digest, 0, 5_000), (error) => isSubnetError(error, 'DISK'))
    assert.deepEqual(await shard.read(next.digest, 0, 5_000), bodyOf(next))
    await shard.stop()
  })
})
