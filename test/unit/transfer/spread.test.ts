import assert from 'node:assert/strict'
import { equals } from 'uint8arrays'
import { raceAbort } from '../../../src/base/abort.js'
import { SubnetError } from '../../../src/base/errors.js'
import { describeChunk } from '../../../src/redundancy/chunk.js'
import type { EncodedChunk } from '../../../src/redundancy/segment.js'
import { Spread, type SpreadOptions } from '../../../src/transfer/spread.js'
import { FakeClock, turn } from '../../kit/fake-clock.js'
import { keptBytes } from '../../kit/kept-bytes.js'
import { deferred } from '../../kit/probe-actor.js'

const gone = () => new SubnetError('DISCONNECTED', 'gone')

/** A pool whose miners answer at once, except those the test holds or breaks. */
class FakePool {
  retries = 0
  readonly sent: [candidate: number, chunk: Uint8Array][] = []
  /** Candidates that have chunks already, by the chunks' first byte. */
  readonly holds = new Map<number, readonly number[]>()
  readonly silent = new Set<number>()
  readonly broken = new Map<number, Error>()
  readonly held = new Map<number, ReturnType<typeof deferred<void>>>()

  async send(
    candidate: number,
    chunk: EncodedChunk,
    options: { readonly signal?: AbortSignal },
  ): Promise<void> {
    this.sent.push([candidate, chunk.bytes])
    options.signal?.throwIfAborted()
    await this.held.get(candidate)?.promise
    const error = this.broken.get(candidate)
    if (error !== undefined) throw error
  }

  async have(
    candidate: number,
    digests: readonly Uint8Array[],
    { signal }: { readonly signal?: AbortSignal },
  ): Promise<readonly boolean[]> {
    const error = this.broken.get(candidate)
    if (error !== undefined) throw error
    if (this.silent.has(candidate)) await raceAbort(new Promise(() => undefined), signal)
    const held = (this.holds.get(candidate) ?? []).map((number) => CHUNKS[number - 1]?.digest)
    return digests.map((digest) => held.some((each) => each !== undefined && equals(each, digest)))
  }
}

const CHUNKS: EncodedChunk[] = [1, 2, 3].map((number) => {
  const bytes = new Uint8Array(10).fill(number)
  return { ...describeChunk(bytes), bytes }
})

function setUp({ candidates = 6, resumes = false, quorum = 2 } = {}) {
  const pool = new FakePool()
  const clock = new FakeClock()
  const spread = new Spread({ pool, clock }, { candidates, resumes })
  const send = (spares: readonly number[], options: SpreadOptions = {}) =>
    spread.send(CHUNKS, { holders: [0, 1, 2], spares, quorum }, (chunk) => [7, chunk], options)
  const entry = (chunk: number) => {
    const { digest, auditRoot, sizeBytes } = CHUNKS[chunk] as EncodedChunk
    return [digest, auditRoot, sizeBytes, 7, chunk]
  }
  return { pool, clock, spread, send, entry }
}

/** What the lease of each candidate will name. */
const listed = ({ entries }: Spread) => entries.map((own) => [...own])

describe('Spread', () => {
  it('sends each chunk to its holder, and keeps what the lease of each will name', async () => {
    const { pool, spread, send, entry } = setUp()
    assert.equal(await send([3, 4]), 3)
    assert.deepEqual(
      pool.sent.map(([candidate]) => candidate),
      [0, 1, 2],
    )
    assert.deepEqual(listed(spread), [[entry(0)], [entry(1)], [entry(2)], [], [], []])
    assert.equal(spread.retries, 0)
  })

  it('has a spare take over, and the next one when that fails too', async () => {
    const { pool, spread, send, entry } = setUp()
    pool.broken.set(1, gone())
    pool.broken.set(3, gone())
    assert.equal(await send([3, 4, 5]), 3)
    assert.deepEqual(listed(spread), [[entry(0)], [], [entry(2)], [], [entry(1)], []])
    assert.equal(spread.retries, 2)
    assert.match(String(spread.lastFailure), /gone/)
  })

  it('gives every spare to one chunk only', async () => {
    const { pool, spread, send } = setUp()
    pool.broken.set(0, gone())
    pool.broken.set(1, gone())
    assert.equal(await send([3, 4]), 3)
    assert.equal(spread.entries[3]?.length, 1)
    assert.equal(spread.entries[4]?.length, 1)
  })

  it('lets a holder take a second chunk where placement names it as a spare', async () => {
    const { pool, spread, send, entry } = setUp()
    pool.broken.set(1, gone())
    assert.equal(await send([2]), 3)
    assert.deepEqual(new Set(listed(spread)[2]), new Set([entry(2), entry(1)]))
  })

  it('counts what is kept when the spares run out', async () => {
    const { pool, spread, send } = setUp()
    for (const candidate of [0, 1, 3]) pool.broken.set(candidate, gone())
    assert.equal(await send([3]), 1)
    assert.deepEqual(
      spread.entries.map((own) => own.length),
      [0, 0, 1, 0, 0, 0],
    )
  })

  it('keeps the entries of several segments in one list per candidate', async () => {
    const { spread, send } = setUp()
    await send([])
    await send([])
    assert.deepEqual(
      spread.entries.map((own) => own.length),
      [2, 2, 2, 0, 0, 0],
    )
  })

  it('keeps less than 160 bytes of a chunk that is durable', async () => {
    const pool = { retries: 0, send: async () => undefined, have: async () => [] }
    const [segments, n] = [1_000, 10]
    const plan = { holders: Array.from({ length: n }, (_, index) => index), spares: [], quorum: n }
    const { thing: spread, bytes } = await keptBytes(async () => {
      const spread = new Spread({ pool, clock: new FakeClock() }, { candidates: n, resumes: false })
      for (let segment = 0; segment < segments; segment += 1) {
        const chunks = plan.holders.map((index) => ({
          digest: new Uint8Array(32).fill(index),
          auditRoot: new Uint8Array(32).fill(segment),
          sizeBytes: 10,
          bytes: new Uint8Array(10),
        }))
        await spread.send(chunks, plan, (index) => [segment, index], {})
      }
      return spread
    })
    assert.equal(spread.entries[0]?.length, segments)
    assert.ok(bytes / (segments * n) < 160, `${bytes / (segments * n)} bytes a chunk`)
  })

  it('counts what the pool sent again as well', async () => {
    const { pool, spread } = setUp()
    pool.retries = 4
    assert.equal(spread.retries, 4)
  })

  it('ends with the reason of an abort and asks no spare for it', async () => {
    const { pool, send } = setUp()
    const stop = new AbortController()
    const hold = deferred<void>()
    pool.held.set(1, hold)
    const sending = send([3, 4], { signal: stop.signal })
    await turn()
    // A deadline's reason looks like a miner's failure.
    stop.abort(new SubnetError('TIMEOUT', 'too long'))
    hold.reject(gone())
    await assert.rejects(sending, /too long/)
    assert.deepEqual(
      pool.sent.map(([candidate]) => candidate),
      [0, 1, 2],
    )
  })

  it('passes on a defect, which is nobody else’s to try', async () => {
    const { pool, send } = setUp()
    pool.broken.set(1, new TypeError('a defect'))
    await assert.rejects(send([3]), /a defect/)
  })

  describe('when a miner is slow', () => {
    it('offers its chunk to a spare when most of the segment is kept, and takes whoever answers first', async () => {
      const { pool, clock, spread, send, entry } = setUp()
      pool.held.set(1, deferred<void>())
      const sending = send([3])
      await clock.advance(1_999)
      assert.equal(pool.sent.length, 3)
      await clock.advance(1)
      assert.deepEqual(pool.sent.slice(3), [[3, CHUNKS[1]?.bytes]])
      assert.equal(await sending, 3)
      assert.deepEqual(listed(spread), [[entry(0)], [], [entry(2)], [entry(1)], [], []])
      assert.equal(spread.retries, 1)
      assert.equal(clock.pendingTimers, 0)
    })

    it('says that nobody reads a chunk any more only when the slow one has answered too', async () => {
      const { pool, clock, send } = setUp()
      const slow = deferred<void>()
      pool.held.set(1, slow)
      const free: number[] = []
      const sending = send([3], { onFree: (chunk) => free.push(chunk) })
      await clock.advance(2_000)
      assert.equal(await sending, 3)
      assert.deepEqual(free, [0, 2])
      slow.resolve()
      await turn()
      assert.deepEqual(free, [0, 2, 1])
    })

    it('takes the slow one if it is first after all', async () => {
      const { pool, clock, spread, send, entry } = setUp()
      const slow = deferred<void>()
      pool.held.set(1, slow)
      pool.held.set(3, deferred<void>())
      const sending = send([3])
      await clock.advance(2_000)
      slow.resolve()
      assert.equal(await sending, 3)
      assert.deepEqual(listed(spread), [[entry(0)], [entry(1)], [entry(2)], [], [], []])
    })

    it('measures slowness by the others: three times their median', async () => {
      const { pool, clock, send } = setUp()
      const others = deferred<void>()
      pool.held.set(0, others)
      pool.held.set(2, others)
      pool.held.set(1, deferred<void>())
      const sending = send([3])
      await clock.advance(10_000)
      assert.equal(pool.sent.length, 3, 'nobody is slow while all are')
      others.resolve()
      await clock.advance(19_999)
      assert.equal(pool.sent.length, 3)
      await clock.advance(1)
      assert.equal(pool.sent.length, 4)
      assert.equal(await sending, 3)
    })

    it('does without a chunk in the end when the quorum is kept and no spare is left', async () => {
      const { pool, clock, send } = setUp()
      pool.held.set(1, deferred<void>())
      const sending = send([])
      let over = false
      sending.finally(() => {
        over = true
      })
      await clock.advance(7_999)
      assert.equal(over, false)
      await clock.advance(1)
      assert.equal(await sending, 2)
      assert.equal(clock.pendingTimers, 0)
    })

    it('waits for it as long as the quorum needs it', async () => {
      const { pool, clock, send } = setUp({ quorum: 3 })
      const slow = deferred<void>()
      pool.held.set(1, slow)
      const sending = send([])
      await clock.advance(600_000)
      slow.resolve()
      assert.equal(await sending, 3)
    })

    it('gives it nothing more until it has answered', async () => {
      const { pool, clock, send } = setUp()
      const slow = deferred<void>()
      pool.held.set(1, slow)
      const first = send([3])
      await clock.advance(2_000)
      assert.equal(await first, 3)
      pool.sent.length = 0
      assert.equal(await send([3]), 3)
      assert.deepEqual(
        pool.sent.map(([candidate]) => candidate),
        [0, 3, 2],
      )
      pool.held.delete(1)
      slow.resolve()
      await turn()
      pool.sent.length = 0
      assert.equal(await send([3]), 3)
      assert.deepEqual(
        pool.sent.map(([candidate]) => candidate),
        [0, 1, 2],
      )
    })
  })

  describe('of a put that was begun before', () => {
    it('sends no chunk that is there, whoever of the plan has it', async () => {
      const { pool, spread, send, entry } = setUp({ resumes: true })
      pool.holds.set(0, [1])
      pool.holds.set(4, [2])
      assert.equal(await send([3, 4]), 3)
      assert.deepEqual(pool.sent, [[2, CHUNKS[2]?.bytes]])
      assert.deepEqual(listed(spread), [[entry(0)], [], [entry(2)], [], [entry(1)], []])
      assert.equal(spread.reusedBytes, 20)
    })

    it('sends the bodies to those who do not say, and waits for none of them long', async () => {
      const { pool, clock, send } = setUp({ resumes: true })
      pool.holds.set(0, [1])
      pool.silent.add(1)
      pool.broken.set(3, gone())
      const sending = send([3])
      await clock.advance(15_000)
      assert.equal(await sending, 3)
      assert.deepEqual(
        pool.sent.map(([candidate]) => candidate),
        [1, 2],
      )
    })
  })
})
