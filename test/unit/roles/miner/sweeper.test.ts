import assert from 'node:assert/strict'
import { silentLogger } from '../../../../src/base/log.js'
import { type SweeperComponents, sweep, sweeper } from '../../../../src/roles/miner/sweeper.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import type { Shard } from '../../../../src/shard/shard.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testChunk } from '../../../kit/test-chunk.js'

async function shardWith(count: number, expiresBlock: number) {
  const shard = createMemoryShard()
  await shard.start()
  for (let i = 0; i < count; i += 1)
    await shard.put(testChunk(expiresBlock * 10_000 + i, 8, { expiresBlock }))
  return shard
}

const INIT = { intervalMs: 60_000, trashBlocks: 70 }

function setUp(shards: readonly Shard[], fields: Partial<SweeperComponents> = {}): SweeperComponents {
  const partition = { all: () => shards, plan: () => undefined }
  return { shards: partition, head: { block: 10 }, logger: silentLogger, ...fields }
}

describe('sweep', () => {
  it('forgets what has expired in every shard, however much, and nothing else', async () => {
    const old = await shardWith(600, 10)
    const young = await shardWith(3, 11)
    const head = { block: 10 }
    const components = setUp([old, young], { head })
    assert.equal(await sweep(components, INIT), 600)
    assert.deepEqual([old.usage().chunks, young.usage().chunks], [0, 3])
    assert.equal(await sweep(components, INIT), 0)
    head.block = 79
    assert.equal(await sweep(components, INIT), 3)
    assert.deepEqual([old.usage().trashBytes, young.usage().trashBytes], [4_800, 24])
    head.block = 80
    assert.equal(await sweep(components, INIT), 600)
    assert.deepEqual([old.usage().trashBytes, young.usage().trashBytes], [0, 24])
  })

  it('gives up as much trash as a smaller budget asks for, and nothing else', async () => {
    const [first, second] = [await shardWith(10, 10), await shardWith(10, 11)]
    let budgetBytes = 160
    const plan = () => ({ budgetBytes, shares: [] })
    const components = setUp([first, second], { shards: { all: () => [first, second], plan } })
    assert.equal(await sweep(components, INIT), 10)
    budgetBytes = 130
    assert.equal(await sweep(components, INIT), 4)
    assert.deepEqual([first.usage().trashBytes, second.usage().bytes], [48, 80])
    budgetBytes = 40
    assert.equal(await sweep(components, INIT), 6)
    assert.deepEqual([first.usage().trashBytes, second.usage().bytes], [0, 80])
  })

  it('goes on with the other shards when one fails, and says so', async () => {
    const [torn, good] = [await shardWith(1, 10), await shardWith(2, 9)]
    await torn.stop()
    const warnings: string[] = []
    const logger = { ...silentLogger, warn: (_: unknown, text: string) => warnings.push(text) }
    assert.equal(await sweep(setUp([torn, good], { logger }), INIT), 2)
    assert.equal(warnings.length, 1)
  })

  it('ends between two steps when it is aborted', async () => {
    const shard = await shardWith(1, 10)
    await assert.rejects(sweep(setUp([shard]), INIT, AbortSignal.abort(new Error('stopping'))), /stopping/)
    assert.equal(shard.usage().chunks, 1)
  })
})

describe('sweeper', () => {
  it('looks again an interval after each round, also after one that failed', () => {
    const context = new RecordingContext(sweeper(setUp([]), INIT))
    context.timers[0]?.fire()
    context.tasks[0]?.fail(new Error('disk'))
    assert.equal(context.timers.filter((timer) => timer.delayMs === 60_000).length, 2)
    assert.equal(context.tasks.length, 1)
  })
})
