import assert from 'node:assert/strict'
import { childSignal, deadline, raceAbort, watchdog } from '../../../src/base/abort.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { FakeClock } from '../../kit/fake-clock.js'

describe('deadline', () => {
  it('aborts with TIMEOUT naming the work and the time', async () => {
    const clock = new FakeClock()
    const scope = deadline(clock, 500, 'the visit')
    await clock.advance(499)
    assert.equal(scope.signal.aborted, false)
    await clock.advance(1)
    assert.ok(isSubnetError(scope.signal.reason, 'TIMEOUT'))
    assert.match(scope.signal.reason.message, /the visit took longer than 500 ms/)
  })

  it("passes the caller's reason on when that comes first", () => {
    const caller = new AbortController()
    const scope = deadline(new FakeClock(), 500, 'work', caller.signal)
    const reason = new Error('enough')
    caller.abort(reason)
    assert.equal(scope.signal.reason, reason)
  })

  it('is aborted from the start under an aborted caller', () => {
    assert.equal(deadline(new FakeClock(), 500, 'work', AbortSignal.abort()).signal.aborted, true)
  })

  it('leaves no timer behind when it is released', () => {
    const clock = new FakeClock()
    {
      using _ = deadline(clock, 500, 'work')
      assert.equal(clock.pendingTimers, 1)
    }
    assert.equal(clock.pendingTimers, 0)
  })
})

describe('watchdog', () => {
  const PATIENCE = { silenceMs: 100, totalMs: 450 }

  it('aborts after a silence, counted from the last sign of life', async () => {
    const clock = new FakeClock()
    const watch = watchdog(clock, PATIENCE, 'the body', childSignal())
    await clock.advance(60)
    watch.alive()
    await clock.advance(99)
    assert.equal(watch.signal.aborted, false)
    await clock.advance(1)
    assert.ok(isSubnetError(watch.signal.reason, 'TIMEOUT'))
    assert.match(watch.signal.reason.message, /the body took longer than 100 ms/)
  })

  it('aborts after the whole time however lively the work is', async () => {
    const clock = new FakeClock()
    const watch = watchdog(clock, PATIENCE, 'the body', childSignal())
    for (let passedMs = 0; passedMs < 440; passedMs += 10) {
      await clock.advance(10)
      watch.alive()
    }
    assert.equal(watch.signal.aborted, false)
    await clock.advance(10)
    assert.match(watch.signal.reason.message, /the body took longer than 450 ms/)
  })

  it('leaves no timer behind when it is released', async () => {
    const clock = new FakeClock()
    {
      using watch = watchdog(clock, PATIENCE, 'work', childSignal())
      await clock.advance(50)
      watch.alive()
      await clock.advance(60)
      assert.equal(clock.pendingTimers, 1)
    }
    assert.equal(clock.pendingTimers, 0)
  })
})

describe('childSignal', () => {
  it('follows its parent until it is released', () => {
    const parent = new AbortController()
    const kept = childSignal(parent.signal)
    const released = childSignal(parent.signal)
    released[Symbol.dispose]()
    parent.abort()
    assert.deepEqual([kept.signal.aborted, released.signal.aborted], [true, false])
  })

  it('aborts without its parent', () => {
    const parent = new AbortController()
    const child = childSignal(parent.signal)
    child.abort(new Error('done'))
    assert.deepEqual([child.signal.aborted, parent.signal.aborted], [true, false])
  })
})

describe('raceAbort', () => {
  it('settles as the work does', async () => {
    const { signal } = new AbortController()
    assert.equal(await raceAbort(Promise.resolve(7), signal), 7)
    await assert.rejects(raceAbort(Promise.reject(new Error('no')), signal), /no/)
  })

  it('rejects with the reason of an abort that comes first', async () => {
    const controller = new AbortController()
    const race = raceAbort(new Promise(() => undefined), controller.signal)
    controller.abort(new Error('too late'))
    await assert.rejects(race, /too late/)
  })

  it('swallows the failure of work that lost the race from the start', async () => {
    await assert.rejects(
      raceAbort(Promise.reject(new Error('lost')), AbortSignal.abort(new Error('first'))),
      /first/,
    )
  })
})
