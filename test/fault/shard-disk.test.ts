/** The shard on a disk that fails or is full, the order in which it uses it, and what it does with dead bodies. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { isSubnetError } from '../../src/base/errors.js'
import type { DiskFiles } from '../../src/shard/disk-files.js'
import { createLevelShard } from '../../src/shard/level-shard.js'
import { type DiskOperation, SimDisk, systemError } from '../kit/sim-disk.js'
import {
  bytesOn,
  checkBody,
  SIM_BODY_FILE_BYTES,
  SIM_SHARD_PATH,
  shardOn,
  startShard,
} from '../kit/sim-shard.js'
import { bodyOf, testChunk, testId, usageOf } from '../kit/test-chunk.js'
import { until } from '../kit/until.js'

const ORDER = { serial: testId(16, 1), expiresBlock: 200 }

describe('LevelShard on a failing disk', () => {
  describe('order of operations', () => {
    it('answers a put only after body, file name and index are safe, in that order', async () => {
      const { disk, shard } = await startShard()
      disk.log.length = 0
      await shard.put(testChunk(1, 1_000))
      disk.log.push('answer')
      assert.deepEqual(disk.log, [
        'open /shard/bodies/00000001',
        'write /shard/bodies/00000001',
        'dataSync /shard/bodies/00000001',
        'syncDir /shard/bodies',
        'index.write /shard/index',
        'answer',
      ])
      disk.log.length = 0
      await shard.put(testChunk(2, 1_000))
      disk.log.push('answer')
      assert.deepEqual(disk.log, [
        'write /shard/bodies/00000001',
        'dataSync /shard/bodies/00000001',
        'index.write /shard/index',
        'answer',
      ])
      await shard.stop()
    })

    it('shares one sync among the puts that wait for the same commit', async () => {
      const { disk, shard } = await startShard()
      disk.log.length = 0
      await Promise.all(Array.from({ length: 10 }, (_, seed) => shard.put(testChunk(seed, 100))))
      assert.equal(disk.count('dataSync'), 1)
      assert.equal(disk.count('index.write'), 1)
      await shard.stop()
    })

    it('syncs the names of its directories when it starts', async () => {
      const { disk, shard } = await startShard()
      assert.ok(disk.log.indexOf('makeDir /shard/bodies') < disk.log.indexOf('syncDir /shard'))
      await shard.stop()
    })
  })

  describe('failed writes and syncs', () => {
    for (const operation of ['write', 'dataSync', 'syncDir', 'index.write'] as const) {
      it(`gives no answer after a failed ${operation}, and writes no more until it is opened anew`, async () => {
        const { disk, shard } = await startShard()
        // Fills the first file, so that the next put makes a name too.
        const before = testChunk(1, SIM_BODY_FILE_BYTES)
        await shard.put(before)
        failOnce(disk, operation, 'EIO')
        await assert.rejects(shard.put(testChunk(2, 500)), isDisk)
        const operations = disk.log.length
        await assert.rejects(shard.put(testChunk(3, 500)), isDisk)
        await assert.rejects(shard.remove(before.digest), isDisk)
        await assert.rejects(shard.addOrderUse(ORDER, 1), isDisk)
        assert.deepEqual(disk.log.slice(operations), [])
        assert.deepEqual(await shard.read(before.digest, 0, 100), bodyOf(before).subarray(0, 100))
        await shard.stop()
        await shard.start()
        assert.equal(await shard.put(testChunk(2, 500)), 'stored')
        assert.equal(shard.usage().chunks, 2)
        await checkBody(shard, before)
        await checkBody(shard, testChunk(2, 500))
        await shard.stop()
      })
    }

    it('answers no put whose group was written beside one that failed', async () => {
      const { disk, shard } = await startShard()
      let goOn: () => void = () => undefined
      const hanging = new Promise<void>((resolve) => {
        goOn = resolve
      })
      disk.beforeSync = () => hanging
      failOnce(disk, 'dataSync', 'EIO')
      const first = assert.rejects(shard.put(testChunk(1, 500)), isDisk)
      await until(() => disk.count('write') === 1, { deadlineMs: 2_000 })
      const second = assert.rejects(shard.put(testChunk(2, 500)), isDisk)
      await until(() => disk.count('write') === 2, { deadlineMs: 2_000 })
      goOn()
      await Promise.all([first, second])
      assert.equal(disk.count('index.write'), 1, 'that of the start')
      await shard.stop()
      await shard.start()
      assert.equal(shard.usage().chunks, 0)
      await shard.stop()
    })

    it('refuses to start where it cannot make the disk safe', async () => {
      for (const operation of ['makeDir', 'syncDir', 'index.write'] as const) {
        const disk = new SimDisk()
        failOnce(disk, operation, 'EIO')
        const shard = shardOn(disk)
        await assert.rejects(shard.start(), isDisk)
        await shard.start()
        assert.equal(await shard.put(testChunk(1, 100)), 'stored')
        await shard.stop()
      }
    })
  })

  describe('a full disk', () => {
    it('refuses new bodies, keeps serving, and takes bodies again when there is room', async () => {
      const { disk, shard } = await startShard()
      await shard.put(testChunk(1, 500))
      failOnce(disk, 'write', 'ENOSPC')
      const attempts = await Promise.allSettled([
        shard.put(testChunk(2, 500, { order: ORDER })),
        shard.addOrderUse(ORDER, 3),
        shard.put(testChunk(1, 500)),
        shard.put(testChunk(3, 500)),
      ])
      assert.deepEqual(attempts.map(outcomeOf), ['NO_SPACE', undefined, 'NO_SPACE', 'NO_SPACE'])
      assert.equal(await shard.orderUse(ORDER.serial), 3)
      assert.deepEqual(shard.usage(), usageOf(1, 500, 500))
      assert.equal(await shard.put(testChunk(2, 500)), 'stored')
      await checkBody(shard, testChunk(1, 500))
      await checkBody(shard, testChunk(2, 500))
      await shard.stop()
    })

    it('gives back what a write had got through before the disk was full', async () => {
      const disk = new SimDisk()
      disk.capacityBytes = 1_400
      const shard = createLevelShard(
        { path: SIM_SHARD_PATH, reserveBytes: 0 },
        { ...disk, files: { ...disk.files, freeBytes: async () => 1e9 } },
      )
      await shard.start()
      await shard.put(testChunk(1, 600))
      await assert.rejects(shard.put(testChunk(2, 1_000)), (error) => isSubnetError(error, 'NO_SPACE'))
      assert.equal(await bytesOn(disk), 600)
      assert.equal(await shard.put(testChunk(3, 800)), 'stored')
      await checkBody(shard, testChunk(3, 800))
      await shard.stop()
    })

    it('stops taking bodies at the reserve, and writes nothing at all below a quarter of it', async () => {
      const disk = new SimDisk()
      disk.capacityBytes = 3_000
      const shard = createLevelShard({ path: SIM_SHARD_PATH, reserveBytes: 1_000 }, disk)
      await shard.start()
      assert.equal(await shard.put(testChunk(1, 2_000)), 'stored')
      await assert.rejects(shard.put(testChunk(2, 1)), (error) => isSubnetError(error, 'NO_SPACE'))
      assert.equal(await shard.put(testChunk(1, 2_000)), 'present')
      await shard.addOrderUse(ORDER, 3)
      disk.capacityBytes = 2_249
      const writes = disk.count('index.write')
      await assert.rejects(shard.addOrderUse(ORDER, 3), (error) => isSubnetError(error, 'NO_SPACE'))
      assert.equal(disk.count('index.write'), writes)
      await checkBody(shard, testChunk(1, 2_000))
      disk.capacityBytes = 10_000
      await shard.addOrderUse(ORDER, 3)
      assert.equal(await shard.orderUse(ORDER.serial), 6)
      await shard.stop()
    })
  })

  describe('dead bodies', () => {
    it('gives the room of removed chunks back while it serves the others', async () => {
      const { disk, shard } = await startShard()
      const chunks = Array.from({ length: 12 }, (_, seed) => testChunk(seed, 1_000))
      for (const chunk of chunks) await shard.put(chunk)
      const kept = chunks.filter((_, index) => index % 4 === 0)
      for (const chunk of chunks) if (!kept.includes(chunk)) await shard.remove(chunk.digest)
      await until(() => shard.usage().diskBytes <= 2 * shard.usage().bytes, { deadlineMs: 2_000 })
      assert.deepEqual(shard.usage().bytes, 3_000)
      for (const chunk of kept) await checkBody(shard, chunk)
      await shard.stop()
      assert.equal(await bytesOn(disk), shard.usage().diskBytes)
    })

    it('gives the room back in the file that gets the next body, too', async () => {
      const { disk, shard } = await startShard()
      const chunks = Array.from({ length: 4 }, (_, seed) => testChunk(seed, 500))
      for (const chunk of chunks) await shard.put(chunk)
      for (const { digest } of chunks.slice(1)) await shard.remove(digest)
      await until(() => shard.usage().diskBytes === 500, { deadlineMs: 2_000 })
      assert.equal(disk.count('write'), 5, 'four puts and one move')
      await shard.put(testChunk(9, 500))
      await checkBody(shard, testChunk(0, 500))
      await checkBody(shard, testChunk(9, 500))
      await shard.stop()
      assert.equal(await bytesOn(disk), 1_000)
    })

    it('goes on after a restart with what it had not moved yet', async () => {
      const { disk, shard } = await startShard()
      const chunks = Array.from({ length: 4 }, (_, seed) => testChunk(seed, 1_000))
      for (const chunk of chunks) await shard.put(chunk)
      disk.onOperation = (operation) => {
        if (operation === 'read') throw systemError('EIO')
      }
      for (const chunk of chunks.slice(1)) await shard.remove(chunk.digest)
      await shard.stop()
      assert.deepEqual(shard.usage(), usageOf(1, 1_000, 4_000))
      disk.onOperation = () => undefined
      await shard.start()
      await until(() => shard.usage().diskBytes === 1_000, { deadlineMs: 2_000 })
      await checkBody(shard, testChunk(0, 1_000))
      await shard.stop()
    })

    it('reads a chunk that moves to another file between look and read', async () => {
      const { disk, shard } = await startShard()
      const chunks = Array.from({ length: 4 }, (_, seed) => testChunk(seed, 1_000))
      for (const chunk of chunks) await shard.put(chunk)
      beforeNextRead(disk, async () => {
        for (const { digest } of chunks.slice(1)) await shard.remove(digest)
        await until(() => shard.usage().diskBytes === 1_000, { deadlineMs: 2_000 })
      })
      await checkBody(shard, testChunk(0, 1_000))
      assert.deepEqual(disk.names, ['/shard/bodies/00000002'])
      await shard.stop()
    })

    it('never reads what took the place of a removed chunk', async () => {
      const { disk, shard } = await startShard()
      const gone = testChunk(1, 1_000)
      await shard.put(gone)
      beforeNextRead(disk, async () => {
        await shard.remove(gone.digest)
        await shard.put(testChunk(2, 1_000))
      })
      await assert.rejects(shard.read(gone.digest, 0, 1_000), (error) => isSubnetError(error, 'NOT_FOUND'))
      await shard.stop()
    })
  })

  it('waits for reads before it stops', async () => {
    const { disk, shard } = await startShard()
    await shard.put(testChunk(1, 1_000))
    const ended: string[] = []
    let goOn: () => void = () => undefined
    beforeNextRead(disk, () => new Promise((resolve) => (goOn = resolve)))
    const read = checkBody(shard, testChunk(1, 1_000)).then(() => ended.push('read'))
    await turn()
    const stopped = shard.stop().then(() => ended.push('stop'))
    await turn()
    goOn()
    await Promise.all([read, stopped])
    assert.deepEqual(ended, ['read', 'stop'])
  })
})

/** Runs `work` when the next body is about to be read: its place is known, its file not yet open. */
function beforeNextRead(disk: SimDisk, work: () => Promise<void>): void {
  const { files } = disk
  const open = files.open
  const patched: Pick<DiskFiles, 'open'> = {
    open: async (path, mode) => {
      if (mode === 'read') {
        Object.assign(files, { open })
        await work()
      }
      return open(path, mode)
    },
  }
  Object.assign(files, patched)
}

function failOnce(disk: SimDisk, operation: DiskOperation, code: string): void {
  disk.onOperation = (attempted) => {
    if (attempted !== operation) return
    disk.onOperation = () => undefined
    throw systemError(code)
  }
}

function outcomeOf(result: PromiseSettledResult<unknown>): unknown {
  return result.status === 'fulfilled' ? result.value : (result.reason as { code?: unknown }).code
}

function isDisk(error: unknown): boolean {
  return isSubnetError(error, 'DISK')
}
