/** The index over a real LevelDB. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Level } from 'level'
import { isSubnetError } from '../../src/base/errors.js'
import { openLevelIndex } from '../../src/shard/level-index.js'
import { tempDir } from '../kit/temp-dir.js'

const [A, B, C] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]

describe('openLevelIndex', () => {
  it('writes and deletes in one step, and finds ranges in order', async () => {
    await using dir = await tempDir()
    const index = await openLevelIndex(join(dir.path, 'index'))
    await index.write([C, A, B].map((key) => ({ key, value: key })))
    await index.write([
      { key: A, value: undefined },
      { key: B, value: C },
    ])
    assert.equal(await index.get(A), undefined)
    assert.deepEqual(
      (await index.getMany([C, A, B])).map((value) => value?.[0]),
      [3, undefined, 3],
    )
    const seen: number[] = []
    for await (const [key] of index.entries({ from: A, before: C })) seen.push(key[0] ?? -1)
    for await (const [key] of index.entries({ from: A, before: Uint8Array.of(9), limit: 1 }))
      seen.push(key[0] ?? -1)
    assert.deepEqual(seen, [2, 2])
    await index.close()
  })

  it('asks LevelDB to sync every write', async () => {
    await using dir = await tempDir()
    const original = Level.prototype.batch
    const asked: unknown[] = []
    // LevelDB is trusted to do it (a test cannot pull the plug), so that it is asked to is what there is to check.
    Object.assign(Level.prototype, {
      batch(this: Level, ...given: unknown[]) {
        asked.push(given[1])
        return Reflect.apply(original, this, given)
      },
    })
    try {
      const index = await openLevelIndex(join(dir.path, 'index'))
      await index.write([{ key: A, value: A }])
      await index.close()
    } finally {
      Object.assign(Level.prototype, { batch: original })
    }
    assert.deepEqual(asked, [{ sync: true }])
  })

  it('says STOPPED once it is closed, also in the middle of a range', async () => {
    await using dir = await tempDir()
    const index = await openLevelIndex(join(dir.path, 'index'))
    await index.write([A, B, C].map((key) => ({ key, value: key })))
    const stopped = (error: unknown) => isSubnetError(error, 'STOPPED')
    await assert.rejects(async () => {
      for await (const _ of index.entries({ from: A, before: Uint8Array.of(9) })) await index.close()
    }, stopped)
    await assert.rejects(index.get(A), stopped)
    await assert.rejects(index.getMany([A]), stopped)
    await assert.rejects(index.write([{ key: A, value: A }]), stopped)
  })
})
