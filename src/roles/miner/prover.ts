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
import { hasLeaves, LEAF_BYTES, proveRange } from '../../crypto/merkle.js'
import type { Shard } from '../../shard/shard.js'
import type { DiskHealth } from './disk-watch.js'
import { checkSure, type Inspector } from './inspector.js'
import type { AllShards } from './retrieve-service.js'
import { findChunk } from './retrieve-service.js'

export interface ProverComponents {
  readonly shards: AllShards
  readonly signer: Signer
  readonly health: Pick<DiskHealth, 'checkReads'>
  readonly inspector: Pick<Inspector, 'inspect'>
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
    this.#components.health.checkReads()
    // All at once: one after the other, each would wait for its turn on a busy machine.
    const samples = await Promise.all(challenge.samples.map(([digest, leaf]) => this.#sample(digest, leaf)))
    return signAnswer(this.#components.signer, this.#domain, challenge, samples)
  }

  async #sample(digest: Uint8Array, leaf: number): Promise<SampleAnswer> {
    const { shards, inspector, health, logger } = this.#components
    const found = await findChunk(shards, digest).catch((error: unknown) => {
      if (!isSubnetError(error, 'NOT_FOUND'))
        logger.error({ err: error }, 'a challenged chunk cannot be found')
      return undefined
    })
    const offset = leaf * LEAF_BYTES
    if (found === undefined || offset >= found.chunk.info.sizeBytes) return { type: 'lost' }
    const { shard, chunk } = found
    const lengthBytes = Math.min(LEAF_BYTES, chunk.info.sizeBytes - offset)
    const answer = await leafOf(shard, digest, leaf, lengthBytes)
    if (answer !== undefined) return answer
    const finding = await inspector.inspect(shard, digest)
    // Not "lost" because the disk is away.
    health.checkReads()
    checkSure(finding)
    const again = finding === 'whole' ? await leafOf(shard, digest, leaf, lengthBytes) : undefined
    return again ?? { type: 'lost' }
  }
}

/** The leaf with its path; `undefined` when it cannot be read or is not what it was. */
async function leafOf(
  shard: Shard,
  digest: Uint8Array,
  leaf: number,
  lengthBytes: number,
): Promise<SampleAnswer | undefined> {
  try {
    const bytes = await shard.read(digest, leaf * LEAF_BYTES, lengthBytes)
    const leafHashes = await shard.leafHashes(digest)
    if (leafHashes === undefined || !hasLeaves(bytes, leafHashes, leaf)) return undefined
    return { type: 'leaf', bytes, path: proveRange(leafHashes, leaf, 1) }
  } catch (error) {
    // The inspector tells the operator what it comes to.
    if (isSubnetError(error)) return undefined
    throw error
  }
}
