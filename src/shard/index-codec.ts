/**
 * Keys and rows of a shard's index, encoded and decoded. A key is one tag byte and what it is about; numbers are
 * big-endian, so that byte order is number order. What the rows mean together is in `mutations.ts`.
 *
 * | key | value |
 * | --- | --- |
 * | `v` | version of this layout |
 * | `c` digest | audit root, size, expiry, place of the body |
 * | `t` digest | the same of a chunk in the trash; its expiry is the block at which it is dropped |
 * | `h` digest | leaf hashes, of a chunk in the trash too |
 * | `f` file | length of a body file, and bytes and chunks in it: held, in the trash |
 * | `m` file offset | digest of the chunk whose body begins there |
 * | `l` object | end block, block at which it is forgotten, lease bytes |
 * | `o` serial | bytes used, expiry |
 * | `g` digest | number of the loss of this chunk, block until which it is listed |
 * | `n` number | digest of the chunk lost |
 * | `e` | number of the newest loss, how many are listed |
 * | `s` | digest of the chunk that was scrubbed last |
 * | `x` block tag id | nothing: from this block on the chunk, lease, order or loss may be forgotten |
 * | `y` block digest | nothing: from this block on the chunk may be dropped from the trash |
 */
import { concat } from 'uint8arrays'
import { invariant, SubnetError } from '../base/errors.js'
import { DIGEST_BYTES } from '../crypto/hash.js'
import type { KeyRange } from './level-index.js'

export const INDEX_VERSION = 2
const SERIAL_BYTES = 16

const TAG = {
  chunk: 99,
  losses: 101,
  file: 102,
  loss: 103,
  leaves: 104,
  lease: 108,
  member: 109,
  lossNumber: 110,
  order: 111,
  scrub: 115,
  trash: 116,
  version: 118,
  expiry: 120,
  trashEnd: 121,
}

/** What may be forgotten when its block comes. */
export type ExpiringKind = 'chunk' | 'lease' | 'order' | 'loss' | 'trash'

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
  /** The same of those in the trash. */
  readonly trashBytes: number
  readonly trashChunks: number
}

export const EMPTY_FILE: BodyFileRow = {
  lengthBytes: 0,
  liveBytes: 0,
  liveChunks: 0,
  trashBytes: 0,
  trashChunks: 0,
}

/** Nothing in it counts any more. */
export function isDead(file: BodyFileRow): boolean {
  return file.liveChunks === 0 && file.trashChunks === 0
}

export interface OrderRow {
  readonly usedBytes: number
  readonly expiresBlock: number
}

export interface StoredLease {
  readonly endBlock: number
  readonly forgetsBlock: number
  readonly bytes: Uint8Array
}

export interface LossRow {
  readonly number: number
  readonly untilBlock: number
}

/** Of all losses of a shard. */
export interface LossCount {
  /** Number of the newest there ever was; 0 before the first. */
  readonly last: number
  /** How many are listed. */
  readonly listed: number
}

export interface ExpiryEntry {
  /** The first block at which it may be forgotten. */
  readonly block: number
  readonly kind: ExpiringKind
  /** Digest, object or serial. */
  readonly id: Uint8Array
}

export const versionKey = Uint8Array.of(TAG.version)
export const scrubKey = Uint8Array.of(TAG.scrub)
export const lossCountKey = Uint8Array.of(TAG.losses)
export const chunkKey = (digest: Uint8Array) => idKey(TAG.chunk, digest, DIGEST_BYTES)
export const trashKey = (digest: Uint8Array) => idKey(TAG.trash, digest, DIGEST_BYTES)
export const lossKey = (digest: Uint8Array) => idKey(TAG.loss, digest, DIGEST_BYTES)
export const lossNumberKey = (number: number) => new Writer(9).u8(TAG.lossNumber).u64(number).bytes
export const leavesKey = (digest: Uint8Array) => idKey(TAG.leaves, digest, DIGEST_BYTES)
export const leaseKey = (object: Uint8Array) => idKey(TAG.lease, object, DIGEST_BYTES)
export const orderKey = (serial: Uint8Array) => idKey(TAG.order, serial, SERIAL_BYTES)
export const fileKey = (file: number) => new Writer(5).u8(TAG.file).u32(file).bytes
export const memberKey = (place: Place) =>
  new Writer(9).u8(TAG.member).u32(place.file).u32(place.offset).bytes
export const expiryKey = ({ kind, block, id }: ExpiryEntry) =>
  kind === 'trash'
    ? new Writer(9 + id.length).u8(TAG.trashEnd).u64(block).raw(id).bytes
    : new Writer(10 + id.length).u8(TAG.expiry).u64(block).u8(TAG[kind]).raw(id).bytes

/** Chunks behind this one, in the order of their digests; all without it. */
export const chunkRange = (after?: Uint8Array): KeyRange => ({
  from: after === undefined ? Uint8Array.of(TAG.chunk) : concat([chunkKey(after), Uint8Array.of(0)]),
  before: Uint8Array.of(TAG.chunk + 1),
})
export const leaseRange = tagRange(TAG.lease)
export const fileRange = tagRange(TAG.file)
/** Chunks of one body file, in the order in which they lie. */
export const memberRange = (from: Place): KeyRange => ({
  from: memberKey(from),
  before: memberKey({ file: from.file + 1, offset: 0 }),
})
/** Losses with a higher number, the oldest first. */
export const lossRange = (after: number): KeyRange => ({
  from: lossNumberKey(after + 1),
  before: Uint8Array.of(TAG.lossNumber + 1),
})
/** Everything but trash that may be forgotten at `block`, oldest first. */
export const expiryRange = (block: number): KeyRange => ({
  from: Uint8Array.of(TAG.expiry),
  before: new Writer(9).u8(TAG.expiry).u64(block + 1).bytes,
})
/** Trash that may be dropped at `block`, oldest first; all of it without one. */
export const trashRange = (block?: number): KeyRange => ({
  from: Uint8Array.of(TAG.trashEnd),
  before:
    block === undefined
      ? Uint8Array.of(TAG.trashEnd + 1)
      : new Writer(9).u8(TAG.trashEnd).u64(block + 1).bytes,
})
/** Whatever is kept until a block: empty when the shard holds nothing. */
export const keptRange: KeyRange = {
  from: Uint8Array.of(TAG.expiry),
  before: Uint8Array.of(TAG.trashEnd + 1),
}

/** Digest, object or serial of a `c`, `t`, `h`, `l`, `o` or `g` key. */
export const idOfKey = (key: Uint8Array): Uint8Array => Uint8Array.from(key.subarray(1))
export const fileOfKey = (key: Uint8Array): number => new Reader('body file key', key, 5).skip(1).u32()

export const numberOfLossKey = (key: Uint8Array): number => new Reader('loss key', key, 9).skip(1).u64()

export function placeOfKey(key: Uint8Array): Place {
  const reader = new Reader('member key', key, 9).skip(1)
  return { file: reader.u32(), offset: reader.u32() }
}

export function decodeExpiryKey(key: Uint8Array): ExpiryEntry {
  const reader = new Reader('expiry key', key)
  const isTrash = reader.u8() === TAG.trashEnd
  const block = reader.u64()
  const tag = isTrash ? TAG.trash : reader.u8()
  const kind = (['chunk', 'lease', 'order', 'loss', 'trash'] as const).find((name) => TAG[name] === tag)
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
  const { lengthBytes, liveBytes, liveChunks, trashBytes, trashChunks } = row
  return new Writer(20).u32(lengthBytes).u32(liveBytes).u32(liveChunks).u32(trashBytes).u32(trashChunks).bytes
}

export function decodeFileRow(value: Uint8Array): BodyFileRow {
  const reader = new Reader('body file row', value, 20)
  return {
    lengthBytes: reader.u32(),
    liveBytes: reader.u32(),
    liveChunks: reader.u32(),
    trashBytes: reader.u32(),
    trashChunks: reader.u32(),
  }
}

export function encodeOrderRow(row: OrderRow): Uint8Array {
  return new Writer(16).u64(row.usedBytes).u64(row.expiresBlock).bytes
}

export function decodeOrderRow(value: Uint8Array): OrderRow {
  const reader = new Reader('order row', value, 16)
  return { usedBytes: reader.u64(), expiresBlock: reader.u64() }
}

export function encodeLease(lease: StoredLease): Uint8Array {
  return new Writer(16 + lease.bytes.length).u64(lease.endBlock).u64(lease.forgetsBlock).raw(lease.bytes)
    .bytes
}

export function decodeLease(value: Uint8Array): StoredLease {
  const reader = new Reader('lease row', value)
  return { endBlock: reader.u64(), forgetsBlock: reader.u64(), bytes: reader.rest() }
}

export function encodeLoss({ number, untilBlock }: LossRow): Uint8Array {
  return new Writer(16).u64(number).u64(untilBlock).bytes
}

export function decodeLoss(value: Uint8Array): LossRow {
  const reader = new Reader('loss row', value, 16)
  return { number: reader.u64(), untilBlock: reader.u64() }
}

export function encodeLossCount({ last, listed }: LossCount): Uint8Array {
  return new Writer(16).u64(last).u64(listed).bytes
}

/** Nothing yet without a value. */
export function decodeLossCount(value: Uint8Array | undefined): LossCount {
  if (value === undefined) return { last: 0, listed: 0 }
  const reader = new Reader('count of losses', value, 16)
  return { last: reader.u64(), listed: reader.u64() }
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
