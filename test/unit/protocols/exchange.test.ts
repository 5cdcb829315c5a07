import assert from 'node:assert/strict'
import { askCapacity } from '../../../protocols/capacity/client.js'
import { CAPACITY } from '../../../protocols/capacity/messages.js'
import { callPatiently } from '../../../protocols/hello/exchange.js'
import { deadline } from '../../../src/base/abort.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { sessionsPair } from '../../kit/sessions-pair.js'

/** A client that calls, and a miner whose answer is what the test's `answer` does. */
function setUp() {
  const { near, far, clock } = sessionsPair({ role: 'client' }, { role: 'miner' })
  far.serveRaw(CAPACITY, ['client'], async (frames) => {
    await frames.readHeader()
    await frames.writeMessage({ type: 'ask' })
  })
  const calls: number[] = []
  const answers: (() => string)[] = []
  const call = (signal?: AbortSignal) =>
    callPatiently(near.components, CAPACITY, far.known, signal === undefined ? {} : { signal }, async () => {
      calls.push(clock.monotonicMs())
      return (answers.shift() ?? (() => 'an answer'))()
    })
  return { near, far, clock, calls, answers, call }
}

const busy = (retryAfterMs?: number) => () => {
  throw new SubnetError('BUSY', 'not now', retryAfterMs === undefined ? {} : { data: { retryAfterMs } })
}
const isBusyFor = (retryAfterMs?: number) => (error: unknown) =>
  isSubnetError(error, 'BUSY') && error.data.retryAfterMs === retryAfterMs

describe('callPatiently', () => {
  before(cryptoReady)

  it('comes back when a busy peer says', async () => {
    const { clock, calls, answers, call } = setUp()
    answers.push(busy(400), busy(1_000))
    const answer = call()
    await clock.advance(399)
    assert.equal(calls.length, 1)
    await clock.advance(2_000)
    assert.equal(await answer, 'an answer')
    assert.deepEqual(calls, [0, 400, 1_400])
  })

  it('hands on a pause that is long or not said, and one that does not end', async () => {
    const { clock, calls, answers, call } = setUp()
    answers.push(busy(5_001))
    await assert.rejects(call(), isBusyFor(5_001))
    answers.push(busy())
    await assert.rejects(call(), isBusyFor())
    answers.push(...Array.from({ length: 9 }, () => busy(10)))
    calls.length = 0
    const refused = assert.rejects(call(), isBusyFor(10))
    await clock.advance(1_000)
    await refused
    assert.equal(calls.length, 5)
  })

  it('says that the peer is busy when its deadline ends the pause, and passes an abort on', async () => {
    const { clock, answers, call } = setUp()
    answers.push(busy(400), busy(400))
    using scope = deadline(clock, 100, 'the question')
    const refused = assert.rejects(call(scope.signal), isBusyFor(400))
    await clock.advance(100)
    await refused
    const abort = new AbortController()
    const aborted = assert.rejects(call(abort.signal), /enough/)
    await clock.advance(100)
    abort.abort(new Error('enough'))
    await aborted
  })

  it('tries nothing else again', async () => {
    const { calls, answers, call } = setUp()
    answers.push(() => {
      throw new SubnetError('REFUSED', 'no', { data: { retryAfterMs: 1 } })
    })
    await assert.rejects(call(), (error) => isSubnetError(error, 'REFUSED'))
    assert.equal(calls.length, 1)
  })

  it('is not what a plain question does: its caller learns of the limit', async () => {
    const { near, far } = setUp()
    const asked = await Promise.allSettled(
      Array.from({ length: CAPACITY.opens.burst + 1 }, () => askCapacity(near.components, far.known)),
    )
    const refused = asked.filter((each) => each.status === 'rejected' && isSubnetError(each.reason, 'BUSY'))
    assert.ok(refused.length > 0)
  })
})
