import assert from 'node:assert/strict'
import { concat } from 'uint8arrays/concat'
import type { Holder } from '../../../protocols/order/messages.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { cryptoReady, toSs58 } from '../../../src/crypto/keys.js'
import { decodeSegment, type EncodedSegment, encodeSegment } from '../../../src/redundancy/segment.js'
import { fetchSegment, type SegmentPlace } from '../../../src/transfer/fetch.js'
import { RetrievePool } from '../../../src/transfer/retrieve-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { RetrievePeers } from '../../kit/retrieve-peers.js'

/** Any 2 of 5. Chunk i is at miner i, and further ones where a test says so. */
const CODE = { k: 2, n: 5 }
const HEDGE_MS = 2_000
const objectKey = new Uint8Array(32).fill(3)
const plaintext = new Uint8Array(1_100_000).map((_, i) => i % 251)

describe('fetchSegment', () => {
  let segment: EncodedSegment

  before(async () => {
    await cryptoReady()
    segment = encodeSegment({ code: CODE, index: 0, isLast: true, plaintext, objectKey })
  })

  function setUp(extra: Readonly<Record<number, readonly number[]>> = {}) {
    const peers = new RetrievePeers(CODE.n)
    const holders = segment.chunks.map(({ bytes }, chunk): Holder[] => {
      const at = [chunk, ...(extra[chunk] ?? [])]
      for (const miner of at) peers.miner(miner).put(bytes)
      return at.map((miner) => peers.holder(miner))
    })
    const place: SegmentPlace = { shape: segment.shape, entry: segment, holders }
    const pool = new RetrievePool(peers.components)
    const fetch = (options: { readonly signal?: AbortSignal } = {}, of = place) =>
      fetchSegment(of, { pool, clock: peers.clock }, options)
    const asked = () => peers.miners.map((miner) => miner.asked.length)
    return { peers, place, pool, fetch, asked, clock: peers.clock }
  }

  const places = (chunks: readonly unknown[]) =>
    chunks.flatMap((chunk, i) => (chunk === undefined ? [] : [i]))

  it('asks for the data chunks, and for nothing else when they come', async () => {
    const { fetch, asked, place, pool } = setUp()
    const chunks = await fetch()
    assert.deepEqual(places(chunks), [0, 1])
    assert.deepEqual(asked(), [1, 1, 0, 0, 0])
    assert.deepEqual(
      concat(decodeSegment({ shape: place.shape, entry: segment, chunks }, objectKey)),
      plaintext,
    )
    await pool.close()
  })

  it('asks for the next chunk for each that fails, and decodes from any k', async () => {
    const { peers, fetch, asked, place, pool } = setUp()
    peers.mesh.set('peer 0', 'down')
    peers.miner(1).lies = true
    const chunks = await fetch()
    assert.deepEqual(places(chunks), [2, 3])
    assert.deepEqual(asked(), [0, 1, 1, 1, 0])
    assert.deepEqual(
      concat(decodeSegment({ shape: place.shape, entry: segment, chunks }, objectKey)),
      plaintext,
    )
    await pool.close()
  })

  it('asks the next holder of a chunk before it turns to another chunk', async () => {
    const { peers, fetch, asked, pool } = setUp({ 0: [4] })
    peers.mesh.set('peer 0', 'down')
    assert.deepEqual(places(await fetch()), [0, 1])
    assert.deepEqual(asked(), [0, 1, 0, 0, 1])
    await pool.close()
  })

  it('asks for one more after a silence, and lets go of what is not needed any more', async () => {
    const { peers, fetch, asked, pool, clock } = setUp()
    peers.miner(0).hold()
    const fetching = fetch()
    await clock.advance(HEDGE_MS - 1)
    assert.deepEqual(asked(), [1, 1, 0, 0, 0])
    await clock.advance(1)
    assert.deepEqual(places(await fetching), [1, 2])
    assert.equal(pool.failure(peers.holder(0)), undefined, 'slow is not failed')
    peers.miner(0).release()
    await pool.close()
  })

  it('does without a miner that never answers the dial, for this segment and those beside it', async () => {
    const { peers, fetch, pool, clock } = setUp()
    peers.mesh.set('peer 0', 'silent')
    const both = [fetch(), fetch()]
    await clock.advance(HEDGE_MS)
    for (const chunks of await Promise.all(both)) assert.deepEqual(places(chunks), [1, 2])
    await pool.close()
  })

  it('turns to miners that failed lately last, and to busy ones after idle ones', async () => {
    const { peers, fetch, asked, pool, place } = setUp()
    peers.mesh.set('peer 0', 'down')
    await fetch()
    peers.mesh.set('peer 0', 'up')
    const before = asked()
    assert.deepEqual(places(await fetch()), [1, 2])
    assert.deepEqual(
      asked().map((count, i) => count - (before[i] ?? 0)),
      [0, 1, 1, 0, 0],
    )
    peers.miner(1).hold()
    const [, reference] = place.entry.chunks
    assert.ok(reference)
    const slow = pool.request(peers.holder(1), (stream) => stream.get(reference))
    await turn()
    assert.deepEqual(places(await fetch()), [2, 3], 'parity at an idle miner comes before data at a busy one')
    peers.miner(1).release()
    await slow
    await pool.close()
  })

  it('skips chunks that nobody holds', async () => {
    const { fetch, place, pool } = setUp()
    const holders = place.holders.map((own, chunk) => (chunk === 1 ? [] : own))
    assert.deepEqual(places(await fetch({}, { ...place, holders })), [0, 2])
    await pool.close()
  })

  it('is UNRECOVERABLE below k, and names the segment, the numbers, who has what is left and who fails', async () => {
    const { peers, fetch, pool } = setUp()
    for (const miner of [0, 1, 3]) peers.mesh.set(`peer ${miner}`, 'down')
    peers.miner(4).refusal = new SubnetError('NOT_FOUND', 'lost')
    const names = [0, 1, 3].map((miner) => toSs58(peers.holder(miner).hotkey))
    await assert.rejects(fetch(), (error) => {
      assert.ok(isSubnetError(error, 'UNRECOVERABLE') && error.retryable)
      const left = toSs58(peers.holder(2).hotkey)
      assert.equal(
        error.message,
        `segment 0: 1 chunks could be had (at ${left}), 2 are needed; 3 of 5 holders failed`,
      )
      assert.deepEqual(error.data, {
        segment: 0,
        live: 1,
        needed: 2,
        holders: [left],
        asked: 5,
        unreachable: names,
      })
      return true
    })
    await pool.close()
  })

  it('is UNRECOVERABLE without asking anybody when too few are held', async () => {
    const { fetch, place, pool, clock } = setUp()
    await assert.rejects(fetch({}, { ...place, holders: place.holders.map(() => []) }), (error) =>
      isSubnetError(error, 'UNRECOVERABLE'),
    )
    assert.equal(clock.pendingTimers, 0)
    await pool.close()
  })

  it('ends with the reason of an abort', async () => {
    const { peers, fetch, pool } = setUp()
    peers.mesh.set('peer 0', 'silent')
    const stop = new AbortController()
    const fetching = fetch({ signal: stop.signal })
    fetching.catch(() => undefined)
    await turn()
    stop.abort(new Error('changed my mind'))
    await assert.rejects(fetching, /changed my mind/)
    await pool.close(new Error('changed my mind'))
  })
})
