/** `retrieve`: many chunks, or ranges of them, from a miner to a client over one stream. See SPEC.md. */
import { z } from 'zod'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { digestField, integer, list } from '../common/schema.js'
import { failureSchema } from '../common/status.js'
import { orderSchema } from '../order/order.js'
import { receiptSchema } from './receipt.js'

export const RETRIEVE: ProtocolSpec = {
  name: 'retrieve',
  version: 1,
  headerBytesMax: 8 * 1024,
  stallTimeoutMs: 30_000,
  streamsMax: 4,
  opens: { perSecond: 50, burst: 200 },
}

/** Requests that may wait at the miner. */
export const RETRIEVE_QUEUE_MAX = 64
/** Bytes a client lets come ahead of what it has consumed. */
export const RETRIEVE_CREDIT_BYTES = 4 * CHUNK_SIZE
/** Time that either side may be silent while the other waits for it. */
export const RETRIEVE_IDLE_TIMEOUT_MS = 120_000
/** Time a client has for the receipt without which the miner sends nothing more. */
export const RECEIPT_TIMEOUT_MS = 30_000
/** Receipts a client may give for each MiB it is sent, beside one: each costs the miner a signature check. */
export const RECEIPTS_PER_MIB_MAX = 4

const requestNumber = integer(0, 0xffffffff)
/** Leaves of a chunk. */
const leafField = integer(0, CHUNK_SIZE / LEAF_BYTES)

export const retrieveOpenSchema = z.strictObject({
  type: z.literal('open'),
  /** Without one the miner gives what its allowance for strangers permits. */
  order: orderSchema.optional(),
  /** Of all that was got under this order before, if anything: the miner may have been restarted since. */
  receipt: receiptSchema.optional(),
})

export const retrieveOpenedSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('opened') }),
  failureSchema,
])

export const retrieveRequestSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('get'),
    number: requestNumber,
    digest: digestField,
    firstLeaf: leafField,
    /** 0: to the end of the chunk. */
    leaves: leafField,
  }),
  /** Bodies may flow up to this many bytes, counted from the start of the stream. */
  z.strictObject({
    type: z.literal('credit'),
    bytes: integer(0, Number.MAX_SAFE_INTEGER),
    /** Higher than any before on this stream. */
    receipt: receiptSchema.optional(),
  }),
])

export const retrieveAnswerSchema = z.discriminatedUnion('type', [
  /** The body follows: `lengthBytes` raw bytes from the first leaf on. Bodies come in the order of the requests. */
  z.strictObject({
    type: z.literal('body'),
    number: requestNumber,
    /** Of the whole chunk. */
    sizeBytes: integer(1, CHUNK_SIZE),
    lengthBytes: integer(1, CHUNK_SIZE),
    /** Proves the range against the chunk's audit root; empty for a whole chunk, which its digest proves. */
    proof: list(digestField, 0, 32),
  }),
  /** This request fails; the stream goes on. */
  z.strictObject({ type: z.literal('refused'), number: requestNumber, failure: failureSchema }),
  /** The stream is over. */
  failureSchema,
])

export type RetrieveRequest = z.infer<typeof retrieveRequestSchema>
export type RetrieveAnswer = z.infer<typeof retrieveAnswerSchema>
