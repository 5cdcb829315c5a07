import assert from 'node:assert/strict'
import { concat } from 'uint8arrays/concat'
import { InvariantError, isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { LEAF_BYTES, LeafHasher, leafCount, proveRange } from '../../../src/crypto/merkle.js'
import { describeChunk, VerifiedSpan } from '../../../src/redundancy/chunk.js'
import {
  type ChunkSpan,
  chunkBytes,
  type ObjectShape,
  spanIn,
  spansOf,
} from '../../../src/redundancy/layout.js'
import { maskRootOf } from '../../../src/redundancy/mask.js'
import { CHUNK_SIZE } from '../../../src/redundancy/profiles.js'
import {
  decodeSegment,
  type EncodedSegment,
  encodeSegment,
  openSpan,
  rebuildChunks,
} from '../../../src/redundancy/segment.js'
import { pattern } from '../../kit/redundancy-reference.js'
import { verifiedChunk } from '../../kit/verified-chunk.js'

const objectKey = pattern(32, 1)
const code = { k: 3, n: 6 }
const isMismatch = (error: unknown): boolean => isSubnetError(error, 'MISMATCH')

/** Three data chunks, the last one short. */
const plaintext = pattern(2 * CHUNK_SIZE + 100_000, 2)
const sealed = encodeSegment({ code, index: 5, isLast: true, plaintext, objectKey })
const open = encodeSegment({ code, index: 5, isLast: true, plaintext })

function source(segment: EncodedSegment, present: readonly number[]) {
  const chunks = segment.chunks.map((chunk, i) =>
    present.includes(i) ? verifiedChunk(chunk, chunk.bytes) : undefined,
  )
  return { shape: segment.shape, entry: segment, chunks }
}

function thrown(action: () => unknown): SubnetError {
  try {
    action()
  } catch (error) {
    if (error instanceof SubnetError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('segment', () => {
  it('gives chunks of the layout, each described by its stored bytes', () => {
    for (const segment of [sealed, open]) {
      assert.deepEqual([segment.shape.k, segment.shape.n], [3, 6])
      for (const [i, { bytes, digest, auditRoot, sizeBytes }] of segment.chunks.entries()) {
        assert.deepEqual({ digest, auditRoot, sizeBytes }, describeChunk(bytes))
        assert.equal(sizeBytes, chunkBytes(segment.shape, i))
      }
    }
  })

  it('stores the data chunks of a public segment as they are', () => {
    const data = open.chunks.slice(0, 3).map(({ bytes }) => Buffer.from(bytes))
    assert.deepEqual(Uint8Array.from(Buffer.concat(data)), plaintext)
    assert.equal(open.salt, undefined)
  })

  it('stores private copies that differ: one cannot stand for another', () => {
    const copies = encodeSegment({
      code: { k: 1, n: 4 },
      index: 0,
      isLast: true,
      plaintext: pattern(100, 3),
      objectKey,
    })
    const digests = new Set(copies.chunks.map(({ digest }) => Buffer.from(digest).toString('hex')))
    assert.equal(digests.size, 4)
  })

  it('comes back from data chunks, from parity and from a mix', () => {
    for (const present of [
      [0, 1, 2],
      [3, 4, 5],
      [2, 4, 5],
      [0, 1, 5],
      [0, 1, 2, 3, 4, 5],
    ]) {
      assert.deepEqual(concat(decodeSegment(source(sealed, present), objectKey)), plaintext)
      assert.deepEqual(concat(decodeSegment(source(open, present))), plaintext)
    }
  })

  it('names the segment and how many chunks are there when they are too few', () => {
    const error = thrown(() => decodeSegment(source(sealed, [1, 4]), objectKey))
    assert.equal(error.code, 'UNRECOVERABLE')
    assert.deepEqual(error.data, { segment: 5, available: 2, needed: 3 })
  })

  it('does not open with another key', () => {
    assert.throws(() => decodeSegment(source(sealed, [0, 1, 2]), pattern(32, 9)), isMismatch)
    assert.throws(() => decodeSegment(source(sealed, [3, 4, 5]), pattern(32, 9)), isMismatch)
  })

  it('rebuilds any chunk, masked as stored, without the object key', () => {
    const wanted = [0, 2, 3, 5]
    const expected = wanted.map((i) => sealed.chunks[i]?.bytes)
    assert.deepEqual(rebuildChunks(source(sealed, [1, 2, 4]), wanted, maskRootOf(objectKey)), expected)
    const expectedOpen = wanted.map((i) => open.chunks[i]?.bytes)
    assert.deepEqual(
      rebuildChunks(source(open, [1, 2, 4]), wanted).map((bytes) => Uint8Array.from(bytes)),
      expectedOpen.map((bytes) => Uint8Array.from(bytes as Uint8Array)),
    )
  })

  it('finds a segment inconsistent whose parity its writer made up', () => {
    const invented = pattern(CHUNK_SIZE, 77)
    for (const honest of [sealed, open]) {
      const chunks = honest.chunks.with(5, { ...describeChunk(invented), bytes: invented })
      const segment = { ...honest, chunks }
      const key = honest === sealed ? objectKey : undefined
      assert.throws(() => decodeSegment(source(segment, [1, 2, 5]), key), isMismatch)
      const maskRoot = key && maskRootOf(key)
      const error = thrown(() => rebuildChunks(source(segment, [1, 2, 5]), [0], maskRoot))
      assert.equal(error.code, 'MISMATCH')
      assert.deepEqual(error.data, { segment: 5, chunk: 0 })
    }
  })

  it('takes no bytes that were not checked against the same chunk', () => {
    const swapped = source(sealed, [0, 1, 2])
    const chunks = [swapped.chunks[1], swapped.chunks[0], swapped.chunks[2]]
    assert.throws(() => decodeSegment({ ...swapped, chunks }, objectKey), InvariantError)
  })

  it('refuses a key for a public segment and none for a private one', () => {
    assert.throws(() => decodeSegment(source(open, [0, 1, 2]), objectKey), InvariantError)
    assert.throws(() => decodeSegment(source(sealed, [0, 1, 2])), InvariantError)
  })

  it('encodes only full segments before the last, and none that is empty or too long', () => {
    const init = { code, index: 0, isLast: false, plaintext }
    assert.throws(() => encodeSegment(init), InvariantError)
    assert.throws(() => encodeSegment({ ...init, isLast: true, plaintext: pattern(0, 0) }), InvariantError)
    assert.throws(() => encodeSegment({ ...init, isLast: true, code: { k: 2, n: 3 } }), InvariantError)
  })
})

describe('verified spans', () => {
  const body = pattern(5 * LEAF_BYTES + 1, 4)
  const reference = describeChunk(body)

  it('are refused as a chunk if a byte differs or is missing', () => {
    const wrong = Uint8Array.from(body)
    wrong[9] = 0xff
    for (const bytes of [wrong, body.slice(1), new Uint8Array([...body, 0])]) {
      assert.throws(() => verifiedChunk(reference, bytes), isMismatch)
    }
    // A manifest may name a real chunk with a size that is not its own.
    const resized = { ...reference, sizeBytes: body.length + 1 }
    assert.throws(() => verifiedChunk(resized, body), isMismatch)
  })

  it('are refused as leaves without their proof', () => {
    const hasher = new LeafHasher()
    hasher.update(body)
    const proof = proveRange(hasher.finish().leafHashes, 1, 2)
    const bytes = body.slice(LEAF_BYTES, 3 * LEAF_BYTES)
    const span = VerifiedSpan.leaves(reference, 1, bytes, proof)
    assert.deepEqual(
      span.read(reference, LEAF_BYTES + 5, 100),
      body.subarray(LEAF_BYTES + 5, LEAF_BYTES + 105),
    )
    assert.throws(() => VerifiedSpan.leaves(reference, 2, bytes, proof), isMismatch)
    assert.throws(() => VerifiedSpan.leaves(reference, 1, bytes, []), isMismatch)
  })

  it('give no bytes beyond what was checked', () => {
    const span = verifiedChunk(reference, body)
    assert.throws(() => span.read(reference, 0, body.length + 1), InvariantError)
    assert.throws(() => span.read(reference, -1, 1), InvariantError)
  })
})

describe('ranges of an object', () => {
  /** What `span` asks for of every chunk, verified by its tree, as a miner would serve it. */
  function fetched(segment: EncodedSegment, span: ChunkSpan, present: number[]) {
    return segment.chunks.map((chunk, i) => {
      const { offsetBytes, lengthBytes } = spanIn(span, i)
      if (!present.includes(i) || lengthBytes === 0) return undefined
      const bytes = chunk.bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
      const hasher = new LeafHasher()
      hasher.update(chunk.bytes)
      const firstLeaf = offsetBytes / LEAF_BYTES
      const proof = proveRange(hasher.finish().leafHashes, firstLeaf, leafCount(lengthBytes))
      return VerifiedSpan.leaves(chunk, firstLeaf, bytes, proof)
    })
  }

  function readRange(
    objectClass: 'private' | 'public',
    start: number,
    end: number,
    present: number[],
  ): Buffer {
    const key = objectClass === 'private' ? objectKey : undefined
    const object: ObjectShape = { class: objectClass, sizeBytes: plaintext.length, code }
    const segment = encodeSegment({ code, index: 0, isLast: true, plaintext, objectKey: key })
    const parts = [...spansOf(object, start, end)].map((span) =>
      openSpan(span, { entry: segment, chunks: fetched(segment, span, present) }, key),
    )
    return Buffer.concat(parts)
  }

  const ranges = [
    [0, 1],
    [65_519, 65_521],
    [1_000_000, 1_100_000],
    [plaintext.length - 1, plaintext.length],
    [0, plaintext.length],
  ] as const

  it('open from their own chunks', () => {
    for (const objectClass of ['private', 'public'] as const) {
      for (const [start, end] of ranges) {
        const bytes = readRange(objectClass, start, end, [0, 1, 2])
        assert.deepEqual(Uint8Array.from(bytes), plaintext.slice(start, end))
      }
    }
  })

  it('open from the same spans of other chunks when one is missing', () => {
    for (const [start, end] of ranges) {
      assert.deepEqual(
        Uint8Array.from(readRange('private', start, end, [3, 4, 5])),
        plaintext.slice(start, end),
      )
    }
  })

  it('need one chunk fewer where the short last data chunk is only padding', () => {
    assert.deepEqual(
      Uint8Array.from(readRange('private', 500_000, 500_010, [1, 4])),
      plaintext.slice(500_000, 500_010),
    )
  })

  it('are not rebuilt for public objects, whose parts nothing authenticates', () => {
    assert.throws(() => readRange('public', 0, 1, [1, 2, 3]), InvariantError)
  })

  it('name the segment when too few chunks are there', () => {
    assert.throws(
      () => readRange('private', 0, 1, [5]),
      (error: unknown) => isSubnetError(error, 'UNRECOVERABLE'),
    )
  })
})
