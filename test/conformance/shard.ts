/** What every `Shard` does, whatever holds it. Run by the one in memory and by the one on disk. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { LeaseRow, NewChunk, Shard } from '../../src/shard/shard.js'
import { bodyOf, testChunk, testId, usageOf } from '../kit/test-chunk.js'

export interface TestShard extends AsyncDisposable {
  /** Started. */
  readonly shard: Shard
}

export interface ShardSuite {
  readonly name: string
  make(): Promise<TestShard>
}

export function shardConformance(suite: ShardSuite): void {
  describe(`shard: ${suite.name}`, () => {
    keepsChunks(suite)
    forgets(suite)
    keepsTrash(suite)
    listsLosses(suite)
    countsOrders(suite)
    keepsLeases(suite)
    startsAndStops(suite)
  })
}

function keepsChunks({ make }: ShardSuite): void {
  it('gives back what was put, whole and in parts', async () => {
    await using test = await make()
    const chunk = testChunk(1, 10_000)
    assert.equal(await test.shard.put(chunk), 'stored')
    const { digest, auditRoot, sizeBytes, expiresBlock, leafHashes } = chunk
    assert.deepEqual(await test.shard.describe(digest), { digest, auditRoot, sizeBytes, expiresBlock })
    assert.deepEqual(plain(await test.shard.leafHashes(digest)), plain(leafHashes))
    assert.deepEqual(await test.shard.read(digest, 0, 10_000), bodyOf(chunk))
    assert.deepEqual(await test.shard.read(digest, 4096, 4096), bodyOf(chunk).subarray(4096, 8192))
    assert.deepEqual(await test.shard.read(digest, 9_999, 1), bodyOf(chunk).subarray(9_999))
    assert.deepEqual(await test.shard.read(digest, 10_000, 0), new Uint8Array(0))
  })

  it('takes a body in any number of pieces', async () => {
    await using test = await make()
    const chunk = testChunk(1, 3_000)
    const bytes = bodyOf(chunk)
    await test.shard.put({ ...chunk, body: Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)) })
    assert.deepEqual(await test.shard.read(chunk.digest, 0, 3_000), bytes)
  })

  it('keeps chunks apart that lie beside each other', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 5_000), testChunk(2, 1), testChunk(3, 4_096), testChunk(4, 20_000)]
    await Promise.all(chunks.map((chunk) => test.shard.put(chunk)))
    for (const chunk of chunks) {
      assert.deepEqual(await test.shard.read(chunk.digest, 0, chunk.sizeBytes), bodyOf(chunk))
    }
    assert.deepEqual(await digestsOf(test.shard), chunks.map(({ digest }) => hex(digest)).sort())
    assert.equal(test.shard.usage().chunks, 4)
    assert.equal(test.shard.usage().bytes, 29_097)
    assert.equal(test.shard.usage().diskBytes, 29_097)
  })

  it('holds a chunk once, however often and at the same time it is put', async () => {
    await using test = await make()
    const chunk = testChunk(1, 3_000)
    const outcomes = await Promise.all([1, 2, 3].map(() => test.shard.put(chunk)))
    assert.deepEqual(outcomes.sort(), ['present', 'present', 'stored'])
    assert.equal(await test.shard.put(chunk), 'present')
    assert.deepEqual(test.shard.usage(), usageOf(1, 3_000, 3_000))
  })

  it('raises the expiry of a chunk that is put again, and never lowers it', async () => {
    await using test = await make()
    await test.shard.put(testChunk(1, 100, { expiresBlock: 50 }))
    await test.shard.put(testChunk(1, 100, { expiresBlock: 80 }))
    await test.shard.put(testChunk(1, 100, { expiresBlock: 20 }))
    assert.equal((await test.shard.describe(testChunk(1, 100).digest))?.expiresBlock, 80)
  })

  it('says that it does not hold a chunk', async () => {
    await using test = await make()
    const { digest } = testChunk(1, 100)
    assert.equal(await test.shard.describe(digest), undefined)
    assert.equal(await test.shard.leafHashes(digest), undefined)
    assert.equal(await test.shard.remove(digest), false)
    await rejects(test.shard.read(digest, 0, 1), 'NOT_FOUND')
  })

  it('refuses to read outside of a chunk', async () => {
    await using test = await make()
    const chunk = testChunk(1, 100)
    await test.shard.put(chunk)
    await rejects(test.shard.read(chunk.digest, 0, 101), 'INVALID')
    await rejects(test.shard.read(chunk.digest, 100, 1), 'INVALID')
    await rejects(test.shard.read(chunk.digest, -1, 1), 'INVALID')
  })

  it('keeps nothing of the buffers it was given', async () => {
    await using test = await make()
    const original = testChunk(1, 5_000)
    const given: NewChunk = {
      ...original,
      digest: original.digest.slice(),
      auditRoot: original.auditRoot.slice(),
      leafHashes: original.leafHashes.slice(),
      body: original.body.map((piece) => piece.slice()),
    }
    await test.shard.put(given)
    for (const bytes of [given.digest, given.auditRoot, given.leafHashes, ...given.body]) bytes.fill(0)
    assert.deepEqual(await test.shard.read(original.digest, 0, 5_000), bodyOf(original))
    assert.deepEqual((await test.shard.describe(original.digest))?.auditRoot, original.auditRoot)
    assert.deepEqual(plain(await test.shard.leafHashes(original.digest)), plain(original.leafHashes))
  })

  it('stores nothing for a caller that has given up', async () => {
    await using test = await make()
    const chunk = testChunk(1, 100)
    const reason = new Error('gave up')
    await assert.rejects(test.shard.put(chunk, { signal: AbortSignal.abort(reason) }), reason)
    assert.equal(await test.shard.describe(chunk.digest), undefined)
  })
}

function forgets({ make }: ShardSuite): void {
  it('forgets a removed chunk and counts its bytes no more', async () => {
    await using test = await make()
    const [gone, kept] = [testChunk(1, 3_000), testChunk(2, 5_000)]
    await Promise.all([test.shard.put(gone), test.shard.put(kept)])
    assert.equal(await test.shard.remove(gone.digest), true)
    assert.equal(await test.shard.describe(gone.digest), undefined)
    assert.equal(await test.shard.leafHashes(gone.digest), undefined)
    await rejects(test.shard.read(gone.digest, 0, 1), 'NOT_FOUND')
    assert.equal(test.shard.usage().chunks, 1)
    assert.equal(test.shard.usage().bytes, 5_000)
    assert.equal(await test.shard.put(gone), 'stored')
    assert.deepEqual(await test.shard.read(gone.digest, 0, 3_000), bodyOf(gone))
  })

  it('forgets chunks from the block on at which they end, the oldest first', async () => {
    await using test = await make()
    const chunks = [30, 10, 20].map((expiresBlock) => testChunk(expiresBlock, 100, { expiresBlock }))
    for (const chunk of chunks) await test.shard.put(chunk)
    assert.equal(await test.shard.expire(9, 10), 0)
    assert.equal(await test.shard.expire(30, 1), 1)
    assert.deepEqual(await heldOf(test.shard, chunks), [true, false, true])
    assert.equal(await test.shard.expire(29, 10), 1)
    assert.deepEqual(await heldOf(test.shard, chunks), [true, false, false])
    assert.equal(await test.shard.expire(30, 10), 1)
    assert.equal(await test.shard.expire(1_000, 10), 0)
    assert.deepEqual(test.shard.usage(), usageOf(0, 0, 0))
  })

  it('is not held up by ends that were put off', async () => {
    await using test = await make()
    const order = { serial: testId(16, 1), expiresBlock: 40 }
    await test.shard.put(testChunk(1, 100, { expiresBlock: 50, order }))
    await test.shard.putLease(testLease(1, 60, [testChunk(1, 100)]))
    await test.shard.addOrderUse({ ...order, expiresBlock: 500 }, 1)
    await test.shard.putLease(testLease(1, 500, [testChunk(1, 100)]))
    await test.shard.put(testChunk(2, 100, { expiresBlock: 70 }))
    assert.equal(await test.shard.expire(70, 1), 1)
    assert.equal(await test.shard.describe(testChunk(2, 100).digest), undefined)
    assert.equal(await test.shard.expire(499, 10), 0)
  })

  it('never forgets what was put or leased anew at the same time', async () => {
    await using test = await make()
    const [again, leased] = [testChunk(1, 100), testChunk(2, 100)]
    await Promise.all([test.shard.put(again), test.shard.put(leased)])
    const [, , lease] = await Promise.allSettled([
      test.shard.put({ ...again, expiresBlock: 300 }),
      test.shard.expire(100, 10),
      test.shard.putLease(testLease(1, 300, [leased])),
    ])
    assert.equal((await test.shard.describe(again.digest))?.expiresBlock, 300)
    const held = (await test.shard.describe(leased.digest)) !== undefined
    assert.equal(held, lease.status === 'fulfilled')
  })

  it('forgets an order one block after its last', async () => {
    await using test = await make()
    const order = { serial: testId(16, 1), expiresBlock: 40 }
    await test.shard.addOrderUse(order, 5)
    assert.equal(await test.shard.expire(40, 10), 0)
    assert.equal(await test.shard.orderUse(order.serial), 5)
    assert.equal(await test.shard.expire(41, 10), 1)
    assert.equal(await test.shard.orderUse(order.serial), 0)
  })
}

function keepsTrash({ make }: ShardSuite): void {
  it('hides what is in the trash from everything but the question for trash', async () => {
    await using test = await make()
    const [old, held] = [testChunk(1, 3_000), testChunk(2, 5_000, { expiresBlock: 101 })]
    await Promise.all([test.shard.put(old), test.shard.put(held)])
    assert.equal(await test.shard.expire(100, 10, 170), 1)
    const { digest, auditRoot, sizeBytes } = old
    assert.equal(await test.shard.describe(digest), undefined)
    assert.equal(await test.shard.leafHashes(digest), undefined)
    await rejects(test.shard.read(digest, 0, 1), 'NOT_FOUND')
    assert.deepEqual(await digestsOf(test.shard), [hex(held.digest)])
    assert.deepEqual(await test.shard.trashed(digest), { digest, auditRoot, sizeBytes, expiresBlock: 170 })
    assert.equal(await test.shard.trashed(held.digest), undefined)
    assert.deepEqual(test.shard.usage(), { ...usageOf(1, 5_000, 8_000), trashBytes: 3_000 })
  })

  it('drops trash when its time is over, and the shard is empty then', async () => {
    await using test = await make()
    await test.shard.put(testChunk(1, 3_000))
    assert.equal(await test.shard.isEmpty(), false)
    await test.shard.expire(100, 10, 170)
    assert.equal(await test.shard.expire(169, 10, 239), 0)
    assert.equal(await test.shard.isEmpty(), false)
    assert.equal(await test.shard.expire(170, 10, 240), 1)
    assert.equal(await test.shard.trashed(testChunk(1, 3_000).digest), undefined)
    assert.deepEqual(test.shard.usage(), usageOf(0, 0, 0))
    assert.equal(await test.shard.isEmpty(), true)
  })

  it('holds again what is put or leased anew, without writing its body', async () => {
    await using test = await make()
    const [again, leased] = [testChunk(1, 3_000), testChunk(2, 5_000)]
    await Promise.all([test.shard.put(again), test.shard.put(leased)])
    await test.shard.expire(100, 10, 170)
    assert.equal(
      await test.shard.put({ ...again, expiresBlock: 90, body: [new Uint8Array(3_000)] }),
      'present',
    )
    await test.shard.putLease(testLease(1, 300, [leased]))
    assert.equal((await test.shard.describe(again.digest))?.expiresBlock, 90)
    assert.equal((await test.shard.describe(leased.digest))?.expiresBlock, 300)
    assert.deepEqual(await test.shard.read(again.digest, 0, 3_000), bodyOf(again))
    assert.deepEqual(plain(await test.shard.leafHashes(leased.digest)), plain(leased.leafHashes))
    assert.deepEqual(test.shard.usage(), usageOf(2, 8_000, 8_000))
    assert.equal(await test.shard.expire(170, 10), 1, 'the one that was put until 90')
  })

  it('gives up trash for room, the oldest first and no more than it must', async () => {
    await using test = await make()
    const chunks = [30, 10, 20].map((expiresBlock) => testChunk(expiresBlock, 1_000, { expiresBlock }))
    for (const chunk of chunks) await test.shard.put(chunk)
    for (const block of [10, 20, 30]) await test.shard.expire(block, 10, block + 70)
    assert.equal(await test.shard.shrinkTrash(3_000, 10), 0)
    assert.equal(await test.shard.shrinkTrash(1_999, 10), 2)
    assert.ok(await test.shard.trashed(testChunk(30, 1_000).digest))
    assert.equal(await test.shard.shrinkTrash(0, 0), 0)
    assert.equal(await test.shard.shrinkTrash(0, 10), 1)
    assert.deepEqual(test.shard.usage(), usageOf(0, 0, 0))
  })

  it('removes what is in the trash', async () => {
    await using test = await make()
    await test.shard.put(testChunk(1, 3_000))
    await test.shard.expire(100, 10, 170)
    assert.equal(await test.shard.remove(testChunk(1, 3_000).digest), false)
    assert.deepEqual(test.shard.usage(), usageOf(0, 0, 0))
  })
}

function listsLosses({ make }: ShardSuite): void {
  it('lists what was lost in the order in which it was, and holds it no more', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 3_000), testChunk(2, 5_000), testChunk(3, 100)] as const
    for (const chunk of chunks) await test.shard.put(chunk)
    assert.deepEqual(await test.shard.losses(0, 10), { last: 0, losses: [] })
    assert.equal(await test.shard.lose(chunks[1].digest, 100), true)
    assert.equal(await test.shard.lose(chunks[0].digest, 100), true)
    assert.equal(await test.shard.lose(chunks[1].digest, 90), false)
    assert.equal(await test.shard.lose(testId(32, 1), 300), true, 'one it never held')
    assert.deepEqual(await heldOf(test.shard, chunks), [false, false, true])
    // The room of what was lost comes back in the background.
    const { diskBytes: _, ...usage } = test.shard.usage()
    assert.deepEqual(usage, { chunks: 1, bytes: 100, trashBytes: 0, lostChunks: 3 })
    const listed = async (after: number, limit: number) => {
      const { last, losses } = await test.shard.losses(after, limit)
      return [last, ...losses.map(({ number, digest }) => `${number} ${hex(digest)}`)]
    }
    const names = [chunks[1].digest, chunks[0].digest, testId(32, 1)].map(
      (one, at) => `${at + 1} ${hex(one)}`,
    )
    assert.deepEqual(await listed(0, 10), [3, ...names])
    assert.deepEqual(await listed(1, 1), [3, names[1]])
    assert.deepEqual(await listed(3, 10), [3])
    await test.shard.stop()
    await test.shard.start()
    assert.deepEqual(await listed(0, 10), [3, ...names])
    assert.equal(test.shard.usage().lostChunks, 3)
  })

  it('lists a loss until its block, or until the chunk is put again, and never numbers it twice', async () => {
    await using test = await make()
    const chunk = testChunk(1, 3_000)
    await test.shard.put(chunk)
    await test.shard.lose(chunk.digest, 100)
    assert.equal(await test.shard.put(chunk), 'stored')
    assert.deepEqual(await test.shard.losses(0, 10), { last: 1, losses: [] })
    assert.deepEqual(await test.shard.read(chunk.digest, 0, 3_000), bodyOf(chunk))
    await test.shard.lose(chunk.digest, 100)
    await test.shard.lose(chunk.digest, 200)
    assert.equal(await test.shard.expire(199, 10), 0)
    assert.equal((await test.shard.losses(1, 10)).losses[0]?.number, 2)
    assert.equal(await test.shard.expire(200, 10), 1)
    assert.deepEqual(await test.shard.losses(0, 10), { last: 2, losses: [] })
    assert.equal(test.shard.usage().lostChunks, 0)
    assert.equal(await test.shard.isEmpty(), true)
  })

  it('loses what is in the trash, too', async () => {
    await using test = await make()
    await test.shard.put(testChunk(1, 3_000))
    await test.shard.expire(100, 10, 170)
    await test.shard.lose(testChunk(1, 3_000).digest, 300)
    assert.equal(await test.shard.trashed(testChunk(1, 3_000).digest), undefined)
    assert.deepEqual(test.shard.usage(), { ...usageOf(0, 0, 0), lostChunks: 1 })
  })

  it('lists chunks from one on, and remembers where a scrub was', async () => {
    await using test = await make()
    for (const seed of [1, 2, 3]) await test.shard.put(testChunk(seed, 100))
    const digests: Uint8Array[] = []
    for await (const { digest } of test.shard.chunks()) digests.push(digest)
    const [, second] = digests
    assert.ok(second !== undefined)
    assert.deepEqual(
      await all(test.shard.chunks(second), ({ digest }) => hex(digest)),
      digests.slice(2).map(hex),
    )
    assert.equal(await test.shard.scrubbed(), undefined)
    await test.shard.markScrubbed(second)
    await test.shard.stop()
    await test.shard.start()
    assert.deepEqual(plain(await test.shard.scrubbed()), plain(second))
  })
}

function countsOrders({ make }: ShardSuite): void {
  it('charges an order for every put, also of what is held, and for reads', async () => {
    await using test = await make()
    const order = { serial: testId(16, 1), expiresBlock: 200 }
    const other = { serial: testId(16, 2), expiresBlock: 200 }
    await Promise.all([
      test.shard.put(testChunk(1, 100, { order })),
      test.shard.put(testChunk(1, 100, { order: other })),
      test.shard.put(testChunk(2, 30, { order })),
    ])
    await test.shard.put(testChunk(1, 100, { order }))
    await Promise.all([test.shard.addOrderUse(order, 7), test.shard.addOrderUse(order, 1)])
    assert.equal(await test.shard.orderUse(order.serial), 238)
    assert.equal(await test.shard.orderUse(other.serial), 100)
    assert.equal(await test.shard.orderUse(testId(16, 3)), 0)
  })
}

function keepsLeases({ make }: ShardSuite): void {
  it('keeps a lease, and with it what it covers', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 100), testChunk(2, 100), testChunk(3, 100)]
    for (const chunk of chunks) await test.shard.put(chunk)
    const lease = testLease(1, 300, chunks.slice(0, 2))
    await test.shard.putLease(lease)
    assert.deepEqual(plain(await test.shard.lease(lease.object)), plain(lease.bytes))
    assert.equal(await test.shard.expire(299, 10), 1)
    assert.deepEqual(await heldOf(test.shard, chunks), [true, true, false])
    assert.equal(await test.shard.expire(300, 10), 3)
    assert.equal(await test.shard.lease(lease.object), undefined)
  })

  it('replaces a lease by its renewal, which alone then says when it ends', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 100)]
    for (const chunk of chunks) await test.shard.put(chunk)
    await test.shard.putLease(testLease(1, 300, chunks))
    const renewal = { ...testLease(1, 500, chunks), bytes: Uint8Array.of(9) }
    await test.shard.putLease(renewal)
    await test.shard.putLease(testLease(2, 200, chunks))
    assert.deepEqual(
      await all(test.shard.leases(), plain),
      [plain(renewal.bytes), plain(Uint8Array.of(2))].sort(),
    )
    assert.equal(await test.shard.expire(300, 10), 1)
    assert.deepEqual(plain(await test.shard.lease(renewal.object)), plain(renewal.bytes))
    assert.equal((await test.shard.describe(testChunk(1, 100).digest))?.expiresBlock, 500)
  })

  it('ends a lease and throws its chunks away at once', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 100), testChunk(2, 100), testChunk(3, 100)] as const
    for (const chunk of chunks) await test.shard.put(chunk)
    const lease = testLease(1, 300, chunks)
    await test.shard.putLease(lease)
    const two = chunks.slice(0, 2).map(({ digest }) => digest)
    const ended = { trash: [...two, testId(32, 1)], keep: [] }
    assert.equal(await test.shard.endLease(lease.object, ended, 200), true)
    assert.equal(await test.shard.lease(lease.object), undefined)
    assert.deepEqual(await heldOf(test.shard, chunks), [false, false, true])
    assert.equal(await test.shard.endLease(lease.object, ended, 150), false)
    assert.equal((await test.shard.trashed(chunks[0].digest))?.expiresBlock, 200)
  })

  it('ends a lease and keeps what others name until a block, never longer than it would have been', async () => {
    await using test = await make()
    const chunks = [testChunk(1, 100), testChunk(2, 100), testChunk(3, 100)] as const
    for (const chunk of chunks) await test.shard.put(chunk)
    const lease = testLease(1, 300, chunks)
    await test.shard.putLease(lease)
    const [first, second, third] = chunks.map(({ digest }) => digest) as [Uint8Array, Uint8Array, Uint8Array]
    const keep = [
      { digest: second, expiresBlock: 220 },
      { digest: third, expiresBlock: 900 },
      { digest: testId(32, 1), expiresBlock: 220 },
    ]
    assert.equal(await test.shard.endLease(lease.object, { trash: [first], keep }, 400), true)
    assert.deepEqual(await heldOf(test.shard, chunks), [false, true, true])
    assert.equal(await test.shard.expire(219, 10), 0)
    assert.equal(await test.shard.expire(220, 10), 1)
    assert.deepEqual(await heldOf(test.shard, chunks), [false, false, true])
    assert.equal((await test.shard.describe(third))?.expiresBlock, 300, 'never raised')
    assert.equal((await test.shard.trashed(first))?.expiresBlock, 400)
  })

  it('remembers a lease that has ended as long as it is told to', async () => {
    await using test = await make()
    await test.shard.put(testChunk(1, 100))
    const lease = { ...testLease(1, 300, [testChunk(1, 100)]), forgetsBlock: 400 }
    await test.shard.putLease(lease)
    assert.equal(await test.shard.expire(399, 10, 400), 1)
    assert.deepEqual(plain(await test.shard.lease(lease.object)), plain(lease.bytes))
    await test.shard.putLease({ ...lease, endBlock: 500, forgetsBlock: 600 })
    assert.equal((await test.shard.describe(testChunk(1, 100).digest))?.expiresBlock, 500)
    assert.equal(await test.shard.expire(499, 10), 0)
    assert.equal(await test.shard.expire(600, 10), 2)
  })

  it('keeps held chunks for longer, never shorter, and says which they are', async () => {
    await using test = await make()
    const [first, second] = [testChunk(1, 5_000), testChunk(2, 300)]
    await test.shard.put({ ...first, expiresBlock: 100 })
    await test.shard.put({ ...second, expiresBlock: 300 })
    const digests = [first.digest, testId(32, 9), second.digest]
    assert.deepEqual(await test.shard.extend(digests, 200), [true, false, true])
    assert.deepEqual(await test.shard.extend(digests, 150), [true, false, true])
    assert.equal((await test.shard.describe(second.digest))?.expiresBlock, 300)
    assert.equal(await test.shard.expire(199, 10), 0)
    assert.equal(await test.shard.expire(200, 10), 1)
    assert.deepEqual(await heldOf(test.shard, [first, second]), [false, true])
  })

  it('refuses a lease over a chunk it does not hold, and changes nothing', async () => {
    await using test = await make()
    const [held, missing] = [testChunk(1, 100), testChunk(2, 100)]
    await test.shard.put(held)
    const lease = testLease(1, 300, [held, missing])
    await rejects(test.shard.putLease(lease), 'NOT_FOUND')
    assert.equal(await test.shard.lease(lease.object), undefined)
    assert.equal((await test.shard.describe(held.digest))?.expiresBlock, 100)
  })
}

function startsAndStops({ make }: ShardSuite): void {
  it('holds the same after a restart', async () => {
    await using test = await make()
    const order = { serial: testId(16, 1), expiresBlock: 200 }
    const chunk = testChunk(1, 9_000, { order })
    await test.shard.put(chunk)
    await test.shard.put(testChunk(2, 1_000))
    await test.shard.remove(testChunk(2, 1_000).digest)
    await test.shard.putLease(testLease(1, 300, [chunk]))
    const usage = test.shard.usage()
    await test.shard.stop()
    assert.deepEqual(test.shard.usage(), usage)
    await test.shard.start()
    assert.deepEqual(test.shard.usage(), usage)
    assert.deepEqual(await test.shard.read(chunk.digest, 0, 9_000), bodyOf(chunk))
    assert.equal((await test.shard.describe(chunk.digest))?.expiresBlock, 300)
    assert.equal(await test.shard.orderUse(order.serial), 9_000)
    assert.deepEqual(plain(await test.shard.lease(testLease(1, 300, []).object)), plain(Uint8Array.of(1)))
    assert.equal(await test.shard.put(testChunk(3, 500)), 'stored')
    assert.deepEqual(await test.shard.read(chunk.digest, 0, 9_000), bodyOf(chunk))
  })

  it('finishes what was begun before it stops, and does nothing after', async () => {
    await using test = await make()
    const chunk = testChunk(1, 5_000)
    const put = test.shard.put(chunk)
    await Promise.all([test.shard.stop(), test.shard.stop()])
    assert.equal(await put, 'stored')
    for (const attempt of [
      () => test.shard.put(chunk),
      () => test.shard.describe(chunk.digest),
      () => test.shard.read(chunk.digest, 0, 1),
      () => test.shard.remove(chunk.digest),
      () => test.shard.expire(1_000, 1),
      () => test.shard.orderUse(testId(16, 1)),
      () => digestsOf(test.shard),
      () => all(test.shard.leases(), plain),
    ]) {
      await rejects(attempt(), 'STOPPED')
    }
    await test.shard.start()
    assert.deepEqual(await test.shard.read(chunk.digest, 0, 5_000), bodyOf(chunk))
  })
}

/** A lease whose bytes are its seed. */
export function testLease(seed: number, endBlock: number, chunks: readonly NewChunk[]): LeaseRow {
  return {
    object: testId(32, seed),
    bytes: Uint8Array.of(seed),
    endBlock,
    digests: chunks.map(({ digest }) => digest),
  }
}

/** Digests in hex, in the order in which the shard lists them. */
export function digestsOf(shard: Shard): Promise<string[]> {
  return all(shard.chunks(), ({ digest }) => hex(digest))
}

async function heldOf(shard: Shard, chunks: readonly Pick<NewChunk, 'digest'>[]): Promise<boolean[]> {
  return Promise.all(chunks.map(async ({ digest }) => (await shard.describe(digest)) !== undefined))
}

async function all<T, R>(items: AsyncIterable<T>, show: (item: T) => R): Promise<R[]> {
  const shown: R[] = []
  for await (const item of items) shown.push(show(item))
  return shown.sort()
}

async function rejects(work: Promise<unknown>, code: Parameters<typeof isSubnetError>[1]): Promise<void> {
  await assert.rejects(work, (error) => isSubnetError(error, code))
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Comparable whatever subclass of `Uint8Array` it is. */
function plain(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : hex(bytes)
}
