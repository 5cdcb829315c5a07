/** `capacity`: what a miner says it can still take and already holds. A claim, not a proof. See SPEC.md. */
import { z } from 'zod'
import type { ProtocolSpec } from '../common/protocol.js'
import { integer } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

export const CAPACITY: ProtocolSpec = {
  name: 'capacity',
  version: 1,
  headerBytesMax: 1024,
  stallTimeoutMs: 10_000,
  streamsMax: 4,
  opens: { perSecond: 10, burst: 50 },
}

const bytesField = integer(0, Number.MAX_SAFE_INTEGER)

export const capacityAskSchema = z.strictObject({ type: z.literal('ask') })

export const capacitySchema = z.strictObject({
  type: z.literal('capacity'),
  /** The whole partition. */
  budgetBytes: bytesField,
  /** Chunk bodies in all shards. */
  heldBytes: bytesField,
  heldChunks: integer(0, Number.MAX_SAFE_INTEGER),
  /** What the asking validator's shard still takes; 0 for those who are no validator. */
  freeBytes: bytesField,
})
export type Capacity = Omit<z.infer<typeof capacitySchema>, 'type'>

export const capacityAnswerSchema = z.discriminatedUnion('type', [capacitySchema, failureSchema])
