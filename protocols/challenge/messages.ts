/** `challenge`: a validator names leaves, the miner sends their bytes with their paths, signed. See SPEC.md. */
import { z } from 'zod'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { boundedBytes, digestField, integer, list, nonceField, signatureField } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

/** Leaves one challenge may name. */
export const CHALLENGE_SAMPLES_MAX = 64
/** Largest question, bytes. */
export const CHALLENGE_BYTES_MAX = 4096
/** Default number of samples. */
export const CHALLENGE_SAMPLES = 32
/** Time from the question to the last byte of the answer. */
export const CHALLENGE_DEADLINE_MS = 10_000
/** Longest path of a leaf in a chunk: log2(256). */
const PATH_HASHES_MAX = 8

export const CHALLENGE: ProtocolSpec = {
  name: 'challenge',
  version: 0,
  // 64 samples of a leaf and its path.
  headerBytesMax: CHALLENGE_SAMPLES_MAX * (LEAF_BYTES + PATH_HASHES_MAX * 34 + 32) + 1024,
  stallTimeoutMs: CHALLENGE_DEADLINE_MS,
  streamsMax: 2,
  opens: { perSecond: 10, burst: 50 },
}

export const sampleSchema = z.tuple([
  /** digest of the chunk */ digestField,
  /** leaf */ integer(0, CHUNK_SIZE / LEAF_BYTES - 1),
])
export type Sample = z.infer<typeof sampleSchema>

export const challengeSchema = z.strictObject({
  type: z.literal('challenge'),
  nonce: nonceField,
  samples: list(sampleSchema, 1, CHALLENGE_SAMPLES_MAX),
})
export type Challenge = z.infer<typeof challengeSchema>

/** For each sample in turn: the leaf and its path, or `lost`, which is a failed sample said honestly. */
export const sampleAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('leaf'),
    bytes: boundedBytes(1, LEAF_BYTES),
    path: list(digestField, 0, PATH_HASHES_MAX),
  }),
  z.strictObject({ type: z.literal('lost') }),
])
export type SampleAnswer = z.infer<typeof sampleAnswerSchema>

export const answerSchema = z.strictObject({
  type: z.literal('answer'),
  samples: list(sampleAnswerSchema, 1, CHALLENGE_SAMPLES_MAX),
  /** The miner's, over the challenge and this answer: a wrong answer cannot be denied. */
  signature: signatureField,
})
export type Answer = z.infer<typeof answerSchema>

export const challengeAnswerSchema = z.discriminatedUnion('type', [answerSchema, failureSchema])
