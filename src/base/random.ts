/** Chance as a port. The simulator and tests give a seeded one; nodes the system's. */
import { createCipheriv, createHash, randomBytes } from 'node:crypto'

export interface Random {
  /** `lengthBytes` fresh bytes, owned by the caller. */
  bytes(lengthBytes: number): Uint8Array
}

/** The operating system's generator: fit for keys. */
export const systemRandom: Random = {
  bytes: (lengthBytes) => Uint8Array.from(randomBytes(lengthBytes)),
}

/** The same seed gives the same stream (ChaCha20 keyed with its SHA-256). Never for keys that protect data. */
export function seededRandom(seed: string): Random {
  const stream = createCipheriv('chacha20', createHash('sha256').update(seed).digest(), new Uint8Array(16))
  return {
    bytes: (lengthBytes) => Uint8Array.from(stream.update(new Uint8Array(lengthBytes))),
  }
}

/** A number in [0, 1) from 48 random bits: for jitter and choices, not for keys. */
export function randomFraction(random: Random): number {
  const bytes = random.bytes(6)
  let value = 0
  for (const byte of bytes) value = value * 256 + byte
  return value / 2 ** 48
}
