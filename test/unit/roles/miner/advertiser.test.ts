import assert from 'node:assert/strict'
import { encodeMessage } from '../../../../protocols/common/schema.js'
import { DAG_SEGMENT, type Lease, MANIFEST_SEGMENT, signLease } from '../../../../protocols/lease/lease.js'
import { SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import type { Member } from '../../../../src/chain/subnet-view.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { type PeerAddress, PROVIDER_RECORD_MS } from '../../../../src/net/net.js'
import { advertiser } from '../../../../src/roles/miner/advertiser.js'
import type { Shard } from '../../../../src/shard/shard.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testId } from '../../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

const INIT = { startDelayMs: 10, gatherMs: 20, chunksPerTurn: 2, turnMs: 7_200_000, nodesMax: 5 }
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
  const announced: string[][] = []
  /** What nobody takes next time. */
  const refused: Uint8Array[] = []
  const provide = async (digests: readonly Uint8Array[], peers: readonly PeerAddress[]) => {
    assert.deepEqual(peers, [MEMBER])
    announced.push(digests.map((digest) => Buffer.from(digest).toString('hex')))
    return digests.filter((digest) => refused.some((each) => Buffer.from(each).equals(digest)))
  }
  async function* leases() {
    yield* kept
  }
  const shards = { all: () => [{ leases } as unknown as Shard] }
  // One without an address is nobody to be told.
  const members = () => [{ endpoint: MEMBER }, { endpoint: undefined }] as Member[]
  const view = { block: 20, members }
  const context = new RecordingContext(
    advertiser({ net: { provide }, shards, view, logger: silentLogger }, INIT),
  )
  /** Runs the newest task. */
  const run = async () => await context.tasks.at(-1)?.run()
  const pending = () => context.timers.filter((timer) => timer.pending)
  const timer = (delayMs: number) => {
    const found = pending().find((each) => each.delayMs === delayMs)
    assert.ok(found !== undefined, `a timer of ${delayMs} ms`)
    return found
  }
  /** What was announced, together what went together, as the numbers of the digests. */
  const numbers = () => announced.map((digests) => digests.map((digest) => NUMBERS.get(digest)))
  /** Counts these leases and lets the time pass in which others may come. */
  const count = (...leases: readonly Lease[]) => {
    for (const lease of leases) context.send({ type: 'counted', lease })
    timer(INIT.gatherMs).fire()
  }
  return { context, view, refused, run, timer, pending, numbers, count }
}

const MEMBER: PeerAddress = { peerId: 'member', addresses: [] }
const NUMBERS = new Map(
  Array.from({ length: 400 }, (_, number) => [Buffer.from(testId(32, number)).toString('hex'), number]),
)

describe('advertiser', () => {
  before(cryptoReady)

  it('announces what counts from now on together: manifest nodes, and chunks within the budget, the newest first', async () => {
    const { context, run, timer, pending, numbers, count } = setUp()
    count(leaseOf(1), leaseOf(2), leaseOf(3))
    assert.equal(context.tasks.length, 1)
    assert.deepEqual(
      pending().map(({ delayMs }) => delayMs),
      [INIT.startDelayMs, INIT.turnMs],
    )
    await run()
    assert.deepEqual(numbers(), [[3, 2, 1, 103, 102]])
    assert.equal(context.tasks.length, 1, 'the next chunk waits for its turn')
    timer(INIT.turnMs).fire()
    await run()
    assert.deepEqual(numbers().slice(1), [[101]])
  })

  it('announces no second time while it announces, and then all that came meanwhile', async () => {
    const { context, run, numbers, count } = setUp()
    count(leaseOf(1))
    count(leaseOf(2))
    count(leaseOf(3))
    assert.equal(context.tasks.length, 1)
    await run()
    await run()
    assert.deepEqual(numbers(), [
      [1, 101],
      [3, 2, 103],
    ])
  })

  it('announces blocks of an IPFS file as nodes, a digest that is a chunk as well only once', async () => {
    const { context, run, numbers, count } = setUp()
    count(leaseOf(1), leaseOf(2))
    await run()
    const lease = leaseOf(5)
    const [chunk] = lease.entries as [Lease['entries'][0]]
    const [digest, auditRoot, sizeBytes] = chunk
    const twice: Lease['entries'] = [chunk, [digest, auditRoot, sizeBytes, DAG_SEGMENT, 0], chunk]
    count({ ...lease, entries: [...twice, [testId(32, 9), auditRoot, 5, 0, 1]] })
    await run()
    assert.deepEqual(numbers().slice(1), [[105]], 'without the budget, which is used up')
    assert.equal(context.tasks.length, 2)
  })

  it('walks the leases at start, and again at half the life of a record', async () => {
    const over = leaseOf(4, 20)
    const kept = [leaseOf(5), over, leaseOf(9), leaseOf(7)].map((lease) => keptBytes(lease))
    const { context, run, timer, numbers } = setUp([...kept, keptBytes(leaseOf(8), false)])
    timer(INIT.startDelayMs).fire()
    for (let i = 0; i < 2; i += 1) await run()
    assert.deepEqual(
      numbers(),
      [[9, 7, 5, 109, 107]],
      'not the one that is over, nor the one that does not count',
    )
    timer(PROVIDER_RECORD_MS / 2).fire()
    await run()
    await run()
    assert.deepEqual(numbers().slice(1), [[9, 7, 5]])
    assert.equal(context.tasks.length, 4)
  })

  it('announces no more chunks than one round can, and leaves the oldest out', async () => {
    const kept = Array.from({ length: 19 }, (_, i) => keptBytes(leaseOf(i + 1)))
    const { context, run, timer, numbers } = setUp(kept)
    timer(INIT.startDelayMs).fire()
    for (let i = 0; i < 2; i += 1) await run()
    assert.deepEqual(numbers(), [[19, 18, 17, 16, 15, 119, 118]], 'five nodes at most')
    for (let i = 0; i < 5; i += 1) {
      timer(INIT.turnMs).fire()
      await run()
    }
    timer(INIT.turnMs).fire()
    assert.deepEqual(numbers().slice(1).flat(), [117, 116, 115, 114, 113, 112, 111, 110, 109, 108])
    assert.equal(context.tasks.length, 7, 'a round of 12 h has six turns of two')
  })

  it('tries again later what nobody took, and meanwhile nothing else', async () => {
    const { context, refused, run, timer, numbers, count } = setUp()
    refused.push(testId(32, 1))
    count(leaseOf(1))
    await run()
    count(leaseOf(2))
    assert.equal(context.tasks.length, 1)
    refused.splice(0)
    timer(RETRY_MS).fire()
    await run()
    assert.deepEqual(numbers(), [
      [1, 101],
      [2, 1, 102],
    ])
  })

  it('tries everything again when announcing failed', async () => {
    const { context, run, timer, numbers, count } = setUp()
    count(leaseOf(1), leaseOf(2))
    context.tasks[0]?.fail(new SubnetError('CONFIG', 'no address'))
    timer(RETRY_MS).fire()
    timer(INIT.turnMs).fire()
    await run()
    await run()
    assert.deepEqual(numbers().flat(), [2, 1, 102, 101])
  })

  it('does not announce a lease that ended while it waited', async () => {
    const { context, view, run, numbers, count } = setUp()
    view.block = 30
    count(leaseOf(1, 30))
    assert.equal(context.tasks.length, 0)
    count(leaseOf(2, 31))
    await run()
    assert.deepEqual(numbers(), [[2, 102]])
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
    for (let i = 0; i < 2; i += 1) await run()
    assert.deepEqual(numbers(), [[3, 103]])
  })
})
