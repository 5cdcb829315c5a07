/**
 * Fixed-point numbers as the chain computes epochs with them: I32F32, truncated after every operation. A number is held
 * as its count of 2⁻³² in a double, exactly; only +, −, ×, ÷ and floor are used, which every machine rounds alike. Values
 * are not negative and at most 2¹⁶, products and quotients are of values up to 2: far from where a double loses bits.
 */

/** 1 as a fixed-point number. */
export const ONE = 2 ** 32

const HALF_BITS = 2 ** 16

/** a · b, truncated, as I32F32 multiplies. Exact: no partial product reaches 2⁵³. */
export function multiply(a: number, b: number): number {
  const high = Math.floor(b / HALF_BITS)
  const low = b - high * HALF_BITS
  return Math.floor((a * high + Math.floor((a * low) / HALF_BITS)) / HALF_BITS)
}

/** a ÷ b, truncated, as I32F32 divides; for two plain integers too. Zero when b is zero, as `safe_div`. Needs a ≤ 2b. */
export function divide(a: number, b: number): number {
  if (b === 0) return 0
  const quotient = Math.floor((a * ONE) / b)
  // The double's rounding may be off by one near an integer: the exact remainder decides.
  const high = Math.floor(quotient / HALF_BITS)
  const low = quotient - high * HALF_BITS
  const rest = (a * HALF_BITS - high * b) * HALF_BITS - low * b
  if (rest < 0) return quotient - 1
  return rest >= b ? quotient + 1 : quotient
}

/** Every value by their sum; unchanged when the sum is zero. In place. */
export function normalize(values: Float64Array): void {
  const total = sum(values)
  if (total === 0) return
  for (let i = 0; i < values.length; i += 1) values[i] = divide(values[i] as number, total)
}

export function sum(values: Float64Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}

/** The share of 65,535 that the chain stores. */
export function toU16(value: number): number {
  return Math.min(65_535, Math.floor((value * 65_535) / ONE))
}

/** numerator ÷ 65,535, as the chain reads its u16 parameters. */
export function fromU16(numerator: number): number {
  return divide(numerator, 65_535)
}

// ln 2 in two parts: multiples of the first up to 2¹¹ are exact.
const LN2_HIGH = 0.693_147_180_369_123_8
const LN2_LOW = 1.908_214_929_270_587_7e-10
const TAYLOR_TERMS = 14

/**
 * e^x of a plain number, |x| ≤ 20. `Math.exp` may differ between machines in its last bit; this does not, and is within
 * 10⁻¹⁵ of the true value, closer than the chain's own series.
 */
export function exponential(x: number): number {
  const clamped = Math.min(20, Math.max(-20, x))
  const exponent = Math.round(clamped / Math.LN2)
  const reduced = clamped - exponent * LN2_HIGH - exponent * LN2_LOW
  let series = 1
  for (let i = TAYLOR_TERMS; i >= 1; i -= 1) series = 1 + (reduced * series) / i
  // A power of two: exact, by multiplication.
  let scale = 1
  for (let i = 0; i < Math.abs(exponent); i += 1) scale *= 2
  return exponent < 0 ? series / scale : series * scale
}
