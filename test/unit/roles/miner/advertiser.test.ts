import assert from 'node:assert/strict'
import { encodeMessage } from '../../../../protocols/common/schema.js'
import { DAG_SEGMENT, type Lease, MANIFEST_SEGMENT, signLease } from '../../../../protocols/lease/lease.js'
import { SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { PROVIDER_RECORD_MS } from '../../../../src/net/net.js'
import { advertiser } from '../../../../src/roles/miner/advertiser.js'
import type { Shard } from '../../../../src/shard/shard.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testId } from '../../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

const INIT = { startDelayMs: 10, chunksPerHour: 1, nodesMax: 5 }
const CHUNK_PAUSE_MS = 3_600_000
const RETRY_MS = 30_000

/** The manifest's root and one chunk of it, digests `number` and `100 + number`. */
function leaseOf(number: number, endBlock = 100): Lease {
  return {
    object: testId(32, number),
    validator: testHotkey(2).signer.publicKey,
    miner: testHotkey(1).signer.publicKey,
    entries: [
      [testId(32, 100 + number), testId(32, 0), 5, 0, 0],
      [testId(32, number), testId(32, 0), 5, MANIFEST_SEGMENT, 0],
    ],
    startBlock: number,
    endBlock,
  }
}

function keptBytes(lease: Lease, isCounted = true): Uint8Array {
  const signed = signLease(testHotkey(1).signer, TEST_DOMAIN, lease)
  return encodeMessage({ ...signed, ...(isCounted ? { validatorSignature: new Uint8Array(64) } : {}) })
}

function setUp(kept: readonly Uint8Array[] = []) {
  const announced: string[] = []
  const provide = async (digest: Uint8Array) => {
    announced.push(Buffer.from(digest).toString('hex'))
  }
  async function* leases() {
    yield* kept
  }
  const shards = { all: () => [{ leases } as unknown as Shard] }
  const head = { block: 20 }
  const context = new RecordingContext(
    advertiser({ net: { provide }, shards, head, logger: silentLogger }, INIT),
  )
  /** Runs the newest task. */
  const run = async () => await context.tasks.at(-1)?.run()
  const pending = () => context.timers.filter((timer) => timer.pending)
  const timer = (delayMs: number) => {
    const found = pending().find((each) => each.delayMs === delayMs)
    assert.ok(found !== undefined, `a timer of ${delayMs} ms`)
    return found
  }
  /** What was announced, as the numbers of the digests. */
  const numbers = () => announced.map((digest) => NUMBERS.get(digest))
  return { context, head, run, timer, pending, numbers }
}

const NUMBERS = new Map(
  Array.from({ length: 200 }, (_, number) => [Buffer.from(testId(32, number)).toString('hex'), number]),
)

describe('advertiser', () => {
  before(cryptoReady)

  it('announces what counts from now on: manifest nodes at once, chunks within the budget, the newest first', async () => {
    const { context, run, timer, numbers } = setUp()
    context.send({ type: 'counted', lease: leaseOf(1) })
    context.send({ type: 'counted', lease: leaseOf(2) })
    context.send({ type: 'counted', lease: leaseOf(3) })
    assert.equal(context.tasks.length, 1, 'one at a time')
    for (let i = 0; i < 4; i += 1) await run()
    assert.deepEqual(numbers(), [1, 3, 2, 103])
    assert.equal(context.tasks.length, 4, 'the next chunk waits for the budget')
    timer(CHUNK_PAUSE_MS).fire()
    await run()
    assert.deepEqual(numbers().slice(4), [102])
  })

  it('announces blocks of an IPFS file as nodes, a digest that is a chunk as well only once', async () => {
    const { context, run, numbers } = setUp()
    const lease = leaseOf(1)
    const [chunk] = lease.entries as [Lease['entries'][0]]
    const [digest, auditRoot, sizeBytes] = chunk
    const twice: Lease['entries'] = [chunk, [digest, auditRoot, sizeBytes, DAG_SEGMENT, 0], chunk]
    context.send({
      type: 'counted',
      lease: { ...lease, entries: [...twice, [testId(32, 9), auditRoot, 5, 0, 1]] },
    })
    await run()
    assert.deepEqual(numbers(), [101], 'before the other chunk, and without its budget')
    await run()
    assert.deepEqual(numbers(), [101, 9])
  })

  it('walks the leases at start, and again at half the life of a record', async () => {
    const over = leaseOf(4, 20)
    const kept = [leaseOf(5), over, leaseOf(9), leaseOf(7)].map((lease) => keptBytes(lease))
    const { context, run, timer, numbers } = setUp([...kept, keptBytes(leaseOf(8), false)])
    timer(INIT.startDelayMs).fire()
    for (let i = 0; i < 5; i += 1) await run()
    assert.deepEqual(numbers(), [9, 7, 5, 109], 'not the one that is over, nor the one that does not count')
    timer(PROVIDER_RECORD_MS / 2).fire()
    await run()
    await run()
    assert.deepEqual(numbers().slice(4), [9])
    assert.equal(context.tasks.length, 8, 'the next one is on its way')
  })

  it('announces no more chunks than one round can, and leaves the oldest out', async () => {
    const kept = Array.from({ length: 19 }, (_, i) => keptBytes(leaseOf(i + 1)))
    const { run, timer, numbers } = setUp(kept)
    timer(INIT.startDelayMs).fire()
    for (let i = 0; i < 7; i += 1) await run()
    assert.deepEqual(numbers(), [19, 18, 17, 16, 15, 119], 'five nodes at most')
    for (let i = 0; i < 11; i += 1) {
      timer(CHUNK_PAUSE_MS).fire()
      await run()
    }
    timer(CHUNK_PAUSE_MS).fire()
    assert.deepEqual(numbers().slice(6), [118, 117, 116, 115, 114, 113, 112, 111, 110, 109, 108])
  })

  it('tries again later what nobody took, and meanwhile nothing else', async () => {
    const { context, run, timer, numbers } = setUp()
    context.send({ type: 'counted', lease: leaseOf(1) })
    context.tasks[0]?.fail(new SubnetError('TOO_FEW_PEERS', 'alone'))
    context.send({ type: 'counted', lease: leaseOf(2) })
    assert.equal(context.tasks.length, 1)
    timer(RETRY_MS).fire()
    await run()
    await run()
    assert.deepEqual(numbers(), [2, 1])
  })

  it('does not announce a lease that ended while it waited', async () => {
    const { context, head, run, numbers } = setUp()
    context.send({ type: 'counted', lease: leaseOf(1, 30) })
    head.block = 30
    await run()
    assert.deepEqual(numbers(), [1])
    assert.equal(context.tasks.length, 1)
  })

  it('walks again soon after a walk that failed, and past a lease that is not readable', async () => {
    const { context, run, timer, pending, numbers } = setUp([new Uint8Array([1]), keptBytes(leaseOf(3))])
    timer(INIT.startDelayMs).fire()
    context.tasks[0]?.fail(new SubnetError('DISK', 'no'))
    assert.deepEqual(
      pending().map(({ delayMs }) => delayMs),
      [RETRY_MS],
    )
    timer(RETRY_MS).fire()
    for (let i = 0; i < 3; i += 1) await run()
    assert.deepEqual(numbers(), [3, 103])
  })
})
