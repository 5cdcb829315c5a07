/** `order`: place, commit and locate, renew and release: a client's questions to a validator. See SPEC.md. */
import { z } from 'zod'
import { KIB, MIB } from '../../src/base/units.js'
import { DAG_NODES_MAX } from '../../src/redundancy/file-dag.js'
import { MANIFEST_BYTES_MAX, MANIFEST_NODES_MAX } from '../../src/redundancy/manifest.js'
import { PROFILE_NAMES } from '../../src/redundancy/profiles.js'
import type { ProtocolSpec } from '../common/protocol.js'
import {
  addressField,
  blockField,
  digestField,
  fixedBytes,
  integer,
  list,
  nonceField,
  peerIdField,
  publicKeyField,
  signatureField,
  text,
} from '../common/schema.js'
import { envelopeSchema } from '../common/signed.js'
import { failureSchema } from '../common/status.js'
import { LEASE_BYTES_MAX } from '../lease/lease.js'
import { orderSchema } from './order.js'

export const ORDER: ProtocolSpec = {
  name: 'order',
  version: 1,
  // Largest message: a lease inside a commit.
  headerBytesMax: LEASE_BYTES_MAX + 1024,
  // A commit of a large object is verified before it is answered.
  stallTimeoutMs: 20_000,
  streamsMax: 8,
  opens: { perSecond: 50, burst: 200 },
}

/** Largest request, bytes: an envelope and its body. */
export const ORDER_REQUEST_BYTES_MAX = 66 * KIB
/** Miners offered for one object: the whole of the largest subnet. */
export const CANDIDATES_MAX = 256
/** Segments one locate answers; a reader asks again for the next. */
export const LOCATE_SEGMENTS_MAX = 512
/** Blocks of one object that are kept in full copies: manifest nodes, and those above the leaves of an IPFS file. */
export const COPIED_NODES_MAX = 1 + MANIFEST_NODES_MAX + DAG_NODES_MAX
/** Largest object one order covers: 16 TiB. */
export const OBJECT_BYTES_MAX = 2 ** 44

/** Largest manifest a commit may bring, all nodes together: an object of about 300 GiB. It is held in memory to be checked. */
export const COMMIT_BYTES_MAX = 64 * MIB

export const profileField = z.enum(PROFILE_NAMES)

/** Where should the chunks of an object of this size go? */
export const placeBodySchema = z.strictObject({
  profile: profileField,
  /** Plaintext bytes of the object; absent when the client does not know, as for a pipe. */
  sizeBytes: integer(0, OBJECT_BYTES_MAX).optional(),
  /** The client's name for this put: asking again with it gives the same answer. */
  put: nonceField,
  leaseBlocks: integer(1, 2 ** 31),
  /** Some of it is at the miners already, and in the room that they have no more. */
  continues: z.literal(true).optional(),
})
export type PlaceBody = z.infer<typeof placeBodySchema>

export const candidateSchema = z.strictObject({
  hotkey: publicKeyField,
  peerId: peerIdField,
  address: addressField,
  /** Operator group: chunks of one segment are spread over groups. */
  group: text(64),
  /** Share of new data it should get, relative to the others. */
  weight: integer(1, 2 ** 40),
  order: orderSchema,
})
export type Candidate = z.infer<typeof candidateSchema>

export const placedSchema = z.strictObject({
  type: z.literal('placed'),
  /** With the candidates it fixes the place of every chunk: `redundancy/placement`. */
  seed: fixedBytes(32),
  candidates: list(candidateSchema, 1, CANDIDATES_MAX),
  leaseEndBlock: blockField,
  /** Set when the network is smaller than the profile's full strength: what is missing, for people. */
  warning: text(200).optional(),
})
export type Placed = z.infer<typeof placedSchema>

/** These miners hold the object: count it. The manifest's nodes and the leases follow as bodies. */
export const commitBodySchema = z.strictObject({
  object: digestField,
  profile: profileField,
  /** Lets the committee repair without the owner; absent for objects that are not masked. */
  maskRoot: fixedBytes(32).optional(),
  /** Size of each manifest node, root first, bytes. */
  nodes: list(integer(1, MANIFEST_BYTES_MAX), 1, 1 + MANIFEST_NODES_MAX),
  leases: integer(1, CANDIDATES_MAX),
})
export type CommitBody = z.infer<typeof commitBodySchema>

export const committedSchema = z.strictObject({
  type: z.literal('committed'),
  /** One per lease, in the order they were sent. */
  countersignatures: list(signatureField, 0, CANDIDATES_MAX),
  /** Receipts of the weakest segment, and what the profile asks for. */
  weakestReceipts: integer(0, 255),
  fullReceipts: integer(0, 255),
})
export type Committed = z.infer<typeof committedSchema>

/** Who holds these segments, and may I read them? */
export const locateBodySchema = z.strictObject({
  object: digestField,
  firstSegment: integer(0, 2 ** 31),
  segments: integer(0, LOCATE_SEGMENTS_MAX),
})
export type LocateBody = z.infer<typeof locateBodySchema>

export const holderSchema = z.strictObject({
  hotkey: publicKeyField,
  peerId: peerIdField,
  address: addressField,
  order: orderSchema,
})
export type Holder = z.infer<typeof holderSchema>

/** Positions, in `holders`, of those who leased a chunk. */
const holdersOfChunk = list(integer(0, CANDIDATES_MAX - 1), 0, CANDIDATES_MAX)

export const locatedSchema = z.strictObject({
  type: z.literal('located'),
  holders: list(holderSchema, 0, CANDIDATES_MAX),
  /** Holders of each manifest node, root first, then of each block of the IPFS file that the manifest lists. */
  nodes: list(holdersOfChunk, 0, COPIED_NODES_MAX),
  /** For each asked segment, for each chunk, its holders. */
  segments: list(list(holdersOfChunk, 0, 4_096), 0, LOCATE_SEGMENTS_MAX),
})
export type Located = z.infer<typeof locatedSchema>

/** Keep the object for longer. The request is signed by the object's own key, whatever client brings it. */
export const renewBodySchema = z.strictObject({ object: digestField, leaseBlocks: integer(1, 2 ** 31) })
export type RenewBody = z.infer<typeof renewBodySchema>

export const renewedSchema = z.strictObject({
  type: z.literal('renewed'),
  /** Block until which the validator asks the miners to keep it; what it was if that is later. */
  endBlock: blockField,
  /** Miners that are told, now or when they next answer. */
  miners: integer(0, CANDIDATES_MAX),
})
export type Renewed = z.infer<typeof renewedSchema>

/** Drop the object. Signed like a renewal. */
export const releaseBodySchema = z.strictObject({ object: digestField })
export type ReleaseBody = z.infer<typeof releaseBodySchema>

export const releasedSchema = z.strictObject({
  type: z.literal('released'),
  miners: integer(0, CANDIDATES_MAX),
})
export type Released = z.infer<typeof releasedSchema>

export const requestSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('place'), request: envelopeSchema }),
  z.strictObject({ type: z.literal('commit'), request: envelopeSchema }),
  z.strictObject({ type: z.literal('locate'), request: envelopeSchema }),
  z.strictObject({ type: z.literal('renew'), request: envelopeSchema }),
  z.strictObject({ type: z.literal('release'), request: envelopeSchema }),
])

export const placeAnswerSchema = z.discriminatedUnion('type', [placedSchema, failureSchema])
export const commitAnswerSchema = z.discriminatedUnion('type', [committedSchema, failureSchema])
export const locateAnswerSchema = z.discriminatedUnion('type', [locatedSchema, failureSchema])
export const renewAnswerSchema = z.discriminatedUnion('type', [renewedSchema, failureSchema])
export const releaseAnswerSchema = z.discriminatedUnion('type', [releasedSchema, failureSchema])
