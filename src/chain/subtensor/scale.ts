/** The few SCALE encodings that stand outside any runtime's metadata: compact lengths, mortal eras, hex. */
import { toString as bytesToText, fromString } from 'uint8arrays'
import { invariant } from '../../base/errors.js'

/** A compact integer below 2³⁰, as lengths are. */
export function compact(value: number): Uint8Array {
  invariant(Number.isInteger(value) && value >= 0 && value < 2 ** 30, 'lengths are small')
  if (value < 2 ** 6) return Uint8Array.of(value << 2)
  const bytes = new DataView(new ArrayBuffer(value < 2 ** 14 ? 2 : 4))
  if (value < 2 ** 14) bytes.setUint16(0, (value << 2) | 1, true)
  else bytes.setUint32(0, value * 4 + 2, true)
  return new Uint8Array(bytes.buffer)
}

/** The bytes behind a compact length; `undefined` when they are not exactly as many as it says. */
export function withoutLength(bytes: Uint8Array): Uint8Array | undefined {
  const first = bytes[0] ?? 3
  const headBytes = { 0: 1, 1: 2, 2: 4 }[first & 3]
  if (headBytes === undefined) return undefined
  const rest = bytes.subarray(headBytes)
  const expected = compact(rest.length)
  return expected.every((byte, i) => byte === bytes[i]) ? rest : undefined
}

/**
 * The era of an extrinsic that is valid from block `birth` for `period` blocks, a power of two from 4 to 4096
 * (`sp_runtime::generic::Era`).
 */
export function mortalEra(birth: number, period: number): Uint8Array {
  const power = Math.log2(period)
  invariant(Number.isInteger(power) && power >= 2 && power <= 12, 'an era lasts a power of two')
  const encoded = (power - 1) | ((birth % period) << 4)
  return Uint8Array.of(encoded & 0xff, encoded >> 8)
}

export function toHex(bytes: Uint8Array): string {
  return `0x${bytesToText(bytes, 'base16')}`
}

/** Of text a schema has checked to be 0x and pairs of hex digits. */
export function fromHex(text: string): Uint8Array {
  return fromString(text.slice(2).toLowerCase(), 'base16')
}
