import assert from 'node:assert/strict'
import { encodeMessage } from '../../../protocols/common/schema.js'
import { LeaseEntryList } from '../../../protocols/lease/entry-list.js'
import {
  DAG_SEGMENT,
  LEASE_ENTRIES_MAX,
  type LeaseEntry,
  leaseDigest,
} from '../../../protocols/lease/lease.js'
import { encodePackedLease, packLease, unpackLease } from '../../../protocols/lease/packed-lease.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { CHUNK_SIZE } from '../../../src/redundancy/profiles.js'
import { testHotkey } from '../../kit/chain-keys.js'
import { keptBytes } from '../../kit/kept-bytes.js'
import { testId } from '../../kit/test-chunk.js'
import { testLease } from '../../kit/test-object.js'

const ENTRIES: LeaseEntry[] = Array.from({ length: 100 }, (_, number) => [
  testId(32, number),
  testId(32, number + 1),
  number + 1,
  number - 2,
  number,
])
/** The largest and the smallest that a message may have. */
const LIMITS: LeaseEntry[] = [
  [testId(32, 1), testId(32, 2), CHUNK_SIZE, 2 ** 31, 2 ** 31],
  [testId(32, 3), testId(32, 4), 1, DAG_SEGMENT, 0],
]

describe('LeaseEntryList', () => {
  it('is encoded as an array of its entries is', () => {
    const numbers = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31]
    const entries = numbers.map(
      (number): LeaseEntry => [testId(32, 1), testId(32, 2), Math.max(1, number), number, number],
    )
    for (const count of [0, 1, 23, 24, 255, 256, LEASE_ENTRIES_MAX]) {
      const some = Array.from(
        { length: count },
        (_, index) => [...entries, ...LIMITS][index % 10] ?? entryAt(1),
      )
      assert.deepEqual(Buffer.from(LeaseEntryList.of(some).encode()), Buffer.from(encodeMessage(some)))
    }
  })

  it('equals a list of the same entries in the same order alone', () => {
    const list = LeaseEntryList.of(ENTRIES)
    assert.ok(list.equals(LeaseEntryList.of([...list])))
    for (const other of [ENTRIES.slice(1), ENTRIES.toReversed(), [...ENTRIES, ...LIMITS], []])
      assert.ok(!list.equals(LeaseEntryList.of(other)))
  })

  it('gives back what was added, in its order', () => {
    const list = new LeaseEntryList()
    for (const entry of [...ENTRIES, ...LIMITS]) list.push(entry)
    assert.equal(list.length, 102)
    assert.deepEqual([...list], [...ENTRIES, ...LIMITS])
    assert.deepEqual([...LeaseEntryList.of(LIMITS)], LIMITS)
    assert.deepEqual([...LeaseEntryList.of([])], [])
  })

  it('finds by position, and nothing beyond its ends', () => {
    const list = LeaseEntryList.of(ENTRIES)
    assert.deepEqual(list.at(41), ENTRIES[41])
    assert.deepEqual([list.at(-1), list.at(100)], [undefined, undefined])
  })

  it('gives digests of a part, as copies', () => {
    const list = LeaseEntryList.of(ENTRIES)
    const digests = list.digests(98, 200)
    assert.deepEqual(digests, [testId(32, 98), testId(32, 99)])
    digests[0]?.fill(0)
    assert.deepEqual(list.at(98), ENTRIES[98])
    assert.deepEqual(list.digests(100, 200), [])
  })

  it('leaves what was read of it as it is while it grows', () => {
    const list = LeaseEntryList.of(ENTRIES.slice(0, 1))
    const first = list.at(0)
    for (const entry of ENTRIES.slice(1)) list.push(entry)
    assert.deepEqual(first, ENTRIES[0])
  })
})

describe('a packed lease', () => {
  before(cryptoReady)

  const signed = (entries: readonly LeaseEntry[]) =>
    testLease(testHotkey(1).signer, entries, { object: testId(32, 8), validator: testId(32, 9) })

  it('is the same lease when it is unpacked', () => {
    const lease = signed([...ENTRIES, ...LIMITS])
    const packed = packLease(lease)
    assert.deepEqual(unpackLease(packed), lease)
    assert.deepEqual(packed.digest, leaseDigest(lease.lease))
    assert.deepEqual(Buffer.from(encodePackedLease(packed)), Buffer.from(encodeMessage(lease)))
  })

  it('takes less than 200 bytes an entry', async () => {
    const { thing, bytes } = await keptBytes(() =>
      packLease(signed(Array.from({ length: LEASE_ENTRIES_MAX }, (_, index) => entryAt(index)))),
    )
    assert.equal(thing.entries.length, LEASE_ENTRIES_MAX)
    assert.ok(bytes / LEASE_ENTRIES_MAX < 200, `${bytes / LEASE_ENTRIES_MAX} bytes an entry`)
  })
})

function entryAt(index: number): LeaseEntry {
  return [testId(32, index), testId(32, index + 1), CHUNK_SIZE, index, 0]
}
