import assert from 'node:assert/strict'
import { toString as bytesToText } from 'uint8arrays'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { seededRandom } from '../../../../src/base/random.js'
import { LEAF_BYTES } from '../../../../src/crypto/merkle.js'
import { readDrawn } from '../../../../src/roles/miner/drawn-chunk.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import { testChunk } from '../../../kit/test-chunk.js'

const CHUNKS = [testChunk(1, 2 * LEAF_BYTES + 100), testChunk(2, 10), testChunk(4, LEAF_BYTES)]

async function setUp() {
  const [shard, empty] = [createMemoryShard(), createMemoryShard()]
  await shard.start()
  await empty.start()
  for (const chunk of CHUNKS) await shard.put(chunk)
  return { shard, empty, random: seededRandom('draw') }
}

describe('readDrawn', () => {
  it('reads any leaf of any chunk, never beyond its end', async () => {
    const { shard, empty, random } = await setUp()
    const read = shard.read
    const places = new Set<string>()
    shard.read = (digest, offset, lengthBytes) => {
      places.add(`${bytesToText(digest, 'hex').slice(0, 8)} ${offset} ${lengthBytes}`)
      return read.call(shard, digest, offset, lengthBytes)
    }
    for (let i = 0; i < 200; i += 1) await readDrawn([empty, shard], random)
    assert.equal(places.size, 5, [...places].join(', '))
  })

  it('fails as the shard does, but not for a chunk that was dropped, nor where nothing is held', async () => {
    const { shard, empty, random } = await setUp()
    await readDrawn([empty], random)
    await readDrawn([], random)
    shard.read = () => Promise.reject(new SubnetError('NOT_FOUND', 'gone'))
    await readDrawn([shard], random)
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await assert.rejects(readDrawn([shard], random), (error) => isSubnetError(error, 'DISK'))
  })
})
