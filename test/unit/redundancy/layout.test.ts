import assert from 'node:assert/strict'
import { InvariantError } from '../../../src/base/errors.js'
import { LEAF_BYTES } from '../../../src/crypto/merkle.js'
import {
  chunkBytes,
  coderBytes,
  isInline,
  type ObjectShape,
  segmentAt,
  segmentCount,
  spansOf,
} from '../../../src/redundancy/layout.js'
import { CHUNK_SIZE, PROFILES } from '../../../src/redundancy/profiles.js'
import { FRAME_BYTES, FRAME_PLAIN_BYTES, sealedSize } from '../../../src/redundancy/seal.js'

const CHUNK_PLAIN = 16 * FRAME_PLAIN_BYTES
const code = PROFILES.small

function object(objectClass: 'private' | 'public', sizeBytes: number): ObjectShape {
  return { class: objectClass, sizeBytes, code }
}

describe('layout', () => {
  it('puts private objects up to 64 KiB inline, and no public one', () => {
    assert.equal(isInline('private', 65_536), true)
    assert.equal(isInline('private', 65_537), false)
    assert.equal(isInline('public', 0), false)
    assert.equal(segmentCount(object('private', 65_536)), 0)
    assert.equal(segmentCount(object('private', 65_537)), 1)
    assert.equal(segmentCount(object('public', 0)), 0)
    assert.equal(segmentCount(object('public', 1)), 1)
  })

  it('fills k chunks with a full segment of either class', () => {
    for (const [objectClass, plain] of [
      ['private', CHUNK_PLAIN],
      ['public', CHUNK_SIZE],
    ] as const) {
      const shape = object(objectClass, 2 * 4 * plain)
      assert.equal(segmentCount(shape), 2)
      for (const index of [0, 1]) {
        const segment = segmentAt(shape, index)
        assert.equal(segment.codedBytes, 4 * CHUNK_SIZE)
        assert.equal(segment.isLast, index === 1)
        assert.deepEqual([segment.k, segment.n], [4, 10])
      }
    }
  })

  it('shrinks the last segment to the chunks it fills', () => {
    for (const [sizeBytes, k] of [
      [1, 1],
      [CHUNK_SIZE, 1],
      [CHUNK_SIZE + 1, 2],
      [3 * CHUNK_SIZE + 1, 4],
    ] as const) {
      const segment = segmentAt(object('public', sizeBytes), 0)
      assert.deepEqual([segment.k, segment.n], [k, k + 6], `${sizeBytes}`)
    }
    // One byte more than 16 frames hold is a 17th frame, in a second chunk.
    const segment = segmentAt(object('private', CHUNK_PLAIN + 1), 0)
    assert.deepEqual([segment.k, segment.n, chunkBytes(segment, 1)], [2, 8, 17])
  })

  it('gives parity the length of the longest chunk', () => {
    const two = segmentAt(object('public', CHUNK_SIZE + 10), 0)
    assert.deepEqual(
      Array.from({ length: two.n }, (_, i) => chunkBytes(two, i)),
      [CHUNK_SIZE, 10, ...Array(6).fill(CHUNK_SIZE)],
    )
    const one = segmentAt(object('public', 10), 0)
    assert.equal(coderBytes(one), 10)
    assert.equal(chunkBytes(one, 6), 10)
    assert.throws(() => chunkBytes(one, 7), InvariantError)
  })

  it('cuts a private range at frames and a public one at leaves', () => {
    const [sealed] = spansOf(object('private', 10 * CHUNK_SIZE), CHUNK_PLAIN + 70_000, CHUNK_PLAIN + 70_001)
    assert.deepEqual(
      [sealed?.segment.index, sealed?.chunk, sealed?.offsetBytes, sealed?.lengthBytes, sealed?.skipBytes],
      [0, 1, FRAME_BYTES, FRAME_BYTES, 70_000 - FRAME_PLAIN_BYTES],
    )
    const [plain] = spansOf(object('public', 10 * CHUNK_SIZE), 5 * CHUNK_SIZE + 5000, 5 * CHUNK_SIZE + 9000)
    assert.deepEqual(
      [plain?.segment.index, plain?.chunk, plain?.offsetBytes, plain?.lengthBytes, plain?.skipBytes],
      [1, 1, LEAF_BYTES, 2 * LEAF_BYTES, 5000 - LEAF_BYTES],
    )
  })

  it('cuts spans that touch, cover the range and end with the chunk', () => {
    for (const shape of [object('private', 9 * CHUNK_SIZE + 7), object('public', 9 * CHUNK_SIZE + 7)]) {
      const spans = [...spansOf(shape, 0, shape.sizeBytes)]
      const taken = spans.reduce((sum, span) => sum + span.takeBytes, 0)
      const stored = spans.reduce((sum, span) => sum + span.lengthBytes, 0)
      const sizes = Array.from({ length: segmentCount(shape) }, (_, i) => segmentAt(shape, i).codedBytes)
      assert.equal(taken, shape.sizeBytes)
      assert.equal(
        stored,
        sizes.reduce((sum, bytes) => sum + bytes, 0),
      )
      for (const { segment, chunk, lengthBytes } of spans) {
        assert.equal(lengthBytes, chunkBytes(segment, chunk))
      }
    }
  })

  it('has no spans for an empty range, and refuses one outside the object', () => {
    const shape = object('public', 100)
    assert.deepEqual([...spansOf(shape, 50, 50)], [])
    assert.throws(() => [...spansOf(shape, 0, 101)], InvariantError)
    assert.throws(() => [...spansOf(shape, -1, 1)], InvariantError)
    assert.throws(() => segmentAt(shape, 1), InvariantError)
  })

  it('agrees with the sealed size of every segment', () => {
    const shape = object('private', 5 * CHUNK_PLAIN + 12_345)
    assert.equal(segmentAt(shape, 1).codedBytes, sealedSize(CHUNK_PLAIN + 12_345))
  })
})
