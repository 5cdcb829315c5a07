/** `capacity`: what a miner says it can still take, already holds, and has lost. A claim, not a proof. See SPEC.md. */
import { z } from 'zod'
import { KIB } from '../../src/base/units.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { digestField, integer, list } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

/** Losses in one answer. */
export const LOSSES_MAX = 128

export const CAPACITY: ProtocolSpec = {
  name: 'capacity',
  version: 1,
  // A full list of losses: 43 bytes each.
  headerBytesMax: 6 * KIB,
  stallTimeoutMs: 10_000,
  streamsMax: 4,
  opens: { perSecond: 10, burst: 50 },
}

const bytesField = integer(0, Number.MAX_SAFE_INTEGER)

export const capacityAskSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ask') }),
  z.strictObject({
    type: z.literal('ask-losses'),
    /** Number of the newest loss the asker knows; 0 for none. */
    after: integer(0, Number.MAX_SAFE_INTEGER),
  }),
])

export const capacitySchema = z.strictObject({
  type: z.literal('capacity'),
  /** The whole partition. */
  budgetBytes: bytesField,
  /** Chunk bodies in all shards. */
  heldBytes: bytesField,
  heldChunks: integer(0, Number.MAX_SAFE_INTEGER),
  /** Chunks in all shards that the miner's disk did not give back; absent for none. */
  lostChunks: integer(1, Number.MAX_SAFE_INTEGER).optional(),
  /** What the asking validator's shard still takes; 0 for those who are no validator. */
  freeBytes: bytesField,
  /** Number of the newest loss in the asking validator's shard; absent before the first. */
  lastLoss: integer(1, Number.MAX_SAFE_INTEGER).optional(),
})
export type Capacity = Omit<z.infer<typeof capacitySchema>, 'type'>

export const capacityAnswerSchema = z.discriminatedUnion('type', [capacitySchema, failureSchema])

export const lossesSchema = z.strictObject({
  type: z.literal('losses'),
  /** Number of the newest loss there ever was; 0 before the first. */
  last: integer(0, Number.MAX_SAFE_INTEGER),
  /** Number and digest, numbers ascending; the oldest of those asked for. */
  losses: list(z.tuple([integer(1, Number.MAX_SAFE_INTEGER), digestField]), 0, LOSSES_MAX),
})
export type Losses = Omit<z.infer<typeof lossesSchema>, 'type'>

export const lossesAnswerSchema = z.discriminatedUnion('type', [lossesSchema, failureSchema])
