/**
 * How a devchain's directory holds values: dag-cbor, in which maps, BigInts and lists are marked so that they come back as
 * they were, in frames of length, checksum and payload.
 */
import { crc32 } from 'node:zlib'
import { decode, encode } from '@ipld/dag-cbor'
import { concat } from 'uint8arrays'

/** u32 length of the payload, u32 CRC-32 of it, both little-endian. */
const FRAME_HEAD_BYTES = 8

export function encodeFrame(payload: Uint8Array): Uint8Array {
  const head = new DataView(new ArrayBuffer(FRAME_HEAD_BYTES))
  head.setUint32(0, payload.length, true)
  head.setUint32(4, crc32(payload), true)
  return concat([new Uint8Array(head.buffer), payload])
}

/** The frames in front of the first that is torn, and how many bytes they take. */
export function decodeFrames(bytes: Uint8Array): {
  readonly payloads: readonly Uint8Array[]
  readonly bytes: number
} {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const payloads: Uint8Array[] = []
  let offset = 0
  while (offset + FRAME_HEAD_BYTES <= bytes.length) {
    const end = offset + FRAME_HEAD_BYTES + view.getUint32(offset, true)
    const payload = bytes.subarray(offset + FRAME_HEAD_BYTES, end)
    if (end > bytes.length || crc32(payload) !== view.getUint32(offset + 4, true)) break
    payloads.push(payload)
    offset = end
  }
  return { payloads, bytes: offset }
}

/** Plain objects, lists, maps, bytes, texts, numbers, BigInts, booleans and null. */
export function encodeValue(value: unknown): Uint8Array {
  return encode(marked(value))
}

export function decodeValue(bytes: Uint8Array): unknown {
  return unmarked(decode(bytes))
}

function marked(value: unknown): unknown {
  if (typeof value === 'bigint') return ['n', value.toString()]
  if (Array.isArray(value)) return ['l', ...value.map(marked)]
  if (value instanceof Map) return ['m', ...[...value].map(([key, each]) => [marked(key), marked(each)])]
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, marked(each)]))
}

function unmarked(value: unknown): unknown {
  // Copied: the decoder hands out views into the file's bytes.
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (Array.isArray(value)) {
    const [mark, ...rest] = value
    if (mark === 'n') return BigInt(String(rest[0]))
    if (mark === 'l') return rest.map(unmarked)
    return new Map(rest.map(([key, each]: [unknown, unknown]) => [unmarked(key), unmarked(each)]))
  }
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unmarked(each)]))
}
