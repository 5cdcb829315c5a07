import assert from 'node:assert/strict'
import { type LeaseEntry, MANIFEST_SEGMENT } from '../../../protocols/lease/lease.js'
import type { PackedLease } from '../../../protocols/lease/packed-lease.js'
import { SubnetError } from '../../../src/base/errors.js'
import { collectLeases, Quorums } from '../../../src/transfer/lease-round.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'
import { testId } from '../../kit/test-chunk.js'

const OBJECT = testId(32, 1)

function entry(segment: number, index: number): LeaseEntry {
  return [testId(32, index), testId(32, index), 10, segment, index]
}

/** Four miners with a chunk of segment 0 each, all of them with a copy of the manifest. */
const ENTRIES = [0, 1, 2, 3].map((index) => [entry(0, index), entry(MANIFEST_SEGMENT, 0)])

function setUp({ segment, node }: { readonly segment: number; readonly node: number }) {
  const clock = new FakeClock()
  const quorums = new Quorums()
  quorums.setSegment(0, segment)
  quorums.setCopies(MANIFEST_SEGMENT, 0, node)
  const ends = new Map<number, Promise<void>>()
  const pool = {
    async lease(candidate: number): Promise<PackedLease> {
      await ends.get(candidate)
      return { minerSignature: testId(32, candidate) } as PackedLease
    },
  }
  const collect = async (entries: readonly (readonly LeaseEntry[])[] = ENTRIES) => {
    const leases = await collectLeases({ entries, quorums, object: OBJECT, endBlock: 9 }, { pool, clock }, {})
    return leases.map(({ minerSignature }) =>
      [0, 1, 2, 3].find((each) => testId(32, each)[0] === minerSignature[0]),
    )
  }
  return { clock, ends, collect }
}

describe('collectLeases', () => {
  it('gives those of all who keep something, in their order', async () => {
    const { collect, clock } = setUp({ segment: 3, node: 3 })
    assert.deepEqual(await collect(), [0, 1, 2, 3])
    assert.deepEqual(await collect([ENTRIES[0] ?? [], [], ENTRIES[2] ?? []]), [0, 2])
    assert.equal(clock.pendingTimers, 0)
  })

  it('leaves out who does not sign', async () => {
    const { collect, ends } = setUp({ segment: 3, node: 3 })
    ends.set(1, Promise.reject(new SubnetError('DISCONNECTED', 'gone')))
    assert.deepEqual(await collect(), [0, 2, 3])
  })

  it('does not wait long for who is not needed', async () => {
    const { collect, ends, clock } = setUp({ segment: 3, node: 3 })
    ends.set(1, deferred<void>().promise)
    const collecting = collect()
    await clock.advance(8_000)
    assert.deepEqual(await collecting, [0, 2, 3])
  })

  it('waits for who is needed by a segment or by the manifest', async () => {
    for (const quorum of [
      { segment: 4, node: 1 },
      { segment: 1, node: 4 },
    ]) {
      const { collect, ends, clock } = setUp(quorum)
      const late = deferred<void>()
      ends.set(1, late.promise)
      const collecting = collect()
      await clock.advance(600_000)
      late.resolve()
      assert.deepEqual(await collecting, [0, 1, 2, 3])
    }
  })
})
