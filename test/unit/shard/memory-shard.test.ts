import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { createMemoryShard } from '../../../src/shard/memory-shard.js'
import { shardConformance } from '../../conformance/shard.js'
import { testChunk } from '../../kit/test-chunk.js'

shardConformance({
  name: 'in memory',
  async make() {
    const shard = createMemoryShard()
    await shard.start()
    return { shard, [Symbol.asyncDispose]: () => shard.stop() }
  },
})

describe('createMemoryShard', () => {
  it('refuses what does not fit its capacity, and goes on', async () => {
    const shard = createMemoryShard({ capacityBytes: 1_000 })
    await shard.start()
    await shard.put(testChunk(1, 900))
    await assert.rejects(shard.put(testChunk(2, 101)), (error) => isSubnetError(error, 'NO_SPACE'))
    assert.equal(await shard.put(testChunk(3, 100)), 'stored')
  })
})
