import assert from 'node:assert/strict'
import { encode } from '@ipld/dag-cbor'
import { COMMIT_BYTES_MAX } from '../../../protocols/order/messages.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { GIB } from '../../../src/base/units.js'
import { dagNodeCount } from '../../../src/redundancy/file-dag.js'
import { segmentSize } from '../../../src/redundancy/layout.js'
import { PROFILES } from '../../../src/redundancy/profiles.js'
import { LEASE_CHUNKS_MAX, requireSegments, segmentsMax } from '../../../src/transfer/object-limit.js'

const PRIVATE = { class: 'private', profile: PROFILES.small } as const
const PUBLIC = { class: 'public', profile: PROFILES.small } as const
const groups = (count: number) => Array.from({ length: count }, (_, i) => `g${i}`)
const gib = (profile: 'single' | 'small' | 'large', segments: number) =>
  (segments * segmentSize('private', PROFILES[profile].k)) / GIB

describe('the largest object of a network', () => {
  it('is what the leases of all miners name together', () => {
    const max = segmentsMax(PRIVATE, groups(14))
    assert.equal(max, Math.floor((14 * LEASE_CHUNKS_MAX) / PROFILES.small.n))
    assert.equal(Math.floor(gib('small', max)), 43)
    assert.equal(Math.floor(gib('small', segmentsMax(PRIVATE, groups(33)))), 102, '100 GiB fit 33 miners')
  })

  it('leaves room at every miner for the blocks of an IPFS file', () => {
    const max = segmentsMax(PUBLIC, groups(14))
    const room = (segments: number) => 14 * (LEASE_CHUNKS_MAX - dagNodeCount(PROFILES.small.k * segments))
    assert.ok(room(max) >= PROFILES.small.n * max)
    assert.ok(room(max + 1) < PROFILES.small.n * (max + 1))
  })

  it('is no more than its operator groups may hold: a group of many miners counts to its cap', () => {
    // A cap of 2 of 10: five groups hold every chunk, and the group of one miner is full first.
    const one = [...groups(4).flatMap((group) => [group, group, group]), 'alone']
    assert.equal(segmentsMax(PRIVATE, one), LEASE_CHUNKS_MAX / 2)
    assert.equal(segmentsMax(PRIVATE, groups(4)), 0)
  })

  it('is no more than a commit brings of manifest, however many miners there are', () => {
    const { k, n } = PROFILES.small
    const max = segmentsMax(PRIVATE, groups(256))
    assert.equal(Math.floor((max * segmentSize('private', k)) / GIB), 328)
    const chunk = [new Uint8Array(32), new Uint8Array(32), 2 ** 20]
    const segment = encode({ salt: new Uint8Array(16), chunks: new Array(n).fill(chunk) })
    assert.ok(max * segment.length <= COMMIT_BYTES_MAX)
    assert.ok(max * segment.length > 0.9 * COMMIT_BYTES_MAX)
  })

  it('is said when an object is larger', () => {
    requireSegments(10, 10, PRIVATE, 14)
    assert.throws(
      () => requireSegments(11, 10, PRIVATE, 14),
      (error) => {
        assert.ok(isSubnetError(error, 'INVALID'))
        assert.match(error.message, /^14 miners take at most 4\d\.\d MiB as one object under small/)
        return error.data.largestBytes === 10 * segmentSize('private', 4)
      },
    )
  })
})
