/** `hello`: the messages and limits. See SPEC.md. */
import { z } from 'zod'
import type { ProtocolSpec } from '../common/protocol.js'
import { blockField, integer, peerIdField, publicKeyField, signatureField, text } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

/** Time for one whole exchange, and the longest an application stream waits for it. */
export const HELLO_TIMEOUT_MS = 10_000

export const HELLO: ProtocolSpec = {
  name: 'hello',
  version: 1,
  // An attestation of an honest node has under 400 bytes.
  headerBytesMax: 1024,
  stallTimeoutMs: HELLO_TIMEOUT_MS,
  streamsMax: 2,
  opens: { perSecond: 2, burst: 20 },
}

/** Blocks an attestation lives. */
export const ATTESTATION_LIFE_BLOCKS = 1_200
/** Age at which a node makes a new one: long before the old one ends. */
export const ATTESTATION_RENEW_BLOCKS = 300
/** Longest life of an attestation that is accepted. */
export const ATTESTATION_LIFE_BLOCKS_MAX = 7_200
/** Blocks an attestation may seem to come from the future: heads reach nodes at different times. */
export const ATTESTATION_AHEAD_BLOCKS_MAX = 25
/** Sessions a node keeps; the connection limit is below it. */
export const SESSIONS_MAX = 2_048

export const roleSchema = z.enum(['miner', 'validator', 'client'])
export type Role = z.infer<typeof roleSchema>

/** "The key `key` speaks through the peer `peerId`." Hotkeys are sr25519, clients' own keys ed25519. */
export const attestationSchema = z.strictObject({
  role: roleSchema,
  key: publicKeyField,
  peerId: peerIdField,
  issuedBlock: blockField,
  expiresBlock: blockField,
  /** Grows with every attestation of the key, so that the newest is known. */
  sequence: integer(0, Number.MAX_SAFE_INTEGER),
  /** The sender's software, for people: `subnet-node/0.1.0`. */
  agent: text(64),
  signature: signatureField,
})

export type Attestation = z.infer<typeof attestationSchema>

/** What either side says of itself. */
export const helloSchema = z.strictObject({ type: z.literal('hello'), attestation: attestationSchema })
/** What a dialler gets. */
export const helloAnswerSchema = z.discriminatedUnion('type', [helloSchema, failureSchema])
