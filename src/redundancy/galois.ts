/** Arithmetic in GF(2⁸) with the polynomial 0x11d, and matrices over it. Bulk products are `matrix-kernel.ts`. */
import { invariant } from '../base/errors.js'

const POLYNOMIAL = 0x11d
/** Order of the multiplicative group: 2 generates it. */
const GROUP_ORDER = 255

interface Tables {
  /** Powers of 2, twice over, so that a sum of two logarithms needs no modulo. */
  readonly powers: Uint8Array
  readonly logarithms: Uint8Array
}

let cached: Tables | undefined

function tables(): Tables {
  if (cached !== undefined) return cached
  const powers = new Uint8Array(2 * GROUP_ORDER)
  const logarithms = new Uint8Array(256)
  let power = 1
  for (let exponent = 0; exponent < GROUP_ORDER; exponent++) {
    powers[exponent] = power
    powers[exponent + GROUP_ORDER] = power
    logarithms[power] = exponent
    power <<= 1
    if (power > 0xff) power ^= POLYNOMIAL
  }
  cached = { powers, logarithms }
  return cached
}

/** Product of two field elements. */
export function multiply(a: number, b: number): number {
  if (a === 0 || b === 0) return 0
  const { powers, logarithms } = tables()
  return powers[(logarithms[a] as number) + (logarithms[b] as number)] as number
}

/** 1 / a. */
export function inverse(a: number): number {
  invariant(a !== 0, 'zero has no inverse')
  const { powers, logarithms } = tables()
  return powers[GROUP_ORDER - (logarithms[a] as number)] as number
}

/** The vector `row` · `matrix`, the matrix given as rows. */
export function multiplyRow(row: Uint8Array, matrix: readonly Uint8Array[]): Uint8Array {
  const product = new Uint8Array(matrix[0]?.length ?? 0)
  for (const [j, factors] of matrix.entries()) addScaled(product, factors, row[j] ?? 0)
  return product
}

/** Inverse of a square matrix given as rows (Gauss–Jordan). The caller knows that it has one. */
export function invertMatrix(matrix: readonly Uint8Array[]): Uint8Array[] {
  const size = matrix.length
  // Each row with its row of the identity behind it.
  const rows: Uint8Array[] = matrix.map((row, i) => {
    const wide = new Uint8Array(2 * size)
    wide.set(row)
    wide[size + i] = 1
    return wide
  })
  for (let column = 0; column < size; column++) {
    const at = rows.findIndex((row, i) => i >= column && row[column] !== 0)
    invariant(at >= 0, 'the matrix has an inverse')
    const found = rows[at] as Uint8Array
    rows[at] = rows[column] as Uint8Array
    const scale = inverse(found[column] as number)
    const pivot = found.map((value) => multiply(value, scale))
    rows[column] = pivot
    for (const [i, row] of rows.entries()) if (i !== column) addScaled(row, pivot, row[column] as number)
  }
  return rows.map((row) => row.slice(size))
}

/** target += factor · row. */
function addScaled(target: Uint8Array, row: Uint8Array, factor: number): void {
  for (const [i, value] of row.entries()) target[i] = (target[i] as number) ^ multiply(value, factor)
}
