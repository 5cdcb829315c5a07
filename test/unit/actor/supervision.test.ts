import assert from 'node:assert/strict'
import type { Context, Ref } from '../../../src/actor/behavior.js'
import type { Supervision } from '../../../src/actor/supervision.js'
import { ActorSystem } from '../../../src/actor/system.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { silentLogger } from '../../../src/base/log.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { type Probe, probe, specOf } from '../../kit/probe-actor.js'

const defect = new Error('defect')
const crash = (ref: Ref<Probe> | undefined) =>
  ref?.send({
    type: 'do',
    work: () => {
      throw defect
    },
  })
const act = (ref: Ref<Probe>, work: (context: Context<Probe>) => void) => ref.send({ type: 'do', work })
const alive = (ref: Ref<Probe> | undefined) => ref?.send({ type: 'do', work: () => undefined })

function world(supervision?: Supervision) {
  const trace: string[] = []
  const failures: Error[] = []
  const clock = new FakeClock()
  const onFailure = (reason: Error) => void failures.push(reason)
  const init = supervision === undefined ? { onFailure } : { onFailure, supervision }
  const system = new ActorSystem({ clock, log: silentLogger }, init)
  const spawn = (id: string, changes: Partial<ReturnType<typeof specOf<Probe>>> = {}) =>
    system.spawn(specOf(id, probe(trace, id), changes))
  const clearTrace = () => trace.splice(0)
  return { trace, failures, clock, system, spawn, clearTrace }
}

describe('supervision', () => {
  it('starts a permanent actor again whatever ended it', async () => {
    const { trace, clock, spawn } = world()
    const ref = spawn('a', { restart: 'permanent' })
    crash(ref)
    act(ref, (context) => context.stopSelf())
    // Received by the new incarnation: the one that left could not use its context any more.
    act(ref, (context) => void context.after(1, { type: 'note', text: 'due' }))
    await clock.advance(1)
    assert.deepEqual(trace, ['a: start', 'a: start', 'a: start', 'a: due'])
  })

  it('starts a transient actor again after a crash only', async () => {
    const { trace, spawn } = world()
    const ref = spawn('a', { restart: 'transient' })
    crash(ref)
    act(ref, (context) => context.stopSelf())
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start'])
    assert.equal(alive(ref), false)
  })

  it('never starts a temporary actor again, and frees its id', async () => {
    const { trace, spawn } = world()
    const ref = spawn('a', { restart: 'temporary' })
    assert.throws(() => spawn('a'), { name: 'InvariantError' })
    crash(ref)
    await turn()
    assert.equal(alive(ref), false)
    spawn('a')
    await turn()
    assert.deepEqual(trace, ['a: start', 'a: start'])
  })

  it('leaves the others alone with one_for_one', async () => {
    const { trace, spawn, clearTrace } = world()
    const [, b] = [spawn('a'), spawn('b'), spawn('c')]
    await turn()
    clearTrace()
    crash(b)
    await turn()
    assert.deepEqual(trace, ['b: start'])
  })

  it('restarts in order what was added later with rest_for_one, temporary ones not', async () => {
    const supervision = { strategy: 'rest_for_one', restartsMax: 3, withinMs: 1_000 } as const
    const { trace, spawn, clearTrace } = world(supervision)
    const [, b, c] = [spawn('a'), spawn('b'), spawn('c', { restart: 'temporary' }), spawn('d')]
    await turn()
    clearTrace()
    crash(b)
    await turn()
    assert.deepEqual(trace, ['b: start', 'd: start'])
    assert.equal(alive(c), false)
  })

  it('ends in reverse order what it restarts with rest_for_one', async () => {
    const supervision = { strategy: 'rest_for_one', restartsMax: 3, withinMs: 1_000 } as const
    const { trace, system, spawn } = world(supervision)
    const busy = (id: string) => {
      const run = (signal: AbortSignal) =>
        new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            trace.push(`${id}: aborted`)
            resolve()
          })
        })
      const behavior = probe(trace, id, (context) =>
        context.task(run, (outcome) => ({ type: 'settled', outcome })),
      )
      return system.spawn(specOf(id, behavior))
    }
    spawn('a')
    const b = busy('b')
    busy('c')
    await turn()
    trace.splice(0)
    crash(b)
    await turn()
    assert.deepEqual(trace, ['c: aborted', 'b: aborted', 'b: start', 'c: start'])
  })

  it('keeps the order of starts with rest_for_one when a start fails half-way', async () => {
    const supervision = { strategy: 'rest_for_one', restartsMax: 3, withinMs: 1_000 } as const
    const { trace, system, spawn, failures } = world(supervision)
    const a = spawn('a')
    let starts = 0
    const failsTwice = probe(trace, 'b', () => {
      if (starts++ < 2) throw defect
    })
    system.spawn(specOf('b', failsTwice))
    spawn('c')
    await turn()
    assert.deepEqual(trace, ['a: start', 'b: start', 'b: start', 'b: start', 'c: start'])
    trace.splice(0)
    starts = 1
    crash(a)
    await turn()
    // Two failed starts of b before, the crash of a now: b's next failed start is one too many.
    assert.deepEqual(trace, ['a: start', 'b: start'])
    assert.equal(failures.length, 1)
  })

  it('gives up after too many restarts within the window: all stopped, one reason with its cause', async () => {
    const { trace, spawn, failures } = world({ strategy: 'one_for_one', restartsMax: 2, withinMs: 1_000 })
    const [a, b] = [spawn('a'), spawn('b')]
    for (let times = 0; times < 4; times++) crash(a)
    await turn()
    assert.equal(trace.filter((line) => line === 'a: start').length, 3)
    assert.equal(failures.length, 1)
    assert.ok(isSubnetError(failures[0], 'INTERNAL'))
    assert.equal(failures[0].cause, defect)
    assert.deepEqual([alive(a), alive(b)], [false, false])
  })

  it('does not count restarts that are longer ago than the window', async () => {
    const { clock, spawn, failures } = world({ strategy: 'one_for_one', restartsMax: 1, withinMs: 1_000 })
    const a = spawn('a')
    for (let times = 0; times < 5; times++) {
      crash(a)
      await clock.advance(1_000)
    }
    assert.equal(failures.length, 0)
    crash(a)
    await clock.advance(999)
    crash(a)
    await turn()
    assert.equal(failures.length, 1)
  })

  it('lets a parent crash when its child does not recover, with fresh children and no word to the root', async () => {
    const { trace, system, failures } = world()
    let child: Ref<Probe> | undefined
    const parent = probe(trace, 'parent', (context) => {
      child = context.spawn(specOf('child', probe(trace, 'child')))
    })
    const supervision = { strategy: 'one_for_one', restartsMax: 1, withinMs: 1_000 } as const
    const ref = system.spawn(specOf('parent', parent, { supervision }))
    await turn()
    const first = child
    crash(first)
    crash(first)
    await turn()
    assert.deepEqual(trace, [
      'parent: start',
      'child: start',
      'child: start',
      'parent: start',
      'child: start',
    ])
    assert.deepEqual([alive(first), alive(child), alive(ref)], [false, true, true])
    assert.equal(failures.length, 0)
  })

  it('reports a start that always fails to the root', async () => {
    const { trace, system, failures } = world({ strategy: 'one_for_one', restartsMax: 3, withinMs: 1_000 })
    system.spawn(
      specOf(
        'a',
        probe(trace, 'a', () => {
          throw defect
        }),
      ),
    )
    await turn()
    assert.equal(trace.length, 4)
    assert.equal(failures.length, 1)
  })
})
