import assert from 'node:assert/strict'
import type { PeerAddress } from '../../../src/net/net.js'
import { dhtSearch } from '../../../src/node/dht-search.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { testId } from '../../kit/test-chunk.js'

/** `answers` are the peers that each search finds, in turn; then none. */
function setUp(...answers: string[][]) {
  const clock = new FakeClock()
  const calls = { met: 0, searched: 0 }
  const net = {
    async *findProviders(): AsyncGenerator<PeerAddress> {
      calls.searched += 1
      for (const peerId of answers.shift() ?? []) yield { peerId, addresses: [] }
    },
  }
  const neighbours = {
    async meet() {
      calls.met += 1
      return 1
    },
  }
  const find = dhtSearch({ net, neighbours, clock })
  const search = async (signal = new AbortController().signal) => {
    const found: string[] = []
    for await (const { peerId } of find(testId(32, 1), { signal })) found.push(peerId)
    return found
  }
  return { clock, calls, search }
}

describe('dhtSearch', () => {
  it('meets neighbours first, and searches again until it finds somebody', async () => {
    const { clock, calls, search } = setUp([], [], ['a', 'b'])
    assert.deepEqual(calls, { met: 0, searched: 0 })
    const found = search()
    await clock.advance(500)
    assert.deepEqual(await found, ['a', 'b'])
    assert.deepEqual(calls, { met: 1, searched: 3 })
  })

  it('searches only once when the neighbours have long been known', async () => {
    const { clock, calls, search } = setUp()
    const first = search()
    await clock.advance(3_000)
    assert.deepEqual(await first, [])
    assert.equal(calls.searched, 13)
    assert.deepEqual(await search(), [])
    assert.equal(calls.searched, 14)
  })

  it("ends with its caller's signal", async () => {
    const { clock, search } = setUp()
    const stop = new AbortController()
    const found = search(stop.signal)
    await clock.advance(300)
    stop.abort(new Error('enough'))
    await assert.rejects(found, /enough/)
    assert.equal(clock.pendingTimers, 0)
  })
})
