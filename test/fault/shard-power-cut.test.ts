/**
 * Power cuts at every operation of the shard. `kill -9` cannot show this, because the page cache survives it; here the
 * disk forgets what was not synced.
 */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { type Random, randomFraction, seededRandom } from '../../src/base/random.js'
import type { NewChunk } from '../../src/shard/shard.js'
import { digestsOf } from '../conformance/shard.js'
import { SimDisk } from '../kit/sim-disk.js'
import { bytesOn, checkBody, shardOn } from '../kit/sim-shard.js'
import { testChunk, testId } from '../kit/test-chunk.js'
import { until } from '../kit/until.js'

const ORDER = { serial: testId(16, 1), expiresBlock: 200 }

describe('LevelShard and power cuts', () => {
  it('holds exactly what it acknowledged, wherever the power is cut', async () => {
    const places = await cutEverywhere((cutAt) => runUntilCut(cutAt))
    assert.ok(places > 20, `${places} places to cut`)
  })

  it('holds it whatever part of the unsynced rest survives', async () => {
    for (const seed of [1, 2, 3, 4]) {
      await cutEverywhere((cutAt) => runUntilCut(cutAt, { luck: seededRandom(`${seed} ${cutAt}`) }))
    }
  })

  it('holds a change wholly or not at all when only its answer was lost', async () => {
    await cutEverywhere((cutAt) => runUntilCut(cutAt, { losesOnlyAnswers: true }))
  })
})

/** Cuts the power at every operation of a run, one after the other; returns how many there were. */
async function cutEverywhere(run: (cutAt: number) => Promise<boolean>): Promise<number> {
  let cutAt = 0
  while (await run(cutAt)) cutAt += 1
  return cutAt
}

/**
 * Puts, removes and moves bodies with the power cut at the given operation, then checks the disk that is left. False
 * when the run came to its end before that.
 */
async function runUntilCut(
  cutAt: number,
  { luck, losesOnlyAnswers = false }: { luck?: Random; losesOnlyAnswers?: boolean } = {},
): Promise<boolean> {
  const disk = new SimDisk()
  Object.assign(disk, { cutAt, losesOnlyAnswers })
  const asked = new Set<number>()
  const held = new Set<number>()
  /** What is to be lost, and what is known to be listed as lost. */
  const [lost, told] = [new Set<number>(), new Set<number>()]
  let chargedBytes = 0
  const shard = shardOn(disk)
  const put = async (seed: number) => {
    asked.add(seed)
    await shard.put(cutChunk(seed))
    held.add(seed)
    chargedBytes += cutChunk(seed).sizeBytes
  }
  const remove = async (seed: number) => {
    if (losesOnlyAnswers) held.delete(seed)
    await shard.remove(cutChunk(seed).digest)
    held.delete(seed)
  }
  const throwAway = async (seed: number) => {
    const object = testId(32, seed)
    const { digest } = cutChunk(seed)
    await shard.putLease({ object, bytes: object, endBlock: 50, digests: [digest] })
    if (losesOnlyAnswers) held.delete(seed)
    await shard.endLease(object, { trash: [digest], keep: [] }, 300)
    held.delete(seed)
  }
  const lose = async (seed: number) => {
    lost.add(seed)
    if (losesOnlyAnswers) held.delete(seed)
    await shard.lose(cutChunk(seed).digest, 300)
    held.delete(seed)
    told.add(seed)
  }
  try {
    await shard.start()
    await put(1)
    await Promise.all([put(2), put(3), put(3)])
    await Promise.all([4, 5, 6, 7].map(put))
    await Promise.all([remove(1), remove(2), remove(4), put(8)])
    await remove(3)
    // Bodies are moved now, and the power may go in the middle of that.
    await until(() => disk.powerIsCut || shard.usage().diskBytes <= 2 * shard.usage().bytes, {
      deadlineMs: 2_000,
    })
    await Promise.all([remove(5), put(9), put(2)])
    // One group after the other, so that one is written while the one before is synced.
    const staggered: Promise<void>[] = []
    for (const seed of [10, 11, 12, 13]) {
      const putting = put(seed)
      // Looked at below, when it may have failed already.
      putting.catch(() => undefined)
      staggered.push(putting)
      await turn()
    }
    await Promise.all(staggered)
    await throwAway(10)
    await throwAway(11)
    // Revived, at the price of nothing; lost; dropped.
    await put(10)
    await lose(12)
    await shard.shrinkTrash(0, 10)
  } catch {
    // The power is cut: what matters is what was answered before.
  }
  // What was begun at that moment ends without an answer.
  await shard.stop().catch(() => undefined)
  const left = luck === undefined ? disk.afterCut() : await cutAgain(disk.afterCut(luck), luck)
  const again = shardOn(left)
  await again.start()
  const digests = await digestsOf(again)
  const expected = [...(losesOnlyAnswers ? asked : held)]
    .map(cutChunk)
    .filter((chunk) => !losesOnlyAnswers || digests.includes(hexDigest(chunk)))
  assert.deepEqual(digests, expected.map(hexDigest).sort())
  for (const seed of held)
    assert.ok(digests.includes(hexDigest(cutChunk(seed))), `chunk ${seed} was acknowledged`)
  const usedBytes = await again.orderUse(ORDER.serial)
  assert.ok(losesOnlyAnswers ? usedBytes >= chargedBytes : usedBytes === chargedBytes)
  assert.equal(again.usage().chunks, expected.length)
  assert.equal(
    again.usage().bytes,
    expected.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  const listed = (await again.losses(0, 10)).losses.map((loss) => Buffer.from(loss.digest).toString('hex'))
  assert.deepEqual(
    listed,
    [...(losesOnlyAnswers && listed.length > 0 ? lost : told)].map((seed) => hexDigest(cutChunk(seed))),
  )
  assert.equal(again.usage().lostChunks, listed.length)
  // Trash is left exactly as it counts.
  const trashed = await Promise.all([...asked].map((seed) => again.trashed(cutChunk(seed).digest)))
  const trashBytes = trashed.reduce((sum, chunk) => sum + (chunk?.sizeBytes ?? 0), 0)
  assert.equal(again.usage().trashBytes, trashBytes)
  await again.put(testChunk(100, 900))
  for (const chunk of expected) await checkBody(again, chunk)
  await again.stop()
  assert.equal(await bytesOn(left), again.usage().diskBytes, 'nothing leaks')
  return disk.powerIsCut
}

/** The power goes a second time, while the shard recovers from the first. */
async function cutAgain(disk: SimDisk, luck: Random): Promise<SimDisk> {
  disk.cutAt = Math.floor(randomFraction(luck) * 8)
  const shard = shardOn(disk)
  try {
    await shard.start()
    await shard.stop()
  } catch {
    // As at the first cut.
  }
  await shard.stop().catch(() => undefined)
  return disk.afterCut(luck)
}

function cutChunk(seed: number): NewChunk {
  return testChunk(seed, 700 + seed, { order: ORDER })
}

function hexDigest({ digest }: NewChunk): string {
  return Buffer.from(digest).toString('hex')
}
