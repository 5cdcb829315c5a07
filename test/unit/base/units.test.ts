import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import { formatBytes, formatDuration, parseBytes } from '../../../src/base/units.js'

describe('parseBytes', () => {
  for (const [text, bytes] of [
    ['0', 0],
    ['17', 17],
    ['512MiB', 512 * 1024 ** 2],
    ['1.5 GiB', 1.5 * 1024 ** 3],
    ['64k', 65_536],
    ['10GB', 10e9],
    ['2tib', 2 * 1024 ** 4],
  ] as const) {
    it(`reads ${text}`, () => assert.equal(parseBytes(text), bytes))
  }

  for (const text of ['', 'GiB', '-1', '1e3', '5 parsecs', '1.2.3MiB', '99999999999TiB', '0x10']) {
    it(`refuses "${text}"`, () =>
      assert.throws(
        () => parseBytes(text),
        (error) => isSubnetError(error, 'CONFIG'),
      ))
  }
})

describe('formatBytes and formatDuration', () => {
  it('use the largest fitting unit', () => {
    assert.deepEqual([0, 1023, 1024, 1.5 * 1024 ** 2, 1024 ** 3, 3 * 1024 ** 4].map(formatBytes), [
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 MiB',
      '1.0 GiB',
      '3.0 TiB',
    ])
    assert.deepEqual([0, 1449, 59_949, 61_000, 3_725_000].map(formatDuration), [
      '0.0 s',
      '1.4 s',
      '59.9 s',
      '1 m 01 s',
      '62 m 05 s',
    ])
  })
})
