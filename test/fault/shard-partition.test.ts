/** The partition of a miner on a disk that loses its power, fails or hangs. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { MIB } from '../../src/base/units.js'
import { toSs58 } from '../../src/crypto/keys.js'
import { replan } from '../../src/roles/miner/partitioner.js'
import { probeDisk } from '../../src/shard/disk-probe.js'
import type { PartitionPlan } from '../../src/shard/partition.js'
import { createPartitionStore, type PartitionStore } from '../../src/shard/partition-store.js'
import { SimDisk, systemError } from '../kit/sim-disk.js'
import { checkBody } from '../kit/sim-shard.js'
import { bodyOf, testChunk, testId } from '../kit/test-chunk.js'

const [ALICE, BOB, CAROL] = [1, 2, 3].map((seed) => toSs58(testId(32, seed))) as [string, string, string]
const CHUNK = testChunk(1, 5_000)
const INIT = { path: '/data', threshold: 0, capacityBytes: 100 * MIB, intervalMs: 60_000 }
const BEFORE = [
  { hotkey: ALICE, stakeRao: 3n },
  { hotkey: BOB, stakeRao: 2n },
  { hotkey: CAROL, stakeRao: 1n },
]
/** Alice and Bob are gone, and Dave is new. */
const DAVE = toSs58(testId(32, 4))
const AFTER = [
  { hotkey: DAVE, stakeRao: 9n },
  { hotkey: CAROL, stakeRao: 1n },
]

function storeOn(disk: SimDisk): PartitionStore {
  return createPartitionStore({ path: '/data' }, { logger: silentLogger, ...disk })
}

function plan(store: PartitionStore, validators: typeof BEFORE): Promise<PartitionPlan> {
  const files = { freeBytes: async () => 1_000 * MIB }
  return replan({ store, files, logger: silentLogger, validators: () => validators }, INIT)
}

/** A partition with a chunk of Alice's, one in Bob's trash and one of Carol's. */
async function partitionOn(disk: SimDisk): Promise<PartitionStore> {
  const store = storeOn(disk)
  await store.start()
  await plan(store, BEFORE)
  await store.get(ALICE)?.put(CHUNK)
  await store.get(CAROL)?.put(CHUNK)
  return store
}

describe('PartitionStore and power cuts', () => {
  it('comes to the new plan wherever the power is cut on the way, and loses nothing that is held', async () => {
    let places = 0
    for (let cutAt = 0; await reallocateUntilCut(cutAt); cutAt += 1) places += 1
    assert.ok(places > 8, `${places} places to cut`)
  })

  it('does so when only answers are lost', async () => {
    for (let cutAt = 0; await reallocateUntilCut(cutAt, true); cutAt += 1);
  })

  /** False when the run came to its end before the cut. */
  async function reallocateUntilCut(cutAt: number, losesOnlyAnswers = false): Promise<boolean> {
    const first = new SimDisk()
    const store = await partitionOn(first)
    await store.stop()
    const disk = first.afterCut()
    Object.assign(disk, { cutAt, losesOnlyAnswers })
    const cut = storeOn(disk)
    try {
      await cut.start()
      await plan(cut, AFTER)
    } catch {
      // The power is cut: what matters is what is left.
    }
    await cut.stop().catch(() => undefined)

    const left = disk.afterCut()
    const again = storeOn(left)
    await again.start()
    const found = again.plan()?.shares.map(({ validator }) => validator)
    assert.ok(
      found !== undefined && (found.includes(BOB) || found.includes(DAVE)),
      'the old plan or the new one',
    )
    for (const validator of [ALICE, CAROL]) await checkHeld(again, validator)
    await plan(again, AFTER)
    assert.deepEqual([...again.usage().keys()].sort(), [ALICE, CAROL, DAVE].sort())
    assert.deepEqual(
      (await left.files.list('/data/shards')).sort(),
      [ALICE, CAROL, DAVE].sort(),
      'nothing is left of a shard that is retired',
    )
    for (const validator of [ALICE, CAROL]) await checkHeld(again, validator)
    await again.stop()
    return disk.powerIsCut
  }
})

describe('PartitionStore: shards of validators that are gone', () => {
  it('keeps one as long as anything is in it: a chunk, trash, an order that may be used again', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    await store.get(BOB)?.addOrderUse({ serial: testId(16, 1), expiresBlock: 40 }, 1)
    await plan(store, AFTER)
    assert.ok(store.get(ALICE) && store.get(BOB))
    await store.get(BOB)?.expire(41, 10)
    await store.get(ALICE)?.expire(100, 10, 170)
    await plan(store, AFTER)
    assert.ok(store.get(ALICE))
    assert.equal(store.get(BOB), undefined)
    await store.get(ALICE)?.expire(170, 10)
    await plan(store, AFTER)
    assert.equal(store.get(ALICE), undefined)
    await store.stop()
  })

  it('does not retire one of the plan in force', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    await assert.rejects(store.retire([BOB]), (error) => isSubnetError(error, 'INVALID'))
    await store.stop()
  })

  it('is gone after the next start when its deletion broke off half-way, and never opened as a shard', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    const { removeDir } = disk.files
    Object.assign(disk.files, {
      removeDir: async () => assert.fail('a part is gone, and then the disk fails'),
    })
    await assert.rejects(plan(store, AFTER))
    await store.stop()
    Object.assign(disk.files, { removeDir })
    const again = storeOn(disk)
    await again.start()
    assert.equal(again.get(BOB), undefined)
    assert.deepEqual((await disk.files.list('/data/shards')).includes(BOB), false)
    await again.stop()
  })

  it('keeps what came in at the last moment', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    const shard = store.get(BOB)
    assert.ok(shard)
    const { isEmpty } = shard
    shard.isEmpty = async () => {
      const empty = await isEmpty.call(shard)
      // Begun between the look and the stop, which waits for it.
      shard.put(CHUNK).catch(() => undefined)
      return empty
    }
    await plan(store, AFTER)
    await checkHeld(store, BOB)
    await store.stop()
  })
})

describe('PartitionStore after a failure', () => {
  it('opens a shard anew that stopped writing, with all that was acknowledged', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    disk.onOperation = (operation) => {
      if (operation === 'dataSync') throw systemError('EIO')
    }
    await assert.rejects(store.get(ALICE)?.put(testChunk(2, 100)) ?? Promise.resolve(), isDisk)
    await store.reopenFailed()
    await assert.rejects(store.get(ALICE)?.put(testChunk(2, 100)) ?? Promise.resolve(), isDisk)
    disk.onOperation = () => undefined
    await Promise.all([store.reopenFailed(), store.reopenFailed()])
    await checkHeld(store, ALICE)
    assert.equal(await store.get(ALICE)?.put(testChunk(2, 100)), 'stored')
    await store.stop()
  })

  it('tries a shard again that did not open', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    disk.onOperation = (operation) => {
      if (operation !== 'read') throw systemError('EIO')
    }
    await assert.rejects(store.get(ALICE)?.put(testChunk(2, 100)) ?? Promise.resolve(), isDisk)
    await store.reopenFailed()
    await assert.rejects(store.get(ALICE)?.describe(CHUNK.digest) ?? Promise.resolve(), (error) =>
      isSubnetError(error, 'STOPPED'),
    )
    disk.onOperation = () => undefined
    await store.reopenFailed()
    await checkHeld(store, ALICE)
    await store.stop()
  })

  it('answers no put while the disk hangs, and all of them when it goes on', async () => {
    const disk = new SimDisk()
    const store = await partitionOn(disk)
    let goOn: () => void = () => undefined
    const hanging = new Promise<void>((resolve) => {
      goOn = resolve
    })
    disk.beforeSync = () => hanging
    const answers: string[] = []
    const puts = [2, 3].map(async (seed) =>
      answers.push((await store.get(ALICE)?.put(testChunk(seed, 100))) ?? ''),
    )
    for (let i = 0; i < 20; i += 1) await turn()
    assert.deepEqual(answers, [])
    await checkHeld(store, ALICE)
    goOn()
    await Promise.all(puts)
    assert.deepEqual(answers, ['stored', 'stored'])
    await store.stop()
  })
})

describe('probeDisk', () => {
  const bytes = testId(32, 1)

  it('leaves nothing on a disk that works', async () => {
    const disk = new SimDisk()
    await probeDisk(disk.files, '/data', bytes)
    assert.deepEqual(disk.names, [])
    assert.ok(disk.count('dataSync') === 1 && disk.count('read') === 1)
  })

  for (const operation of ['open', 'write', 'dataSync', 'read', 'unlink'] as const) {
    it(`says DISK when ${operation} fails`, async () => {
      const disk = new SimDisk()
      disk.onOperation = (attempted) => {
        if (attempted === operation) throw systemError('EROFS')
      }
      await assert.rejects(probeDisk(disk.files, '/data', bytes), isDisk)
    })
  }

  it('says DISK when it reads other bytes', async () => {
    const disk = new SimDisk()
    disk.onOperation = (operation) => {
      if (operation === 'read') bytes[0] = (bytes[0] ?? 0) ^ 1
    }
    await assert.rejects(probeDisk(disk.files, '/data', bytes), isDisk)
  })
})

async function checkHeld(store: PartitionStore, validator: string): Promise<void> {
  const shard = store.get(validator)
  assert.ok(shard, `the shard of ${validator}`)
  await checkBody(shard, { ...CHUNK, body: [bodyOf(CHUNK)] })
}

function isDisk(error: unknown): boolean {
  return isSubnetError(error, 'DISK')
}
