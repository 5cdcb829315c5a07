/** A whole chunk as a verified span, for tests that have it whole. */
import { type ChunkReference, VerifiedSpan } from '../../src/redundancy/chunk.js'

export function verifiedChunk(reference: ChunkReference, bytes: Uint8Array): VerifiedSpan {
  const receiver = VerifiedSpan.receive(reference)
  receiver.push(bytes)
  return receiver.finish()
}
