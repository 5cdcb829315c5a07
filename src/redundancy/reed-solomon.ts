/**
 * Systematic Reed–Solomon over GF(2⁸), polynomial 0x11d, for any 1 ≤ k ≤ n ≤ 255. Chunks 0 … k−1 are the data; parity
 * chunk i (k ≤ i < n) is Σⱼ cᵢⱼ · dataⱼ with cᵢⱼ = i / (i ⊕ j): the Cauchy matrix 1/(i ⊕ j) with row i scaled by i.
 * Scaling keeps every k rows independent and makes the first column ones, so that codes with k = 1 are plain copies.
 * Chunks that end sooner than the longest count as zero-padded; nothing pads what is stored. Bytes at one offset
 * depend on the other chunks' bytes at that offset only, so a span of a chunk is rebuilt from the same span of others.
 */
import { invariant } from '../base/errors.js'
import { inverse, invertMatrix, multiply, multiplyRow } from './galois.js'
import { multiplyRows } from './matrix-kernel.js'
import type { Code } from './profiles.js'

export const CODE_CHUNKS_MAX = 255

/** Parity chunks k … n−1, each as long as the longest data chunk. */
export function encodeParity(data: readonly Uint8Array[], code: Code): Uint8Array[] {
  invariant(data.length === code.k, 'every data chunk is given')
  const lengthBytes = Math.max(...data.map((chunk) => chunk.length))
  return reconstruct(data, code, lengthBytes, range(code.k, code.n))
}

/**
 * The `wanted` chunks, data or parity, out of any k: `chunks[i]` is chunk i if it is there (the caller has seen to it
 * that k are). `lengthBytes` is the coder length (the longest chunk's); every result has it, zero-padded.
 */
export function reconstruct(
  chunks: readonly (Uint8Array | undefined)[],
  code: Code,
  lengthBytes: number,
  wanted: readonly number[],
): Uint8Array[] {
  const { k, n } = code
  invariant(1 <= k && k <= n && n <= CODE_CHUNKS_MAX, 'a code has 1 ≤ k ≤ n ≤ 255')
  const used = range(0, n)
    .filter((i) => chunks[i] !== undefined)
    .slice(0, k)
  invariant(used.length === k, 'at least k chunks are there')
  const inputs = used.map((i) => chunks[i] as Uint8Array)
  invariant(
    inputs.every((chunk) => chunk.length <= lengthBytes),
    'no chunk is longer than the coder',
  )
  // data = inverse · inputs, so wanted = its generator row · inverse · inputs.
  const toData = invertMatrix(used.map((i) => generatorRow(i, k)))
  return multiplyRows(
    wanted.map((i) => multiplyRow(generatorRow(i, k), toData)),
    inputs,
    lengthBytes,
  )
}

/** What chunk i is made of: k coefficients. */
function generatorRow(i: number, k: number): Uint8Array {
  return Uint8Array.from({ length: k }, (_, j) => {
    if (i < k) return i === j ? 1 : 0
    return multiply(i, inverse(i ^ j))
  })
}

function range(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i)
}
