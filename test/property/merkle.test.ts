import assert from 'node:assert/strict'
import fc from 'fast-check'
import { LEAF_BYTES, LeafHasher, proveRange, verifyRange } from '../../src/crypto/merkle.js'
import { auditRoot, pattern } from '../kit/redundancy-reference.js'

const shape = {
  leaves: fc.integer({ min: 1, max: 40 }),
  lastBytes: fc.integer({ min: 1, max: LEAF_BYTES }),
  seed: fc.nat(255),
  from: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
}
/** A body, and a range of its leaves given by two fractions. */
const bodyAndRange = fc
  .record({ ...shape, share: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }) })
  .map(rangeOf)
/** The same with a range that ends with the body. */
const bodyAndTail = fc.record({ ...shape, share: fc.constant(1) }).map(rangeOf)

function rangeOf(init: { leaves: number; lastBytes: number; seed: number; from: number; share: number }) {
  const body = pattern((init.leaves - 1) * LEAF_BYTES + init.lastBytes, init.seed)
  const hasher = new LeafHasher()
  hasher.update(body)
  const { auditRoot: root, leafHashes } = hasher.finish()
  const firstLeaf = Math.floor(init.from * init.leaves)
  const count = Math.max(1, Math.ceil(init.share * (init.leaves - firstLeaf)))
  const leaves = body.slice(firstLeaf * LEAF_BYTES, (firstLeaf + count) * LEAF_BYTES)
  const proof = proveRange(leafHashes, firstLeaf, count)
  return { body, range: { root, sizeBytes: body.length, firstLeaf, leaves, proof } }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const at = Math.floor(bit / 8) % bytes.length
  copy[at] = (copy[at] as number) ^ (1 << (bit % 8))
  return copy
}

describe('merkle ranges', () => {
  it('verify for every body and range, against the root of the slow reference', () => {
    fc.assert(
      fc.property(bodyAndRange, ({ body, range }) => {
        assert.deepEqual(range.root, Uint8Array.from(auditRoot(body)))
        assert.equal(verifyRange(range), true)
      }),
    )
  })

  it('fail when any bit of a leaf, of the proof or of the root changes', () => {
    fc.assert(
      fc.property(bodyAndRange, fc.nat(), ({ range }, bit) => {
        assert.equal(verifyRange({ ...range, leaves: flipped(range.leaves, bit) }), false)
        assert.equal(verifyRange({ ...range, root: flipped(range.root, bit) }), false)
        for (const [i, hash] of range.proof.entries()) {
          const proof = range.proof.with(i, flipped(hash, bit))
          assert.equal(verifyRange({ ...range, proof }), false)
        }
      }),
    )
  })

  it('fail at every other place', () => {
    fc.assert(
      fc.property(bodyAndRange, fc.integer({ min: -2, max: 80 }), ({ range }, firstLeaf) => {
        fc.pre(firstLeaf !== range.firstLeaf)
        assert.equal(verifyRange({ ...range, firstLeaf }), false)
      }),
    )
  })

  it('fail for every other size, if the range ends with the body', () => {
    fc.assert(
      fc.property(bodyAndTail, fc.integer({ min: 0, max: 50 * LEAF_BYTES }), ({ range }, sizeBytes) => {
        fc.pre(sizeBytes !== range.sizeBytes)
        assert.equal(verifyRange({ ...range, sizeBytes }), false)
      }),
    )
  })
})
