import assert from 'node:assert/strict'
import { type Order, signOrder } from '../../../../protocols/order/order.js'
import type { ErrorCode } from '../../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { LEAF_BYTES, verifyRange } from '../../../../src/crypto/merkle.js'
import { Allowance } from '../../../../src/roles/miner/allowance.js'
import type { KeeperMessage } from '../../../../src/roles/miner/keeper.js'
import { findChunk, RetrieveService } from '../../../../src/roles/miner/retrieve-service.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { freeAccount } from '../../../kit/order-accounts.js'
import { RecordingRef } from '../../../kit/recording-context.js'
import { bodyOf, testChunk, testId } from '../../../kit/test-chunk.js'
import { testDisk } from '../../../kit/test-disk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'
import { until } from '../../../kit/until.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)

/** Three leaves, the last of 100 bytes. */
const CHUNK = testChunk(1, 2 * LEAF_BYTES + 100)

/** A keeper that grants everything, or refuses with `refusal`. */
class Granting extends RecordingRef<KeeperMessage> {
  refusal: Error | undefined

  override ask: RecordingRef<KeeperMessage>['ask'] = (type, fields, options) => {
    const answer = RecordingRef.prototype.ask.call(this, type, fields as never, options)
    if (this.refusal === undefined) this.asked.at(-1)?.answer(undefined)
    else this.asked.at(-1)?.refuse(this.refusal)
    return answer as never
  }
}

async function setUp(holder = 2) {
  const partition = new MemoryPartition()
  await partition.open(testHotkey(2).address)
  await (await partition.open(testHotkey(holder).address)).put(CHUNK)
  const keeper = new Granting()
  const clock = new FakeClock()
  const allowance = new Allowance(clock, {
    peerBytesPerHour: CHUNK.sizeBytes + 100,
    totalBytesPerHour: 2 ** 20,
    peersMax: 4,
  })
  const disk = testDisk()
  const { health, inspector } = disk
  const receipts = { account: async () => freeAccount() }
  const service = new RetrieveService({ keeper, shards: partition, allowance, receipts, health, inspector })
  const order: Order = signOrder(testHotkey(2).signer, TEST_DOMAIN, {
    verb: 'get',
    client: testId(32, 9),
    miner: testHotkey(1).signer.publicKey,
    maxBytes: 10_000,
    serial: testId(16, 1),
    expiresBlock: 60,
    leaseEndBlock: 60,
  })
  return { partition, keeper, service, order, disk }
}

describe('RetrieveService', () => {
  before(cryptoReady)

  it('gives a whole chunk without proof, which its digest proves', async () => {
    const { service, order } = await setUp()
    const range = await service.read(order, CHUNK.digest, 0, 0)
    assert.deepEqual(range, { sizeBytes: CHUNK.sizeBytes, bytes: bodyOf(CHUNK), proof: [] })
  })

  for (const [firstLeaf, leaves, title] of [
    [0, 1, 'the first leaf'],
    [1, 2, 'leaves to the end'],
    [2, 1, 'the short last leaf'],
    [1, 0, 'all from a leaf on'],
  ] as const) {
    it(`gives ${title} with a proof that verifies`, async () => {
      const { service, order } = await setUp()
      const { sizeBytes, bytes, proof } = await service.read(order, CHUNK.digest, firstLeaf, leaves)
      const end = leaves === 0 ? 3 : firstLeaf + leaves
      assert.deepEqual(bytes, bodyOf(CHUNK).slice(firstLeaf * LEAF_BYTES, end * LEAF_BYTES))
      assert.ok(verifyRange({ root: CHUNK.auditRoot, sizeBytes, firstLeaf, leaves: bytes, proof }))
    })
  }

  it('takes exactly the bytes it gives from the order, before it reads them', async () => {
    const { service, order, keeper } = await setUp()
    await service.read(order, CHUNK.digest, 2, 1)
    const spent = keeper.asked.map(({ type, fields }) => [type, (fields as { sizeBytes: number }).sizeBytes])
    assert.deepEqual(spent, [['spend', 100]])
    keeper.refusal = new SubnetError('REFUSED', 'used up')
    await assert.rejects(service.read(order, CHUNK.digest, 0, 0), coded('REFUSED'))
  })

  it('refuses leaves the chunk has not, and takes nothing for them', async () => {
    const { service, order, keeper } = await setUp()
    for (const [first, leaves] of [
      [3, 0],
      [3, 1],
      [2, 2],
      [0, 4],
    ] as const) {
      await assert.rejects(service.read(order, CHUNK.digest, first, leaves), coded('INVALID'))
    }
    assert.deepEqual(keeper.asked, [])
  })

  it('does not find what nobody holds', async () => {
    const { service, order } = await setUp()
    await assert.rejects(service.read(order, testId(32, 5), 0, 0), coded('NOT_FOUND'))
  })

  it("finds a chunk in another validator's shard, and charges the order's own", async () => {
    const { service, order, partition } = await setUp(3)
    const { bytes } = await service.read(order, CHUNK.digest, 0, 0)
    await service.served(order, bytes.length)
    assert.equal(await partition.get(testHotkey(2).address)?.orderUse(order.serial), CHUNK.sizeBytes)
    assert.equal(await partition.get(testHotkey(3).address)?.orderUse(order.serial), 0)
  })

  it('gives without an order what the allowance permits, counting only what it gives', async () => {
    const { service, keeper } = await setUp(3)
    await assert.rejects(service.readWithoutOrder('a', testId(32, 5), 0, 0), coded('NOT_FOUND'))
    await assert.rejects(service.readWithoutOrder('a', CHUNK.digest, 3, 1), coded('INVALID'))
    assert.deepEqual((await service.readWithoutOrder('a', CHUNK.digest, 0, 0)).bytes, bodyOf(CHUNK))
    assert.equal((await service.readWithoutOrder('a', CHUNK.digest, 2, 1)).bytes.length, 100)
    await assert.rejects(service.readWithoutOrder('a', CHUNK.digest, 2, 1), coded('BUSY'))
    await service.readWithoutOrder('b', CHUNK.digest, 2, 1)
    assert.deepEqual(keeper.asked, [], 'no order is charged')
  })

  it('says which chunks are held, in whichever shard', async () => {
    const { service } = await setUp(3)
    const digests = [testId(32, 5), CHUNK.digest, CHUNK.digest]
    assert.deepEqual(await service.have(digests), [false, true, true])
  })

  it('does not find a chunk that it cannot read any more, and lists it as lost', async () => {
    const { service, order, partition } = await setUp()
    const shard = partition.get(testHotkey(2).address)
    assert.ok(shard !== undefined)
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await assert.rejects(service.read(order, CHUNK.digest, 0, 0), coded('NOT_FOUND'))
    assert.equal(shard.usage().lostChunks, 1)
    assert.deepEqual(await service.have([CHUNK.digest]), [false])
  })

  it('gives no leaf that is not what it was, and lists the chunk as lost', async () => {
    const { service, order, partition } = await setUp()
    const shard = partition.get(testHotkey(2).address)
    assert.ok(shard !== undefined)
    shard.read = async (_, __, lengthBytes) => new Uint8Array(lengthBytes)
    await assert.rejects(service.read(order, CHUNK.digest, 1, 1), coded('NOT_FOUND'))
    assert.equal(shard.usage().lostChunks, 1)
  })

  it('finds out from a whole chunk that it gave that it is not what it was', async () => {
    const { service, order, partition } = await setUp()
    const shard = partition.get(testHotkey(2).address)
    assert.ok(shard !== undefined)
    shard.read = async (_, __, lengthBytes) => new Uint8Array(lengthBytes)
    await service.read(order, CHUNK.digest, 0, 0)
    await until(() => shard.usage().lostChunks === 1, { deadlineMs: 2_000 })
  })

  it('gives nothing while the disk does not work, and loses nothing for that', async () => {
    const { service, order, partition, disk } = await setUp()
    const shard = partition.get(testHotkey(2).address)
    assert.ok(shard !== undefined)
    disk.works = false
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await assert.rejects(service.read(order, CHUNK.digest, 0, 0), coded('UNAVAILABLE'))
    await assert.rejects(service.readWithoutOrder('a', CHUNK.digest, 0, 0), coded('UNAVAILABLE'))
    await assert.rejects(service.have([CHUNK.digest]), coded('UNAVAILABLE'))
    assert.equal(shard.usage().lostChunks, 0)
  })

  it('goes on reading while the disk is only not written, and says nothing of what it cannot read', async () => {
    const { service, order, partition, disk } = await setUp()
    const shard = partition.get(testHotkey(2).address)
    assert.ok(shard !== undefined)
    const read = shard.read
    disk.works = false
    disk.refuses = 'writes'
    shard.read = () => Promise.reject(new SubnetError('DISK', 'EIO'))
    await assert.rejects(service.read(order, CHUNK.digest, 0, 0), coded('UNAVAILABLE'))
    shard.read = read
    assert.equal((await service.read(order, CHUNK.digest, 0, 0)).sizeBytes, CHUNK.sizeBytes)
    assert.deepEqual(await service.have([CHUNK.digest]), [true])
    assert.equal(shard.usage().lostChunks, 0)
  })

  it('looks into the likely shard first', async () => {
    const { partition } = await setUp(3)
    const likely = partition.get(testHotkey(2).address)
    await likely?.put({ ...CHUNK, expiresBlock: 77 })
    const found = await findChunk(partition, CHUNK.digest, likely)
    assert.equal(found.shard, likely)
    assert.equal(found.chunk.info.expiresBlock, 77)
  })
})
