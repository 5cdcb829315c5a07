/**
 * The memory of chunks on their way out: buffers that one upload uses again and again. A coder's are fresh for every
 * segment, and what takes long to send is given back by the collector long after that: with them an upload takes twice
 * the memory.
 */
import { BufferPool } from '../base/buffer-pool.js'
import { release } from '../base/release.js'
import { CHUNK_SIZE } from '../redundancy/profiles.js'
import type { EncodedSegment } from '../redundancy/segment.js'

export class ChunkBuffers {
  readonly #pool: BufferPool

  /** `chunksMax`: how many the upload has in memory at once. */
  constructor(chunksMax: number) {
    this.#pool = new BufferPool({ sizeBytes: CHUNK_SIZE, freeMax: chunksMax })
  }

  /** The same segment in buffers of ours. Those of `segment`, which nobody else may have, are given back to the system. */
  adopt(segment: EncodedSegment): EncodedSegment {
    const chunks = segment.chunks.map(({ bytes, ...names }) => {
      // A short one is of the last segment: there is no next one to use its buffer.
      const own = bytes.length === CHUNK_SIZE ? this.#pool.take() : new Uint8Array(bytes.length)
      own.set(bytes)
      return { ...names, bytes: own }
    })
    for (const buffer of new Set(segment.chunks.map(({ bytes }) => bytes.buffer)))
      release(new Uint8Array(buffer))
    return { ...segment, chunks }
  }

  /**
   * Every miner that was sent this chunk has answered, so its bytes have left. If one answered before it had them, it gets
   * others instead, of a chunk that another miner gets too: its own loss.
   */
  give(bytes: Uint8Array): void {
    this.#pool.give(bytes)
  }

  /** When no stream is open any more. */
  clear(): void {
    this.#pool.clear()
  }
}
