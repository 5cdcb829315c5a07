import assert from 'node:assert/strict'
import { SubnetError } from '../../../../src/base/errors.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import { testChunk, testId } from '../../../kit/test-chunk.js'
import { testDisk } from '../../../kit/test-disk.js'

const CHUNK = testChunk(1, 9_000, { expiresBlock: 300 })

async function setUp() {
  const shard = createMemoryShard()
  await shard.start()
  await shard.put(CHUNK)
  return { shard, disk: testDisk() }
}

describe('Inspector', () => {
  it('finds a chunk whole, or gone', async () => {
    const { shard, disk } = await setUp()
    assert.equal(await disk.inspector.inspect(shard, CHUNK.digest), 'whole')
    assert.equal(await disk.inspector.inspect(shard, testId(32, 1)), 'gone')
    assert.equal(shard.usage().lostChunks, 0)
  })

  it('finds a chunk lost whose body, tree or leaves are not what they were, until its end', async () => {
    for (const spoil of ['read', 'leafHashes', 'auditRoot'] as const) {
      const { shard, disk } = await setUp()
      const { read, leafHashes, describe } = shard
      const broken = Object.assign(shard, {
        ...(spoil === 'read' && {
          read: async (...args: Parameters<typeof read>) => (await read.apply(shard, args)).fill(0, 8_999),
        }),
        ...(spoil === 'leafHashes' && {
          leafHashes: async (digest: Uint8Array) => (await leafHashes.call(shard, digest))?.fill(0, 64),
        }),
        ...(spoil === 'auditRoot' && {
          describe: async (digest: Uint8Array) => {
            const info = await describe.call(shard, digest)
            return info && { ...info, auditRoot: testId(32, 1) }
          },
        }),
      })
      assert.equal(await disk.inspector.inspect(broken, CHUNK.digest), 'lost', spoil)
      assert.equal(shard.usage().chunks, 0)
      assert.equal(await shard.expire(299, 10), 0)
      assert.equal(await shard.expire(300, 10), 1)
    }
  })

  it('is unsure while the disk does not work, and gives a failure a second chance when it does', async () => {
    const { shard, disk } = await setUp()
    let failures = 3
    const { read } = shard
    shard.read = async (...args) => {
      failures -= 1
      if (failures >= 0) throw new SubnetError('DISK', 'EIO')
      return read.apply(shard, args)
    }
    disk.works = false
    assert.equal(await disk.inspector.inspect(shard, CHUNK.digest), 'unsure')
    disk.works = true
    failures = 1
    assert.equal(await disk.inspector.inspect(shard, CHUNK.digest), 'whole')
    assert.equal(shard.usage().chunks, 1)
  })

  it('is unsure about a shard that is being opened', async () => {
    const { shard, disk } = await setUp()
    await shard.stop()
    assert.equal(await disk.inspector.inspect(shard, CHUNK.digest), 'unsure')
  })

  it('reads a chunk once for all who doubt it at the same time', async () => {
    const { shard, disk } = await setUp()
    const { read } = shard
    let reads = 0
    shard.read = (...args) => {
      reads += 1
      return read.apply(shard, args)
    }
    const findings = await Promise.all([1, 2, 3].map(() => disk.inspector.inspect(shard, CHUNK.digest)))
    assert.deepEqual(findings, ['whole', 'whole', 'whole'])
    assert.equal(reads, 1)
  })
})
