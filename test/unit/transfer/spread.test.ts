import assert from 'node:assert/strict'
import { SubnetError } from '../../../src/base/errors.js'
import { describeChunk } from '../../../src/redundancy/chunk.js'
import type { EncodedChunk } from '../../../src/redundancy/segment.js'
import { Spread } from '../../../src/transfer/spread.js'
import type { StorePool } from '../../../src/transfer/store-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { deferred } from '../../kit/probe-actor.js'

const gone = () => new SubnetError('DISCONNECTED', 'gone')

/** A pool whose miners answer at once, except those the test holds or breaks. */
class FakePool {
  retries = 0
  readonly sent: [candidate: number, chunk: Uint8Array][] = []
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
}

const CHUNKS: EncodedChunk[] = [1, 2, 3].map((number) => {
  const bytes = new Uint8Array(10).fill(number)
  return { ...describeChunk(bytes), bytes }
})

function setUp(candidates = 6) {
  const pool = new FakePool()
  const spread = new Spread(pool as unknown as StorePool, candidates)
  const send = (spares: readonly number[], options: { readonly signal?: AbortSignal } = {}) =>
    spread.send(CHUNKS, { holders: [0, 1, 2], spares }, (chunk) => [7, chunk], options)
  const entry = (chunk: number) => {
    const { digest, auditRoot, sizeBytes } = CHUNKS[chunk] as EncodedChunk
    return [digest, auditRoot, sizeBytes, 7, chunk]
  }
  return { pool, spread, send, entry }
}

describe('Spread', () => {
  it('sends each chunk to its holder, and keeps what the lease of each will name', async () => {
    const { pool, spread, send, entry } = setUp()
    assert.equal(await send([3, 4]), 3)
    assert.deepEqual(
      pool.sent.map(([candidate]) => candidate),
      [0, 1, 2],
    )
    assert.deepEqual(spread.entries, [[entry(0)], [entry(1)], [entry(2)], [], [], []])
    assert.equal(spread.retries, 0)
  })

  it('has a spare take over, and the next one when that fails too', async () => {
    const { pool, spread, send, entry } = setUp()
    pool.broken.set(1, gone())
    pool.broken.set(3, gone())
    assert.equal(await send([3, 4, 5]), 3)
    assert.deepEqual(spread.entries, [[entry(0)], [], [entry(2)], [], [entry(1)], []])
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
    assert.deepEqual(new Set(spread.entries[2]), new Set([entry(2), entry(1)]))
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
})
