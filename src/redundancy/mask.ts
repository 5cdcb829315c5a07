/**
 * Masking: a coded chunk ↔ the chunk a miner stores (private class). Whoever holds k stored chunks still cannot
 * compute another one, so identities that share a disk gain nothing. It hides nothing that sealing does not hide.
 *
 *   maskRoot = HKDF-SHA256(object key, no salt, "mask/1"), 32 bytes: lets a committee repair, reveals ciphertext only
 *   key      = HKDF-SHA256(maskRoot, no salt, salt ‖ u64 segment ‖ u32 chunk), 32 bytes; integers big-endian
 *   stored   = chunk ⊕ ChaCha20(key, nonce 0) from block 0 (RFC 8439): its own inverse
 */
import { createCipheriv } from 'node:crypto'
import { concat } from 'uint8arrays/concat'
import { invariant } from '../base/errors.js'
import { release } from '../base/release.js'
import { KIB } from '../base/units.js'
import { hkdf, sha256 } from '../crypto/hash.js'
import { u32, u64 } from './big-endian.js'

export const MASK_ROOT_BYTES = 32

/** Spans must start at a multiple of this: ChaCha20 counts blocks. */
export const MASK_BLOCK_BYTES = 64

const NO_SALT = new Uint8Array(0)
/** OpenSSL's IV of ChaCha20: 4 bytes of block counter, little-endian, then the 12-byte nonce. */
const IV_BYTES = 16
const STEP_BYTES = 128 * KIB

export function maskRootOf(objectKey: Uint8Array): Uint8Array {
  return hkdf(objectKey, NO_SALT, 'mask/1', MASK_ROOT_BYTES)
}

/** H(maskRoot), as the manifest publishes it. */
export function maskCommitment(maskRoot: Uint8Array): Uint8Array {
  return sha256(maskRoot)
}

/** Which chunk is masked. */
export interface MaskPlace {
  /** The segment's, from the manifest. */
  readonly salt: Uint8Array
  readonly segment: number
  readonly chunk: number
}

/** Masks or unmasks the span of a chunk that starts at `offsetBytes`; returns fresh bytes. */
export function maskChunk(
  maskRoot: Uint8Array,
  place: MaskPlace,
  bytes: Uint8Array,
  offsetBytes = 0,
): Uint8Array {
  return maskInto(new Uint8Array(bytes.length), maskRoot, place, bytes, offsetBytes)
}

/** The same, written to the start of `target`, which may be `bytes`: returns that part of it. */
export function maskInto(
  target: Uint8Array,
  maskRoot: Uint8Array,
  place: MaskPlace,
  bytes: Uint8Array,
  offsetBytes = 0,
): Uint8Array {
  invariant(maskRoot.length === MASK_ROOT_BYTES, 'a mask root has 32 bytes')
  invariant(offsetBytes % MASK_BLOCK_BYTES === 0, 'a masked span starts at a block')
  const key = hkdf(maskRoot, NO_SALT, concat([place.salt, u64(place.segment), u32(place.chunk)]), 32)
  const iv = new Uint8Array(IV_BYTES)
  new DataView(iv.buffer).setUint32(0, offsetBytes / MASK_BLOCK_BYTES, true)
  const cipher = createCipheriv('chacha20', key, iv)
  // A cipher's output is always a fresh buffer: small ones, given back at once, stay in the processor's cache.
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const masked = cipher.update(bytes.subarray(at, at + STEP_BYTES))
    target.set(masked, at)
    release(masked)
  }
  return target.subarray(0, bytes.length)
}
