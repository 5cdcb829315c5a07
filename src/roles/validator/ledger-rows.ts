/** How the ledger's rows look on disk: keys that sort as they are read, values in the same strict codec as the wire. */
import { z } from 'zod'
import {
  blockField,
  digestField,
  fixedBytes,
  integer,
  publicKeyField,
} from '../../../protocols/common/schema.js'
import { DAG_SEGMENT } from '../../../protocols/lease/lease.js'
import { CANDIDATES_MAX, COPIED_NODES_MAX, profileField } from '../../../protocols/order/messages.js'
import { invariant } from '../../base/errors.js'
import { DIGEST_BYTES } from '../../crypto/hash.js'
import { MASK_ROOT_BYTES } from '../../redundancy/mask.js'
import { after } from './ledger-database.js'

/** Positions, in the row's `miners`, of those who hold each chunk (or node) in turn. */
export const segmentHoldersSchema = z.array(z.array(integer(0, CANDIDATES_MAX - 1)).max(CANDIDATES_MAX))
export type SegmentHolders = z.infer<typeof segmentHoldersSchema>

export const objectRowSchema = z.strictObject({
  profile: profileField,
  /** Key of the client that put it. */
  client: publicKeyField,
  /** Key that signed the manifest: whoever has it may renew and release the object. */
  owner: publicKeyField,
  /** With it the committee repairs without the owner; absent for objects that are not masked. */
  maskRoot: fixedBytes(MASK_ROOT_BYTES).optional(),
  /** Digest of every manifest node, root first, then of every block of a public object's IPFS file that it lists. */
  nodes: z.array(digestField).min(1).max(COPIED_NODES_MAX),
  nodeHolders: segmentHoldersSchema,
  segments: integer(0, 2 ** 31),
  /** Hotkeys. */
  miners: z.array(publicKeyField).min(1).max(CANDIDATES_MAX),
  /** Bytes that each miner's lease names: of equal chunks, each counts. */
  minerBytes: z.array(integer(0, Number.MAX_SAFE_INTEGER)).min(1).max(CANDIDATES_MAX),
  committedBlock: blockField,
  endBlock: blockField,
})
export type ObjectRow = z.infer<typeof objectRowSchema>

/** The miner's word that a chunk is lost: the number it gave the loss, and our head when we heard of it. */
export const lossSchema = z.strictObject({ number: integer(1, Number.MAX_SAFE_INTEGER), block: blockField })

/** A chunk that a lease names. */
export interface LeasedChunk {
  readonly digest: Uint8Array
  /** Whose lease it is. */
  readonly object: Uint8Array
  readonly auditRoot: Uint8Array
  readonly sizeBytes: number
  readonly endBlock: number
}

const OBJECT = Buffer.from('object/')
const SEGMENT = Buffer.from('segment/')
const NONCE = Buffer.from('nonce/')

export function objectKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([OBJECT, object])
}

/** Rows of objects behind this one, or of all. */
export function objectRange(last: Uint8Array | undefined): { gt: Uint8Array; lt: Uint8Array } {
  return { gt: last === undefined ? OBJECT : objectKey(last), lt: after(OBJECT) }
}

export function objectOfKey(key: Uint8Array): Uint8Array {
  return Uint8Array.from(key.subarray(OBJECT.length))
}

export function segmentKey(object: Uint8Array, segment: number): Uint8Array {
  return Buffer.concat([SEGMENT, object, u32(segment)])
}

export function nonceKey(expiresBlock: number, nonce: Uint8Array): Uint8Array {
  return Buffer.concat([NONCE, u32(expiresBlock), nonce])
}

/** Nonces of requests that expired before a block. */
export function nonceRange(block: number): { gte: Uint8Array; lt: Uint8Array } {
  return { gte: Buffer.concat([NONCE, u32(0)]), lt: Buffer.concat([NONCE, u32(block)]) }
}

/** What follows `chunk/`: leases that name the same chunk lie side by side. */
export function chunkKey(digest: Uint8Array, object: Uint8Array): Uint8Array {
  return Buffer.concat([digest, object])
}

/** No dag-cbor: an audit reads all of a miner's, and there may be millions. */
export function writeChunkValue({
  auditRoot,
  sizeBytes,
  endBlock,
}: Pick<LeasedChunk, 'auditRoot' | 'sizeBytes' | 'endBlock'>): Uint8Array {
  return Buffer.concat([auditRoot, u32(sizeBytes), u32(endBlock)])
}

/** `key` without its `chunk/`. The parts are views of it and of the value. */
export function readChunkRow(key: Uint8Array, value: Uint8Array): LeasedChunk {
  invariant(key.length === 2 * DIGEST_BYTES && value.length === DIGEST_BYTES + 8, 'a chunk row has its form')
  const numbers = new DataView(value.buffer, value.byteOffset + DIGEST_BYTES, 8)
  return {
    digest: key.subarray(0, DIGEST_BYTES),
    object: key.subarray(DIGEST_BYTES),
    auditRoot: value.subarray(0, DIGEST_BYTES),
    sizeBytes: numbers.getUint32(0),
    endBlock: numbers.getUint32(4),
  }
}

/** `prefix`: the object's. Parts that are kept in full copies come before segment 0. */
export function lostInKey(prefix: Uint8Array, segment: number, index: number): Uint8Array {
  return Buffer.concat([prefix, u32(segment - DAG_SEGMENT), u32(index)])
}

export function readLostInKey(key: Uint8Array): { readonly segment: number; readonly index: number } {
  const numbers = new DataView(key.buffer, key.byteOffset, 8)
  return { segment: numbers.getUint32(0) + DAG_SEGMENT, index: numbers.getUint32(4) }
}

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
