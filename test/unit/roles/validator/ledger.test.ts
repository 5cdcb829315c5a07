import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { countersignLease, type KeptLease } from '../../../../protocols/lease/lease.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { Ledger, type LedgerEntry } from '../../../../src/roles/validator/ledger.js'
import type { SegmentHolders } from '../../../../src/roles/validator/ledger-rows.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { testId } from '../../../kit/test-chunk.js'
import { testLease } from '../../../kit/test-object.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

const OBJECT = testId(32, 1)
const minerName = (miner: number) => testHotkey(miner).address

function kept(object: Uint8Array, miner: number): KeptLease {
  const validator = testHotkey(100).signer
  const entries = [[testId(32, miner), testId(32, 99), 100, 0, miner] as const]
  const signed = testLease(
    testHotkey(miner).signer,
    entries.map((entry) => [...entry]),
    {
      object,
      validator: validator.publicKey,
    },
  )
  return { ...signed, validatorSignature: countersignLease(validator, TEST_DOMAIN, signed.lease) }
}

function entryOf(
  object: Uint8Array,
  miners: readonly number[],
  segments: readonly SegmentHolders[] = [],
): LedgerEntry {
  const leases = miners.map((miner) => kept(object, miner))
  return {
    object,
    segments,
    leases,
    row: {
      profile: 'small',
      client: testId(32, 8),
      owner: testId(32, 7),
      nodes: [object],
      nodeHolders: [miners.map((_, position) => position)],
      segments: segments.length,
      miners: leases.map(({ lease }) => lease.miner),
      minerBytes: miners.map(() => 100),
      committedBlock: 3,
      endBlock: 1_000,
    },
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of source) items.push(item)
  return items
}

describe('Ledger', () => {
  let directory: TempDir
  let ledger: Ledger

  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    ledger = new Ledger(directory.path)
    await ledger.start()
  })
  afterEach(async () => {
    await ledger.stop()
    await directory[Symbol.asyncDispose]()
  })

  const reopen = async () => {
    await ledger.stop()
    ledger = new Ledger(directory.path)
    await ledger.start()
  }

  describe('objects', () => {
    it('gives back what was recorded, also after it was opened again', async () => {
      const entry = entryOf(
        OBJECT,
        [1, 2],
        [
          [[0], [1]],
          [[1], []],
        ],
      )
      await ledger.record(entry)
      for (const look of [async () => undefined, reopen]) {
        await look()
        assert.deepEqual(await ledger.object(OBJECT), entry.row)
        assert.deepEqual(await ledger.segments(OBJECT, 0, 10), entry.segments)
        assert.deepEqual(await collect(ledger.leases(minerName(1))), [entry.leases[0]])
        assert.deepEqual(await collect(ledger.leases(minerName(2))), [entry.leases[1]])
      }
    })

    it('does not know what was not recorded', async () => {
      assert.equal(await ledger.object(OBJECT), undefined)
      assert.deepEqual(await ledger.segments(OBJECT, 0, 10), [])
      assert.deepEqual(await collect(ledger.leases(minerName(1))), [])
      assert.deepEqual(await collect(ledger.unconfirmed(minerName(1))), [])
    })

    it('gives segments page by page, in order, of this object alone', async () => {
      const segments = Array.from(
        { length: 300 },
        (_, index): SegmentHolders => [[index % 2], [(index >> 1) & 1]],
      )
      await ledger.record(entryOf(OBJECT, [1, 2], segments))
      const neighbour = Uint8Array.from(OBJECT)
      neighbour[31] = (OBJECT[31] ?? 0) ^ 1
      await ledger.record(entryOf(neighbour, [1], [[[0]]]))
      assert.deepEqual(await ledger.segments(OBJECT, 0, 256), segments.slice(0, 256))
      assert.deepEqual(await ledger.segments(OBJECT, 255, 2), segments.slice(255, 257))
      assert.deepEqual(await ledger.segments(OBJECT, 256, 256), segments.slice(256))
      assert.deepEqual(await ledger.segments(OBJECT, 300, 256), [])
      assert.deepEqual(await ledger.segments(OBJECT, 0, 0), [])
    })

    it('counts nothing of an object whose row was not written: leases come first', async () => {
      const entry = entryOf(OBJECT, [1, 2])
      // What cannot be encoded ends it exactly between the two, as a crash may.
      await assert.rejects(ledger.record({ ...entry, row: { ...entry.row, profile: undefined as never } }))
      await reopen()
      assert.equal(await ledger.object(OBJECT), undefined)
      assert.deepEqual(await collect(ledger.leases(minerName(1))), [])
      assert.deepEqual(
        await collect(ledger.unconfirmed(minerName(1))),
        [],
        'nor is its countersignature handed over',
      )
      await ledger.record({ ...entry, leases: [] })
      assert.deepEqual(await collect(ledger.leases(minerName(1))), [entry.leases[0]], 'its lease was there')
    })

    it('marks as lost only what a lease of the miner names, until it is recorded or released', async () => {
      await ledger.record(entryOf(OBJECT, [1, 2]))
      const [own, foreign] = [testId(32, 1), testId(32, 2)]
      assert.equal(await ledger.lossesHeard(minerName(1)), 0)
      assert.equal(await ledger.markLost(minerName(1), [own, foreign], 7), 1)
      await reopen()
      const lost = async () => [...(await ledger.lost(minerName(1)))]
      assert.deepEqual(await lost(), [Buffer.from(own).toString('hex')])
      assert.deepEqual([...(await ledger.lost(minerName(2)))], [])
      assert.equal(await ledger.lossesHeard(minerName(1)), 7)
      await ledger.record(entryOf(OBJECT, [1, 2]))
      assert.deepEqual(await lost(), [])
      await ledger.markLost(minerName(1), [own], 8)
      await ledger.release(OBJECT, entryOf(OBJECT, [1, 2]).row)
      await ledger.released(minerName(1), OBJECT)
      assert.deepEqual(await lost(), [])
      await ledger.markLost(minerName(1), [], 0)
      assert.equal(await ledger.lossesHeard(minerName(1)), 0)
    })

    it('tries again to open a database that did not open', async () => {
      await writeFile(join(directory.path, 'miners', minerName(2)), 'not a directory')
      await assert.rejects(ledger.record(entryOf(OBJECT, [1, 2])), (error) =>
        isSubnetError(error, 'DATA_DIR'),
      )
      await rm(join(directory.path, 'miners', minerName(2)))
      await ledger.record(entryOf(OBJECT, [1, 2]))
      assert.equal((await collect(ledger.leases(minerName(1)))).length, 1)
    })

    it('replaces row and leases when it is recorded again: who is not in it any more holds nothing', async () => {
      await ledger.record(entryOf(OBJECT, [1, 2]))
      const second = entryOf(OBJECT, [2, 3])
      await ledger.record(second)
      assert.deepEqual(await ledger.object(OBJECT), second.row)
      assert.deepEqual(await collect(ledger.leases(minerName(1))), [])
      assert.deepEqual(await collect(ledger.leases(minerName(2))), [second.leases[0]])
      assert.deepEqual(await collect(ledger.leases(minerName(3))), [second.leases[1]])
    })
  })

  describe('countersignatures', () => {
    it('wait for a miner until it has confirmed them, one by one', async () => {
      const [first, second] = [entryOf(OBJECT, [1, 2]), entryOf(testId(32, 2), [1])]
      await ledger.record(first)
      await ledger.record(second)
      await ledger.confirmed(minerName(1), OBJECT)
      await reopen()
      assert.deepEqual(await collect(ledger.unconfirmed(minerName(1))), second.leases)
      assert.deepEqual(await collect(ledger.unconfirmed(minerName(2))), first.leases.slice(1))
      assert.equal((await collect(ledger.leases(minerName(1)))).length, 2)
    })

    it('confirming what does not wait is harmless', async () => {
      await ledger.confirmed(minerName(1), OBJECT)
      assert.deepEqual(await collect(ledger.unconfirmed(minerName(1))), [])
    })
  })

  describe('nonces', () => {
    const nonce = testId(16, 1)

    it('are new once, also after it was opened again', async () => {
      assert.equal(await ledger.rememberNonce(nonce, 20), true)
      assert.equal(await ledger.rememberNonce(nonce, 20), false)
      await reopen()
      assert.equal(await ledger.rememberNonce(nonce, 20), false)
      assert.equal(await ledger.rememberNonce(testId(16, 2), 20), true)
    })

    it('are new to one of many copies that come at the same moment', async () => {
      const results = await Promise.all(Array.from({ length: 8 }, () => ledger.rememberNonce(nonce, 20)))
      assert.deepEqual(results.filter(Boolean), [true])
    })

    it('are kept as long as their request could still be sent, and forgotten after', async () => {
      await ledger.rememberNonce(nonce, 20)
      await ledger.forgetNonces(20)
      assert.equal(await ledger.rememberNonce(nonce, 20), false)
      await ledger.forgetNonces(21)
      assert.equal(await ledger.rememberNonce(nonce, 20), true)
    })

    it('forgets by number, not by text: block 300 is after block 255', async () => {
      await ledger.rememberNonce(nonce, 300)
      await ledger.forgetNonces(256)
      assert.equal(await ledger.rememberNonce(nonce, 300), false)
    })
  })

  it('refuses everything once it has stopped, and stops twice', async () => {
    await ledger.record(entryOf(OBJECT, [1]))
    await ledger.stop()
    await ledger.stop()
    const stopped = (error: unknown) => isSubnetError(error, 'STOPPED')
    await assert.rejects(ledger.object(OBJECT), stopped)
    await assert.rejects(ledger.rememberNonce(OBJECT.slice(16), 1), stopped)
    await assert.rejects(collect(ledger.unconfirmed(minerName(1))), stopped)
    await assert.rejects(ledger.record(entryOf(OBJECT, [1])), stopped)
  })

  it('does not share its directory with another one', async () => {
    await assert.rejects(new Ledger(directory.path).start(), (error) => isSubnetError(error, 'DATA_DIR'))
  })
})
