/** How the ledger's rows look on disk: keys that sort as they are read, values in the same strict codec as the wire. */
import { z } from 'zod'
import {
  blockField,
  digestField,
  fixedBytes,
  integer,
  publicKeyField,
} from '../../../protocols/common/schema.js'
import { CANDIDATES_MAX, COPIED_NODES_MAX, profileField } from '../../../protocols/order/messages.js'
import { MASK_ROOT_BYTES } from '../../redundancy/mask.js'

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

const OBJECT = Buffer.from('object/')
const SEGMENT = Buffer.from('segment/')
const NONCE = Buffer.from('nonce/')

export function objectKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([OBJECT, object])
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

function u32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
