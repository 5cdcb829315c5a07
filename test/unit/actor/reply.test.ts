import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { PendingReply } from '../../../src/actor/reply.js'

function pending(signal?: AbortSignal) {
  const trace: string[] = []
  const reply = new PendingReply(
    {
      resolve: (value) => void trace.push(`answer ${value}`),
      reject: (error) => void trace.push(`refusal ${(error as Error).message}`),
    },
    signal,
  )
  reply.letGo = () => void trace.push('let go')
  return { trace, reply }
}

describe('pending reply', () => {
  it('settles once, with what comes first, and is let go of once', () => {
    const { trace, reply } = pending()
    reply.answer(1)
    reply.answer(2)
    reply.refuse(new Error('late'))
    assert.deepEqual(trace, ['let go', 'answer 1'])
  })

  it("rejects with the signal's reason when the caller gives up, and ignores the answer then", () => {
    const controller = new AbortController()
    const { trace, reply } = pending(controller.signal)
    controller.abort(new Error('enough'))
    reply.answer(1)
    assert.deepEqual(trace, ['let go', 'refusal enough'])
  })

  it('leaves no listener on a signal that lives on', () => {
    const { signal } = new AbortController()
    const { reply } = pending(signal)
    assert.equal(getEventListeners(signal, 'abort').length, 1)
    reply.refuse(new Error('no'))
    assert.equal(getEventListeners(signal, 'abort').length, 0)
  })
})
