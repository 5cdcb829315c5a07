/** The shard on disk under random operations does what the one in memory does: restarts and power cuts included. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import fc from 'fast-check'
import { seededRandom } from '../../src/base/random.js'
import { createLevelShard } from '../../src/shard/level-shard.js'
import { createMemoryShard } from '../../src/shard/memory-shard.js'
import type { Shard } from '../../src/shard/shard.js'
import { digestsOf, testLease } from '../conformance/shard.js'
import { SimDisk } from '../kit/sim-disk.js'
import { tempDir } from '../kit/temp-dir.js'
import { testChunk, testId } from '../kit/test-chunk.js'

/** What one operation does to a shard; its result, or its error's code, is compared. */
type Step = (shard: Shard) => Promise<unknown>
type Operation = { readonly show: string; readonly steps: readonly Step[] } | 'restart'

const seed = fc.nat({ max: 7 })
const block = fc.nat({ max: 20 })
/** More than there is: which of equally old records go first is no promise. */
const ALL = 1_000

const chunkOf = (n: number, fields = {}) => testChunk(n, 50 + n * 37, fields)
const orderOf = (n: number, expiresBlock: number) => ({ serial: testId(16, n), expiresBlock })

const step: fc.Arbitrary<{ show: string; step: Step }> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(seed, block, fc.option(fc.tuple(fc.nat({ max: 2 }), block)))
      .map(([n, end, order]) => ({
        show: `put ${n} until ${end}, order ${order ?? 'none'}`,
        step: (shard: Shard) =>
          shard.put(chunkOf(n, { expiresBlock: end, ...(order && { order: orderOf(...order) }) })),
      })),
  },
  {
    weight: 3,
    arbitrary: seed.map((n) => ({
      show: `remove ${n}`,
      step: (shard: Shard) => shard.remove(chunkOf(n).digest),
    })),
  },
  fc.tuple(fc.nat({ max: 2 }), block, fc.uniqueArray(seed, { maxLength: 3 })).map(([n, end, chunks]) => ({
    show: `lease ${n} until ${end} over ${chunks}`,
    step: (shard: Shard) =>
      shard.putLease(
        testLease(
          n,
          end,
          chunks.map((c) => chunkOf(c)),
        ),
      ),
  })),
  fc.tuple(fc.nat({ max: 2 }), block, fc.nat({ max: 99 })).map(([n, end, bytes]) => ({
    show: `use ${bytes} of order ${n} until ${end}`,
    step: (shard: Shard) => shard.addOrderUse(orderOf(n, end), bytes),
  })),
)

/** Alone, because each may come before or after what is asked for at the same time. */
const alone = fc.oneof(
  fc.tuple(block, fc.option(block, { nil: undefined })).map(([at, trashUntil]) => ({
    show: `expire ${at}, trash until ${trashUntil}`,
    step: (shard: Shard) => shard.expire(at, ALL, trashUntil),
  })),
  fc
    .tuple(fc.nat({ max: 2 }), fc.uniqueArray(seed, { maxLength: 4 }), fc.nat({ max: 4 }), block, block)
    .map(([n, chunks, count, until, end]) => {
      const [trash, kept] = [chunks.slice(0, count), chunks.slice(count)]
      const ended = {
        trash: trash.map((c) => chunkOf(c).digest),
        keep: kept.map((c) => ({ digest: chunkOf(c).digest, expiresBlock: end })),
      }
      return {
        show: `end lease ${n}, trash ${trash} until ${until}, keep ${kept} until ${end}`,
        step: (shard: Shard) => shard.endLease(testId(32, n), ended, until),
      }
    }),
  fc.constant({ show: 'no trash', step: (shard: Shard) => shard.shrinkTrash(0, ALL) }),
  fc.tuple(seed, block).map(([n, until]) => ({
    show: `lose ${n} until ${until}`,
    step: (shard: Shard) => shard.lose(chunkOf(n).digest, until),
  })),
)

/** Several at once, because a group commit must not mix them up; or a restart. */
const operations = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.array(step, { minLength: 1, maxLength: 4 }).map(toOperation) },
    { weight: 3, arbitrary: alone.map((one) => toOperation([one])) },
    { weight: 1, arbitrary: fc.constant<Operation>('restart') },
  ),
  { maxLength: 25 },
)

function toOperation(steps: readonly { show: string; step: Step }[]): Operation {
  return { show: steps.map(({ show }) => show).join(' | '), steps: steps.map((one) => one.step) }
}

describe('LevelShard against its model', () => {
  it('agrees on a disk that forgets what is not synced', async () => {
    await fc.assert(
      fc.asyncProperty(operations, fc.nat(), async (list, luck) => {
        let disk = new SimDisk()
        const open = () => createLevelShard({ path: '/shard', bodyFileBytes: 400 }, disk)
        await agree(list, open, () => {
          disk = disk.afterCut(seededRandom(`${luck}`))
        })
      }),
      { numRuns: 150 },
    )
  })

  it('agrees on a real disk with LevelDB', async () => {
    await fc.assert(
      fc.asyncProperty(operations, async (list) => {
        await using dir = await tempDir()
        await agree(list, () => createLevelShard({ path: join(dir.path, 'shard'), bodyFileBytes: 400 }))
      }),
      { numRuns: 8 },
    )
  })
})

async function agree(
  list: readonly Operation[],
  open: () => Shard,
  cut: () => void = () => undefined,
): Promise<void> {
  const model = createMemoryShard()
  await model.start()
  let shard = open()
  await shard.start()
  for (const operation of list) {
    if (operation === 'restart') {
      await shard.stop()
      cut()
      shard = open()
      await shard.start()
    } else {
      const expected = await outcomes(operation.steps, model)
      assert.deepEqual(await outcomes(operation.steps, shard), expected, operation.show)
    }
  }
  assert.deepEqual(await stateOf(shard), await stateOf(model))
  const { bytes, trashBytes, diskBytes } = shard.usage()
  assert.ok(diskBytes >= bytes + trashBytes)
  await shard.stop()
}

async function outcomes(steps: readonly Step[], shard: Shard): Promise<unknown[]> {
  const results = await Promise.allSettled(steps.map((one) => one(shard)))
  return results.map((result) =>
    result.status === 'fulfilled' ? (result.value ?? 'done') : (result.reason as { code?: unknown }).code,
  )
}

async function stateOf(shard: Shard): Promise<unknown> {
  const { chunks, bytes, trashBytes, lostChunks } = shard.usage()
  const bodies = []
  for (let n = 0; n < 8; n += 1) {
    const info = await shard.describe(chunkOf(n).digest)
    const body = info && Buffer.from(await shard.read(info.digest, 0, info.sizeBytes)).toString('hex')
    const trash = await shard.trashed(chunkOf(n).digest)
    bodies.push([info?.expiresBlock, body, trash?.expiresBlock])
  }
  const orders = await Promise.all([0, 1, 2].map((n) => shard.orderUse(testId(16, n))))
  const leases = await Promise.all([0, 1, 2].map((n) => shard.lease(testId(32, n))))
  return {
    chunks,
    bytes,
    trashBytes,
    lostChunks,
    losses: (await shard.losses(0, ALL)).losses.map(({ number, digest }) => [number, ...digest]),
    empty: await shard.isEmpty(),
    bodies,
    orders,
    leases: leases.map((lease) => lease?.[0]),
    digests: await digestsOf(shard),
  }
}
