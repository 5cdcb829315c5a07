/**
 * The prover answers challenges: exactly the named leaves, read from disk at that moment, and the miner's signature.
 * What cannot be read is said to be lost rather than answered wrongly.
 */

import type { Answer, Challenge, SampleAnswer } from '../../../protocols/challenge/messages.js'
import { signAnswer } from '../../../protocols/challenge/proof.js'
import type { ChallengeHandler } from '../../../protocols/challenge/server.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import { isSubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import type { Signer } from '../../crypto/keys.js'
import { LEAF_BYTES, proveRange } from '../../crypto/merkle.js'
import type { AllShards } from './retrieve-service.js'
import { findChunk } from './retrieve-service.js'

export interface ProverComponents {
  readonly shards: AllShards
  readonly signer: Signer
  readonly logger: Logger
}

export class Prover implements ChallengeHandler {
  readonly #components: ProverComponents
  readonly #domain: WireDomain

  constructor(components: ProverComponents, domain: WireDomain) {
    this.#components = components
    this.#domain = domain
  }

  async prove(challenge: Challenge): Promise<Answer> {
    const samples: SampleAnswer[] = []
    for (const [digest, leaf] of challenge.samples) samples.push(await this.#sample(digest, leaf))
    return signAnswer(this.#components.signer, this.#domain, challenge, samples)
  }

  async #sample(digest: Uint8Array, leaf: number): Promise<SampleAnswer> {
    try {
      const { shard, info } = await findChunk(this.#components.shards, digest)
      const offset = leaf * LEAF_BYTES
      if (offset >= info.sizeBytes) return { type: 'lost' }
      const bytes = await shard.read(digest, offset, Math.min(LEAF_BYTES, info.sizeBytes - offset))
      const leafHashes = await shard.leafHashes(digest)
      if (leafHashes === undefined) return { type: 'lost' }
      return { type: 'leaf', bytes, path: proveRange(leafHashes, leaf, 1) }
    } catch (error) {
      if (!isSubnetError(error, 'NOT_FOUND'))
        this.#components.logger.error({ err: error }, 'a challenged chunk is lost')
      return { type: 'lost' }
    }
  }
}
