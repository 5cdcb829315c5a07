import assert from 'node:assert/strict'
import { RateLimit } from '../../../src/base/rate-limit.js'
import { FakeClock } from '../../kit/fake-clock.js'

describe('RateLimit', () => {
  const make = (keysMax = 100) => {
    const clock = new FakeClock()
    return { clock, limit: new RateLimit(clock, { perSecond: 4, burst: 3, keysMax }) }
  }
  const takes = (limit: RateLimit, count: number, key = 'a') =>
    Array.from({ length: count }, () => limit.take(key))

  it('lets a burst through, then says how long to wait, and a refusal makes nothing later', () => {
    const { limit } = make()
    assert.deepEqual(takes(limit, 5), [0, 0, 0, 250, 250])
  })

  it('lets one through per interval for ever', async () => {
    const { limit, clock } = make()
    takes(limit, 3)
    for (let turn = 0; turn < 20; turn += 1) {
      await clock.advance(249)
      assert.equal(limit.take('a'), 1)
      await clock.advance(1)
      assert.equal(limit.take('a'), 0)
    }
  })

  it('gives no more than a burst after any pause', async () => {
    const { limit, clock } = make()
    takes(limit, 3)
    await clock.advance(3_600_000)
    assert.deepEqual(takes(limit, 4), [0, 0, 0, 250])
  })

  it('counts keys apart', () => {
    const { limit } = make()
    takes(limit, 3, 'a')
    assert.deepEqual(takes(limit, 4, 'b'), [0, 0, 0, 250])
  })

  it('forgets, when there are too many keys, the one that was let through longest ago', () => {
    const { limit } = make(2)
    takes(limit, 3, 'a')
    takes(limit, 3, 'b')
    assert.equal(limit.take('a'), 250)
    assert.equal(limit.take('c'), 0)
    assert.equal(limit.take('b'), 250, 'b is remembered')
    assert.equal(limit.take('a'), 0, 'a began anew')
  })
})
