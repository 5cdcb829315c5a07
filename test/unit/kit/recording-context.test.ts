import assert from 'node:assert/strict'
import type { Behavior, Outcome, Ref, Reply } from '../../../src/actor/behavior.js'
import { specOf } from '../../kit/probe-actor.js'
import { RecordingContext, RecordingRef } from '../../kit/recording-context.js'

type Watch =
  | { readonly type: 'watch'; readonly miner: string; readonly reply: Reply<number> }
  | { readonly type: 'stop' }
type Private =
  | { readonly type: 'measured'; readonly outcome: Outcome<number>; readonly reply: Reply<number> }
  | { readonly type: 'tick' }

function createWatcher(log: Ref<{ readonly type: 'line'; readonly text: string }>): Behavior<Watch> {
  const watcher: Behavior<Watch | Private, { ticks: number }> = {
    start(context) {
      context.after(500, { type: 'tick' })
      return { ticks: 0 }
    },
    receive(state, message, context) {
      switch (message.type) {
        case 'watch': {
          const { miner, reply } = message
          context.spawn(specOf(miner, watcher))
          context.task(
            async (signal) => (signal.aborted ? 0 : miner.length),
            (outcome) => ({ type: 'measured', outcome, reply }),
          )
          return
        }
        case 'measured':
          if (message.outcome.ok) message.reply.answer(message.outcome.value)
          else message.reply.refuse(message.outcome.error as Error)
          return
        case 'tick':
          state.ticks++
          log.send({ type: 'line', text: `tick ${state.ticks}` })
          return
        case 'stop':
          context.stopSelf()
      }
    },
  }
  return watcher
}

describe('recording context', () => {
  it('drives a behavior through its public messages, tasks and timers, without naming private ones', async () => {
    const log = new RecordingRef<{ readonly type: 'line'; readonly text: string }>()
    const watcher = new RecordingContext(createWatcher(log))
    assert.equal(watcher.timers[0]?.delayMs, 500)
    watcher.timers[0].fire()
    assert.throws(() => watcher.timers[0]?.fire(), { name: 'InvariantError' })
    assert.deepEqual(watcher.state, { ticks: 1 })
    assert.deepEqual(log.sent, [{ type: 'line', text: 'tick 1' }])

    const [run, failed, given] = ['abc', 'de', 'f'].map((miner) => watcher.ask('watch', { miner }))
    assert.deepEqual(
      watcher.children.map(({ spec }) => spec.id),
      ['abc', 'de', 'f'],
    )
    await watcher.tasks[0]?.run()
    const error = new Error('no answer')
    watcher.tasks[1]?.fail(error)
    watcher.tasks[2]?.succeed(9)
    assert.deepEqual(
      [run?.outcome, failed?.outcome, given?.outcome],
      [
        { ok: true, value: 3 },
        { ok: false, error },
        { ok: true, value: 9 },
      ],
    )
    assert.equal(watcher.stopping, false)
    watcher.send({ type: 'stop' })
    assert.equal(watcher.stopping, true)
  })
})
