/** Actors under random orders of sends, asks, aborts, task ends, timers, crashes and failing starts. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Supervision } from '../../src/actor/supervision.js'
import { isSubnetError } from '../../src/base/errors.js'
import { EFFECT, HOW, type Limits, TOP_ACTORS } from '../kit/actor-model.js'
import { World } from '../kit/actor-world.js'
import { turn } from '../kit/fake-clock.js'

const index = fc.nat(99)
const limits: fc.Arbitrary<Limits> = fc.record({
  max: fc.integer({ min: 1, max: 4 }),
  policy: fc.constantFrom('reject', 'drop-oldest', 'conflate'),
  tasksMax: fc.integer({ min: 1, max: 3 }),
})
const supervision: fc.Arbitrary<Supervision> = fc.record({
  strategy: fc.constantFrom('one_for_one', 'rest_for_one'),
  restartsMax: fc.integer({ min: 0, max: 4 }),
  withinMs: fc.integer({ min: 1, max: 400 }),
})
const event = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      to: index,
      sender: fc.constantFrom('alice', 'bob'),
      effect: fc.constantFrom(...EFFECT),
      key: fc.constantFrom(undefined, 'head', 'tick'),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('ask' as const), to: index, how: fc.constantFrom(...HOW) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), which: index }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), which: index, ok: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('advance' as const), durationMs: fc.nat(150) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('run' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('fail starts' as const),
      top: fc.nat(TOP_ACTORS - 1),
      count: fc.integer({ min: 1, max: 2 }),
    }),
  },
)
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never

async function happen(world: World, event: Event): Promise<void> {
  switch (event.do) {
    case 'send':
      return world.send(world.subject(event.to), event.sender, event.effect, event.key)
    case 'ask':
      return world.ask(world.subject(event.to), event.how)
    case 'abort':
      return world.abort(event.which)
    case 'settle':
      return world.settle(world.openTasks[event.which % world.openTasks.length], event.ok)
    case 'advance':
      return world.clock.advance(event.durationMs)
    case 'run':
      await turn()
      if (world.violations.length === 0) world.checkSignals()
      return
    case 'fail starts':
      return world.failNextStarts(event.top, event.count)
  }
}

/** Stops the system, ending one aborted task after the other, and checks that it waits for each in the right order. */
async function stop(world: World): Promise<void> {
  let stopped = false
  const stopping = world.system.stop().then(() => {
    stopped = true
  })
  void world.system.stop()
  await turn()
  for (let open = world.openTasks; open.length > 0; open = world.openTasks) {
    assert.equal(stopped, false, 'stopped with tasks in flight')
    const ended = open.filter(({ signal }) => signal?.aborted)
    const stoppedTops = ended.filter(({ life }) => !life.ended).map(({ life }) => life.subject.top)
    const waitingTops = open.filter(({ signal }) => !signal?.aborted).map(({ life }) => life.subject.top)
    assert.ok(new Set(stoppedTops).size <= 1, 'two top actors were stopped at once')
    for (const top of stoppedTops) assert.ok(waitingTops.every((earlier) => earlier < top))
    assert.ok(ended.length > 0, 'waits for a task that nobody told to end')
    world.settle(ended[0], true)
    await turn()
  }
  await stopping
}

describe('actors under random message order', () => {
  it('keep every promise of the kernel', async () => {
    const property = fc.asyncProperty(
      supervision,
      fc.array(limits, { minLength: TOP_ACTORS, maxLength: TOP_ACTORS }),
      limits,
      fc.array(event, { maxLength: 80, size: 'max' }),
      async (supervision, topLimits, childLimits, events) => {
        const world = new World(supervision, topLimits, childLimits)
        for (const event of events) await happen(world, event)
        await turn()
        assert.deepEqual(world.violations, [])
        world.checkSignals()
        assert.equal(world.failures.length, world.expectsFailure ? 1 : 0)
        assert.deepEqual(world.dueStarts, [])
        await stop(world)
        assert.deepEqual(world.violations, [])
        for (const { id, outcomes, controller } of world.asks) {
          assert.equal(outcomes.length, 1, 'an ask did not settle exactly once')
          const [outcome] = outcomes
          if (outcome?.ok) assert.equal(outcome.value, id * 2)
          else if (outcome?.error !== controller.signal.reason) {
            assert.ok(isSubnetError(outcome?.error))
            assert.ok(['BUSY', 'STOPPED', 'INTERNAL', 'DISK'].includes(outcome.error.code))
          }
        }
        assert.equal(world.clock.pendingTimers, 0)
      },
    )
    await fc.assert(property, { numRuns: 1_000 })
  })
})
