import assert from 'node:assert/strict'
import fc from 'fast-check'
import { divide, exponential, fromU16, multiply, ONE, toU16 } from '../../../src/incentive/fixed.js'

const upTo = (max: number) => fc.integer({ min: 0, max })

describe('fixed-point numbers', () => {
  it('multiply as 64-bit integers do', () => {
    fc.assert(
      fc.property(upTo(2 * ONE), upTo(2 * ONE), (a, b) => {
        assert.equal(multiply(a, b), Number((BigInt(a) * BigInt(b)) >> 32n))
      }),
    )
  })

  it('divide as 64-bit integers do', () => {
    const pairs = fc.oneof(
      fc.tuple(upTo(ONE), fc.integer({ min: 1, max: 256 * ONE })),
      fc.tuple(upTo(65_535), fc.integer({ min: 1, max: 2 ** 24 })),
    )
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        fc.pre(a <= 2 * b)
        assert.equal(divide(a, b), Number((BigInt(a) << 32n) / BigInt(b)))
      }),
      { numRuns: 1_000 },
    )
    assert.equal(divide(5, 0), 0)
  })

  it('keep the u16 they came from', () => {
    // Truncated twice, as on the chain, a share may lose one.
    for (const value of [0, 1, 32_767, 45_875, 65_534]) {
      assert.ok(value - toU16(fromU16(value)) <= 1 && toU16(fromU16(value)) <= value)
    }
    assert.equal(toU16(ONE), 65_535)
  })

  it('have an exponential that is Math.exp but for rounding', () => {
    for (let x = -20; x <= 20; x += 1 / 64) {
      assert.ok(Math.abs(exponential(x) / Math.exp(x) - 1) < 1e-14, `at ${x}`)
    }
    assert.equal(exponential(0), 1)
    assert.equal(exponential(99), exponential(20))
  })
})
