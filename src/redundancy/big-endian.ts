/** Numbers as fixed-width big-endian bytes, where they enter a key, a nonce or a MAC. Not a message codec. */
import { invariant } from '../base/errors.js'

export function u32(value: number): Uint8Array {
  invariant(Number.isInteger(value) && value >= 0 && value < 2 ** 32, 'a u32 is an integer below 2^32')
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

export function u64(value: number): Uint8Array {
  invariant(Number.isSafeInteger(value) && value >= 0, 'a u64 is written from a safe integer')
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}
