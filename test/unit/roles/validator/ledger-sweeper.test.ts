import assert from 'node:assert/strict'
import type { KeptLease } from '../../../../protocols/lease/lease.js'
import { silentLogger } from '../../../../src/base/log.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { Ledger, type LedgerEntry } from '../../../../src/roles/validator/ledger.js'
import { LedgerSweep, ledgerSweeper } from '../../../../src/roles/validator/ledger-sweeper.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { testId } from '../../../kit/test-chunk.js'
import { testLease } from '../../../kit/test-object.js'

const KEPT = { keptBlocks: 100 }
const minerName = (miner: number) => testHotkey(miner).address

/** Each miner holds one chunk, of the same name in every object, until its block. */
function entryOf(number: number, endBlocks: readonly number[]): LedgerEntry {
  const object = testId(32, number)
  const leases: KeptLease[] = endBlocks.map((endBlock, miner) =>
    testLease(testHotkey(miner).signer, [[testId(32, 200 + miner), testId(32, 99), 100, 0, miner]], {
      object,
      validator: testHotkey(100).signer.publicKey,
      endBlock,
    }),
  )
  const row: LedgerEntry['row'] = {
    profile: 'small',
    client: testId(32, 8),
    owner: testId(32, 7),
    nodes: [object],
    nodeHolders: [[0]],
    segments: 1,
    miners: leases.map(({ lease }) => lease.miner),
    minerBytes: leases.map(() => 100),
    committedBlock: 3,
    endBlock: Math.min(...endBlocks),
  }
  return { object, leases, row, segments: [endBlocks.map((_, miner) => [miner])] }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

describe('LedgerSweep', () => {
  let directory: TempDir
  let ledger: Ledger
  let head: { block: number }
  let sweep: LedgerSweep

  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    head = { block: 0 }
    await open()
  })
  afterEach(async () => {
    await ledger.stop()
    await directory[Symbol.asyncDispose]()
  })

  const open = async () => {
    ledger = new Ledger(directory.path)
    await ledger.start()
    sweep = new LedgerSweep({ ledger, head, logger: silentLogger }, KEPT)
  }
  /** Enough turns for a round over what a test records. */
  const round = async () => {
    let forgotten = 0
    for (let turn = 0; turn < 12; turn += 1) forgotten += await sweep.turn()
    return forgotten
  }
  const leasesOf = async (miner: number) =>
    (await collect(ledger.leases(minerName(miner)))).map(({ lease }) => lease.object[0])
  const chunksOf = async (miner: number) => (await collect(ledger.chunks(minerName(miner)))).flat().length

  it('forgets an object and its leases, chunks and losses when the last has been over for long enough', async () => {
    await ledger.record(entryOf(1, [500, 600]))
    await ledger.record(entryOf(2, [900, 900]))
    const since = await ledger.hearing(minerName(0))
    await ledger.markLost(minerName(0), { losses: [[1, testId(32, 200)]], heard: 1, block: 30 }, since)
    head.block = 599
    assert.equal(await round(), 0)
    head.block = 699
    await round()
    assert.notEqual(await ledger.object(testId(32, 1)), undefined, 'one lease goes on')
    head.block = 700
    await round()
    assert.equal(await ledger.object(testId(32, 1)), undefined)
    assert.deepEqual(await ledger.segments(testId(32, 1), 0, 9), [])
    assert.deepEqual(await leasesOf(0), [...testId(32, 2)].slice(0, 1))
    assert.deepEqual(await ledger.lostIn(minerName(0), testId(32, 1), 0, 9), [])
    assert.equal((await collect(ledger.lost(minerName(0)))).length, 1, 'another lease names it')
    assert.equal(await chunksOf(1), 1)
    head.block = 1_000
    await round()
    assert.deepEqual(
      [await chunksOf(0), await chunksOf(1), (await collect(ledger.lost(minerName(0)))).length],
      [0, 0, 0],
    )
    assert.equal(await round(), 0)
  })

  it('keeps what was renewed, also for a miner that has not signed it', async () => {
    const entry = entryOf(1, [500])
    await ledger.record(entry)
    await ledger.renew(entry.object, entry.row, 5_000)
    head.block = 2_000
    assert.equal(await round(), 0)
    assert.equal((await collect(ledger.renewals(minerName(0)))).length, 1)
  })

  it('forgets a lease that was released when the miner never comes for it, and one that no row names', async () => {
    const entry = entryOf(1, [500])
    await ledger.record(entry)
    await ledger.release(entry.object, entry.row)
    const other = entryOf(2, [500, 500])
    await ledger.record(other)
    const before = ledger.forgetEnded
    ledger.forgetEnded = async () => 0
    head.block = 599
    assert.equal(await round(), 0)
    assert.equal((await collect(ledger.releases(minerName(0)))).length, 1)
    head.block = 600
    assert.equal(await round(), 1)
    assert.deepEqual(await collect(ledger.releases(minerName(0))), [])
    assert.deepEqual([await chunksOf(0), await chunksOf(1)], [1, 1])
    ledger.forgetEnded = before
    assert.equal(await round(), 2)
  })

  it('takes little in a turn, and goes on after a restart', async () => {
    for (let number = 1; number <= 150; number += 1) await ledger.record(entryOf(number, [500]))
    head.block = 600
    assert.equal(await sweep.turn(), 64)
    await ledger.stop()
    await open()
    assert.deepEqual([await sweep.turn(), await sweep.turn(), await sweep.turn()], [64, 22, 0])
    assert.deepEqual(await leasesOf(0), [])
  })

  it('finishes an object that was cut off in its middle', async () => {
    await ledger.record(entryOf(1, [500, 500]))
    head.block = 600
    const running = ledger.forgetEnded(testId(32, 1), 500).catch(() => undefined)
    await ledger.stop()
    await running
    await open()
    await round()
    assert.equal(await ledger.object(testId(32, 1)), undefined)
    assert.deepEqual([await chunksOf(0), await chunksOf(1)], [0, 0])
  })

  it('does not touch what is recorded anew at the same moment', async () => {
    await ledger.record(entryOf(1, [500, 500]))
    head.block = 600
    const again = ledger.record(entryOf(1, [900, 900]))
    await Promise.all([round(), again])
    assert.equal((await ledger.object(testId(32, 1)))?.endBlock, 900)
    assert.deepEqual([await chunksOf(0), await chunksOf(1)], [1, 1])
  })
})

describe('ledgerSweeper', () => {
  it('takes the next turn an interval after each, also after one that failed', () => {
    const ledger = new Ledger('/nowhere')
    const components = { ledger, head: { block: 200 }, logger: silentLogger }
    const context = new RecordingContext(ledgerSweeper(components, { ...KEPT, intervalMs: 60_000 }))
    context.timers[0]?.fire()
    context.tasks[0]?.fail(new Error('disk'))
    assert.equal(context.timers.filter((timer) => timer.delayMs === 60_000).length, 2)
  })
})
