/** What tests store and read back: bytes that a seed brings again, whole or as a stream. */
import { concat } from 'uint8arrays'
import { seededRandom } from '../../src/base/random.js'
import type { SubnetClient } from '../../src/node/client.js'

export function testBytes(seed: string, sizeBytes: number): Uint8Array {
  return seededRandom(seed).bytes(sizeBytes)
}

export async function readBack(client: SubnetClient, capability: string): Promise<Uint8Array> {
  const { data } = await client.storage.get(capability)
  const pieces: Uint8Array[] = []
  for await (const piece of data) pieces.push(piece)
  return concat(pieces)
}

/** Equality without printing megabytes when it does not hold. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
