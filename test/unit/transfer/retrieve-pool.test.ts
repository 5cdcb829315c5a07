import assert from 'node:assert/strict'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { type ChunkReference, describeChunk } from '../../../src/redundancy/chunk.js'
import { RetrievePool } from '../../../src/transfer/retrieve-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { RetrievePeers } from '../../kit/retrieve-peers.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const ALONE_MS = 15_000

const BODIES = [1, 2].map((seed) => new Uint8Array(5_000).fill(seed)) as [Uint8Array, Uint8Array]
const [ONE, TWO] = BODIES.map(describeChunk) as [ChunkReference, ChunkReference]

function setUp() {
  const peers = new RetrievePeers(2)
  for (const miner of peers.miners) miner.put(...BODIES)
  const pool = new RetrievePool(peers.components)
  const get = async (miner: number, reference: ChunkReference, signal?: AbortSignal) => {
    const options = signal === undefined ? {} : { signal }
    const ask = (stream: Parameters<Parameters<typeof pool.request>[1]>[0]) =>
      stream.get(reference, undefined, options)
    const span = await pool.request(peers.holder(miner), ask, options)
    return span.read(reference, 0, reference.sizeBytes)
  }
  return { peers, pool, get, holder: peers.holder(0), first: peers.miner(0), clock: peers.clock }
}

describe('RetrievePool', () => {
  before(cryptoReady)

  it('opens one stream per miner for all requests, when the first one comes', async () => {
    const { peers, pool, get } = setUp()
    assert.equal(pool.peers, 0)
    assert.deepEqual(await Promise.all([get(0, ONE), get(0, TWO)]), BODIES)
    assert.equal(peers.mesh.streams('retrieve'), 1)
    assert.equal(pool.peers, 1)
    assert.equal(pool.retries, 0)
    await pool.close()
  })

  it('says how many requests wait at a miner', async () => {
    const { pool, get, first, holder } = setUp()
    assert.equal(pool.waiting(holder), 0)
    await get(0, ONE)
    first.hold()
    const requests = [get(0, ONE), get(0, TWO)]
    await turn()
    assert.equal(pool.waiting(holder), 2)
    first.release()
    await Promise.all(requests)
    assert.equal(pool.waiting(holder), 0)
    await pool.close()
  })

  it('leaves a failed miner alone for 15 s, then tries it again', async () => {
    const { peers, pool, get, holder, clock } = setUp()
    peers.mesh.set('peer 0', 'down')
    await assert.rejects(get(0, ONE), coded('DISCONNECTED'))
    peers.mesh.set('peer 0', 'up')
    await clock.advance(ALONE_MS - 1)
    assert.ok(isSubnetError(pool.failure(holder), 'DISCONNECTED'))
    await assert.rejects(get(0, ONE), coded('DISCONNECTED'))
    assert.equal(peers.mesh.streams('retrieve'), 1, 'it was not asked')
    assert.equal(pool.retries, 1)
    await clock.advance(1)
    assert.equal(pool.failure(holder), undefined)
    assert.deepEqual(await get(0, ONE), BODIES[0])
    assert.equal(peers.mesh.streams('retrieve'), 2)
    await pool.close()
  })

  it('asks a busy miner again when it says, on the same stream', async () => {
    const { peers, pool, get, holder, first, clock } = setUp()
    await get(0, ONE)
    const asked = () => first.asked.length
    first.refusal = new SubnetError('BUSY', 'later', { data: { retryAfterMs: 500 } })
    const request = get(0, ONE)
    await clock.advance(499)
    assert.equal(asked(), 2)
    assert.equal(pool.failure(holder), undefined)
    await clock.advance(501)
    assert.equal(asked(), 3)
    first.refusal = undefined
    await clock.advance(5_000)
    assert.deepEqual(await request, BODIES[0])
    assert.equal(peers.mesh.streams('retrieve'), 1)
    await pool.close()
  })

  it('leaves a miner alone for as long as it asks, where that is long, and what else it is asked goes on', async () => {
    const { peers, pool, get, holder, first, clock } = setUp()
    await get(0, ONE)
    first.hold()
    const waiting = get(0, TWO)
    await turn()
    first.refusal = new SubnetError('BUSY', 'much later', { data: { retryAfterMs: 60_000 } })
    const refused = get(0, ONE)
    first.release()
    for (const request of [waiting, refused]) {
      await assert.rejects(
        request,
        (error) => isSubnetError(error, 'BUSY') && error.data.retryAfterMs === 60_000,
      )
    }
    first.refusal = undefined
    await clock.advance(59_999)
    assert.ok(isSubnetError(pool.failure(holder), 'BUSY'))
    await clock.advance(1)
    assert.equal(pool.failure(holder), undefined)
    assert.deepEqual(await get(0, ONE), BODIES[0])
    assert.equal(peers.mesh.streams('retrieve'), 1)
    await pool.close()
  })

  it('opens another stream in place of one that ended while nothing was asked, and blames nobody', async () => {
    const { peers, pool, get, holder, clock } = setUp()
    await get(0, ONE)
    await clock.advance(10 * 60_000)
    assert.deepEqual(await get(0, ONE), BODIES[0])
    assert.equal(pool.failure(holder), undefined)
    assert.equal(peers.mesh.streams('retrieve'), 2)
    await pool.close()
  })

  it('does not hold a missing chunk against a miner', async () => {
    const { peers, pool, get, holder } = setUp()
    const missing = describeChunk(new Uint8Array(10))
    await assert.rejects(get(0, missing), coded('NOT_FOUND'))
    assert.equal(pool.failure(holder), undefined)
    assert.deepEqual(await get(0, ONE), BODIES[0])
    assert.equal(peers.mesh.streams('retrieve'), 1)
    assert.equal(pool.retries, 1)
    await pool.close()
  })

  it('leaves a miner alone that gives other bytes or refuses', async () => {
    for (const spoil of ['lies', 'refuses'] as const) {
      const { pool, get, holder, first } = setUp()
      if (spoil === 'lies') first.lies = true
      else first.refusal = new SubnetError('REFUSED', 'used up')
      const code = spoil === 'lies' ? 'MISMATCH' : 'REFUSED'
      await assert.rejects(get(0, ONE), coded(code))
      assert.ok(isSubnetError(pool.failure(holder), code))
      await pool.close()
    }
  })

  it('fails everything that waits at a miner when its stream ends', async () => {
    const { peers, get, first, pool } = setUp()
    await get(0, ONE)
    first.hold()
    const requests = [get(0, ONE), get(0, TWO)]
    for (const request of requests) request.catch(() => undefined)
    await turn()
    peers.mesh.set('peer 0', 'down')
    for (const request of requests) await assert.rejects(request, coded('DISCONNECTED'))
    assert.equal(pool.peers, 0)
    assert.deepEqual(await get(1, ONE), BODIES[0])
    await pool.close()
  })

  it('ends one request with its caller, not the opening that others wait for, and blames nobody', async () => {
    const { peers, pool, get, holder } = setUp()
    const { sessions } = peers.components
    const { open } = sessions
    let reached: () => void = () => undefined
    sessions.open = async (peer, protocol, options) => {
      await new Promise<void>((resolve) => {
        reached = resolve
      })
      options?.signal?.throwIfAborted()
      return await open(peer, protocol, options)
    }
    const stop = new AbortController()
    const ended = get(0, ONE, stop.signal)
    const other = get(0, TWO)
    ended.catch(() => undefined)
    await turn()
    stop.abort(new DOMException('enough has come', 'AbortError'))
    await assert.rejects(ended, /enough/)
    reached()
    assert.deepEqual(await other, BODIES[1])
    assert.equal(pool.failure(holder), undefined)
    await pool.close()
  })

  it('does not wait at its end for a miner that never answers the dial', async () => {
    const { peers, pool, get } = setUp()
    peers.mesh.set('peer 0', 'silent')
    const request = get(0, ONE)
    request.catch(() => undefined)
    await turn()
    await pool.close()
    await assert.rejects(request)
  })
})
