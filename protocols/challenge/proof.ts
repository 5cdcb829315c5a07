/** What the miner signs and what anybody checks: pure functions of challenge and answer. */
import { SubnetError } from '../../src/base/errors.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { Signer } from '../../src/crypto/keys.js'
import { verifySignature } from '../../src/crypto/keys.js'
import { verifyRange } from '../../src/crypto/merkle.js'
import { encodeMessage } from '../common/schema.js'
import type { WireDomain } from '../common/signed.js'
import { taggedBytes } from '../common/signed.js'
import type { Answer, Challenge, SampleAnswer } from './messages.js'

/** What the auditor knows of a sampled chunk from its lease, never from the answer. */
export interface SampledChunk {
  readonly auditRoot: Uint8Array
  readonly sizeBytes: number
}

export type SampleVerdict = 'proven' | 'lost' | 'wrong'

export function signAnswer(
  miner: Signer,
  domain: WireDomain,
  challenge: Challenge,
  samples: SampleAnswer[],
): Answer {
  return {
    type: 'answer',
    samples,
    signature: miner.sign(answerBytes(domain, miner.publicKey, challenge, samples)),
  }
}

/**
 * One verdict per sample. Throws `BAD_SIGNATURE` when the miner did not sign this answer to this challenge, `INVALID`
 * when the counts differ: then there is no answer at all.
 */
export function judgeAnswer(
  domain: WireDomain,
  miner: Uint8Array,
  challenge: Challenge,
  chunks: readonly SampledChunk[],
  answer: Answer,
): SampleVerdict[] {
  if (answer.samples.length !== challenge.samples.length || chunks.length !== challenge.samples.length) {
    throw new SubnetError('INVALID', 'answer: not one answer per sample')
  }
  const message = answerBytes(domain, miner, challenge, answer.samples)
  if (!verifySignature('sr25519', miner, message, answer.signature)) {
    throw new SubnetError('BAD_SIGNATURE', "answer: the miner's signature does not verify")
  }
  return challenge.samples.map(([, leaf], index) => {
    const sample = answer.samples[index]
    const chunk = chunks[index]
    if (sample === undefined || chunk === undefined) return 'wrong'
    if (sample.type === 'lost') return 'lost'
    const proven = verifyRange({
      root: chunk.auditRoot,
      sizeBytes: chunk.sizeBytes,
      firstLeaf: leaf,
      leaves: sample.bytes,
      proof: sample.path,
    })
    return proven ? 'proven' : 'wrong'
  })
}

function answerBytes(
  domain: WireDomain,
  miner: Uint8Array,
  challenge: Challenge,
  samples: readonly SampleAnswer[],
): Uint8Array {
  return taggedBytes('subnet-answer/0', domain, [
    miner,
    sha256(encodeMessage(challenge)),
    sha256(encodeMessage(samples)),
  ])
}
