import assert from 'node:assert/strict'
import type { Context, Ref } from '../../../src/actor/behavior.js'
import type { ActorSpec } from '../../../src/actor/supervision.js'
import { ActorSystem } from '../../../src/actor/system.js'
import type { Timer } from '../../../src/base/clock.js'
import { InvariantError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { deferred, type Probe, probe, specOf } from '../../kit/probe-actor.js'

function world(changes: Partial<ActorSpec<Probe>> = {}) {
  const trace: string[] = []
  const clock = new FakeClock()
  const system = new ActorSystem({ clock, log: silentLogger }, { onFailure: assert.fail })
  const ref = system.spawn(specOf('a', probe(trace, 'a'), changes))
  const note = (text: string) => ref.send({ type: 'note', text })
  const act = (work: (context: Context<Probe>) => void) => ref.send({ type: 'do', work })
  const crash = () =>
    act(() => {
      throw new Error('defect')
    })
  /** Begins a task that the test settles. */
  const begin = () => {
    const task = deferred<string>()
    let signal: AbortSignal | undefined
    const run = (given: AbortSignal) => {
      signal = given
      return task.promise
    }
    act((context) => context.task(run, (outcome) => ({ type: 'settled', outcome })))
    return { ...task, aborted: () => signal?.aborted }
  }
  return { trace, clock, system, ref, note, act, crash, begin }
}

describe('tasks of an actor', () => {
  it('come back as messages, failed ones too', async () => {
    const { trace, begin } = world()
    const [good, bad] = [begin(), begin()]
    await turn()
    bad.reject(new Error('no disk'))
    await turn()
    good.resolve('stored')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: failed no disk', 'a: settled stored'])
  })

  it('fail, and do not crash the actor, when they throw at once', async () => {
    const { trace, act } = world()
    const run = (): Promise<string> => {
      throw new Error('at once')
    }
    act((context) => context.task(run, (outcome) => ({ type: 'settled', outcome })))
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: failed at once'])
  })

  it('are received before the messages that wait, and do not need room in the mailbox', async () => {
    const { trace, note, begin } = world({ mailbox: { max: 2, policy: 'reject' }, tasksMax: 1 })
    const task = begin()
    await turn()
    note('1')
    note('2')
    assert.equal(note('3'), false)
    task.resolve('x')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: settled x', 'a: 1', 'a: 2'])
  })

  it('keep outside messages out while as many as allowed are in flight, but not timers', async () => {
    const { trace, clock, note, act, begin } = world({ tasksMax: 2 })
    act((context) => context.after(10, { type: 'note', text: 'due' }))
    const [first] = [begin(), begin()]
    note('1')
    await clock.advance(10)
    assert.deepEqual(trace, ['a: start', 'a: due'])
    first.resolve('x')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: due', 'a: settled x', 'a: 1'])
  })

  it('are aborted by a restart, which does not wait for them, and what they bring then is dropped', async () => {
    const { trace, note, crash, begin } = world()
    const old = begin()
    await turn()
    assert.equal(old.aborted(), false)
    crash()
    const fresh = begin()
    note('1')
    await turn()
    assert.equal(old.aborted(), true)
    assert.equal(fresh.aborted(), false)
    old.resolve('old')
    fresh.resolve('fresh')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start', 'a: 1', 'a: settled fresh'])
  })

  it('do not begin at all if the message that asked for them crashes', async () => {
    const { trace, act } = world()
    act((context) => {
      context.task(
        async () => trace.push('began'),
        (outcome) => ({ type: 'settled', outcome }),
      )
      throw new Error('defect')
    })
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start'])
  })

  it('do not count against the next incarnation', async () => {
    const { trace, note, crash, begin } = world({ tasksMax: 2 })
    begin()
    crash()
    begin()
    note('1')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start', 'a: 1'])
  })

  it('crash the actor if their outcome cannot be made into a message', async () => {
    const { trace, act } = world()
    const done = () => {
      throw new Error('defect')
    }
    act((context) => context.task(async () => 1, done))
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start'])
  })

  it('may ask another actor, with their signal', async () => {
    const { trace, system, act } = world()
    const other = system.spawn(specOf('b', probe(trace, 'b')))
    act((context) =>
      context.task(
        (signal) => other.ask('question', { work: (reply) => reply.answer(7) }, { signal }),
        (outcome) => ({ type: 'settled', outcome }),
      ),
    )
    await turn()
    assert.deepEqual(trace, ['a: start', 'b: start', 'a: settled 7'])
  })
})

describe('timers of an actor', () => {
  const due = { type: 'note', text: 'due' } as const

  it('deliver their message when the clock says so, and not before', async () => {
    const { trace, clock, act } = world()
    act((context) => context.after(100, due))
    await clock.advance(99)
    assert.deepEqual(trace, ['a: start'])
    await clock.advance(1)
    assert.deepEqual(trace, ['a: start', 'a: due'])
  })

  it('deliver nothing once cancelled', async () => {
    const { trace, clock, act } = world()
    let timer: Timer | undefined
    act((context) => {
      timer = context.after(100, due)
    })
    act(() => timer?.cancel())
    await clock.advance(100)
    assert.deepEqual(trace, ['a: start'])
    assert.equal(clock.pendingTimers, 0)
  })

  it('deliver nothing if they were cancelled after they came due and before they were received', async () => {
    const { trace, clock, act } = world()
    act((context) => {
      const timers: Timer[] = []
      const cancel = { type: 'do', work: () => timers[0]?.cancel() } as const
      // The first to come due is received first and cancels the other, which has come due in the same turn.
      context.after(0, cancel)
      timers.push(context.after(0, due))
    })
    await clock.advance(0)
    assert.deepEqual(trace, ['a: start'])
  })

  it('are cancelled by a restart and by a stop', async () => {
    const { trace, clock, system, act, crash } = world()
    act((context) => context.after(100, due))
    crash()
    await clock.advance(100)
    assert.deepEqual(trace, ['a: start', 'a: start'])
    act((context) => context.after(100, due))
    await turn()
    assert.equal(clock.pendingTimers, 1)
    await system.stop()
    assert.equal(clock.pendingTimers, 0)
  })
})

function throwsInvariant(work: () => unknown): boolean {
  try {
    work()
    return false
  } catch (error) {
    return error instanceof InvariantError
  }
}

describe('context of an actor', () => {
  it('is of no use outside start and receive, nor to an incarnation that has ended', async () => {
    const { act, system, trace } = world({ restart: 'temporary' })
    let context: Context<Probe> | undefined
    act((given) => {
      context = given
    })
    await turn()
    for (const use of [
      () =>
        context?.task(
          async () => 1,
          () => ({ type: 'note', text: '' }),
        ),
      () => context?.after(1, { type: 'note', text: '' }),
      () => context?.spawn(specOf('child', probe(trace, 'child'))),
      () => context?.stopSelf(),
    ]) {
      assert.ok(throwsInvariant(use))
    }
    let refused = false
    act((given) => {
      void system.stop()
      refused = throwsInvariant(() => given.after(1, { type: 'note', text: '' }))
    })
    await turn()
    assert.equal(refused, true)
    assert.deepEqual(trace, ['a: start'])
  })

  it('gives an address that children and tasks report to', async () => {
    const { trace, act } = world()
    act((context) => {
      const { self } = context
      const child = context.spawn(specOf('child', probe(trace, 'child')))
      child.send({ type: 'do', work: () => void self.send({ type: 'note', text: 'from my child' }) })
    })
    await turn()
    assert.deepEqual(trace, ['a: start', 'child: start', 'a: from my child'])
  })

  it('stops the actor at its own wish before the next message, with its tasks and children', async () => {
    const { trace, act, note, begin } = world({ restart: 'transient' })
    const task = begin()
    let child: Ref<Probe> | undefined
    act((context) => {
      child = context.spawn(specOf('child', probe(trace, 'child')))
    })
    await turn()
    act((context) => context.stopSelf())
    note('1')
    await turn()
    assert.deepEqual(trace, ['a: start', 'child: start'])
    assert.equal(task.aborted(), true)
    assert.equal(note('2'), false)
    assert.equal(child?.send({ type: 'note', text: '3' }), false)
  })
})
