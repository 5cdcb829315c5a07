/** `store`: many chunks from a client to a miner over one stream, and the lease for them. See SPEC.md. */
import { z } from 'zod'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { blockField, boundedBytes, digestField, integer, list } from '../common/schema.js'
import { failureSchema } from '../common/status.js'
import { LEASE_BYTES_MAX, LEASE_ENTRIES_MAX, leaseEntrySchema, signedLeaseSchema } from '../lease/lease.js'
import { orderSchema } from '../order/order.js'

export const STORE: ProtocolSpec = {
  name: 'store',
  version: 1,
  // Largest message: the signed lease.
  headerBytesMax: LEASE_BYTES_MAX + 1024,
  stallTimeoutMs: 30_000,
  streamsMax: 4,
  opens: { perSecond: 50, burst: 200 },
}

/** Chunks a client may have sent without an answer: enough to hide a round trip and a sync. */
export const STORE_CREDIT_CHUNKS_MAX = 8
/** Time a client may leave an open stream idle between chunks: it may be encoding, or waiting for others. */
export const STORE_IDLE_TIMEOUT_MS = 120_000

/** Digests that one `have` may ask about. */
export const STORE_HAVE_MAX = 512

const chunkNumber = integer(0, 0xffffffff)

export const storeOpenSchema = z.strictObject({ type: z.literal('open'), order: orderSchema })

export const storeRequestSchema = z.discriminatedUnion('type', [
  /** The body follows: `sizeBytes` raw bytes. */
  z.strictObject({
    type: z.literal('chunk'),
    /** The client's number for the answer. */
    number: chunkNumber,
    digest: digestField,
    auditRoot: digestField,
    sizeBytes: integer(1, CHUNK_SIZE),
  }),
  /** Which of these are with you already, so that their bodies need not be sent? */
  z.strictObject({ type: z.literal('have'), digests: list(digestField, 1, STORE_HAVE_MAX) }),
  /** Sign that you hold these until then. */
  z.strictObject({
    type: z.literal('lease'),
    object: digestField,
    entries: list(leaseEntrySchema, 1, LEASE_ENTRIES_MAX),
    endBlock: blockField,
  }),
])

export const storeOpenedSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('opened'), creditChunks: integer(1, STORE_CREDIT_CHUNKS_MAX) }),
  failureSchema,
])

export const storeAnswerSchema = z.discriminatedUnion('type', [
  /** The chunk is durable. */
  z.strictObject({ type: z.literal('kept'), number: chunkNumber, present: z.boolean() }),
  /** This chunk was not kept; the stream goes on. */
  z.strictObject({ type: z.literal('refused'), number: chunkNumber, failure: failureSchema }),
  /** One bit for each digest asked about, in their order, the lowest bit of a byte first; the last byte's rest is 0. */
  z.strictObject({ type: z.literal('held'), bits: boundedBytes(1, STORE_HAVE_MAX / 8) }),
  z.strictObject({ type: z.literal('leased'), lease: signedLeaseSchema }),
  /** The stream is over. */
  failureSchema,
])

export type StoreAnswer = z.infer<typeof storeAnswerSchema>
export type StoreRequest = z.infer<typeof storeRequestSchema>
