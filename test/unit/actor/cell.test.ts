import assert from 'node:assert/strict'
import type { Behavior, Context } from '../../../src/actor/behavior.js'
import type { ActorSpec } from '../../../src/actor/supervision.js'
import { ActorSystem } from '../../../src/actor/system.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { isCollected } from '../../kit/collect-garbage.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { type Probe, probe, specOf } from '../../kit/probe-actor.js'

function world(changes: Partial<ActorSpec<Probe>> = {}) {
  const trace: string[] = []
  const system = new ActorSystem({ clock: new FakeClock(), log: silentLogger }, { onFailure: assert.fail })
  const ref = system.spawn(specOf('a', probe(trace, 'a'), changes))
  const note = (text: string) => ref.send({ type: 'note', text })
  const act = (work: (context: Context<Probe>) => void) => ref.send({ type: 'do', work })
  const crash = (error: Error) =>
    act(() => {
      throw error
    })
  return { trace, system, ref, note, act, crash }
}

/** The error an ask ended with, so that a test may look at it after other things happened. */
const failure = (ask: Promise<unknown>) =>
  ask.then(
    () => assert.fail('answered'),
    (error: unknown) => error,
  )

describe('cell', () => {
  it('starts before its first message and receives in the order of sends, after the sender went on', async () => {
    const { trace, note } = world()
    note('1')
    note('2')
    assert.deepEqual(trace, [])
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: 1', 'a: 2'])
  })

  it('takes turns with the others, however many messages wait', async () => {
    const { trace, system, note } = world()
    const other = system.spawn(specOf('b', probe(trace, 'b')))
    for (const text of ['1', '2', '3']) note(text)
    for (const text of ['1', '2']) other.send({ type: 'note', text })
    await turn()
    assert.deepEqual(trace, ['a: start', 'b: start', 'a: 1', 'b: 1', 'a: 2', 'b: 2', 'a: 3'])
  })

  it('says whether it took a message', async () => {
    const { note, system } = world({ mailbox: { max: 1, policy: 'reject' } })
    assert.equal(note('1'), true)
    assert.equal(note('2'), false)
    await turn()
    assert.equal(note('3'), true)
    await system.stop()
    assert.equal(note('4'), false)
  })

  it('answers a message now or at a later one', async () => {
    const { ref, act } = world()
    const now = ref.ask('question', { work: (reply) => reply.answer(1) })
    let answerLater: (value: number) => void = () => assert.fail('not received')
    const later = ref.ask('question', {
      work: (reply) => {
        answerLater = (value) => reply.answer(value)
      },
    })
    act(() => answerLater(2))
    assert.deepEqual(await Promise.all([now, later]), [1, 2])
  })

  it('passes on the error an actor refuses with', async () => {
    const { ref } = world()
    const full = new SubnetError('NO_SPACE', 'the quota is used up')
    assert.equal(await failure(ref.ask('question', { work: (reply) => reply.refuse(full) })), full)
  })

  it('rejects an ask with BUSY and a hint when the mailbox is full', async () => {
    const { ref, note } = world({ mailbox: { max: 1, policy: 'reject' } })
    note('1')
    const error = await failure(ref.ask('question', { work: () => assert.fail('received') }))
    assert.ok(isSubnetError(error, 'BUSY'))
    assert.equal(error.data.retryAfterMs, 250)
  })

  it('rejects with STOPPED what waits, what is owed and what comes after a stop', async () => {
    const { ref, system } = world()
    const owed = failure(ref.ask('question', { work: () => undefined }))
    await turn()
    const waiting = failure(ref.ask('question', { work: () => assert.fail('received') }))
    const stopped = system.stop()
    const after = failure(ref.ask('question', { work: () => assert.fail('received') }))
    await stopped
    for (const error of await Promise.all([owed, waiting, after])) assert.ok(isSubnetError(error, 'STOPPED'))
  })

  it('does not receive what its caller gave up on before', async () => {
    const { ref, trace, note } = world()
    const controller = new AbortController()
    const reason = new Error('enough')
    const work = () => assert.fail('received')
    const waiting = failure(ref.ask('question', { work }, { signal: controller.signal }))
    controller.abort(reason)
    const late = failure(ref.ask('question', { work }, { signal: controller.signal }))
    note('1')
    assert.deepEqual(await Promise.all([waiting, late]), [reason, reason])
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: 1'])
  })

  it('holds nothing of a caller who gave up on what was received', async () => {
    const { ref } = world()
    const controller = new AbortController()
    let held: WeakRef<object> | undefined
    const work = (reply: object) => {
      held = new WeakRef(reply)
    }
    const asked = failure(ref.ask('question', { work }, { signal: controller.signal }))
    await turn()
    assert.ok(held !== undefined)
    assert.equal(await isCollected(held), false)
    controller.abort(new Error('enough'))
    await asked
    assert.equal(await isCollected(held), true)
  })

  it('keeps its address and its waiting messages over a restart, but not the one it crashed at', async () => {
    const { trace, note, crash } = world()
    note('1')
    crash(new Error('poison'))
    note('2')
    await turn()
    note('3')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: 1', 'a: start', 'a: 2', 'a: 3'])
  })

  it('rejects with INTERNAL and the cause what a crashed incarnation owed, and nothing else', async () => {
    const { ref, crash } = world()
    const defect = new Error('defect')
    let answerLate: () => void = () => assert.fail('not received')
    const owed = failure(
      ref.ask('question', {
        work: (reply) => {
          answerLate = () => reply.answer(1)
        },
      }),
    )
    const poison = failure(
      ref.ask('question', {
        work: () => {
          throw defect
        },
      }),
    )
    const waiting = ref.ask('question', { work: (reply) => reply.answer(2) })
    const [first, second] = await Promise.all([owed, poison])
    assert.ok(isSubnetError(first, 'INTERNAL') && isSubnetError(second, 'INTERNAL'))
    assert.equal(second.cause, defect)
    assert.equal(await waiting, 2)
    answerLate()
    crash(defect)
    await turn()
  })

  it('takes an asynchronous start or receive for a crash', async () => {
    const failures: Error[] = []
    const log = { ...silentLogger, warn: (fields: object) => failures.push((fields as { err: Error }).err) }
    const system = new ActorSystem({ clock: new FakeClock(), log }, { onFailure: assert.fail })
    const receives: Behavior<Probe> = { start: () => undefined, receive: async () => undefined }
    const starts: Behavior<Probe> = { start: async () => undefined, receive: () => undefined }
    const ref = system.spawn(specOf('receives', receives, { restart: 'temporary' }))
    system.spawn(specOf('starts', starts, { restart: 'temporary' }))
    ref.send({ type: 'note', text: '1' })
    await turn()
    assert.deepEqual(
      failures.map(({ name }) => name),
      ['InvariantError', 'InvariantError'],
    )
  })

  it('refuses to have no task in flight ever', () => {
    assert.throws(() => world({ tasksMax: 0 }), { name: 'InvariantError' })
  })
})
