/** `lease`: a validator tells a miner that its lease counts. See SPEC.md. Renewal and release will join it. */
import { z } from 'zod'
import type { ProtocolSpec } from '../common/protocol.js'
import { digestField, signatureField } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

export const LEASE: ProtocolSpec = {
  name: 'lease',
  version: 0,
  headerBytesMax: 1024,
  stallTimeoutMs: 10_000,
  streamsMax: 8,
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
