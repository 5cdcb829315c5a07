import assert from 'node:assert/strict'
import { silentLogger } from '../../../../src/base/log.js'
import { sweep, sweeper } from '../../../../src/roles/miner/sweeper.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testChunk } from '../../../kit/test-chunk.js'

async function shardWith(count: number, expiresBlock: number) {
  const shard = createMemoryShard()
  await shard.start()
  for (let i = 0; i < count; i += 1)
    await shard.put(testChunk(expiresBlock * 10_000 + i, 8, { expiresBlock }))
  return shard
}

describe('sweep', () => {
  it('forgets what has expired in every shard, however much, and nothing else', async () => {
    const old = await shardWith(600, 10)
    const young = await shardWith(3, 11)
    const components = { shards: { all: () => [old, young] }, head: { block: 10 }, logger: silentLogger }
    assert.equal(await sweep(components), 600)
    assert.deepEqual([old.usage().chunks, young.usage().chunks], [0, 3])
    assert.equal(await sweep(components), 0)
  })

  it('goes on with the other shards when one fails, and says so', async () => {
    const [torn, good] = [await shardWith(1, 10), await shardWith(2, 9)]
    await torn.stop()
    const warnings: string[] = []
    const logger = { ...silentLogger, warn: (_: unknown, text: string) => warnings.push(text) }
    const components = { shards: { all: () => [torn, good] }, head: { block: 10 }, logger }
    assert.equal(await sweep(components), 2)
    assert.equal(warnings.length, 1)
  })

  it('ends between two steps when it is aborted', async () => {
    const shard = await shardWith(1, 10)
    const components = { shards: { all: () => [shard] }, head: { block: 10 }, logger: silentLogger }
    await assert.rejects(sweep(components, AbortSignal.abort(new Error('stopping'))), /stopping/)
    assert.equal(shard.usage().chunks, 1)
  })
})

describe('sweeper', () => {
  it('looks again an interval after each round, also after one that failed', () => {
    const components = { shards: { all: () => [] }, head: { block: 1 }, logger: silentLogger }
    const context = new RecordingContext(sweeper(components, { intervalMs: 60_000 }))
    context.timers[0]?.fire()
    context.tasks[0]?.fail(new Error('disk'))
    assert.equal(context.timers.filter((timer) => timer.delayMs === 60_000).length, 2)
    assert.equal(context.tasks.length, 1)
  })
})
