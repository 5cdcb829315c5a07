/** `lease`: a validator tells a miner that its lease counts, goes on for longer, or is over. See SPEC.md. */
import { z } from 'zod'
import type { ProtocolSpec } from '../common/protocol.js'
import { blockField, digestField, signatureField } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

export const LEASE: ProtocolSpec = {
  name: 'lease',
  version: 1,
  headerBytesMax: 1024,
  stallTimeoutMs: 10_000,
  streamsMax: 8,
  // A visit hands over one at a time, as fast as the miner's disk syncs.
  opens: { perSecond: 200, burst: 1000 },
}

export const confirmSchema = z.strictObject({
  type: z.literal('confirm'),
  object: digestField,
  validatorSignature: signatureField,
})

export const confirmAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('confirmed') }),
  failureSchema,
])

/** The lease goes on: the same one with a later end, which the validator has countersigned already. */
export const renewSchema = z.strictObject({
  type: z.literal('renew'),
  object: digestField,
  endBlock: blockField,
  validatorSignature: signatureField,
})

/** The lease is over: its owner wants the object gone. The session proves the validator, whose lease it is. */
export const releaseSchema = z.strictObject({ type: z.literal('release'), object: digestField })

export const leaseRequestSchema = z.discriminatedUnion('type', [confirmSchema, renewSchema, releaseSchema])

export const renewAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('renewed'), minerSignature: signatureField }),
  failureSchema,
])

export const releaseAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('released') }),
  failureSchema,
])
