/** H of the specifications: SHA-256. Everything named by a digest here is named by this one. */
import * as crypto from 'node:crypto'

export const DIGEST_BYTES = 32

type OneShotHash = (algorithm: string, data: Uint8Array, outputEncoding: 'latin1') => string
type Latin1Write = (this: Uint8Array, text: string, offset: number, lengthBytes: number) => number

const oneShotHash = (crypto as unknown as { hash: OneShotHash }).hash
const { latin1Write } = Buffer.prototype as unknown as { latin1Write: Latin1Write }

/** SHA-256 of one buffer. */
export function sha256(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(DIGEST_BYTES)
  sha256Into(bytes, digest, 0)
  return digest
}

/**
 * The same, written to `target` from `offset` on. `crypto.hash` is twice as fast as `createHash` on a leaf, and a string
 * costs a third of a buffer, whose memory outside of the heap must be collected as well.
 */
export function sha256Into(bytes: Uint8Array, target: Uint8Array, offset: number): void {
  latin1Write.call(target, oneShotHash('sha256', bytes, 'latin1'), offset, DIGEST_BYTES)
}

/** SHA-256 over several pieces, as if they were one. */
export function sha256Of(pieces: Iterable<Uint8Array>): Uint8Array {
  const hash = crypto.createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return Uint8Array.from(hash.digest())
}

/** SHA-256 over pieces as they come. */
export class Sha256 {
  readonly #hash = crypto.createHash('sha256')

  update(piece: Uint8Array): void {
    this.#hash.update(piece)
  }

  /** Once. */
  finish(): Uint8Array {
    return Uint8Array.from(this.#hash.digest())
  }
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
