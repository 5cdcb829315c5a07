/**
 * Keys and rows of a shard's index, encoded and decoded. A key is one tag byte and what it is about; numbers are
 * big-endian, so that byte order is number order. What the rows mean together is in `mutations.ts`.
 *
 * | key | value |
 * | --- | --- |
 * | `v` | version of this layout |
 * | `c` digest | audit root, size, expiry, place of the body |
 * | `h` digest | leaf hashes |
 * | `f` file | length, live bytes, live chunks of a body file |
 * | `m` file offset | digest of the chunk whose body begins there |
 * | `l` object | end block, lease bytes |
 * | `o` serial | bytes used, expiry |
 * | `x` block tag id | nothing: from this block on the chunk, lease or order may be forgotten |
 */
import { concat } from 'uint8arrays'
import { invariant, SubnetError } from '../base/errors.js'
import { DIGEST_BYTES } from '../crypto/hash.js'
import type { KeyRange } from './level-index.js'

export const INDEX_VERSION = 1
const SERIAL_BYTES = 16

const TAG = {
  chunk: 99,
  file: 102,
  leaves: 104,
  lease: 108,
  member: 109,
  order: 111,
  version: 118,
  expiry: 120,
}

/** What may be forgotten when its block comes. */
export type ExpiringKind = 'chunk' | 'lease' | 'order'

/** Where a body lies. */
export interface Place {
  /** Number of the body file. */
  readonly file: number
  /** Bytes from the file's start. */
  readonly offset: number
}

export interface ChunkRow extends Place {
  /** 32 bytes. */
  readonly auditRoot: Uint8Array
  readonly sizeBytes: number
  readonly expiresBlock: number
}

export interface BodyFileRow {
  /** Bytes of the file that count; what lies behind them was never acknowledged. */
  readonly lengthBytes: number
  /** Bytes and number of the chunks in it that are still held. */
  readonly liveBytes: number
  readonly liveChunks: number
}

export interface OrderRow {
  readonly usedBytes: number
  readonly expiresBlock: number
}

export interface StoredLease {
  readonly endBlock: number
  readonly bytes: Uint8Array
}

export interface ExpiryEntry {
  /** The first block at which it may be forgotten. */
  readonly block: number
  readonly kind: ExpiringKind
  /** Digest, object or serial. */
  readonly id: Uint8Array
}

export const versionKey = Uint8Array.of(TAG.version)
export const chunkKey = (digest: Uint8Array) => idKey(TAG.chunk, digest, DIGEST_BYTES)
export const leavesKey = (digest: Uint8Array) => idKey(TAG.leaves, digest, DIGEST_BYTES)
export const leaseKey = (object: Uint8Array) => idKey(TAG.lease, object, DIGEST_BYTES)
export const orderKey = (serial: Uint8Array) => idKey(TAG.order, serial, SERIAL_BYTES)
export const fileKey = (file: number) => new Writer(5).u8(TAG.file).u32(file).bytes
export const memberKey = (place: Place) =>
  new Writer(9).u8(TAG.member).u32(place.file).u32(place.offset).bytes
export const expiryKey = (entry: ExpiryEntry) =>
  new Writer(10 + entry.id.length).u8(TAG.expiry).u64(entry.block).u8(TAG[entry.kind]).raw(entry.id).bytes

export const chunkRange = tagRange(TAG.chunk)
export const leaseRange = tagRange(TAG.lease)
export const fileRange = tagRange(TAG.file)
/** Chunks of one body file, in the order in which they lie. */
export const memberRange = (from: Place): KeyRange => ({
  from: memberKey(from),
  before: memberKey({ file: from.file + 1, offset: 0 }),
})
/** Everything that may be forgotten at `block`, oldest first. */
export const expiryRange = (block: number): KeyRange => ({
  from: Uint8Array.of(TAG.expiry),
  before: new Writer(9).u8(TAG.expiry).u64(block + 1).bytes,
})

/** Digest, object or serial of a `c`, `h`, `l` or `o` key. */
export const idOfKey = (key: Uint8Array): Uint8Array => Uint8Array.from(key.subarray(1))
export const fileOfKey = (key: Uint8Array): number => new Reader('body file key', key, 5).skip(1).u32()

export function placeOfKey(key: Uint8Array): Place {
  const reader = new Reader('member key', key, 9).skip(1)
  return { file: reader.u32(), offset: reader.u32() }
}

export function decodeExpiryKey(key: Uint8Array): ExpiryEntry {
  const reader = new Reader('expiry key', key).skip(1)
  const block = reader.u64()
  const tag = reader.u8()
  const kind = (['chunk', 'lease', 'order'] as const).find((name) => TAG[name] === tag)
  if (kind === undefined) throw damaged('expiry key')
  const id = reader.rest()
  if (id.length !== (kind === 'order' ? SERIAL_BYTES : DIGEST_BYTES)) throw damaged('expiry key')
  return { block, kind, id }
}

export function encodeChunkRow(row: ChunkRow): Uint8Array {
  return new Writer(CHUNK_ROW_BYTES)
    .raw(row.auditRoot)
    .u32(row.sizeBytes)
    .u64(row.expiresBlock)
    .u32(row.file)
    .u32(row.offset).bytes
}

const CHUNK_ROW_BYTES = DIGEST_BYTES + 20

export function decodeChunkRow(value: Uint8Array): ChunkRow {
  const reader = new Reader('chunk row', value, CHUNK_ROW_BYTES)
  return {
    auditRoot: reader.raw(DIGEST_BYTES),
    sizeBytes: reader.u32(),
    expiresBlock: reader.u64(),
    file: reader.u32(),
    offset: reader.u32(),
  }
}

export function encodeFileRow(row: BodyFileRow): Uint8Array {
  return new Writer(12).u32(row.lengthBytes).u32(row.liveBytes).u32(row.liveChunks).bytes
}

export function decodeFileRow(value: Uint8Array): BodyFileRow {
  const reader = new Reader('body file row', value, 12)
  return { lengthBytes: reader.u32(), liveBytes: reader.u32(), liveChunks: reader.u32() }
}

export function encodeOrderRow(row: OrderRow): Uint8Array {
  return new Writer(16).u64(row.usedBytes).u64(row.expiresBlock).bytes
}

export function decodeOrderRow(value: Uint8Array): OrderRow {
  const reader = new Reader('order row', value, 16)
  return { usedBytes: reader.u64(), expiresBlock: reader.u64() }
}

export function encodeLease(lease: StoredLease): Uint8Array {
  return new Writer(8 + lease.bytes.length).u64(lease.endBlock).raw(lease.bytes).bytes
}

export function decodeLease(value: Uint8Array): StoredLease {
  const reader = new Reader('lease row', value)
  return { endBlock: reader.u64(), bytes: reader.rest() }
}

/** One string per key, for maps. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
}

function idKey(tag: number, id: Uint8Array, lengthBytes: number): Uint8Array {
  invariant(id.length === lengthBytes, `an id of ${lengthBytes} bytes`)
  return concat([Uint8Array.of(tag), id])
}

function tagRange(tag: number): KeyRange {
  return { from: Uint8Array.of(tag), before: Uint8Array.of(tag + 1) }
}

function damaged(what: string): SubnetError {
  return new SubnetError('DISK', `the index holds a ${what} that is none`)
}

/** Fills a buffer of known length from its start. */
class Writer {
  readonly bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(lengthBytes: number) {
    this.bytes = new Uint8Array(lengthBytes)
    this.#view = new DataView(this.bytes.buffer)
  }

  u8(value: number): this {
    this.#view.setUint8(this.#step(1), value)
    return this
  }

  u32(value: number): this {
    invariant(Number.isInteger(value) && 0 <= value && value < 2 ** 32, 'a 32-bit number')
    this.#view.setUint32(this.#step(4), value)
    return this
  }

  u64(value: number): this {
    invariant(Number.isSafeInteger(value) && value >= 0, 'a whole number')
    this.#view.setBigUint64(this.#step(8), BigInt(value))
    return this
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#step(bytes.length))
    return this
  }

  #step(lengthBytes: number): number {
    const at = this.#at
    this.#at += lengthBytes
    return at
  }
}

/** Reads fields in order; `DISK` when the bytes are not as long as they must be. Byte fields are copies. */
class Reader {
  readonly #what: string
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(what: string, bytes: Uint8Array, lengthBytes?: number) {
    this.#what = what
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (lengthBytes !== undefined && bytes.length !== lengthBytes) throw damaged(what)
  }

  skip(lengthBytes: number): this {
    this.#step(lengthBytes)
    return this
  }

  u8(): number {
    return this.#view.getUint8(this.#step(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#step(4))
  }

  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#step(8)))
    if (!Number.isSafeInteger(value)) throw damaged(this.#what)
    return value
  }

  raw(lengthBytes: number): Uint8Array {
    const at = this.#step(lengthBytes)
    return Uint8Array.from(this.#bytes.subarray(at, at + lengthBytes))
  }

  rest(): Uint8Array {
    return this.raw(this.#bytes.length - this.#at)
  }

  #step(lengthBytes: number): number {
    const at = this.#at
    this.#at += lengthBytes
    if (this.#at > this.#bytes.length) throw damaged(this.#what)
    return at
  }
}
