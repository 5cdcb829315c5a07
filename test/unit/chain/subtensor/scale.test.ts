import assert from 'node:assert/strict'
import { compact, mortalEra, withoutLength } from '../../../../src/chain/subtensor/scale.js'
import { hex, unhex } from '../../../kit/vectors.js'

describe('SCALE outside metadata', () => {
  it('writes compact lengths in one, two and four bytes', () => {
    const cases: readonly (readonly [number, string])[] = [
      [0, '00'],
      [63, 'fc'],
      [64, '0101'],
      [16_383, 'fdff'],
      [16_384, '02000100'],
      [2 ** 30 - 1, 'feffffff'],
    ]
    for (const [value, expected] of cases) assert.equal(hex(compact(value)), expected)
  })

  it('takes a length off only where it is true', () => {
    assert.equal(hex(withoutLength(unhex('0c616263')) ?? unhex('')), '616263')
    for (const wrong of ['', '0c6162', '0c61626364', '03'])
      assert.equal(withoutLength(unhex(wrong)), undefined)
    const long = new Uint8Array(70_000)
    assert.equal(withoutLength(Uint8Array.from([...compact(70_000), ...long]))?.length, 70_000)
  })

  it('writes eras as the runtime does', () => {
    // sp_runtime: period 64, phase 42 is 5 + 42 % 16 * 16, 42 / 16.
    assert.deepEqual([...mortalEra(42, 64)], [5 + (42 % 16) * 16, 2])
    assert.deepEqual([...mortalEra(20_000, 32)], [4, 0])
  })
})
