/**
 * The coder's inner loop: rows of GF(2⁸) coefficients times byte vectors. It knows nothing of codes; `reed-solomon.ts`
 * chooses the rows. The work is `simd-kernel.ts`, or `plain-kernel.ts` where the engine has no WASM SIMD.
 */
import { invariant } from '../base/errors.js'
import { multiplyRowsPlain } from './plain-kernel.js'
import { multiplyRowsSimd, simdEngine } from './simd-kernel.js'

/**
 * For each row r the bytes Σⱼ row[j] · inputs[j], `lengthBytes` long; inputs that end sooner count as zeros there, and
 * there is at least one. Outputs are fresh.
 */
export function multiplyRows(
  rows: readonly Uint8Array[],
  inputs: readonly Uint8Array[],
  lengthBytes: number,
): Uint8Array[] {
  const [first] = inputs
  invariant(first !== undefined, 'there is something to multiply')
  invariant(
    rows.every((row) => row.length === inputs.length),
    'a row has one coefficient per input',
  )
  if (inputs.length === 1 && rows.every((row) => row[0] === 1)) {
    // Plain copies: the commonest case, every object of one chunk.
    return rows.map(() => {
      const copy = new Uint8Array(lengthBytes)
      copy.set(first.subarray(0, lengthBytes))
      return copy
    })
  }
  const engine = simdEngine()
  if (engine === undefined) return multiplyRowsPlain(rows, inputs, lengthBytes)
  return multiplyRowsSimd(engine, rows, inputs, lengthBytes)
}
