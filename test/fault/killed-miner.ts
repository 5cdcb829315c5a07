/** What the killed miner process and the test that checks its disk agree on. */
import { toSs58 } from '../../src/crypto/keys.js'
import { testHotkey } from '../kit/chain-keys.js'
import { testChunk, testId } from '../kit/test-chunk.js'

export const MINER = () => testHotkey(1).signer
export const VALIDATOR = () => testHotkey(2).signer
export const validatorAddress = () => toSs58(VALIDATOR().publicKey)

/** Chunks of one object: stored, then leased together. */
export const OBJECT_CHUNKS = 3

/** What the process says; "releasing" before it does it, the others after. */
export type MinerReport =
  | { readonly stored: number }
  | { readonly leased: number }
  | { readonly releasing: number }

/** Chunk `index` of an object. */
export function killedChunk(object: number, index: number) {
  const seed = object * OBJECT_CHUNKS + index
  return testChunk(seed, 1 + ((seed * 7_919) % 200_000))
}

export function objectId(object: number): Uint8Array {
  return testId(32, object)
}
