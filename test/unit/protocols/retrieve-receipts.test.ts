import assert from 'node:assert/strict'
import type { FrameStream } from '../../../protocols/common/frames.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import { RetrieveStream } from '../../../protocols/retrieve/client.js'
import {
  RECEIPT_TIMEOUT_MS,
  RECEIPTS_PER_MIB_MAX,
  RETRIEVE,
  type RetrieveAnswer,
  retrieveAnswerSchema,
  retrieveOpenedSchema,
} from '../../../protocols/retrieve/messages.js'
import {
  OrderTally,
  RECEIPT_GAP_BYTES_MAX,
  RECEIPT_STEP_BYTES,
  type Receipt,
  signReceipt,
} from '../../../protocols/retrieve/receipt.js'
import { serveRetrieve } from '../../../protocols/retrieve/server.js'
import { silentLogger } from '../../../src/base/log.js'
import { MIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { Receipts } from '../../../src/roles/miner/receipts.js'
import { type SessionsPair, sessionsPair, settle, signerOf } from '../../kit/sessions-pair.js'
import { SimDisk } from '../../kit/sim-disk.js'
import { testOrder, testTally, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const CHUNK = wireChunk(1, MIB)

interface Fixture extends SessionsPair {
  readonly receipts: Receipts
  /** A miner that was restarted without a moment to write. */
  crash(): Promise<void>
}

/** A miner that keeps real receipts and has one chunk. */
async function fixture(): Promise<Fixture> {
  const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
  const { clock, authority, far } = pair
  const disk = new SimDisk()
  const started = async () => {
    const components = { clock, logger: silentLogger, head: authority, openIndex: disk.openIndex }
    const receipts = new Receipts(components, '/receipts')
    await receipts.start()
    return receipts
  }
  const state = { receipts: await started() }
  serveRetrieve(
    {
      ...far.components,
      handler: {
        account: (order, request) => state.receipts.account(order, request),
        read: async () => ({ sizeBytes: MIB, bytes: CHUNK.bytes, proof: [] }),
        readWithoutOrder: async () => ({ sizeBytes: MIB, bytes: CHUNK.bytes, proof: [] }),
        served: async () => undefined,
      },
    },
    { domain: TEST_DOMAIN, miner: far.signer.publicKey },
  )
  return {
    ...pair,
    get receipts() {
      return state.receipts
    },
    crash: async () => {
      state.receipts = await started()
    },
  }
}

/** An open stream whose frames the test writes itself, with credit for everything. */
async function raw(
  pair: SessionsPair,
  open: object = { order: testOrder(pair, 'get') },
): Promise<FrameStream> {
  const frames = await pair.near.openRaw(pair.far, RETRIEVE)
  await frames.writeMessage({ type: 'open', ...open })
  assert.equal((await frames.readMessage(retrieveOpenedSchema, 'opened')).type, 'opened')
  await frames.writeMessage({ type: 'credit', bytes: 2 ** 40 })
  return frames
}

async function answerOf(frames: FrameStream): Promise<RetrieveAnswer> {
  const answer = await frames.readMessage(retrieveAnswerSchema, 'answer', { waitMs: 1e9 })
  if (answer.type === 'body') await frames.readBytes(answer.lengthBytes)
  return answer
}

/** Asks for this many chunks and takes them. */
async function take(frames: FrameStream, count: number, first = 0): Promise<void> {
  for (let number = first; number < first + count; number += 1) {
    await frames.writeMessage({ type: 'get', number, digest: CHUNK.digest, firstLeaf: 0, leaves: 0 })
    assert.equal((await answerOf(frames)).type, 'body')
  }
}

async function ask(frames: FrameStream): Promise<void> {
  await frames.writeMessage({ type: 'get', number: 99, digest: CHUNK.digest, firstLeaf: 0, leaves: 0 })
}

async function confirm(frames: FrameStream, receipt: Receipt): Promise<void> {
  await frames.writeMessage({ type: 'credit', bytes: 2 ** 40, receipt })
}

function statusOf(answer: RetrieveAnswer): number {
  return answer.type === 'failure' ? answer.status : assert.fail(answer.type)
}

function receiptOf(pair: SessionsPair, bytes: number, order = testOrder(pair, 'get')): Receipt {
  return signReceipt(pair.near.signer, TEST_DOMAIN, order, bytes)
}

const GAP_CHUNKS = RECEIPT_GAP_BYTES_MAX / MIB

describe('receipts: an honest client', () => {
  before(cryptoReady)

  it('gets far more than the gap, signs now and then, and has confirmed every byte at the end', async () => {
    const pair = await fixture()
    const tally = testTally(pair)
    const stream = await RetrieveStream.open(pair.near.components, pair.far.known, tally)
    const chunks = 4 * GAP_CHUNKS
    for (let i = 0; i < chunks / 4; i += 1) {
      await Promise.all(Array.from({ length: 4 }, () => stream.get(CHUNK)))
    }
    const { validator } = tally.order
    const before = pair.receipts.traffic(validator)
    assert.equal(before.servedBytes, chunks * MIB)
    assert.ok(before.receiptedBytes >= chunks * MIB - RECEIPT_STEP_BYTES - MIB)
    await stream.close()
    await settle()
    assert.deepEqual(pair.receipts.traffic(validator), {
      servedBytes: chunks * MIB,
      receiptedBytes: chunks * MIB,
    })
    assert.equal(tally.newest?.bytes, chunks * MIB)
  })

  it('uses one order on several streams at once', async () => {
    const pair = await fixture()
    const tally = testTally(pair)
    const open = () => RetrieveStream.open(pair.near.components, pair.far.known, tally)
    const streams = await Promise.all([open(), open(), open()])
    for (let round = 0; round < 4; round += 1) {
      await Promise.all(streams.flatMap((stream) => Array.from({ length: 4 }, () => stream.get(CHUNK))))
    }
    for (const stream of streams) await stream.close()
    await settle()
    assert.equal(pair.receipts.traffic(tally.order.validator).receiptedBytes, 48 * MIB)
  })

  it('goes on where the miner has forgotten the last seconds', async () => {
    const pair = await fixture()
    const tally = testTally(pair)
    const stream = await RetrieveStream.open(pair.near.components, pair.far.known, tally)
    for (let i = 0; i < 2 * GAP_CHUNKS; i += 1) await stream.get(CHUNK)
    stream.abort(new Error('the miner is gone'))
    await settle()
    await pair.crash()
    const again = await RetrieveStream.open(pair.near.components, pair.far.known, tally)
    for (let i = 0; i < 2 * GAP_CHUNKS; i += 1) await again.get(CHUNK)
    await again.close()
    await settle()
    assert.equal(pair.receipts.traffic(tally.order.validator).receiptedBytes, 4 * GAP_CHUNKS * MIB)
  })

  it('is not held responsible for what was lost when streams broke, up to a limit', async () => {
    const pair = await fixture()
    for (let lost = 0; lost < 8; lost += 1) {
      const frames = await raw(pair)
      await take(frames, GAP_CHUNKS)
      frames.abort(new Error('broken'))
      await settle()
    }
    const frames = await raw(pair)
    await take(frames, 1)
    frames.abort(new Error('broken'))
    await settle()
    await assert.rejects(raw(pair), /failure/)
  })
})

describe('receipts: a client that gives none', () => {
  before(cryptoReady)

  it('gets 8 MiB and is cut off with REFUSED', async () => {
    const pair = await fixture()
    const frames = await raw(pair)
    await take(frames, GAP_CHUNKS)
    await ask(frames)
    await pair.clock.advance(RECEIPT_TIMEOUT_MS - 1)
    const answer = answerOf(frames)
    await pair.clock.advance(1)
    assert.equal(statusOf(await answer), WIRE_STATUS.REFUSED)
  })

  it('is told at once when it has ended its half', async () => {
    const pair = await fixture()
    const frames = await raw(pair)
    await take(frames, GAP_CHUNKS)
    await ask(frames)
    await frames.end()
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.REFUSED)
  })

  it('goes on when the receipt comes in time, also on another stream of the order', async () => {
    const pair = await fixture()
    const [frames, other] = [await raw(pair), await raw(pair)]
    await take(frames, GAP_CHUNKS)
    await ask(frames)
    await pair.clock.advance(RECEIPT_TIMEOUT_MS - 1)
    await confirm(other, receiptOf(pair, MIB))
    assert.equal((await answerOf(frames)).type, 'body')
    await ask(frames)
    await pair.clock.advance(RECEIPT_TIMEOUT_MS - 1)
    await confirm(frames, receiptOf(pair, 2 * MIB))
    assert.equal((await answerOf(frames)).type, 'body')
    frames.abort(new Error('enough'))
    other.abort(new Error('enough'))
    await settle()
    assert.equal(pair.clock.pendingTimers, 1, 'only the next write of receipts is due')
  })

  it('does not get around it with a second stream', async () => {
    const pair = await fixture()
    const [frames, other] = [await raw(pair), await raw(pair)]
    await take(frames, GAP_CHUNKS)
    await ask(other)
    const answer = answerOf(other)
    await pair.clock.advance(RECEIPT_TIMEOUT_MS)
    assert.equal(statusOf(await answer), WIRE_STATUS.REFUSED)
  })
})

describe('receipts: what is refused', () => {
  before(cryptoReady)

  const WRONG: readonly [string, number, (pair: SessionsPair) => Receipt][] = [
    ['signed by another key', WIRE_STATUS.BAD_SIGNATURE, forged],
    ['for another order', WIRE_STATUS.BAD_SIGNATURE, ofAnotherOrder],
    [
      'for another number of bytes',
      WIRE_STATUS.BAD_SIGNATURE,
      (pair) => ({ ...receiptOf(pair, 1), bytes: 2 }),
    ],
    ['for more than was sent', WIRE_STATUS.INVALID, (pair) => receiptOf(pair, 2 * MIB + 1)],
    ['for more than the order permits', WIRE_STATUS.INVALID, (pair) => receiptOf(pair, 65 * MIB)],
  ]
  for (const [what, status, wrong] of WRONG) {
    it(`a receipt ${what}`, async () => {
      const pair = await fixture()
      const frames = await raw(pair)
      await take(frames, 2)
      await confirm(frames, wrong(pair))
      assert.equal(statusOf(await answerOf(frames)), status)
      assert.equal(pair.receipts.traffic(testOrder(pair, 'get').validator).receiptedBytes, 0)
    })
  }

  it('a receipt that is not higher than the one before', async () => {
    for (const bytes of [MIB, MIB - 1]) {
      const pair = await fixture()
      const frames = await raw(pair)
      await take(frames, 2)
      await confirm(frames, receiptOf(pair, MIB))
      await confirm(frames, receiptOf(pair, bytes))
      assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
      assert.equal(pair.receipts.traffic(testOrder(pair, 'get').validator).receiptedBytes, MIB)
    }
  })

  it('more receipts than bytes are worth checking them', async () => {
    const pair = await fixture()
    const frames = await raw(pair)
    await take(frames, 2)
    for (let count = 1; count <= 2 + 2 * RECEIPTS_PER_MIB_MAX; count += 1) {
      await confirm(frames, receiptOf(pair, count))
    }
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
    const { receiptedBytes } = pair.receipts.traffic(testOrder(pair, 'get').validator)
    assert.equal(receiptedBytes, 1 + 2 * RECEIPTS_PER_MIB_MAX)
  })

  it('one at the opening that is forged, and one without an order', async () => {
    const pair = await fixture()
    const order = testOrder(pair, 'get')
    for (const [open, status] of [
      [{ order, receipt: forged(pair) }, WIRE_STATUS.BAD_SIGNATURE],
      [{ receipt: receiptOf(pair, MIB) }, WIRE_STATUS.INVALID],
    ] as const) {
      const frames = await pair.near.openRaw(pair.far, RETRIEVE)
      await frames.writeMessage({ type: 'open', ...open })
      const answer = await frames.readMessage(retrieveOpenedSchema, 'opened')
      assert.equal(answer.type === 'failure' && answer.status, status)
    }
    const frames = await raw(pair, {})
    await confirm(frames, receiptOf(pair, MIB))
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
  })

  function forged(pair: SessionsPair): Receipt {
    return signReceipt(signerOf('client', 'another'), TEST_DOMAIN, testOrder(pair, 'get'), MIB)
  }

  function ofAnotherOrder(pair: SessionsPair): Receipt {
    return receiptOf(pair, MIB, testOrder(pair, 'get', { serial: new Uint8Array(16).fill(7) }))
  }
})

describe('receipts: without an order', () => {
  before(cryptoReady)

  it('none is given and none is asked for', async () => {
    const pair = await fixture()
    const stream = await RetrieveStream.open(pair.near.components, pair.far.known, undefined)
    for (let i = 0; i < 2 * GAP_CHUNKS; i += 1) await stream.get(CHUNK)
    await stream.close()
  })
})

describe('OrderTally', () => {
  before(cryptoReady)

  it('signs only what has grown, and never less than before', () => {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
    const tally = new OrderTally(testOrder(pair, 'get'), { signer: pair.near.signer, domain: TEST_DOMAIN })
    assert.equal(tally.sign(1), undefined)
    tally.add(10)
    assert.equal(tally.sign(11), undefined)
    assert.equal(tally.sign(10)?.bytes, 10)
    assert.equal(tally.sign(1), undefined)
    tally.add(1)
    assert.deepEqual(tally.sign(1), tally.newest)
    assert.equal(tally.newest?.bytes, 11)
  })
})
