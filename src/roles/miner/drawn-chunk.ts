/**
 * Chunks drawn from all that is held: the scrub goes on from where it is, and the disk watch reads anywhere, to see whether
 * the disk still gives anything back.
 */
import { isSubnetError } from '../../base/errors.js'
import { type Random, randomFraction } from '../../base/random.js'
import { LEAF_BYTES } from '../../crypto/merkle.js'
import type { ChunkInfo, Shard } from '../../shard/shard.js'

/** Each shard as often as it is large; `undefined` when nothing is held. */
export function drawShard(shards: Iterable<Shard>, random: Random): Shard | undefined {
  const all = [...shards]
  let at = randomFraction(random) * all.reduce((sum, shard) => sum + shard.usage().bytes, 0)
  for (const shard of all) {
    at -= shard.usage().bytes
    if (at < 0) return shard
  }
  return undefined
}

/** The chunk behind a digest, or the first when there is none; `undefined` for a shard that holds nothing. */
export async function nextChunk(
  shard: Shard,
  digest: Uint8Array | undefined,
): Promise<ChunkInfo | undefined> {
  for await (const info of shard.chunks(digest)) return info
  if (digest === undefined) return undefined
  return await nextChunk(shard, undefined)
}

/**
 * Reads one leaf of what is held, which is likely not in the system's cache. Rejects with what the shard says; resolves
 * when nothing is held.
 */
export async function readDrawn(shards: Iterable<Shard>, random: Random): Promise<void> {
  const shard = drawShard(shards, random)
  const chunk = shard && (await nextChunk(shard, random.bytes(32)))
  if (shard === undefined || chunk === undefined) return
  const leaf = Math.floor(randomFraction(random) * Math.ceil(chunk.sizeBytes / LEAF_BYTES))
  const offset = leaf * LEAF_BYTES
  try {
    await shard.read(chunk.digest, offset, Math.min(LEAF_BYTES, chunk.sizeBytes - offset))
  } catch (error) {
    // Dropped meanwhile: the index, which says so, was read.
    if (!isSubnetError(error, 'NOT_FOUND')) throw error
  }
}
