/**
 * The inspector decides about a chunk that somebody doubts (an unreadable body, a leaf with another hash) or whose turn
 * it is: it reads all of it again. What is not what its digest says on a disk that works is lost: it is forgotten and
 * listed, for the validator to hear. Nothing is called lost because of a disk that is away for an hour.
 */
import { toString as bytesToText, equals } from 'uint8arrays'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { Semaphore } from '../../base/semaphore.js'
import { LeafHasher } from '../../crypto/merkle.js'
import type { Shard } from '../../shard/shard.js'

/** `gone`: not held any more. `unsure`: the disk does not work, or the shard is being opened. */
export type Finding = 'whole' | 'lost' | 'gone' | 'unsure'

export interface InspectorComponents {
  /** Asks the disk itself, now. */
  readonly diskWorks: () => Promise<boolean>
  readonly logger: Logger
}

/** Doubts that wait; who comes later finds `unsure`, and the scrub finds the chunk. */
const DOUBTS_MAX = 256

export class Inspector {
  readonly #components: InspectorComponents
  /** One at a time: a disk on which much is in doubt has enough to do. */
  readonly #turn = new Semaphore({ permitsMax: 1, waitersMax: DOUBTS_MAX })
  /** Several who doubt the same chunk share one finding. */
  readonly #open = new Map<string, Promise<Finding>>()

  constructor(components: InspectorComponents) {
    this.#components = components
  }

  /** Never rejects. */
  inspect(shard: Shard, digest: Uint8Array): Promise<Finding> {
    const name = bytesToText(digest, 'hex')
    let finding = this.#open.get(name)
    if (finding === undefined) {
      finding = this.#turn
        .run(() => this.#find(shard, digest))
        .catch((error: unknown): Finding => {
          if (!isSubnetError(error, 'BUSY') && !isSubnetError(error, 'STOPPED'))
            this.#components.logger.warn(
              { err: error, chunk: name },
              'a chunk in doubt could not be looked at',
            )
          return 'unsure'
        })
        .finally(() => this.#open.delete(name))
      this.#open.set(name, finding)
    }
    return finding
  }

  async #find(shard: Shard, digest: Uint8Array): Promise<Finding> {
    const info = await shard.describe(digest)
    if (info === undefined) return 'gone'
    if (await isWhole(shard, digest)) return 'whole'
    const { diskWorks, logger } = this.#components
    if (!(await diskWorks())) return 'unsure'
    // Once more on a disk that has just shown that it works: what failed for a moment is no loss.
    if (await isWhole(shard, digest)) return 'whole'
    if ((await shard.describe(digest)) === undefined) return 'gone'
    await shard.lose(digest, info.expiresBlock)
    const chunk = bytesToText(digest, 'hex')
    logger.error(
      { chunk, sizeBytes: info.sizeBytes },
      'a chunk is lost: the disk does not give it back as it was',
    )
    return 'lost'
  }
}

/** Throws `UNAVAILABLE` when nothing can be said of the chunk now. */
export function checkSure(finding: Finding): void {
  if (finding === 'unsure')
    throw new SubnetError('UNAVAILABLE', 'the chunk cannot be read now, and may not be lost')
}

/** Body, tree and leaves are what they were when the chunk was taken. False too when the body cannot be read. */
async function isWhole(shard: Shard, digest: Uint8Array): Promise<boolean> {
  try {
    const info = await shard.describe(digest)
    const leafHashes = await shard.leafHashes(digest)
    if (info === undefined || leafHashes === undefined) return false
    const hasher = new LeafHasher()
    hasher.update(await shard.read(digest, 0, info.sizeBytes))
    const found = hasher.finish()
    return (
      equals(found.digest, digest) &&
      equals(found.auditRoot, info.auditRoot) &&
      equals(found.leafHashes, leafHashes)
    )
  } catch (error) {
    if (isSubnetError(error, 'DISK') || isSubnetError(error, 'NOT_FOUND')) return false
    throw error
  }
}
