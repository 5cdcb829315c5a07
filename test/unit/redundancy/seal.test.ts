import assert from 'node:assert/strict'
import { InvariantError, isSubnetError } from '../../../src/base/errors.js'
import {
  FRAME_BYTES,
  FRAME_PLAIN_BYTES,
  openFrames,
  openSegment,
  plaintextSize,
  sealedSize,
  sealSegment,
} from '../../../src/redundancy/seal.js'
import { pattern } from '../../kit/redundancy-reference.js'

const objectKey = pattern(32, 1)
const last = { index: 3, isLast: true }
const isMismatch = (error: unknown): boolean => isSubnetError(error, 'MISMATCH')

/** Two and a half frames. */
const plaintext = pattern(2 * FRAME_PLAIN_BYTES + 30_000, 2)

function sealedFrames(firstFrame: number, end?: number) {
  const { salt, ciphertext } = sealSegment(objectKey, last, plaintext)
  return {
    ...last,
    salt,
    sealedBytes: ciphertext.length,
    firstFrame,
    ciphertext: ciphertext.slice(firstFrame * FRAME_BYTES, end && end * FRAME_BYTES),
  }
}

describe('seal', () => {
  it('opens to what was sealed, at every size around a frame', () => {
    const sizes = [0, 1, 15, 16, 17].flatMap((d) => [d, FRAME_PLAIN_BYTES - d, FRAME_PLAIN_BYTES + d])
    for (const size of sizes) {
      const plain = pattern(size, 5)
      const sealed = sealSegment(objectKey, last, plain)
      assert.equal(sealed.ciphertext.length, sealedSize(size))
      assert.equal(plaintextSize(sealedSize(size)), size)
      assert.deepEqual(openSegment(objectKey, last, sealed), plain)
    }
  })

  it('knows the lengths that sealing never gives', () => {
    for (const bytes of [0, 1, 15, FRAME_BYTES + 1, FRAME_BYTES + 16]) {
      assert.equal(plaintextSize(bytes), undefined, `${bytes}`)
    }
  })

  it('fills a chunk with exactly 16 frames', () => {
    assert.equal(sealedSize(16 * FRAME_PLAIN_BYTES), 1024 * 1024)
  })

  it('gives the same ciphertext for the same bytes', () => {
    assert.deepEqual(sealSegment(objectKey, last, plaintext), sealSegment(objectKey, last, plaintext))
  })

  it('gives another salt, and so another key, for other bytes, another place, key or end', () => {
    const salts = [
      sealSegment(objectKey, last, plaintext),
      sealSegment(objectKey, last, plaintext.slice(1)),
      sealSegment(objectKey, { ...last, index: 4 }, plaintext),
      sealSegment(objectKey, { ...last, isLast: false }, plaintext),
      sealSegment(pattern(32, 9), last, plaintext),
    ].map(({ salt }) => Buffer.from(salt).toString('hex'))
    assert.equal(new Set(salts).size, salts.length)
  })

  it('opens any run of frames alone', () => {
    for (const [first, end] of [
      [0, 1],
      [0, 2],
      [1, 2],
      [1, 3],
      [2, 3],
      [0, 3],
    ] as const) {
      const expected = plaintext.subarray(first * FRAME_PLAIN_BYTES, end * FRAME_PLAIN_BYTES)
      assert.deepEqual(openFrames(objectKey, sealedFrames(first, end)), Uint8Array.from(expected))
    }
  })

  it('refuses frames at another place, of another segment, or with another key or salt', () => {
    const frames = sealedFrames(0, 1)
    for (const wrong of [{ firstFrame: 1 }, { index: 4 }, { salt: pattern(16, 1) }]) {
      assert.throws(() => openFrames(objectKey, { ...frames, ...wrong }), isMismatch)
    }
    assert.throws(() => openFrames(pattern(32, 3), frames), isMismatch)
  })

  it('refuses an object cut off between frames or between segments', () => {
    const sealed = sealSegment(objectKey, last, plaintext)
    const cut = { ...sealed, ciphertext: sealed.ciphertext.slice(0, 2 * FRAME_BYTES) }
    assert.throws(() => openSegment(objectKey, last, cut), isMismatch)
    const middle = sealSegment(objectKey, { index: 3, isLast: false }, plaintext)
    assert.throws(() => openSegment(objectKey, last, middle), isMismatch)
    assert.throws(() => openSegment(objectKey, { index: 3, isLast: false }, sealed), isMismatch)
  })

  it('refuses a frame that is not whole', () => {
    const frames = sealedFrames(0, 1)
    for (const end of [0, 1, 15, 16, FRAME_BYTES - 1]) {
      const ciphertext = frames.ciphertext.slice(0, end)
      assert.throws(() => openFrames(objectKey, { ...frames, ciphertext }), isMismatch)
    }
    const tail = sealedFrames(2)
    const longer = new Uint8Array([...tail.ciphertext, 0])
    assert.throws(() => openFrames(objectKey, { ...tail, ciphertext: longer }), isMismatch)
  })

  it('takes a key of 32 bytes only', () => {
    assert.throws(() => sealSegment(pattern(31, 1), last, plaintext), InvariantError)
    assert.throws(() => openFrames(pattern(33, 1), sealedFrames(0)), InvariantError)
  })
})
