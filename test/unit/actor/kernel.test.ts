import assert from 'node:assert/strict'
import { Kernel, STEPS_PER_TURN_MAX } from '../../../src/actor/kernel.js'
import { silentLogger } from '../../../src/base/log.js'
import { isCollected } from '../../kit/collect-garbage.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'

function world() {
  const clock = new FakeClock()
  return { clock, kernel: new Kernel(clock, silentLogger) }
}

describe('actor kernel', () => {
  it('gives each that is ready one step in turn', async () => {
    const { kernel } = world()
    const trace: string[] = []
    const cell = (name: string) => {
      const self = {
        left: 3,
        step() {
          trace.push(name)
          if (--self.left > 0) kernel.schedule(self)
        },
      }
      return self
    }
    kernel.schedule(cell('a'))
    kernel.schedule(cell('b'))
    assert.deepEqual(trace, [])
    await turn()
    assert.deepEqual(trace, ['a', 'b', 'a', 'b', 'a', 'b'])
  })

  it('lets the event loop have its turn after a bounded number of steps, in a loop', async () => {
    const { kernel, clock } = world()
    let steps = 0
    const busy = {
      step() {
        steps++
        if (steps < 2 * STEPS_PER_TURN_MAX + 1) kernel.schedule(busy)
      },
    }
    kernel.schedule(busy)
    await turn()
    assert.equal(steps, STEPS_PER_TURN_MAX)
    await clock.advance(0)
    assert.equal(steps, 2 * STEPS_PER_TURN_MAX + 1)
    assert.equal(clock.pendingTimers, 0)
  })

  it('lets the event loop have its turn after a bounded number of steps, in a chain of promises', async () => {
    const { kernel, clock } = world()
    let steps = 0
    const chained = {
      step() {
        steps++
        void Promise.resolve().then(() => kernel.schedule(chained))
      },
    }
    kernel.schedule(chained)
    await turn()
    assert.equal(steps, STEPS_PER_TURN_MAX)
    assert.equal(clock.pendingTimers, 1)
  })

  it('waits for the tasks it took over', async () => {
    const { kernel } = world()
    const task = deferred<void>()
    kernel.outlive(task.promise)
    let settled = false
    const waiting = kernel.settled().then(() => {
      settled = true
    })
    await turn()
    assert.equal(settled, false)
    task.resolve()
    await waiting
  })

  it('holds no task that has settled', async () => {
    const { kernel } = world()
    const outlive = () => {
      const task = Promise.resolve()
      kernel.outlive(task)
      return new WeakRef(task)
    }
    assert.equal(await isCollected(outlive()), true)
  })
})
