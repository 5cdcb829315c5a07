import assert from 'node:assert/strict'
import { type Order, signOrder } from '../../../../protocols/order/order.js'
import type { OrderAccount } from '../../../../protocols/retrieve/exchange.js'
import type { Receipt } from '../../../../protocols/retrieve/receipt.js'
import { RECEIPT_GAP_BYTES_MAX } from '../../../../protocols/retrieve/receipt.js'
import type { ErrorCode } from '../../../../src/base/errors.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { MIB } from '../../../../src/base/units.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { CLAIM_BLOCKS, LOST_BYTES_MAX, Receipts } from '../../../../src/roles/miner/receipts.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { SimDisk } from '../../../kit/sim-disk.js'
import { testId } from '../../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const WRITE_MS = 5_000
const nobody = { onRoom: () => undefined }

function orderOf(number: number, expiresBlock = 100, validator = 2): Order {
  return signOrder(testHotkey(validator).signer, TEST_DOMAIN, {
    verb: 'get',
    client: testId(32, 9),
    miner: testHotkey(1).signer.publicKey,
    maxBytes: 2 ** 40,
    serial: new Uint8Array(16).fill(number),
    expiresBlock,
    leaseEndBlock: expiresBlock,
  })
}

/** Its signature is the wire's business, and checked before it comes here. */
function receiptOf(bytes: number): Receipt {
  return { bytes, signature: new Uint8Array(64).fill(bytes % 256) }
}

async function setUp() {
  const disk = new SimDisk()
  const clock = new FakeClock()
  const head = { block: 10 }
  const components = { clock, logger: silentLogger, head, openIndex: disk.openIndex }
  const open = async () => {
    const receipts = new Receipts(components, '/receipts')
    await receipts.start()
    return receipts
  }
  return { disk, clock, head, open, receipts: await open() }
}

async function keptOf(receipts: Receipts): Promise<[serial: number, bytes: number][]> {
  const kept: [number, number][] = []
  for await (const { order, receipt } of receipts.kept()) kept.push([order.serial[0] ?? 0, receipt.bytes])
  return kept
}

/** Sends and confirms so many bytes on a stream of its own. */
async function serve(
  receipts: Receipts,
  order: Order,
  sentBytes: number,
  confirmedBytes: number,
): Promise<void> {
  const account = await receipts.account(order, nobody)
  account.send(sentBytes)
  if (confirmedBytes > 0) account.confirm(receiptOf(confirmedBytes))
  account.close()
}

describe('Receipts: an account', () => {
  before(cryptoReady)

  it('has room for the gap beyond the newest receipt, shared by all streams of the order', async () => {
    const { receipts } = await setUp()
    const woken: string[] = []
    const streams: OrderAccount[] = []
    for (const name of ['a', 'b']) {
      streams.push(await receipts.account(orderOf(1), { onRoom: () => woken.push(name) }))
    }
    const [a, b] = streams as [OrderAccount, OrderAccount]
    a.send(3 * MIB)
    b.send(3 * MIB)
    assert.equal(a.roomBytes, RECEIPT_GAP_BYTES_MAX - 6 * MIB)
    assert.equal(b.roomBytes, a.roomBytes)
    a.confirm(receiptOf(4 * MIB))
    assert.deepEqual(woken, ['a', 'b'])
    assert.equal(b.roomBytes, RECEIPT_GAP_BYTES_MAX - 2 * MIB)
    a.close()
    b.confirm(receiptOf(5 * MIB))
    assert.deepEqual(woken, ['a', 'b', 'b'])
  })

  it('of another validator is another one, whatever the serial', async () => {
    const { receipts } = await setUp()
    const [a, b] = [
      await receipts.account(orderOf(1, 100, 2), nobody),
      await receipts.account(orderOf(1, 100, 3), nobody),
    ]
    a.send(MIB)
    assert.equal(b.roomBytes, RECEIPT_GAP_BYTES_MAX)
    assert.equal(receipts.traffic(orderOf(1, 100, 3).validator).servedBytes, 0)
  })

  it('takes no receipt for more than was sent, and passes over one that was overtaken', async () => {
    const { receipts } = await setUp()
    const account = await receipts.account(orderOf(1), nobody)
    account.send(100)
    assert.throws(() => account.confirm(receiptOf(101)), coded('INVALID'))
    account.confirm(receiptOf(100))
    account.confirm(receiptOf(60))
    assert.equal(account.roomBytes, RECEIPT_GAP_BYTES_MAX)
  })

  it('that never sees a receipt is refused once too much is lost', async () => {
    const { receipts } = await setUp()
    for (let lostBytes = 0; lostBytes <= LOST_BYTES_MAX; lostBytes += RECEIPT_GAP_BYTES_MAX) {
      const account = await receipts.account(orderOf(1), nobody)
      assert.equal(account.roomBytes, RECEIPT_GAP_BYTES_MAX)
      account.send(RECEIPT_GAP_BYTES_MAX)
      assert.equal(account.roomBytes, 0)
      account.close()
    }
    await assert.rejects(receipts.account(orderOf(1), nobody), coded('REFUSED'))
    await receipts.account(orderOf(2), nobody)
  })
})

describe('Receipts: on the disk', () => {
  before(cryptoReady)

  it('are the newest of each order, written many at once, and there again after a restart', async () => {
    const { disk, clock, open, receipts } = await setUp()
    await serve(receipts, orderOf(1), 100, 100)
    await serve(receipts, orderOf(1), 100, 150)
    await serve(receipts, orderOf(2, 90), 7, 7)
    await serve(receipts, orderOf(3), 100, 0)
    assert.equal(disk.count('index.write'), 0)
    await clock.advance(WRITE_MS)
    assert.equal(disk.count('index.write'), 1)
    const expected = [
      [2, 7],
      [1, 150],
    ]
    assert.deepEqual(await keptOf(receipts), expected)
    const again = await open()
    assert.deepEqual(await keptOf(again), expected)
    const traffic = { servedBytes: 307, receiptedBytes: 157 }
    assert.deepEqual(again.traffic(orderOf(1).validator), traffic)
    // What was sent is known too: 50 bytes of it are not confirmed.
    const account = await again.account(orderOf(1), nobody)
    account.confirm(receiptOf(200))
    assert.throws(() => account.confirm(receiptOf(201)), coded('INVALID'))
  })

  it('are not written again while nothing changes', async () => {
    const { disk, clock, receipts } = await setUp()
    await serve(receipts, orderOf(1), 100, 100)
    await clock.advance(10 * WRITE_MS)
    assert.equal(disk.count('index.write'), 1)
  })

  it('are written at the end', async () => {
    const { open, receipts } = await setUp()
    await serve(receipts, orderOf(1), 100, 100)
    await receipts.stop()
    assert.deepEqual(await keptOf(await open()), [[1, 100]])
  })

  it('of a crash are made good by the next one, which the client shows first', async () => {
    const { open, receipts } = await setUp()
    await serve(receipts, orderOf(1), 5_000, 5_000)
    const again = await open()
    const account = await again.account(orderOf(1), { ...nobody, receipt: receiptOf(5_000) })
    account.send(100)
    account.confirm(receiptOf(5_100))
    await again.stop()
    assert.deepEqual(await keptOf(await open()), [[1, 5_100]])
  })

  it('wait in memory while the disk fails', async () => {
    const { disk, clock, receipts } = await setUp()
    await serve(receipts, orderOf(1), 100, 100)
    disk.onOperation = () => {
      throw new Error('full')
    }
    await clock.advance(2 * WRITE_MS)
    assert.deepEqual(await keptOf(receipts), [])
    disk.onOperation = () => undefined
    await clock.advance(WRITE_MS)
    assert.deepEqual(await keptOf(receipts), [[1, 100]])
  })

  it('are forgotten when they cannot be claimed any more, and not before', async () => {
    const { clock, head, receipts } = await setUp()
    await serve(receipts, orderOf(1, 100), 100, 100)
    await serve(receipts, orderOf(2, 101), 100, 100)
    await clock.advance(WRITE_MS)
    head.block = 100 + CLAIM_BLOCKS
    await clock.advance(2 * WRITE_MS)
    assert.equal((await keptOf(receipts)).length, 2)
    head.block += 1
    await clock.advance(2 * WRITE_MS)
    assert.deepEqual(await keptOf(receipts), [[2, 100]])
  })
})
