/** A miner's shards and plan in a real directory. */
import assert from 'node:assert/strict'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../src/base/errors.js'
import { type LogFields, silentLogger } from '../../src/base/log.js'
import { toSs58 } from '../../src/crypto/keys.js'
import { createPartitionStore } from '../../src/shard/partition-store.js'
import { tempDir } from '../kit/temp-dir.js'
import { bodyOf, testChunk, testId } from '../kit/test-chunk.js'

const [ALICE, BOB] = [toSs58(testId(32, 1)), toSs58(testId(32, 2))]
const PLAN = { budgetBytes: 5_000_000, shares: [{ validator: ALICE, shareBytes: 3 << 20, drains: false }] }
const CHUNK = testChunk(1, 5_000)

/** Remembers what an operator would be told. */
function recordingLogger() {
  const errors: LogFields[] = []
  return { errors, logger: { ...silentLogger, error: (fields: LogFields) => errors.push(fields) } }
}

describe('PartitionStore', () => {
  it('makes a shard for a validator when it is first asked for', async () => {
    await using dir = await tempDir()
    const store = createPartitionStore(dir, { logger: silentLogger })
    await store.start()
    assert.equal(store.get(ALICE), undefined)
    const [first, second] = await Promise.all([store.open(ALICE), store.open(ALICE)])
    assert.equal(first, second)
    assert.equal(store.get(ALICE), first)
    await first.put(CHUNK)
    await store.open(BOB)
    assert.equal([...store.all()].length, 2)
    assert.deepEqual([...store.usage().keys()].sort(), [ALICE, BOB].sort())
    assert.equal(store.usage().get(ALICE)?.bytes, 5_000)
    await store.stop()
  })

  it('serves after a restart every shard on disk, and has the plan again', async () => {
    await using dir = await tempDir()
    const store = createPartitionStore(dir, { logger: silentLogger })
    await store.start()
    assert.equal(store.plan(), undefined)
    await store.setPlan(PLAN)
    await (await store.open(ALICE)).put(CHUNK)
    await store.stop()
    const again = createPartitionStore(dir, { logger: silentLogger })
    await again.start()
    assert.deepEqual(again.plan(), PLAN)
    assert.deepEqual(await again.get(ALICE)?.read(CHUNK.digest, 0, 5_000), bodyOf(CHUNK))
    await again.stop()
    assert.deepEqual([...again.all()], [])
  })

  it('takes only addresses as names of shards', async () => {
    await using dir = await tempDir()
    const store = createPartitionStore(dir, { logger: silentLogger })
    await store.start()
    await assert.rejects(store.open('../elsewhere'), (error) => isSubnetError(error, 'INVALID'))
    await store.stop()
  })

  it('serves the others when one shard does not open, and says which', async () => {
    await using dir = await tempDir()
    const { errors, logger } = recordingLogger()
    const store = createPartitionStore(dir, { logger })
    await store.start()
    for (const validator of [ALICE, BOB]) await (await store.open(validator)).put(CHUNK)
    await store.stop()
    await rm(join(dir.path, 'shards', BOB, 'index', 'CURRENT'))
    await rm(join(dir.path, 'shards', BOB, 'bodies'), { recursive: true })
    await writeFile(join(dir.path, 'shards', BOB, 'bodies'), 'not a directory')
    await store.start()
    assert.deepEqual([...store.usage().keys()], [ALICE])
    assert.deepEqual(
      errors.map(({ validator }) => validator),
      [BOB],
    )
    await assert.rejects(store.open(BOB), (error) => isSubnetError(error, 'DISK'))
    await store.stop()
  })

  it('refuses a directory that another node has open, and leaves nothing open itself', async () => {
    await using dir = await tempDir()
    const [first, second] = [1, 2].map(() => createPartitionStore(dir, { logger: silentLogger }))
    assert.ok(first !== undefined && second !== undefined)
    await first.start()
    await first.open(ALICE)
    await assert.rejects(second.start(), (error) => isSubnetError(error, 'DATA_DIR'))
    await assert.rejects(second.open(ALICE), (error) => isSubnetError(error, 'STOPPED'))
    await first.stop()
    await second.start()
    await second.stop()
  })

  it('refuses to start where it cannot make its directories', async () => {
    await using dir = await tempDir()
    await mkdir(join(dir.path, 'data'))
    await writeFile(join(dir.path, 'data', 'shards'), 'not a directory')
    const store = createPartitionStore({ path: join(dir.path, 'data') }, { logger: silentLogger })
    await assert.rejects(store.start(), (error) => isSubnetError(error, 'DISK'))
  })
})
