/** H of the specifications: SHA-256. Everything named by a digest here is named by this one. */
import * as crypto from 'node:crypto'

export const DIGEST_BYTES = 32

type OneShotHash = (algorithm: string, data: Uint8Array, outputEncoding: 'buffer') => Buffer

/** SHA-256 of one buffer; `crypto.hash` is twice as fast as `createHash` on a leaf. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const digest = (crypto as unknown as { hash: OneShotHash }).hash('sha256', bytes, 'buffer')
  // Copied: Node's small buffers are views into a pool that a kept digest would pin.
  return Uint8Array.from(digest)
}

/** SHA-256 over several pieces, as if they were one. */
export function sha256Of(pieces: Iterable<Uint8Array>): Uint8Array {
  const hash = crypto.createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return Uint8Array.from(hash.digest())
}

/** HKDF-SHA256 (RFC 5869); `info` is the domain, written as text. */
export function hkdf(
  key: Uint8Array,
  salt: Uint8Array,
  info: string | Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return new Uint8Array(crypto.hkdfSync('sha256', key, salt, info, lengthBytes))
}

/** HMAC-SHA256 (RFC 2104) of several pieces, as if they were one. */
export function hmacSha256(key: Uint8Array, ...pieces: Uint8Array[]): Uint8Array {
  const mac = crypto.createHmac('sha256', key)
  for (const piece of pieces) mac.update(piece)
  return Uint8Array.from(mac.digest())
}
