import assert from 'node:assert/strict'
import { SubnetError } from '../../../src/base/errors.js'
import { type Attempt, firstOf } from '../../../src/transfer/race.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'

const HEDGE_MS = 2_000
const failed = () => new SubnetError('DISCONNECTED', 'gone')

/** Attempts whose ends the test decides. */
class Race {
  readonly clock = new FakeClock()
  readonly pace = { hedgeAfterMs: HEDGE_MS }
  readonly begun: number[] = []
  readonly aborted: number[] = []
  readonly #ends: ReturnType<typeof deferred<number>>[]
  readonly attempts: Attempt<number>[]

  constructor(count: number) {
    this.#ends = Array.from({ length: count }, () => deferred<number>())
    this.attempts = this.#ends.map((end, index) => (signal) => {
      this.begun.push(index)
      signal.addEventListener('abort', () => this.aborted.push(index))
      return end.promise
    })
  }

  async succeed(index: number): Promise<void> {
    this.#ends[index]?.resolve(index)
    await turn()
  }

  async fail(index: number, error: Error = failed()): Promise<void> {
    this.#ends[index]?.reject(error)
    await turn()
  }
}

describe('firstOf', () => {
  it('begins as many as needed, and no more while they come', async () => {
    const race = new Race(4)
    const result = firstOf(race.attempts, 2, race)
    assert.deepEqual(race.begun, [0, 1])
    await race.succeed(1)
    await race.succeed(0)
    assert.deepEqual(await result, [1, 0])
    assert.deepEqual(race.begun, [0, 1])
    assert.equal(race.clock.pendingTimers, 0)
  })

  it('begins the next for each that fails', async () => {
    const race = new Race(4)
    const result = firstOf(race.attempts, 2, race)
    await race.fail(0)
    assert.deepEqual(race.begun, [0, 1, 2])
    await race.fail(2)
    assert.deepEqual(race.begun, [0, 1, 2, 3])
    await race.succeed(3)
    await race.succeed(1)
    assert.deepEqual(await result, [3, 1])
  })

  it('has as many under way as it is told to, though fewer are needed', async () => {
    const race = new Race(5)
    const result = firstOf(race.attempts, 1, { clock: race.clock, pace: race.pace, atOnce: 3 })
    assert.deepEqual(race.begun, [0, 1, 2])
    await race.fail(1)
    assert.deepEqual(race.begun, [0, 1, 2, 3])
    await race.succeed(3)
    assert.deepEqual(await result, [3])
    assert.deepEqual(race.aborted, [0, 1, 2, 3])
  })

  it('gives what it has when all others failed', async () => {
    const race = new Race(3)
    const result = firstOf(race.attempts, 2, race)
    await race.fail(0)
    await race.succeed(1)
    await race.fail(2)
    assert.deepEqual(await result, [1])
    assert.deepEqual(await firstOf([], 1, race), [])
    assert.equal(race.clock.pendingTimers, 0)
  })

  it('begins one more after each pause without a success', async () => {
    const race = new Race(4)
    const result = firstOf(race.attempts, 1, race)
    await race.clock.advance(HEDGE_MS - 1)
    assert.deepEqual(race.begun, [0])
    await race.clock.advance(1)
    assert.deepEqual(race.begun, [0, 1])
    await race.clock.advance(HEDGE_MS)
    assert.deepEqual(race.begun, [0, 1, 2])
    await race.succeed(2)
    assert.deepEqual(await result, [2])
    assert.deepEqual(race.aborted, [0, 1, 2], 'what still runs is not needed')
  })

  it('counts a pause from the last success', async () => {
    const race = new Race(4)
    const result = firstOf(race.attempts, 2, race)
    await race.clock.advance(HEDGE_MS - 1)
    await race.succeed(0)
    await race.clock.advance(HEDGE_MS - 1)
    assert.deepEqual(race.begun, [0, 1])
    await race.clock.advance(1)
    assert.deepEqual(race.begun, [0, 1, 2])
    await race.succeed(2)
    assert.deepEqual(await result, [0, 2])
  })

  it('takes the pause that is right at the time', async () => {
    const race = new Race(4)
    const result = firstOf(race.attempts, 1, race)
    race.pace.hedgeAfterMs = 100
    await race.clock.advance(HEDGE_MS)
    assert.deepEqual(race.begun, [0, 1], 'the first pause was set before')
    await race.clock.advance(100)
    assert.deepEqual(race.begun, [0, 1, 2])
    await race.succeed(0)
    assert.deepEqual(await result, [0])
  })

  it('waits for the slow ones when there is nobody else to ask', async () => {
    const race = new Race(2)
    const result = firstOf(race.attempts, 1, race)
    await race.clock.advance(20 * HEDGE_MS)
    await race.fail(0)
    await race.succeed(1)
    assert.deepEqual(await result, [1])
  })

  it('fails with a defect at once', async () => {
    const race = new Race(3)
    const result = firstOf(race.attempts, 1, race)
    result.catch(() => undefined)
    await race.fail(0, new TypeError('a defect'))
    await assert.rejects(result, /a defect/)
    assert.deepEqual(race.begun, [0])
    assert.equal(race.clock.pendingTimers, 0)
  })

  it('ends with the reason of an abort, before and while it runs', async () => {
    const race = new Race(2)
    const stop = new AbortController()
    const result = firstOf(race.attempts, 1, race, { signal: stop.signal })
    result.catch(() => undefined)
    stop.abort(new Error('changed my mind'))
    await assert.rejects(result, /changed my mind/)
    assert.deepEqual(race.aborted, [0])
    await race.fail(0)
    assert.deepEqual(race.begun, [0], 'nothing is begun after the end')
    await assert.rejects(firstOf(race.attempts, 1, race, { signal: stop.signal }), /changed my mind/)
    assert.equal(race.clock.pendingTimers, 0)
  })
})
