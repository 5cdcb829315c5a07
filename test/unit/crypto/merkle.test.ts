import assert from 'node:assert/strict'
import { InvariantError } from '../../../src/base/errors.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { LEAF_BYTES, LeafHasher, merkleRoot, proveRange, verifyRange } from '../../../src/crypto/merkle.js'
import { pattern } from '../../kit/redundancy-reference.js'
import { hex, readVectors, unhex } from '../../kit/vectors.js'

interface Rfc6962Vectors {
  leafHashes: string[]
  roots: string[]
  paths: { leaf: number; leaves: number; path: string[] }[]
}

const vectors = readVectors<Rfc6962Vectors>('rfc6962')

function leafHashes(count: number): Uint8Array {
  return unhex(vectors.leafHashes.slice(0, count).join(''))
}

function hashesOf(body: Uint8Array) {
  const hasher = new LeafHasher()
  hasher.update(body)
  return hasher.finish()
}

/** A body of five leaves, the last one short, and the proof of its leaves 1 and 2. */
function rangeOfFive() {
  const body = pattern(4 * LEAF_BYTES + 100, 1)
  const { auditRoot, leafHashes } = hashesOf(body)
  return {
    root: auditRoot,
    sizeBytes: body.length,
    firstLeaf: 1,
    leaves: body.slice(LEAF_BYTES, 3 * LEAF_BYTES),
    proof: proveRange(leafHashes, 1, 2),
  }
}

describe('merkle tree', () => {
  it('gives the roots of RFC 6962', () => {
    const roots = vectors.roots.map((_, i) => hex(merkleRoot(leafHashes(i + 1))))
    assert.deepEqual(roots, vectors.roots)
  })

  it('gives the audit paths of RFC 6962 for single leaves', () => {
    for (const { leaf, leaves, path } of vectors.paths) {
      assert.deepEqual(proveRange(leafHashes(leaves), leaf, 1).map(hex), path)
    }
  })

  it('hashes a body the same in pieces of any size', () => {
    const body = pattern(3 * LEAF_BYTES + 17, 2)
    const whole = hashesOf(body)
    for (const pieceBytes of [1, 100, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, body.length]) {
      const hasher = new LeafHasher()
      for (let at = 0; at < body.length; at += pieceBytes) hasher.update(body.subarray(at, at + pieceBytes))
      assert.deepEqual(hasher.finish(), whole)
    }
    assert.deepEqual(whole.digest, sha256(body))
  })

  it('does not keep the piece it was given', () => {
    const piece = pattern(LEAF_BYTES / 2, 3)
    const hasher = new LeafHasher()
    hasher.update(piece)
    piece.fill(0)
    hasher.update(new Uint8Array(10))
    const expected = new Uint8Array(LEAF_BYTES / 2 + 10)
    expected.set(pattern(LEAF_BYTES / 2, 3))
    assert.deepEqual(hasher.finish(), hashesOf(expected))
  })

  it('has no hashes for an empty body', () => {
    assert.throws(() => new LeafHasher().finish(), InvariantError)
    assert.throws(() => merkleRoot(new Uint8Array(0)), InvariantError)
  })

  it('verifies a range with the proof it gave', () => {
    assert.equal(verifyRange(rangeOfFive()), true)
  })

  it('refuses a range moved to another place', () => {
    for (const firstLeaf of [-1, 0, 2, 3, 4, 5, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER]) {
      assert.equal(verifyRange({ ...rangeOfFive(), firstLeaf }), false, `firstLeaf ${firstLeaf}`)
    }
  })

  it('refuses a size that cuts the range or gives the tree another form', () => {
    const oneLeafLess = 4 * LEAF_BYTES
    const nineLeaves = 9 * LEAF_BYTES
    for (const sizeBytes of [
      -1,
      0,
      1,
      3 * LEAF_BYTES - 1,
      oneLeafLess,
      nineLeaves,
      2 ** 60,
      Number.NaN,
      Infinity,
    ]) {
      assert.equal(verifyRange({ ...rangeOfFive(), sizeBytes }), false, `sizeBytes ${sizeBytes}`)
    }
  })

  it('refuses a proof with a hash too many, too few, or of another length', () => {
    const range = rangeOfFive()
    const [first, ...rest] = range.proof as [Uint8Array, ...Uint8Array[]]
    const wrong = [
      rest,
      [...range.proof, first],
      [first.slice(0, 31), ...rest],
      [new Uint8Array([...first, 0]), ...rest],
      [...rest, first],
    ]
    for (const proof of wrong) assert.equal(verifyRange({ ...range, proof }), false)
  })

  it('refuses leaves whose bytes are too many, too few or none', () => {
    const range = rangeOfFive()
    const wrong = [0, 1, LEAF_BYTES, 2 * LEAF_BYTES - 1].map((end) => range.leaves.slice(0, end))
    wrong.push(new Uint8Array([...range.leaves, 0]))
    for (const leaves of wrong) assert.equal(verifyRange({ ...range, leaves }), false)
  })

  it('refuses no leaves with the root as their proof', () => {
    const { root, sizeBytes } = rangeOfFive()
    for (const firstLeaf of [0, 1, 4]) {
      assert.equal(
        verifyRange({ root, sizeBytes, firstLeaf, leaves: new Uint8Array(0), proof: [root] }),
        false,
      )
    }
  })

  it('refuses leaves before the first that no hash covers', () => {
    const body = pattern(2 * LEAF_BYTES, 4)
    const { auditRoot: root, leafHashes } = hashesOf(body)
    const leaves = new Uint8Array(2 * LEAF_BYTES)
    leaves.set(body.subarray(0, LEAF_BYTES), LEAF_BYTES)
    const proof = proveRange(leafHashes, 0, 1)
    assert.equal(verifyRange({ root, sizeBytes: body.length, firstLeaf: -1, leaves, proof }), false)
  })

  it('refuses a proof hash with a byte appended', () => {
    const body = pattern(2 * LEAF_BYTES, 4)
    const { auditRoot, leafHashes } = hashesOf(body)
    const leaves = body.slice(LEAF_BYTES)
    const range = { root: auditRoot, sizeBytes: body.length, firstLeaf: 1, leaves }
    assert.equal(verifyRange({ ...range, proof: [leafHashes.slice(0, 32)] }), true)
    assert.equal(verifyRange({ ...range, proof: [leafHashes.slice(0, 33)] }), false)
  })

  it('does not take an inner node for a leaf', () => {
    const hashes = leafHashes(4)
    const inner = new Uint8Array([...merkleRoot(hashes.slice(0, 64)), ...merkleRoot(hashes.slice(64))])
    // A body of one leaf whose bytes are the two inner nodes would have the tree's root without domain bytes.
    assert.notDeepEqual(hashesOf(inner).auditRoot, merkleRoot(hashes))
  })
})
