/** Answers to many yes-or-no questions in one byte string: bit i in byte i / 8, the lowest first. */
import { SubnetError } from '../../src/base/errors.js'

export function toBits(answers: readonly boolean[]): Uint8Array {
  const bits = new Uint8Array(Math.ceil(answers.length / 8))
  for (const [i, yes] of answers.entries()) if (yes) bits[i >> 3] = (bits[i >> 3] ?? 0) | (1 << (i & 7))
  return bits
}

/** `INVALID` unless there are exactly `count` answers and nothing behind them. */
export function fromBits(bits: Uint8Array, count: number): boolean[] {
  const rest = (bits[bits.length - 1] ?? 0) >> (((count - 1) % 8) + 1)
  if (bits.length !== Math.ceil(count / 8) || rest !== 0) {
    throw new SubnetError('INVALID', `${bits.length} bytes are no answer to ${count} questions`)
  }
  return Array.from({ length: count }, (_, i) => (((bits[i >> 3] ?? 0) >> (i & 7)) & 1) === 1)
}
