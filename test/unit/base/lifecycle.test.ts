import assert from 'node:assert/strict'
import { type Startable, sequence, step } from '../../../src/base/lifecycle.js'

function recorded(
  names: readonly string[],
  failing: { readonly start?: string; readonly stop?: string } = {},
) {
  const events: string[] = []
  const parts: Startable[] = names.map((name) => ({
    async start() {
      events.push(`+${name}`)
      if (failing.start === name) throw new Error(`${name} does not start`)
    },
    async stop() {
      events.push(`-${name}`)
      if (failing.stop === name) throw new Error(`${name} does not stop`)
    },
  }))
  return { events, whole: sequence(parts) }
}

describe('sequence', () => {
  it('starts in order and stops in reverse', async () => {
    const { events, whole } = recorded(['a', 'b', 'c'])
    await whole.start()
    await whole.stop()
    assert.deepEqual(events, ['+a', '+b', '+c', '-c', '-b', '-a'])
  })

  it('stops what had started, the failing part included, when a start fails', async () => {
    const { events, whole } = recorded(['a', 'b', 'c'], { start: 'b' })
    await assert.rejects(whole.start(), /b does not start/)
    assert.deepEqual(events, ['+a', '+b', '-b', '-a'])
  })

  it('stops the others when one does not stop, and says so', async () => {
    const { events, whole } = recorded(['a', 'b', 'c'], { stop: 'c' })
    await whole.start()
    await assert.rejects(whole.stop(), /c does not stop/)
    assert.deepEqual(events.slice(3), ['-c', '-b', '-a'])
  })

  it('starts nothing more once aborted', async () => {
    const controller = new AbortController()
    const events: string[] = []
    const whole = sequence([
      step({
        start: async () => controller.abort(new Error('enough')),
        stop: async () => void events.push('-first'),
      }),
      step({ start: async () => void events.push('+second') }),
    ])
    await assert.rejects(whole.start({ signal: controller.signal }), /enough/)
    assert.deepEqual(events, ['-first'])
  })

  it('can be stopped twice', async () => {
    const { events, whole } = recorded(['a'])
    await whole.start()
    await whole.stop()
    await whole.stop()
    assert.deepEqual(events, ['+a', '-a'])
  })
})
