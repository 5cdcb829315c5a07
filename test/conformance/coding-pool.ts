/** What every coding pool does, whoever does the work. */
import assert from 'node:assert/strict'
import { concat } from 'uint8arrays/concat'
import { InvariantError, isSubnetError, SubnetError } from '../../src/base/errors.js'
import type { CodingPool } from '../../src/coding/coding-pool.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import { type EncodedSegment, encodeSegment } from '../../src/redundancy/segment.js'
import { pattern } from '../kit/redundancy-reference.js'
import { verifiedChunk } from '../kit/verified-chunk.js'

const objectKey = pattern(32, 1)
/** Two data chunks, the last one short. */
const init = { code: { k: 2, n: 5 }, index: 3, isLast: true }
const sizeBytes = CHUNK_SIZE + 5_000

/** The segment as a reader has it: bytes of its own, for they are given away. */
function source(segment: EncodedSegment, present: readonly number[]) {
  const chunks = segment.chunks.map((chunk, i) =>
    present.includes(i) ? verifiedChunk(chunk, new Uint8Array(chunk.bytes)) : undefined,
  )
  return { shape: segment.shape, entry: segment, chunks }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return concat([...pieces])
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => assert.fail('it was not rejected'),
    (error: unknown) => error,
  )
}

export function codingPoolConformance(name: string, create: () => CodingPool): void {
  describe(`coding pool: ${name}`, () => {
    let pool: CodingPool
    const sealed = encodeSegment({ ...init, plaintext: pattern(sizeBytes, 2), objectKey })
    const open = encodeSegment({ ...init, plaintext: pattern(sizeBytes, 2) })

    before(async () => {
      pool = create()
      await pool.start()
    })

    after(async () => {
      await pool.stop()
      await pool.stop()
    })

    it('encodes private and public segments', async () => {
      assert.deepEqual(await pool.encode({ ...init, plaintext: pattern(sizeBytes, 2), objectKey }), sealed)
      assert.deepEqual(await pool.encode({ ...init, plaintext: pattern(sizeBytes, 2) }), open)
    })

    it('encodes a part of a larger buffer and leaves the rest alone', async () => {
      const buffer = pattern(sizeBytes + 10, 0)
      const plaintext = buffer.subarray(4, 4 + sizeBytes)
      plaintext.set(pattern(sizeBytes, 2))
      assert.deepEqual(await pool.encode({ ...init, plaintext, objectKey }), sealed)
      assert.equal(buffer[3], pattern(4, 0)[3])
    })

    it('decodes from data chunks and from parity', async () => {
      for (const present of [
        [0, 1],
        [3, 4],
        [0, 1, 2, 3, 4],
      ]) {
        assert.deepEqual(joined(await pool.decode(source(sealed, present), objectKey)), pattern(sizeBytes, 2))
        assert.deepEqual(joined(await pool.decode(source(open, present), undefined)), pattern(sizeBytes, 2))
      }
    })

    it('does many segments at once, each its own', async () => {
      const encoded = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          pool.encode({ ...init, index: i, plaintext: pattern(700 + i, i), objectKey }),
        ),
      )
      const decoded = await Promise.all(encoded.map((one) => pool.decode(source(one, [2]), objectKey)))
      for (const [i, plaintext] of decoded.entries()) assert.deepEqual(joined(plaintext), pattern(700 + i, i))
    })

    it('names the segment and how many chunks are there when they are too few', async () => {
      const error = await rejection(pool.decode(source(sealed, [4]), objectKey))
      assert.ok(isSubnetError(error, 'UNRECOVERABLE'))
      assert.deepEqual(error.data, { segment: 3, available: 1, needed: 2 })
      assert.equal(error.retryable, true)
    })

    it('refuses another key, and says what did not authenticate', async () => {
      const error = await rejection(pool.decode(source(sealed, [0, 1]), pattern(32, 9)))
      assert.ok(isSubnetError(error, 'MISMATCH'))
      assert.deepEqual(error.data, { segment: 3 })
      assert.match(error.message, /frame 0 does not authenticate/)
      assert.ok(error.cause instanceof Error)
      assert.match(error.stack ?? '', /openFrames/)
    })

    it('calls a defect a defect', async () => {
      const noKey = await rejection(pool.decode(source(sealed, [0, 1]), undefined))
      assert.ok(noKey instanceof InvariantError)
      const empty = await rejection(pool.encode({ ...init, plaintext: new Uint8Array(0), objectKey }))
      assert.ok(empty instanceof InvariantError)
    })

    it('does not begin what was aborted before', async () => {
      const reason = new SubnetError('TIMEOUT', 'too late')
      const plaintext = pattern(100, 1)
      const signal = AbortSignal.abort(reason)
      assert.equal(await rejection(pool.encode({ ...init, plaintext, objectKey }, { signal })), reason)
      assert.equal(await rejection(pool.decode(source(sealed, [0, 1]), objectKey, { signal })), reason)
      assert.equal(plaintext.length, 100)
    })
  })
}
