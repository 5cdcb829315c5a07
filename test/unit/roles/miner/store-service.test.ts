import assert from 'node:assert/strict'
import { decodeMessage } from '../../../../protocols/common/schema.js'
import type { Lease, LeaseEntry } from '../../../../protocols/lease/lease.js'
import { checkLeaseHeld, countersignLease, keptLeaseSchema } from '../../../../protocols/lease/lease.js'
import { type Order, signOrder } from '../../../../protocols/order/order.js'
import type { LeaseRequest } from '../../../../protocols/store/server.js'
import type { ErrorCode } from '../../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { DiskHealth } from '../../../../src/roles/miner/disk-watch.js'
import type { KeeperMessage } from '../../../../src/roles/miner/keeper.js'
import { StoreService } from '../../../../src/roles/miner/store-service.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import type { NewChunk, Shard } from '../../../../src/shard/shard.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { RecordingRef } from '../../../kit/recording-context.js'
import { testChunk, testId } from '../../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'
import { until } from '../../../kit/until.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)

const OBJECT = testId(32, 1)
const TICKET = { validator: 'v', orderKey: 'k', client: 'c', sizeBytes: 1, trashBytesMax: 1_000 }

function setUp(shard: Shard = createMemoryShard()) {
  const [miner, validator, other] = [1, 2, 3].map((number) => testHotkey(number).signer) as [
    ReturnType<typeof testHotkey>['signer'],
    ReturnType<typeof testHotkey>['signer'],
    ReturnType<typeof testHotkey>['signer'],
  ]
  const partition = new MemoryPartition()
  partition.put(testHotkey(2).address, shard)
  const keeper = new RecordingRef<KeeperMessage>()
  const head = { block: 10 }
  const counted: Lease[] = []
  const onCounted = (lease: Lease) => counted.push(lease)
  const health = new DiskHealth()
  let diskFailures = 0
  const onDiskFailure = () => {
    diskFailures += 1
  }
  const service = new StoreService(
    { keeper, shards: partition, signer: miner, head, health, onDiskFailure, onCounted },
    { domain: TEST_DOMAIN, trashBlocks: 70 },
  )
  const order: Order = signOrder(validator, TEST_DOMAIN, {
    verb: 'put',
    client: testId(32, 9),
    miner: miner.publicKey,
    maxBytes: 10_000,
    serial: testId(16, 1),
    expiresBlock: 60,
    leaseEndBlock: 500,
  })
  return {
    miner,
    validator,
    other,
    partition,
    keeper,
    head,
    service,
    order,
    shard,
    counted,
    health,
    diskFailures: () => diskFailures,
  }
}

function entryOf(chunk: NewChunk, index = 0): LeaseEntry {
  return [chunk.digest, chunk.auditRoot, chunk.sizeBytes, 0, index]
}

function request(entries: readonly LeaseEntry[], fields: Partial<LeaseRequest> = {}): LeaseRequest {
  return { object: OBJECT, entries, endBlock: 500, ...fields }
}

describe('StoreService: what is held', () => {
  before(cryptoReady)

  /** A shard that keeps chunk 1 for less long than the order lasts, chunk 2 for longer, and a question for both and a third. */
  async function asked() {
    const set = setUp()
    const { service, order, shard, keeper } = set
    await shard.start()
    const chunks = [testChunk(1, 10), testChunk(2, 20)]
    const expiries = [order.expiresBlock - 30, order.expiresBlock + 20]
    for (const [i, chunk] of chunks.entries()) {
      await shard.put({ ...chunk, expiresBlock: expiries[i] as number })
    }
    const held = service.have(order, [...chunks.map(({ digest }) => digest), testId(32, 200)])
    await until(() => keeper.asked.length === 1, { title: 'the order is charged', deadlineMs: 2_000 })
    const kept = async () => {
      const now = await Promise.all(chunks.map(({ digest }) => shard.describe(digest)))
      return now.map((chunk) => (chunk?.expiresBlock ?? 0) - order.expiresBlock)
    }
    return { ...set, held, kept, spend: keeper.asked[0] }
  }

  it('is kept as long as the order that asks lasts, never shorter, and costs the order what it prolongs', async () => {
    const { held, kept, spend, shard, order } = await asked()
    assert.ok(spend?.type === 'spend')
    assert.equal((spend.fields as { readonly sizeBytes: number }).sizeBytes, 10)
    spend.answer(undefined)
    assert.deepEqual(await held, [true, true, false])
    assert.deepEqual(await kept(), [0, 20])
    assert.equal(await shard.orderUse(order.serial), 10)
  })

  it('is only what lasts for half of the order, when that has too little left to prolong the rest', async () => {
    const { held, kept, spend, shard, order } = await asked()
    spend?.refuse(new SubnetError('REFUSED', 'used up'))
    assert.deepEqual(await held, [false, true, false])
    assert.deepEqual(await kept(), [-30, 20])
    assert.equal(await shard.orderUse(order.serial), 0)
  })

  it('is asked of the shard of the validator that signed the order', async () => {
    const { service, order, other } = setUp()
    await assert.rejects(
      service.have({ ...order, validator: other.publicKey }, [testId(32, 1)]),
      coded('NO_SPACE'),
    )
  })
})

describe('StoreService: bodies', () => {
  before(cryptoReady)

  it('keeps a chunk until the order ends, charges the order and settles with its size', async () => {
    const { service, order, keeper, shard } = setUp()
    await shard.start()
    const reserving = service.reserve(order, 300)
    assert.deepEqual(keeper.asked[0]?.fields, {
      order: {
        serial: Buffer.from(order.serial).toString('hex'),
        validator: testHotkey(2).address,
        maxBytes: 10_000,
        client: Buffer.from(order.client).toString('hex'),
      },
      sizeBytes: 300,
    })
    keeper.asked[0]?.answer(TICKET)
    const chunk = testChunk(1, 300)
    assert.equal(await (await reserving).keep(chunk), 'stored')
    assert.equal((await shard.describe(chunk.digest))?.expiresBlock, 60)
    assert.equal(await shard.orderUse(order.serial), 300)
    assert.deepEqual(keeper.sent, [{ type: 'settle', ticket: TICKET, usedBytes: 300 }])
  })

  it('gives the reservation back when the shard refuses', async () => {
    const { service, order, keeper, shard } = setUp(createMemoryShard({ capacityBytes: 100 }))
    await shard.start()
    const reserving = service.reserve(order, 300)
    keeper.asked[0]?.answer(TICKET)
    await assert.rejects((await reserving).keep(testChunk(1, 300)), coded('NO_SPACE'))
    assert.deepEqual(keeper.sent, [{ type: 'settle', ticket: TICKET, usedBytes: 0 }])
  })

  it('tells that the disk failed', async () => {
    const { service, order, keeper, shard, diskFailures } = setUp()
    await shard.start()
    const reserving = service.reserve(order, 300)
    keeper.asked[0]?.answer(TICKET)
    shard.put = () => Promise.reject(new SubnetError('DISK', 'no'))
    await assert.rejects((await reserving).keep(testChunk(1, 300)), coded('DISK'))
    assert.equal(diskFailures(), 1)
    assert.equal(keeper.sent.length, 1)
  })

  it('takes, names, signs for and ends nothing while the disk is not written', async () => {
    const { service, order, keeper, shard, health } = setUp()
    await shard.start()
    await shard.put(testChunk(1, 300))
    health.set({ refuses: 'writes', reason: 'a sync hangs' })
    await assert.rejects(service.reserve(order, 300), coded('UNAVAILABLE'))
    await assert.rejects(service.have(order, [testChunk(1, 300).digest]), coded('UNAVAILABLE'))
    await assert.rejects(service.lease(order, request([entryOf(testChunk(1, 300))])), coded('UNAVAILABLE'))
    const [signature, key] = [new Uint8Array(64), order.validator]
    await assert.rejects(service.confirm(key, OBJECT, signature), coded('UNAVAILABLE'))
    const renewal = { object: OBJECT, endBlock: 600, validatorSignature: signature }
    await assert.rejects(service.renew(key, renewal), coded('UNAVAILABLE'))
    await assert.rejects(service.release(key, OBJECT), coded('UNAVAILABLE'))
    assert.deepEqual(keeper.asked, [])
    health.set(undefined)
    assert.deepEqual(await service.have(order, [testChunk(1, 300).digest]), [true])
  })

  it('gives the reservation back when the body did not come', async () => {
    const { service, order, keeper } = setUp()
    const reserving = service.reserve(order, 300)
    keeper.asked[0]?.answer(TICKET)
    ;(await reserving).release()
    assert.deepEqual(keeper.sent, [{ type: 'settle', ticket: TICKET, usedBytes: 0 }])
  })

  it('gives up trash for a body that would not fit beside it, before it takes the body', async () => {
    const { service, order, keeper, shard } = setUp()
    await shard.start()
    await shard.put(testChunk(1, 300))
    await shard.put(testChunk(2, 400))
    await shard.expire(100, 10, 170)
    const reserving = service.reserve(order, 300)
    keeper.asked[0]?.answer({ ...TICKET, trashBytesMax: 500 })
    await reserving
    assert.ok([300, 400].includes(shard.usage().trashBytes), `${shard.usage().trashBytes}`)
    await shard.stop()
    const refused = service.reserve(order, 300)
    shard.shrinkTrash = () => Promise.reject(new SubnetError('DISK', 'no'))
    keeper.asked[1]?.answer({ ...TICKET, trashBytesMax: 0 })
    await assert.rejects(refused, coded('DISK'))
    assert.deepEqual(keeper.sent.at(-1), {
      type: 'settle',
      ticket: { ...TICKET, trashBytesMax: 0 },
      usedBytes: 0,
    })
  })

  it('passes on what the keeper refuses with', async () => {
    const { service, order, keeper } = setUp()
    const reserving = service.reserve(order, 300)
    keeper.asked[0]?.refuse(new SubnetError('BUSY', 'later'))
    await assert.rejects(reserving, coded('BUSY'))
  })

  it('does not ask the keeper for a validator without a shard', async () => {
    const { service, order, keeper, other } = setUp()
    await assert.rejects(service.reserve({ ...order, validator: other.publicKey }, 1), coded('NO_SPACE'))
    assert.deepEqual(keeper.asked, [])
  })
})

describe('StoreService: leases', () => {
  before(cryptoReady)

  it('signs for what it holds from its head on, keeps the lease and the chunks until it ends', async () => {
    const { service, order, shard, miner } = setUp()
    await shard.start()
    const chunks = [testChunk(1, 300), testChunk(2, 5_000)]
    for (const chunk of chunks) await shard.put(chunk)
    const signed = await service.lease(order, request(chunks.map(entryOf)))
    checkLeaseHeld(signed, TEST_DOMAIN)
    assert.deepEqual(signed.lease, {
      object: OBJECT,
      validator: order.validator,
      miner: miner.publicKey,
      entries: chunks.map(entryOf),
      startBlock: 10,
      endBlock: 500,
    })
    const bytes = await shard.lease(OBJECT)
    assert.ok(bytes)
    assert.deepEqual(decodeMessage(keptLeaseSchema, bytes, 'lease'), signed)
    for (const { digest } of chunks) assert.equal((await shard.describe(digest))?.expiresBlock, 500)
  })

  it('refuses for a chunk that is not held, and names it', async () => {
    const { service, order, shard } = setUp()
    await shard.start()
    const [held, missing] = [testChunk(1, 300), testChunk(2, 300)]
    await shard.put(held)
    const leasing = service.lease(order, request([entryOf(held), entryOf(missing)]))
    const name = Buffer.from(missing.digest).toString('hex')
    await assert.rejects(
      leasing,
      (error) => isSubnetError(error, 'NOT_FOUND') && error.message.includes(name),
    )
    assert.equal(await shard.lease(OBJECT), undefined)
  })

  it('refuses for a chunk of another size or another tree', async () => {
    const { service, order, shard } = setUp()
    await shard.start()
    const chunk = testChunk(1, 300)
    await shard.put(chunk)
    const [digest, auditRoot] = [chunk.digest, chunk.auditRoot]
    await assert.rejects(service.lease(order, request([[digest, auditRoot, 299, 0, 0]])), coded('MISMATCH'))
    await assert.rejects(service.lease(order, request([[digest, digest, 300, 0, 0]])), coded('MISMATCH'))
  })

  it('refuses an end beyond the order, and takes one at it', async () => {
    const { service, order, shard } = setUp()
    await shard.start()
    const chunk = testChunk(1, 300)
    await shard.put(chunk)
    await assert.rejects(service.lease(order, request([entryOf(chunk)], { endBlock: 501 })), coded('REFUSED'))
    await service.lease(order, request([entryOf(chunk)], { endBlock: 500 }))
  })

  it('replaces a lease that does not count yet', async () => {
    const { service, order, shard } = setUp()
    await shard.start()
    const chunks = [testChunk(1, 300), testChunk(2, 300)] as const
    for (const chunk of chunks) await shard.put(chunk)
    await service.lease(order, request([entryOf(chunks[0])]))
    const second = await service.lease(order, request([entryOf(chunks[1])]))
    assert.deepEqual(decodeMessage(keptLeaseSchema, (await shard.lease(OBJECT)) ?? OBJECT, 'lease'), second)
  })

  /** A lease of the first chunk, which counts, and another of both, which does not. */
  async function succeeded() {
    const set = setUp()
    const { service, order, shard, validator } = set
    await shard.start()
    const chunks = [testChunk(1, 300), testChunk(2, 300)] as const
    for (const chunk of chunks) await shard.put(chunk)
    const first = await service.lease(order, request([entryOf(chunks[0])]))
    await service.confirm(validator.publicKey, OBJECT, countersignLease(validator, TEST_DOMAIN, first.lease))
    const next = await service.lease(order, request(chunks.map(entryOf), { endBlock: 499 }))
    const kept = async () => {
      const { validatorSignature: _, ...signed } = decodeMessage(
        keptLeaseSchema,
        (await shard.lease(OBJECT)) ?? OBJECT,
        'lease',
      )
      return signed
    }
    const expiries = () =>
      Promise.all(chunks.map(async ({ digest }) => (await shard.describe(digest))?.expiresBlock))
    return { ...set, chunks, first, next, kept, expiries }
  }

  it('lets another lease take the place of one that counts only when that counts too', async () => {
    const { service, order, validator, other, chunks, first, next, kept, counted } = await succeeded()
    checkLeaseHeld(next, TEST_DOMAIN)
    assert.deepEqual(await kept(), first)
    assert.deepEqual(await service.lease(order, request([entryOf(chunks[0])])), first, 'asked for again')
    const forged = countersignLease(other, TEST_DOMAIN, next.lease)
    await assert.rejects(service.confirm(validator.publicKey, OBJECT, forged), coded('BAD_SIGNATURE'))
    assert.deepEqual(await kept(), first)
    const signature = countersignLease(validator, TEST_DOMAIN, next.lease)
    await service.confirm(validator.publicKey, OBJECT, signature)
    await service.confirm(validator.publicKey, OBJECT, signature)
    assert.deepEqual(await kept(), next)
    assert.deepEqual(counted, [first.lease, next.lease])
  })

  it('has no more than one lease when the second counts, and forgets both with a release', async () => {
    for (const confirms of [false, true]) {
      const { service, validator, shard, next, expiries } = await succeeded()
      const signature = countersignLease(validator, TEST_DOMAIN, next.lease)
      if (confirms) await service.confirm(validator.publicKey, OBJECT, signature)
      let leases = 0
      for await (const _ of shard.leases()) leases += 1
      assert.equal(leases, confirms ? 1 : 2)
      assert.deepEqual(await expiries(), [500, 499])
      await service.release(validator.publicKey, OBJECT)
      for await (const _ of shard.leases()) assert.fail('a lease is left')
      assert.deepEqual(await expiries(), [undefined, undefined])
    }
  })

  it('forgets a second lease that never counted at its end', async () => {
    const { shard } = await succeeded()
    await shard.expire(499 + 70, 100)
    const ends: number[] = []
    for await (const bytes of shard.leases())
      ends.push(decodeMessage(keptLeaseSchema, bytes, 'lease').lease.endBlock)
    assert.deepEqual(ends, [500])
  })
})

describe('StoreService: countersignatures', () => {
  before(cryptoReady)

  async function leased() {
    const set = setUp()
    await set.shard.start()
    const chunk = testChunk(1, 300)
    await set.shard.put(chunk)
    const { lease } = await set.service.lease(set.order, request([entryOf(chunk)]))
    const countersignature = countersignLease(set.validator, TEST_DOMAIN, lease)
    const kept = async () =>
      decodeMessage(keptLeaseSchema, (await set.shard.lease(OBJECT)) ?? new Uint8Array(0), 'lease')
    return { ...set, lease, countersignature, kept }
  }

  it('keeps one that verifies, and tells of it once', async () => {
    const { service, validator, countersignature, kept, counted, lease } = await leased()
    await service.confirm(validator.publicKey, OBJECT, countersignature)
    await service.confirm(validator.publicKey, OBJECT, countersignature)
    assert.deepEqual((await kept()).validatorSignature, countersignature)
    assert.deepEqual(counted, [lease])
  })

  it('is idempotent: the first one stays', async () => {
    const { service, validator, countersignature, kept, lease } = await leased()
    await service.confirm(validator.publicKey, OBJECT, countersignature)
    await service.confirm(validator.publicKey, OBJECT, countersignLease(validator, TEST_DOMAIN, lease))
    assert.deepEqual((await kept()).validatorSignature, countersignature)
  })

  it('refuses a forged one, of another key, chain or lease', async () => {
    const { service, validator, other, kept, lease } = await leased()
    const forged = [
      countersignLease(other, TEST_DOMAIN, lease),
      countersignLease(validator, { ...TEST_DOMAIN, netuid: 2 }, lease),
      countersignLease(validator, TEST_DOMAIN, { ...lease, endBlock: 499 }),
    ]
    for (const signature of forged) {
      await assert.rejects(service.confirm(validator.publicKey, OBJECT, signature), coded('BAD_SIGNATURE'))
    }
    assert.equal((await kept()).validatorSignature, undefined)
  })

  it('does not know an object it has no lease for', async () => {
    const { service, validator, countersignature } = await leased()
    await assert.rejects(
      service.confirm(validator.publicKey, testId(32, 2), countersignature),
      coded('NOT_FOUND'),
    )
  })

  it('does not find the lease of one validator for another, with or without a shard', async () => {
    const { service, other, partition, lease, kept } = await leased()
    const signature = countersignLease(other, TEST_DOMAIN, lease)
    await assert.rejects(service.confirm(other.publicKey, OBJECT, signature), coded('NO_SPACE'))
    await partition.open(testHotkey(3).address)
    await assert.rejects(service.confirm(other.publicKey, OBJECT, signature), coded('NOT_FOUND'))
    assert.equal((await kept()).validatorSignature, undefined)
  })

  it('refuses a validator that is not the one of the lease it would find', async () => {
    const { service, other, partition, shard, lease } = await leased()
    partition.put(testHotkey(3).address, shard)
    const signature = countersignLease(other, TEST_DOMAIN, lease)
    await assert.rejects(service.confirm(other.publicKey, OBJECT, signature), coded('REFUSED'))
  })
})

describe('StoreService: renewal and release', () => {
  before(cryptoReady)

  async function leased() {
    const set = setUp()
    await set.shard.start()
    const chunks = [testChunk(1, 300), testChunk(2, 300)] as const
    for (const chunk of chunks) await set.shard.put(chunk)
    const { lease } = await set.service.lease(set.order, request(chunks.map(entryOf)))
    const renewal = (endBlock: number, signer = set.validator) => ({
      object: OBJECT,
      endBlock,
      validatorSignature: countersignLease(signer, TEST_DOMAIN, { ...lease, endBlock }),
    })
    const expiries = () =>
      Promise.all(chunks.map(async ({ digest }) => (await set.shard.describe(digest))?.expiresBlock))
    return { ...set, chunks, lease, renewal, expiries }
  }

  it('raises the end of the lease and of its chunks, signs it anew, and says the same when asked again', async () => {
    const { service, validator, shard, lease, renewal, expiries } = await leased()
    const minerSignature = await service.renew(validator.publicKey, renewal(800))
    checkLeaseHeld({ lease: { ...lease, endBlock: 800 }, minerSignature }, TEST_DOMAIN)
    assert.deepEqual(await expiries(), [800, 800])
    const kept = decodeMessage(keptLeaseSchema, (await shard.lease(OBJECT)) ?? OBJECT, 'lease')
    assert.deepEqual(kept.lease, { ...lease, endBlock: 800 })
    assert.notEqual(kept.validatorSignature, undefined, 'it counts')
    await service.renew(validator.publicKey, renewal(800))
    await assert.rejects(service.renew(validator.publicKey, renewal(799)), coded('INVALID'))
    assert.deepEqual(await expiries(), [800, 800])
  })

  it('renews nothing without the signature of the validator whose lease it is', async () => {
    const { service, validator, other, renewal, expiries } = await leased()
    await assert.rejects(service.renew(validator.publicKey, renewal(800, other)), coded('BAD_SIGNATURE'))
    const shorter = { ...renewal(800), endBlock: 801 }
    await assert.rejects(service.renew(validator.publicKey, shorter), coded('BAD_SIGNATURE'))
    await assert.rejects(
      service.renew(validator.publicKey, { ...renewal(800), object: testId(32, 7) }),
      coded('NOT_FOUND'),
    )
    assert.deepEqual(await expiries(), [500, 500])
  })

  it('ends a released lease at once, and drops its chunks when the time of the trash is over', async () => {
    const { service, validator, shard, expiries } = await leased()
    await service.release(validator.publicKey, OBJECT)
    assert.equal(await shard.lease(OBJECT), undefined)
    assert.deepEqual(await expiries(), [undefined, undefined], 'what is in the trash is not shown')
    assert.equal(shard.usage().trashBytes, 600)
    assert.equal(await shard.expire(79, 10), 0)
    assert.equal(await shard.expire(80, 10), 2)
    assert.equal(shard.usage().diskBytes, 0)
    await assert.rejects(service.release(validator.publicKey, OBJECT), coded('NOT_FOUND'))
  })

  it('leaves a chunk to another object whose lease names it too, until that ends', async () => {
    const { service, validator, order, chunks, expiries } = await leased()
    await service.lease(order, request([entryOf(chunks[1])], { object: testId(32, 2), endBlock: 90 }))
    await service.lease(order, request([entryOf(chunks[1])], { object: testId(32, 3), endBlock: 79 }))
    await service.release(validator.publicKey, OBJECT)
    assert.deepEqual(await expiries(), [undefined, 90])
    await service.release(validator.publicKey, testId(32, 2))
    assert.deepEqual(await expiries(), [undefined, 79])
    await service.release(validator.publicKey, testId(32, 3))
    assert.deepEqual(await expiries(), [undefined, undefined])
  })

  it('takes a chunk whose other lease has ended', async () => {
    const { service, validator, order, chunks, expiries, head } = await leased()
    await service.lease(order, request([entryOf(chunks[1])], { object: testId(32, 2), endBlock: 90 }))
    head.block = 90
    await service.release(validator.publicKey, OBJECT)
    assert.deepEqual(await expiries(), [undefined, undefined])
  })

  it('leases a chunk that a release threw away since it was put', async () => {
    const { service, validator, order, chunks, expiries } = await leased()
    await service.release(validator.publicKey, OBJECT)
    assert.deepEqual(await service.have(order, [chunks[1].digest]), [false])
    await service.lease(order, request([entryOf(chunks[1])], { object: testId(32, 2), endBlock: 90 }))
    assert.deepEqual(await expiries(), [undefined, 90])
  })

  it('renews a lease that has ended, with what is in the trash, until the time of the trash is over', async () => {
    const { service, validator, shard, renewal, expiries } = await leased()
    assert.equal(await shard.expire(569, 10, 639), 2)
    assert.deepEqual(await expiries(), [undefined, undefined])
    await service.renew(validator.publicKey, renewal(800))
    assert.deepEqual(await expiries(), [800, 800])
    assert.equal(await shard.expire(870, 10), 3)
    await assert.rejects(service.renew(validator.publicKey, renewal(900)), coded('NOT_FOUND'))
  })

  it('renews a lease of which it has lost a part, and lists that as lost until its new end', async () => {
    const { service, validator, shard, renewal, expiries, chunks } = await leased()
    await shard.remove(chunks[0].digest)
    await service.renew(validator.publicKey, renewal(800))
    assert.deepEqual(await expiries(), [undefined, 800])
    assert.deepEqual((await shard.losses(0, 10)).losses, [{ number: 1, digest: chunks[0].digest }])
    assert.equal(await shard.expire(799, 10), 0)
    await shard.remove(chunks[1].digest)
    await assert.rejects(service.renew(validator.publicKey, renewal(900)), coded('NOT_FOUND'))
  })

  it('counts a chunk once that a lease names in several places', async () => {
    const { service, validator, order, chunks, shard, expiries } = await leased()
    const twice = [entryOf(chunks[0]), entryOf(chunks[0], 1), entryOf(chunks[1], 2)]
    await service.lease(order, request(twice, { object: testId(32, 2) }))
    await service.release(validator.publicKey, OBJECT)
    assert.deepEqual(await expiries(), [500, 500])
    await service.release(validator.publicKey, testId(32, 2))
    assert.deepEqual(await expiries(), [undefined, undefined])
    assert.equal(await shard.expire(80, 10), 2)
  })

  it('does not release the lease of another validator', async () => {
    const { service, other, partition, shard } = await leased()
    partition.put(testHotkey(3).address, shard)
    await assert.rejects(service.release(other.publicKey, OBJECT), coded('REFUSED'))
    assert.ok(await shard.lease(OBJECT))
  })
})
