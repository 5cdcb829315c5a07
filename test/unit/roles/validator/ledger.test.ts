import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  countersignLease,
  type KeptLease,
  LEASE_ENTRIES_MAX,
  type LeaseEntry,
  MANIFEST_SEGMENT,
} from '../../../../protocols/lease/lease.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { Ledger, type LedgerEntry } from '../../../../src/roles/validator/ledger.js'
import { PAGE_ROWS } from '../../../../src/roles/validator/ledger-database.js'
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

/** Its leases are there to be looked at. */
type TestEntry = LedgerEntry & { readonly leases: readonly KeptLease[] }

function entryOf(
  object: Uint8Array,
  miners: readonly number[],
  segments: readonly SegmentHolders[] = [],
): TestEntry {
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

function entry(digest: Uint8Array, segment: number, index: number): LeaseEntry {
  return [digest, testId(32, 99), 100, segment, index]
}

/** One miner holds these places of the object. */
function withEntries(object: Uint8Array, miner: number, entries: LeaseEntry[], endBlock = 1_000): TestEntry {
  const validator = testHotkey(100).signer.publicKey
  const signed = testLease(testHotkey(miner).signer, entries, { object, validator, endBlock })
  return { ...entryOf(object, [miner]), leases: [signed] }
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

  /** The miner tells of these losses, numbered from 1 on. */
  const tell = async (miner: number, digests: readonly Uint8Array[], heard: number) => {
    const since = await ledger.hearing(minerName(miner))
    const losses = digests.map((digest, index) => [index + 1, digest] as const)
    return await ledger.markLost(minerName(miner), { losses, heard, block: 30 }, since)
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

    it('has no more entries in memory than one lease may have while it writes them', async () => {
      const entries = Array.from({ length: LEASE_ENTRIES_MAX / 2 }, (_, index) =>
        entry(testId(32, 1_000 + index), index, 0),
      )
      /** Miners whose leases were begun to be written when each lease was taken. */
      const begun: number[][] = []
      function* leases() {
        for (const miner of [1, 2, 3, 4]) {
          const path = (other: number) => join(directory.path, 'miners', minerName(other))
          begun.push([1, 2, 3, 4].filter((other) => existsSync(path(other))))
          const [lease] = withEntries(OBJECT, miner, entries).leases
          if (lease !== undefined) yield lease
        }
      }
      await ledger.record({ ...entryOf(OBJECT, [1, 2, 3, 4]), leases: leases() })
      assert.deepEqual(begun, [[], [], [], [1, 2]])
      for (const miner of [1, 2, 3, 4]) {
        const [lease] = await collect(ledger.leases(minerName(miner)))
        assert.deepEqual(lease?.lease.entries, entries)
      }
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
      assert.equal((await ledger.hearing(minerName(1))).heard, 0)
      assert.equal(await tell(1, [own, foreign], 7), 1)
      await reopen()
      assert.deepEqual(await collect(ledger.lost(minerName(1))), [{ digest: own, number: 1, block: 30 }])
      assert.deepEqual(await collect(ledger.lost(minerName(2))), [])
      assert.equal((await ledger.hearing(minerName(1))).heard, 7)
      assert.equal((await collect(ledger.leases(minerName(1)))).length, 1, 'the lease is evidence')
      await ledger.record(entryOf(OBJECT, [1, 2]))
      assert.deepEqual(await collect(ledger.lost(minerName(1))), [])
      await tell(1, [own], 8)
      await ledger.release(OBJECT, entryOf(OBJECT, [1, 2]).row)
      await ledger.released(minerName(1), OBJECT)
      assert.deepEqual(await collect(ledger.lost(minerName(1))), [])
      await tell(1, [], 0)
      assert.equal((await ledger.hearing(minerName(1))).heard, 0)
    })

    it('names the places of an object that are lost at a miner, page by page, and those kept in copies always', async () => {
      const [a, b, node] = [testId(32, 20), testId(32, 21), testId(32, 22)]
      const places: LeaseEntry[] = [
        entry(node, MANIFEST_SEGMENT, 0),
        entry(a, 3, 1),
        entry(b, 3, 2),
        entry(a, 600, 0),
        entry(b, 601, 0),
      ]
      await ledger.record(withEntries(OBJECT, 1, places))
      await tell(1, [a, node], 2)
      await reopen()
      const lostIn = (first: number, count: number) => ledger.lostIn(minerName(1), OBJECT, first, count)
      const copy = { segment: MANIFEST_SEGMENT, index: 0, digest: node }
      assert.deepEqual(await lostIn(0, 512), [copy, { segment: 3, index: 1, digest: a }])
      assert.deepEqual(await lostIn(512, 512), [copy, { segment: 600, index: 0, digest: a }])
      assert.deepEqual(await ledger.lostIn(minerName(1), testId(32, 99), 0, 512), [])
    })

    it('takes a loss back everywhere when the miner signs for the chunk anew, under whatever object', async () => {
      const [shared, other] = [testId(32, 20), testId(32, 21)]
      const second = testId(32, 2)
      await ledger.record(withEntries(OBJECT, 1, [entry(shared, 0, 0), entry(other, 0, 1)]))
      await tell(1, [shared, other], 2)
      assert.equal((await ledger.lostIn(minerName(1), OBJECT, 0, 1)).length, 2)
      await ledger.record(withEntries(second, 1, [entry(shared, 5, 0)]))
      assert.deepEqual(await ledger.lostIn(minerName(1), OBJECT, 0, 1), [
        { segment: 0, index: 1, digest: other },
      ])
      assert.deepEqual(
        (await collect(ledger.lost(minerName(1)))).map(({ digest }) => digest),
        [other],
      )
    })

    it('keeps a loss that another lease names when one of them is released or replaced', async () => {
      const [shared, second] = [testId(32, 20), testId(32, 2)]
      for (const object of [OBJECT, second]) {
        await ledger.record(withEntries(object, 1, [entry(shared, 0, 0)]))
      }
      await tell(1, [shared], 1)
      const { row } = withEntries(OBJECT, 1, [entry(shared, 0, 0)])
      await ledger.release(OBJECT, row)
      await ledger.released(minerName(1), OBJECT)
      assert.equal((await collect(ledger.lost(minerName(1)))).length, 1)
      assert.equal((await ledger.lostIn(minerName(1), second, 0, 1)).length, 1)
      assert.deepEqual(await ledger.lostIn(minerName(1), OBJECT, 0, 1), [])
      await ledger.record(withEntries(second, 1, [entry(testId(32, 30), 0, 0)]))
      assert.deepEqual(await collect(ledger.lost(minerName(1))), [])
    })

    it('stays lost when the miner renews the lease: it signs for longer, not for having it again', async () => {
      await ledger.record(entryOf(OBJECT, [1]))
      await tell(1, [testId(32, 1)], 1)
      const { lease, ...signatures } = kept(OBJECT, 1)
      const renewed = { lease: { ...lease, endBlock: 2_000 }, ...signatures }
      await ledger.renew(OBJECT, entryOf(OBJECT, [1]).row, 2_000)
      await ledger.renewed(minerName(1), OBJECT, 2_000, renewed)
      assert.equal((await ledger.lostIn(minerName(1), OBJECT, 0, 1)).length, 1)
    })

    it('hears no loss that was told before the miner signed anew: it is asked again', async () => {
      await ledger.record(entryOf(OBJECT, [1]))
      const since = await ledger.hearing(minerName(1))
      await ledger.record(entryOf(OBJECT, [1]))
      const told = { losses: [[1, testId(32, 1)] as const], heard: 1, block: 30 }
      assert.equal(await ledger.markLost(minerName(1), told, since), 0)
      assert.equal((await ledger.hearing(minerName(1))).heard, 0)
      assert.deepEqual(await collect(ledger.lost(minerName(1))), [])
    })

    it('names a chunk once for each miner, however many leases and places name it, by the lease that ends last', async () => {
      const [shared, other, second] = [testId(32, 20), testId(32, 21), testId(32, 2)]
      await ledger.record(
        withEntries(OBJECT, 1, [entry(shared, 0, 0), entry(shared, 0, 1), entry(other, 0, 2)], 500),
      )
      await ledger.record(withEntries(second, 1, [entry(shared, 7, 0)], 900))
      const hex = (digest: Uint8Array) => Buffer.from(digest).toString('hex')
      const named = async () =>
        (await collect(ledger.chunks(minerName(1))))
          .flat()
          .map(({ digest, endBlock, sizeBytes }) => `${hex(digest)} ${endBlock} ${sizeBytes}`)
          .sort()
      const both = [`${hex(shared)} 900 100`, `${hex(other)} 500 100`].sort()
      assert.deepEqual(await named(), both)
      await ledger.record(withEntries(second, 1, [entry(other, 7, 0)], 900))
      const replaced = [`${hex(shared)} 500 100`, `${hex(other)} 900 100`].sort()
      assert.deepEqual(await named(), replaced, 'what a lease no longer names is gone with it')
    })

    it('names them in pages, however many a lease has', async () => {
      const entries = Array.from({ length: 3_000 }, (_, index) => entry(testId(32, 1_000 + index), index, 0))
      await ledger.record(withEntries(OBJECT, 1, entries))
      const found = await collect(ledger.chunks(minerName(1)))
      assert.equal(found.flat().length, entries.length)
      assert.ok(Math.max(...found.map(({ length }) => length)) <= PAGE_ROWS)
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
