import assert from 'node:assert/strict'
import { randomFraction, seededRandom, systemRandom } from '../../../src/base/random.js'

describe('seededRandom', () => {
  it('gives the same stream for the same seed, however it is cut', () => {
    const whole = seededRandom('seed').bytes(64)
    const cut = seededRandom('seed')
    assert.deepEqual([...cut.bytes(10), ...cut.bytes(54)], [...whole])
  })

  it('gives another stream for another seed', () => {
    assert.notDeepEqual(seededRandom('a').bytes(32), seededRandom('b').bytes(32))
  })

  it('does not change: sample files and simulations are named by their seed', () => {
    assert.equal(Buffer.from(seededRandom('subnet').bytes(8)).toString('hex'), '89598335e8508ab1')
  })
})

describe('randomFraction', () => {
  it('spans the unit interval', () => {
    const random = seededRandom('fractions')
    const values = Array.from({ length: 4_000 }, () => randomFraction(random))
    assert.ok(values.every((value) => value >= 0 && value < 1))
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length
    assert.ok(Math.abs(mean - 0.5) < 0.02, `mean ${mean}`)
  })

  it('has its extremes at all bits clear and all bits set', () => {
    assert.equal(randomFraction({ bytes: (length) => new Uint8Array(length) }), 0)
    assert.equal(randomFraction({ bytes: (length) => new Uint8Array(length).fill(255) }), 1 - 2 ** -48)
  })
})

describe('systemRandom', () => {
  it('gives bytes that the caller owns alone', () => {
    const bytes = systemRandom.bytes(16)
    assert.equal(bytes.buffer.byteLength, 16)
  })
})
