import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { InvariantError } from '../../../src/base/errors.js'
import { multiplyRows } from '../../../src/redundancy/matrix-kernel.js'
import { multiplyRowsPlain } from '../../../src/redundancy/plain-kernel.js'
import { simdEngine } from '../../../src/redundancy/simd-kernel.js'
import { kernels } from '../../kit/matrix-kernels.js'
import { gfMultiply, pattern } from '../../kit/redundancy-reference.js'

/** Byte by byte, with bitwise arithmetic. */
function reference(rows: readonly Uint8Array[], inputs: readonly Uint8Array[], length: number): Uint8Array[] {
  return rows.map((row) =>
    Uint8Array.from({ length }, (_, p) =>
      inputs.reduce((sum, input, j) => sum ^ gfMultiply(row[j] as number, input[p] ?? 0), 0),
    ),
  )
}

function coefficients(rows: number, inputs: number): Uint8Array[] {
  return Array.from({ length: rows }, (_, r) => pattern(inputs, 91 * r))
}

for (const { name, multiply } of kernels()) {
  describe(`matrix kernel: ${name}`, () => {
    it('knows every product of two bytes', () => {
      const every = pattern(256, 0)
      for (let coefficient = 0; coefficient < 256; coefficient++) {
        const rows = [Uint8Array.of(coefficient)]
        assert.deepEqual(multiply(rows, [every], 256), reference(rows, [every], 256))
      }
    })

    it('codes every short length, inputs ending anywhere before it', () => {
      for (let length = 0; length <= 66; length++) {
        const inputs = [pattern(length, 1), pattern(Math.max(0, length - 17), 2), pattern(length >> 1, 3)]
        const rows = coefficients(1 + (length % 7), 3)
        assert.deepEqual(multiply(rows, inputs, length), reference(rows, inputs, length))
      }
    })

    it('codes any number of rows over the borders of its blocks', () => {
      for (const [i, length] of [4095, 4097, 16_383, 16_384, 16_385, 32_768 + 5].entries()) {
        const inputs = [pattern(length, i), pattern(length - 4096 * (i % 2), 7), pattern(31, 9)]
        const rows = coefficients(i + 1, 3)
        assert.deepEqual(multiply(rows, inputs, length), reference(rows, inputs, length))
      }
    })

    it('takes nothing over from a longer call before it', () => {
      const rows = coefficients(4, 2)
      multiply(rows, [pattern(40_000, 1).fill(0xff), pattern(40_000, 2).fill(0xff)], 40_000)
      const inputs = [pattern(5, 3), new Uint8Array(0)]
      assert.deepEqual(multiply(rows, inputs, 100), reference(rows, inputs, 100))
    })

    it('codes with as many inputs as a code can have', () => {
      const inputs = Array.from({ length: 254 }, (_, j) => pattern(33, j))
      const rows = coefficients(8, 254)
      assert.deepEqual(multiply(rows, inputs, 33), reference(rows, inputs, 33))
    })

    it('gives fresh outputs and leaves the inputs as they were', () => {
      const input = pattern(100, 1)
      const rows = [Uint8Array.of(1), Uint8Array.of(1)]
      const [one, other] = multiply(rows, [input], 100)
      one?.fill(0)
      assert.deepEqual(other, pattern(100, 1))
      assert.deepEqual(input, pattern(100, 1))
    })
  })
}

describe('matrix kernel', () => {
  it('is the SIMD one on every Node that is supported', () => {
    assert.notEqual(simdEngine(), undefined)
  })

  it('falls back to plain JavaScript where there is no WebAssembly', () => {
    const kernel = new URL('../../../src/redundancy/matrix-kernel.js', import.meta.url)
    const program = `
      const { multiplyRows } = await import(${JSON.stringify(kernel.href)})
      const rows = [Uint8Array.of(2, 3), Uint8Array.of(200, 1)]
      const [a, b] = multiplyRows(rows, [Uint8Array.of(7, 255), Uint8Array.of(9)], 2)
      console.log(typeof WebAssembly, a.join(), b.join())`
    const output = execFileSync(process.execPath, ['--jitless', '--input-type=module', '-e', program])
    const rows = [Uint8Array.of(2, 3), Uint8Array.of(200, 1)]
    const [a, b] = multiplyRowsPlain(rows, [Uint8Array.of(7, 255), Uint8Array.of(9)], 2)
    assert.equal(output.toString().trim(), `undefined ${a?.join()} ${b?.join()}`)
  })

  it('makes plain copies of one input', () => {
    const input = pattern(10, 1)
    const [copy] = multiplyRows([Uint8Array.of(1)], [input], 12)
    assert.deepEqual(copy, Uint8Array.of(...input, 0, 0))
  })

  it('does not start without inputs, nor with rows of another length', () => {
    assert.throws(() => multiplyRows([new Uint8Array(0)], [], 1), InvariantError)
    assert.throws(() => multiplyRows([Uint8Array.of(1, 2)], [new Uint8Array(1)], 1), InvariantError)
  })
})
