import assert from 'node:assert/strict'
import type { Context } from '../../../src/actor/behavior.js'
import type { Supervision } from '../../../src/actor/supervision.js'
import { ActorSystem } from '../../../src/actor/system.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { deferred, type Probe, probe, specOf } from '../../kit/probe-actor.js'

function world(supervision: Supervision = { strategy: 'one_for_one', restartsMax: 3, withinMs: 1_000 }) {
  const trace: string[] = []
  const failures: Error[] = []
  const clock = new FakeClock()
  const onFailure = (reason: Error) => void failures.push(reason)
  const system = new ActorSystem({ clock, log: silentLogger }, { onFailure, supervision })
  return { trace, failures, clock, system }
}

/** Begins a task that writes when it is aborted and ends when the test says so. */
function begin(trace: string[], name: string, context: Context<Probe>): () => void {
  const end = deferred<string>()
  const run = (signal: AbortSignal) => {
    signal.addEventListener('abort', () => void trace.push(`${name}: aborted`))
    return end.promise
  }
  context.task(run, (outcome) => ({ type: 'settled', outcome }))
  return () => end.resolve(name)
}

describe('actor system', () => {
  it('stops the last spawned first, children before parents, each when the tasks of the one before settled', async () => {
    const { trace, system } = world()
    const ends = new Map<string, () => void>()
    const busy = (name: string, onStart?: (context: Context<Probe>) => void) =>
      probe([], name, (context) => {
        onStart?.(context)
        ends.set(name, begin(trace, name, context))
      })
    const a = system.spawn(specOf('a', busy('a')))
    const parent = busy('b', (context) => {
      context.spawn(specOf('b1', busy('b1')))
      context.spawn(specOf('b2', busy('b2')))
    })
    system.spawn(specOf('b', parent))
    await turn()
    let stopped = false
    const stopping = system.stop().then(() => {
      stopped = true
    })
    const order = ['b2: aborted', 'b1: aborted', 'b: aborted']
    await turn()
    void system.stop()
    assert.deepEqual(trace, order)
    assert.equal(a.send({ type: 'note', text: 'still here' }), true)
    for (const name of ['b', 'b1']) ends.get(name)?.()
    await turn()
    assert.deepEqual(trace, order)
    ends.get('b2')?.()
    await turn()
    assert.deepEqual(trace, [...order, 'a: aborted'])
    assert.equal(stopped, false)
    ends.get('a')?.()
    await stopping
  })

  it('waits for tasks of incarnations that ended long before', async () => {
    const { trace, system } = world()
    const ref = system.spawn(specOf('a', probe(trace, 'a'), { restart: 'temporary' }))
    let end: () => void = () => assert.fail('not begun')
    ref.send({
      type: 'do',
      work(context) {
        end = begin(trace, 'a', context)
      },
    })
    await turn()
    ref.send({
      type: 'do',
      work() {
        throw new Error('defect')
      },
    })
    await turn()
    let stopped = false
    const stopping = system.stop().then(() => {
      stopped = true
    })
    await turn()
    assert.equal(stopped, false)
    end()
    await stopping
  })

  it('may be stopped twice, and takes no actor afterwards', async () => {
    const { trace, system } = world()
    system.spawn(specOf('a', probe(trace, 'a')))
    await Promise.all([system.stop(), system.stop()])
    await system.stop()
    assert.throws(
      () => system.spawn(specOf('b', probe(trace, 'b'))),
      (error) => isSubnetError(error, 'STOPPED'),
    )
    await turn()
    assert.deepEqual(trace, [])
  })

  it('may be stopped by one of its actors, from inside a message or a start', async () => {
    // With no restart to spare: a crash of an actor that has been stopped must not count as one.
    const { trace, failures, system } = world({ strategy: 'one_for_one', restartsMax: 0, withinMs: 1_000 })
    const ref = system.spawn(specOf('a', probe(trace, 'a')))
    const asked = ref.ask('question', {
      work(reply) {
        void system.stop()
        reply.answer(1)
        throw new Error('while stopping')
      },
    })
    await assert.rejects(asked, { code: 'STOPPED' })
    await system.stop()
    const second = world()
    const stopsAll = probe(second.trace, 'a', () => void second.system.stop())
    second.system.spawn(specOf('a', stopsAll)).send({ type: 'note', text: 'never' })
    await turn()
    assert.deepEqual(trace, ['a: start'])
    assert.deepEqual(second.trace, ['a: start'])
    assert.equal(failures.length, 0)
  })

  it('stops in order after a failure too, and calls the failure handler once', async () => {
    const { trace, failures, system } = world()
    let end: () => void = () => assert.fail('not begun')
    const busy = probe(trace, 'a', (context) => {
      end = begin(trace, 'a', context)
    })
    system.spawn(specOf('a', busy))
    await turn()
    const failing = probe(trace, 'b', () => {
      throw new Error('defect')
    })
    system.spawn(specOf('b', failing))
    system.spawn(specOf('c', failing))
    await turn()
    assert.equal(failures.length, 1)
    assert.equal(trace.at(-1), 'a: aborted')
    let stopped = false
    const stopping = system.stop().then(() => {
      stopped = true
    })
    await turn()
    assert.equal(stopped, false)
    end()
    await stopping
    assert.equal(failures.length, 1)
  })
})
