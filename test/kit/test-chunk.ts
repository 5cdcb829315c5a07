/** Chunks for tests: the same number gives the same bytes. */

import { concat } from 'uint8arrays'
import { seededRandom } from '../../src/base/random.js'
import { LeafHasher } from '../../src/crypto/merkle.js'
import type { NewChunk, ShardUsage } from '../../src/shard/shard.js'

/** A chunk of `sizeBytes`, its body in two pieces, ending at block 100 unless `fields` say otherwise. */
export function testChunk(seed: number, sizeBytes: number, fields: Partial<NewChunk> = {}): NewChunk {
  const bytes = seededRandom(`chunk ${seed}`).bytes(sizeBytes)
  const hasher = new LeafHasher()
  hasher.update(bytes)
  const middle = Math.floor(sizeBytes / 2)
  const body = [bytes.subarray(0, middle), bytes.subarray(middle)]
  return { ...hasher.finish(), sizeBytes, expiresBlock: 100, body, ...fields }
}

/** The body as one. */
export function bodyOf(chunk: NewChunk): Uint8Array {
  return concat([...chunk.body])
}

/** A 16-byte serial or 32-byte object name from a small number. */
export function testId(lengthBytes: 16 | 32, seed: number): Uint8Array {
  return seededRandom(`id ${seed}`).bytes(lengthBytes)
}

/** What a shard without trash and losses says of itself. */
export function usageOf(chunks: number, bytes: number, diskBytes: number): ShardUsage {
  return { chunks, bytes, trashBytes: 0, diskBytes, lostChunks: 0 }
}
