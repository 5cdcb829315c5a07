import assert from 'node:assert/strict'
import fc from 'fast-check'
import { multiplyRows } from '../../src/redundancy/matrix-kernel.js'
import { multiplyRowsPlain } from '../../src/redundancy/plain-kernel.js'
import { kernels } from '../kit/matrix-kernels.js'

/** Rows, inputs that end at or before the length, each beginning anywhere in its buffer, and the length. */
const products = fc
  .record({ inputs: fc.integer({ min: 1, max: 20 }), length: fc.integer({ min: 0, max: 40_000 }) })
  .chain(({ inputs, length }) =>
    fc.record({
      rows: fc.array(fc.uint8Array({ minLength: inputs, maxLength: inputs }), { maxLength: 12 }),
      inputs: fc.array(
        fc
          .record({ seed: fc.nat(255), cut: fc.nat(length), offset: fc.nat(17) })
          .map(({ seed, cut, offset }) => {
            const bytes = Uint8Array.from(
              { length: offset + length - cut },
              (_, i) => (i * 2_654_435_761 + seed) >>> 8,
            )
            return bytes.subarray(offset)
          }),
        { minLength: inputs, maxLength: inputs },
      ),
      length: fc.constant(length),
    }),
  )

describe('matrix kernels', () => {
  it('give the same bytes, all of them', () => {
    fc.assert(
      fc.property(products, ({ rows, inputs, length }) => {
        const expected = multiplyRowsPlain(rows, inputs, length)
        for (const { name, multiply } of kernelList) {
          const found = multiply(rows, inputs, length)
          for (const [i, row] of expected.entries()) assert.ok(sameBytes(row, found[i]), `${name}, row ${i}`)
        }
        const chosen = multiplyRows(rows, inputs, length)
        for (const [i, row] of expected.entries()) assert.ok(sameBytes(row, chosen[i]), `row ${i}`)
      }),
      { numRuns: 60 },
    )
  })
})

const kernelList = kernels()

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0
}
