import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { Allowance } from '../../../../src/roles/miner/allowance.js'
import { FakeClock } from '../../../kit/fake-clock.js'

const HOUR_MS = 3_600_000
const busyFor = (retryAfterMs: number) => (error: unknown) =>
  isSubnetError(error, 'BUSY') && error.data.retryAfterMs === retryAfterMs

function setUp(init = {}) {
  const clock = new FakeClock()
  const limits = { peerBytesPerHour: 100, totalBytesPerHour: 250, peersMax: 3, ...init }
  return { clock, allowance: new Allowance(clock, limits) }
}

describe('Allowance', () => {
  it('gives a peer so many bytes, then says when there are enough again', async () => {
    const { clock, allowance } = setUp()
    allowance.take('a', 60)
    allowance.take('a', 40)
    assert.throws(() => allowance.take('a', 10), busyFor(HOUR_MS / 10))
    await clock.advance(HOUR_MS / 10 - 1)
    assert.throws(() => allowance.take('a', 10), busyFor(1))
    await clock.advance(1)
    allowance.take('a', 10)
    assert.throws(() => allowance.take('a', 1), busyFor(HOUR_MS / 100))
  })

  it('saves up no more than one hour', async () => {
    const { clock, allowance } = setUp()
    await clock.advance(10 * HOUR_MS)
    allowance.take('a', 100)
    await clock.advance(10 * HOUR_MS)
    allowance.take('a', 100)
    assert.throws(() => allowance.take('a', 1))
  })

  it('gives all peers together no more than the sum, and takes nothing for what it refuses', async () => {
    const { clock, allowance } = setUp()
    for (const peer of ['a', 'b']) allowance.take(peer, 100)
    assert.throws(() => allowance.take('c', 60), busyFor((10 * HOUR_MS) / 250))
    allowance.take('c', 50)
    assert.throws(() => allowance.take('d', 1), busyFor(HOUR_MS / 250))
    await clock.advance(HOUR_MS / 2)
    allowance.take('c', 100)
  })

  it('forgets the peer that took longest ago, not its bytes', () => {
    const { allowance } = setUp()
    allowance.take('a', 100)
    for (const peer of ['b', 'c']) allowance.take(peer, 1)
    assert.throws(() => allowance.take('a', 1))
    allowance.take('d', 1)
    allowance.take('a', 100)
    assert.throws(() => allowance.take('e', 48))
    allowance.take('e', 47)
  })
})
