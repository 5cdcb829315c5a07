/** `have`: which of these chunks does this miner hold? A claim, not a proof. See SPEC.md. */
import { z } from 'zod'
import { KIB } from '../../src/base/units.js'
import type { ProtocolSpec } from '../common/protocol.js'
import { boundedBytes, digestField, list } from '../common/schema.js'
import { failureSchema } from '../common/status.js'

/** Digests in one question: a batch of segments, 0.5 GiB of chunks. */
export const HAVE_DIGESTS_MAX = 512

export const HAVE: ProtocolSpec = {
  name: 'have',
  version: 1,
  // A full question: 34 bytes a digest.
  headerBytesMax: 18 * KIB,
  stallTimeoutMs: 10_000,
  streamsMax: 2,
  // One question for each batch of segments of a download, and more readers behind one peer.
  opens: { perSecond: 50, burst: 200 },
}

export const haveAskSchema = z.strictObject({
  type: z.literal('ask'),
  digests: list(digestField, 1, HAVE_DIGESTS_MAX),
})

export const haveAnswerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('held'),
    /** Bit i % 8, from the lowest, of byte i / 8 says whether digest i is held; the bits after the last are 0. */
    bits: boundedBytes(1, HAVE_DIGESTS_MAX / 8),
  }),
  failureSchema,
])

export function packBits(flags: readonly boolean[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(flags.length / 8))
  for (const [index, flag] of flags.entries()) {
    if (flag) bits[index >> 3] = (bits[index >> 3] as number) | (1 << (index & 7))
  }
  return bits
}

/** The first `count` bits; `undefined` when the bytes are not exactly that many, padded with zeros. */
export function unpackBits(bits: Uint8Array, count: number): boolean[] | undefined {
  if (bits.length !== Math.ceil(count / 8)) return undefined
  const flags = Array.from(
    { length: bits.length * 8 },
    (_, i) => (((bits[i >> 3] as number) >> (i & 7)) & 1) === 1,
  )
  return flags.slice(count).includes(true) ? undefined : flags.slice(0, count)
}
