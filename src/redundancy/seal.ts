/**
 * Sealing: a private segment's plaintext ↔ its ciphertext, AES-256-GCM in frames that each decrypt alone.
 *
 *   salt  = first 16 bytes of HMAC-SHA256(object key, u64 index ‖ u8 last ‖ plaintext segment)
 *   key   = HKDF-SHA256(object key, salt, "seal/1" ‖ u64 index), 32 bytes
 *   frame = AES-256-GCM(key, nonce = u96 frame, AAD = u64 index ‖ u32 frame ‖ u8 last) of up to 65,520 bytes, tag behind
 *
 * All integers are big-endian; `index` counts segments of the object and `frame` frames of the segment, both from 0.
 * `last` is 1 in the salt of the object's last segment and in the AAD of that segment's last frame, else 0: a
 * cut-off object does not open. The salt covers `last` because the same plaintext under the same key and nonce
 * with two AADs would give away GCM's authentication key. Masking is `mask.ts`.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { invariant, SubnetError } from '../base/errors.js'
import { release } from '../base/release.js'
import { hkdf, hmacSha256 } from '../crypto/hash.js'
import { u32, u64 } from './big-endian.js'

export const OBJECT_KEY_BYTES = 32
export const SALT_BYTES = 16
/** A whole frame of ciphertext: 16 of them fill a chunk. */
export const FRAME_BYTES = 65_536
export const FRAME_TAG_BYTES = 16
/** Plaintext of a whole frame. */
export const FRAME_PLAIN_BYTES = FRAME_BYTES - FRAME_TAG_BYTES

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12

/** A segment's place in its object. */
export interface SegmentPosition {
  /** From 0. */
  readonly index: number
  /** The object ends with this segment. */
  readonly isLast: boolean
}

/** Frames of a segment with so much plaintext. An empty one (only an empty object has it) is one empty frame. */
export function frameCount(plainBytes: number): number {
  return Math.max(1, Math.ceil(plainBytes / FRAME_PLAIN_BYTES))
}

/** Ciphertext bytes of so many plaintext bytes. */
export function sealedSize(plainBytes: number): number {
  return plainBytes + frameCount(plainBytes) * FRAME_TAG_BYTES
}

/** Plaintext bytes of a segment of so many ciphertext bytes; `undefined` for a length that sealing never gives. */
export function plaintextSize(sealedBytes: number): number | undefined {
  const plainBytes = sealedBytes - Math.ceil(sealedBytes / FRAME_BYTES) * FRAME_TAG_BYTES
  return plainBytes >= 0 && sealedSize(plainBytes) === sealedBytes ? plainBytes : undefined
}

export interface Sealed {
  /** 16 bytes, kept in the manifest. */
  readonly salt: Uint8Array
  readonly ciphertext: Uint8Array
}

/** Seals one segment. The same bytes at the same place give the same ciphertext, so an interrupted put can resume. */
export function sealSegment(objectKey: Uint8Array, position: SegmentPosition, plaintext: Uint8Array): Sealed {
  invariant(objectKey.length === OBJECT_KEY_BYTES, 'an object key has 32 bytes')
  const last = Uint8Array.of(position.isLast ? 1 : 0)
  const salt = hmacSha256(objectKey, u64(position.index), last, plaintext).slice(0, SALT_BYTES)
  const key = segmentKey(objectKey, salt, position.index)
  const frames = frameCount(plaintext.length)
  const ciphertext = new Uint8Array(sealedSize(plaintext.length))
  for (let frame = 0; frame < frames; frame++) {
    const plain = plaintext.subarray(frame * FRAME_PLAIN_BYTES, (frame + 1) * FRAME_PLAIN_BYTES)
    const cipher = createCipheriv(CIPHER, key, nonceOf(frame), { authTagLength: FRAME_TAG_BYTES })
    cipher.setAAD(frameAad(position, frame, frames))
    const sealed = cipher.update(plain)
    ciphertext.set(sealed, frame * FRAME_BYTES)
    release(sealed)
    cipher.final() // Empty in GCM, but the tag exists only after it.
    ciphertext.set(cipher.getAuthTag(), frame * FRAME_BYTES + plain.length)
  }
  return { salt, ciphertext }
}

/** A run of whole frames of one sealed segment. */
export interface SealedFrames extends SegmentPosition {
  readonly salt: Uint8Array
  /** Ciphertext bytes of the whole segment, from the manifest. */
  readonly sealedBytes: number
  readonly firstFrame: number
  /** These frames' ciphertext: it ends at a frame's end. */
  readonly ciphertext: Uint8Array
}

/**
 * Plaintext of the frames. Throws `MISMATCH` if any byte, the key, the salt or the place is not what was sealed.
 */
export function openFrames(
  objectKey: Uint8Array,
  sealed: SealedFrames,
  target: Uint8Array = new Uint8Array(sealed.ciphertext.length),
): Uint8Array {
  const { index, sealedBytes, firstFrame, ciphertext } = sealed
  invariant(objectKey.length === OBJECT_KEY_BYTES, 'an object key has 32 bytes')
  const offset = firstFrame * FRAME_BYTES
  const end = offset + ciphertext.length
  const plainBytes = plaintextSize(sealedBytes)
  const wholeFrames = end === sealedBytes || (end < sealedBytes && end % FRAME_BYTES === 0)
  if (plainBytes === undefined || ciphertext.length === 0 || !wholeFrames) {
    throw mismatch(index, `${ciphertext.length} bytes are not whole frames of it`)
  }
  const key = segmentKey(objectKey, sealed.salt, index)
  const framesOfSegment = frameCount(plainBytes)
  const frames = Math.ceil(ciphertext.length / FRAME_BYTES)
  for (let i = 0; i < frames; i++) {
    const bytes = ciphertext.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES)
    const tagAt = bytes.length - FRAME_TAG_BYTES
    const frame = firstFrame + i
    const decipher = createDecipheriv(CIPHER, key, nonceOf(frame), { authTagLength: FRAME_TAG_BYTES })
    decipher.setAAD(frameAad(sealed, frame, framesOfSegment))
    decipher.setAuthTag(bytes.subarray(tagAt))
    const opened = decipher.update(bytes.subarray(0, tagAt))
    target.set(opened, i * FRAME_PLAIN_BYTES)
    release(opened)
    try {
      decipher.final()
    } catch (cause) {
      throw mismatch(index, `frame ${frame} does not authenticate`, cause)
    }
  }
  return target.subarray(0, ciphertext.length - frames * FRAME_TAG_BYTES)
}

/** Plaintext of a whole segment; throws as `openFrames`. */
export function openSegment(objectKey: Uint8Array, position: SegmentPosition, sealed: Sealed): Uint8Array {
  const { salt, ciphertext } = sealed
  return openFrames(objectKey, {
    index: position.index,
    isLast: position.isLast,
    salt,
    sealedBytes: ciphertext.length,
    firstFrame: 0,
    ciphertext,
  })
}

const SEAL_DOMAIN = fromString('seal/1')

function segmentKey(objectKey: Uint8Array, salt: Uint8Array, index: number): Uint8Array {
  return hkdf(objectKey, salt, concat([SEAL_DOMAIN, u64(index)]), 32)
}

function nonceOf(frame: number): Uint8Array {
  return concat([new Uint8Array(NONCE_BYTES - 4), u32(frame)], NONCE_BYTES)
}

function frameAad(position: SegmentPosition, frame: number, framesOfSegment: number): Uint8Array {
  const last = position.isLast && frame === framesOfSegment - 1
  return concat([u64(position.index), u32(frame), Uint8Array.of(last ? 1 : 0)])
}

function mismatch(segment: number, why: string, cause?: unknown): SubnetError {
  return new SubnetError('MISMATCH', `sealed segment ${segment}: ${why}`, { data: { segment }, cause })
}
