import assert from 'node:assert/strict'
import { InvariantError } from '../../../src/base/errors.js'
import { inverse, invertMatrix, multiply, multiplyRow } from '../../../src/redundancy/galois.js'
import { multiplyRows } from '../../../src/redundancy/matrix-kernel.js'
import { encodeParity, reconstruct } from '../../../src/redundancy/reed-solomon.js'
import { gfDivide, gfMultiply, pattern } from '../../kit/redundancy-reference.js'

/** All ways to choose `size` of the numbers below `n`. */
function* choices(n: number, size: number, first = 0): Generator<number[]> {
  if (size === 0) yield []
  else {
    for (let i = first; i <= n - size; i++) for (const rest of choices(n, size - 1, i + 1)) yield [i, ...rest]
  }
}

function padded(chunk: Uint8Array, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  bytes.set(chunk)
  return bytes
}

function all(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i)
}

describe('Reed–Solomon', () => {
  it('multiplies and inverts like the bitwise field', () => {
    for (let a = 0; a < 256; a++) {
      for (let b = 0; b < 256; b++) assert.equal(multiply(a, b), gfMultiply(a, b))
      if (a > 0) assert.equal(inverse(a), gfDivide(1, a))
    }
    assert.throws(() => inverse(0), InvariantError)
  })

  it('inverts matrices, rows in any order', () => {
    const matrix = [
      [0, 1, 0],
      [7, 0, 200],
      [1, 1, 3],
    ].map((row) => Uint8Array.from(row))
    const inverted = invertMatrix(matrix)
    const product = matrix.map((row) => [...multiplyRow(row, inverted)])
    assert.deepEqual(product, [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ])
    assert.throws(() => invertMatrix([Uint8Array.of(1, 1), Uint8Array.of(1, 1)]), InvariantError)
  })

  for (const [k, n] of [
    [1, 1],
    [1, 4],
    [2, 5],
    [3, 9],
    [4, 10],
    [8, 12],
  ] as const) {
    it(`gives every chunk of ${k}/${n} back from any ${k}`, () => {
      const data = all(k).map((i) => pattern(i === k - 1 ? 3 : 11, 40 * i + n))
      const length = k === 1 ? 3 : 11
      const chunks = [...data, ...encodeParity(data, { k, n })]
      const expected = chunks.map((chunk) => padded(chunk, length))
      for (const present of choices(n, k)) {
        const given = chunks.map((chunk, i) => (present.includes(i) ? chunk : undefined))
        assert.deepEqual(reconstruct(given, { k, n }, length, all(n)), expected)
      }
    })
  }

  it('makes plain copies of a single data chunk', () => {
    const chunk = pattern(100, 1)
    assert.deepEqual(encodeParity([chunk], { k: 1, n: 4 }), [chunk, chunk, chunk])
  })

  it('codes across block borders as it does byte by byte', () => {
    const length = 3 * 4096 + 5
    const data = all(5).map((i) => pattern(length - 4097 * i, i))
    const rows = [1, 2, 255, 0, 77].map((c) => Uint8Array.of(c, 3, c, 1, 9))
    const expected = rows.map((row) => {
      return Uint8Array.from({ length }, (_, p) =>
        data.reduce((sum, chunk, j) => sum ^ gfMultiply(row[j] as number, chunk[p] ?? 0), 0),
      )
    })
    assert.deepEqual(multiplyRows(rows, data, length), expected)
  })

  it('does not depend on where in memory a chunk begins', () => {
    const data = all(3).map((i) => pattern(50, i))
    const shifted = data.map((chunk, i) =>
      padded(chunk, 60)
        .copyWithin(i + 1, 0)
        .subarray(i + 1, i + 51),
    )
    assert.deepEqual(encodeParity(shifted, { k: 3, n: 6 }), encodeParity(data, { k: 3, n: 6 }))
  })

  it('rebuilds a span of a chunk from the same span of others', () => {
    const data = all(4).map((i) => pattern(100, i))
    const chunks = [...data, ...encodeParity(data, { k: 4, n: 7 })]
    const spans = chunks.map((chunk, i) => (i > 2 ? chunk.subarray(30, 47) : undefined))
    const [rebuilt] = reconstruct(spans, { k: 4, n: 7 }, 17, [1])
    assert.deepEqual(rebuilt, data[1]?.slice(30, 47))
  })

  it('does not start without k chunks, nor with a code that does not exist', () => {
    const chunk = pattern(4, 1)
    assert.throws(() => reconstruct([chunk], { k: 2, n: 3 }, 4, [1]), InvariantError)
    assert.throws(() => reconstruct([chunk], { k: 1, n: 256 }, 4, [1]), InvariantError)
    assert.throws(() => reconstruct([chunk], { k: 1, n: 2 }, 3, [1]), InvariantError)
    assert.throws(() => encodeParity([chunk], { k: 2, n: 3 }), InvariantError)
  })
})
