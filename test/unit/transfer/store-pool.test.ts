import assert from 'node:assert/strict'
import { checkLeaseHeld } from '../../../protocols/lease/lease.js'
import { STORE_IDLE_TIMEOUT_MS } from '../../../protocols/store/messages.js'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { describeChunk } from '../../../src/redundancy/chunk.js'
import { StorePool } from '../../../src/transfer/store-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { type ScriptedMiner, StorePeers } from '../../kit/store-peers.js'
import { testId } from '../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)

function chunkOf(seed: number) {
  const bytes = new Uint8Array(100).fill(seed)
  return { ...describeChunk(bytes), bytes }
}

function setUp() {
  const peers = new StorePeers(2)
  const pool = new StorePool(peers.components, TEST_DOMAIN, peers.candidates)
  return { peers, pool, first: peers.miners[0] as ScriptedMiner, clock: peers.clock }
}

const busy = (retryAfterMs?: number) =>
  new SubnetError('BUSY', 'later', retryAfterMs === undefined ? {} : { data: { retryAfterMs } })

describe('StorePool', () => {
  before(cryptoReady)

  it('opens one stream per miner for all chunks, when the first one comes', async () => {
    const { peers, pool, first } = setUp()
    assert.equal(pool.peers, 0)
    await Promise.all([1, 2, 3].map((seed) => pool.send(0, chunkOf(seed))))
    assert.equal(first.kept.length, 3)
    assert.equal(peers.mesh.streams('store'), 1)
    assert.equal(pool.peers, 1)
    await pool.close()
  })

  it('offers a chunk again after the pause that the miner asks for', async () => {
    const { pool, first, clock } = setUp()
    first.refusals = [busy(1_000)]
    const sending = pool.send(0, chunkOf(1))
    await clock.advance(499)
    assert.equal(first.asked, 1, 'half the pause is the least')
    await clock.advance(1_001)
    await sending
    assert.equal(first.asked, 2)
    assert.equal(pool.retries, 1)
    assert.equal(pool.failure(0), undefined)
    await pool.close()
  })

  it('doubles its pauses, up to a limit whatever the miner asks for, then takes the miner for full', async () => {
    const { pool, first, clock } = setUp()
    first.refusals = [busy(3_600_000)]
    first.forever = true
    const sending = pool.send(0, chunkOf(1))
    sending.catch(() => undefined)
    for (let attempt = 1; attempt <= 6; attempt += 1) await clock.advance(15_000)
    await assert.rejects(sending, coded('BUSY'))
    assert.equal(first.asked, 7)
    await assert.rejects(pool.send(0, chunkOf(2)), coded('BUSY'))
    assert.equal(first.asked, 7, 'it is not asked again')
    await pool.close()
  })

  it('pauses longer each time when the miner names no time', async () => {
    const { pool, first, clock } = setUp()
    first.refusals = [busy(), busy(), busy()]
    const sending = pool.send(0, chunkOf(1))
    const askedAtMs: number[] = []
    for (let ms = 0; first.kept.length === 0 && ms < 10_000; ms += 25) {
      if (askedAtMs.length < first.asked) askedAtMs.push(ms)
      await clock.advance(25)
    }
    await sending
    const [a = 0, b = 0, c = 0] = askedAtMs
    assert.ok(b - a >= 100 && b - a <= 400, `first pause ${b - a}`)
    assert.ok(c - b >= 225 && c - b <= 800, `second pause ${c - b}`)
    await pool.close()
  })

  for (const code of ['NO_SPACE', 'REFUSED'] as const) {
    it(`sends no more chunks to a miner that says ${code}, which still signs for those it has`, async () => {
      const { pool, first } = setUp()
      const kept = chunkOf(1)
      await pool.send(0, kept)
      first.refusals = [new SubnetError(code, 'no more')]
      await assert.rejects(pool.send(0, chunkOf(2)), coded(code))
      await assert.rejects(pool.send(0, chunkOf(3)), coded(code))
      assert.equal(first.asked, 2)
      const entries = [[kept.digest, kept.auditRoot, 100, 0, 0]] as [
        Uint8Array,
        Uint8Array,
        number,
        number,
        number,
      ][]
      const lease = await pool.lease(0, { object: testId(32, 1), entries, endBlock: 9 })
      checkLeaseHeld({ lease, minerSignature: lease.minerSignature }, TEST_DOMAIN)
      await pool.close()
    })
  }

  it('leaves a miner alone that failed: neither chunks nor the lease go there any more', async () => {
    const { peers, pool, first } = setUp()
    await pool.send(0, chunkOf(1))
    peers.mesh.set('peer 0', 'down')
    await assert.rejects(pool.send(0, chunkOf(2)), coded('DISCONNECTED'))
    peers.mesh.set('peer 0', 'up')
    await assert.rejects(pool.send(0, chunkOf(3)), coded('DISCONNECTED'))
    await assert.rejects(
      pool.lease(0, { object: testId(32, 1), entries: [], endBlock: 9 }),
      coded('DISCONNECTED'),
    )
    assert.equal(first.asked, 1)
    assert.equal(peers.mesh.streams('store'), 1)
    assert.ok(isSubnetError(pool.failure(0), 'DISCONNECTED'))
    assert.equal(pool.peers, 0)
    await pool.send(1, chunkOf(4))
    assert.equal(pool.peers, 1)
    await pool.close()
  })

  it('leaves a miner alone that cannot be reached', async () => {
    const { peers, pool } = setUp()
    peers.mesh.set('peer 0', 'down')
    await assert.rejects(pool.send(0, chunkOf(1)), coded('DISCONNECTED'))
    await assert.rejects(pool.send(0, chunkOf(1)), coded('DISCONNECTED'))
    assert.equal(peers.mesh.streams('store'), 1)
  })

  it('asks a miner again that had no room for a stream', async () => {
    const { peers, pool, first, clock } = setUp()
    const { sessions } = peers.components
    const { open } = sessions
    sessions.open = async () => {
      sessions.open = open
      throw busy(100)
    }
    const sending = pool.send(0, chunkOf(1))
    await clock.advance(150)
    await sending
    assert.equal(first.kept.length, 1)
    await pool.close()
  })

  it('leaves a miner alone that does not sign', async () => {
    const { pool, first } = setUp()
    const chunk = chunkOf(1)
    await pool.send(0, chunk)
    first.leaseRefusal = new SubnetError('NOT_FOUND', 'not held')
    const entries = [[chunk.digest, chunk.auditRoot, 100, 0, 0]] as [
      Uint8Array,
      Uint8Array,
      number,
      number,
      number,
    ][]
    await assert.rejects(pool.lease(0, { object: testId(32, 1), entries, endBlock: 9 }), coded('NOT_FOUND'))
    assert.ok(isSubnetError(pool.failure(0), 'NOT_FOUND'))
  })

  it('ends with the reason of an abort, also in a pause, and does not hold it against the miner', async () => {
    const { pool, first } = setUp()
    first.refusals = [busy(1_000)]
    const stop = new AbortController()
    const sending = pool.send(0, chunkOf(1), { signal: stop.signal })
    await turn()
    await turn()
    stop.abort(new Error('changed my mind'))
    await assert.rejects(sending, /changed my mind/)
    assert.equal(pool.failure(0), undefined)
    await pool.close(new Error('changed my mind'))
  })

  it('knows no candidate that was not offered', async () => {
    const { pool } = setUp()
    await assert.rejects(pool.send(2, chunkOf(1)), RangeError)
  })

  it('opens a stream again that the miner ended while nothing was said on it', async () => {
    const { peers, pool, first, clock } = setUp()
    await pool.send(0, chunkOf(1))
    await clock.advance(STORE_IDLE_TIMEOUT_MS)
    await pool.send(0, chunkOf(2))
    assert.equal(first.kept.length, 2)
    assert.equal(peers.mesh.streams('store'), 2)
    assert.equal(pool.failure(0), undefined)
    assert.equal(pool.sentBytes, 200)
    await pool.close()
  })

  it('asks what is held without sending it', async () => {
    const { pool, first } = setUp()
    await pool.send(0, chunkOf(1))
    const digests = [chunkOf(2), chunkOf(1)].map(({ digest }) => digest)
    assert.deepEqual(await pool.have(0, digests), [false, true])
    assert.equal(first.kept.length, 1)
    await pool.close()
  })

  it('does not wait at its end for a miner that still owes an answer', async () => {
    const { pool, first } = setUp()
    first.hold()
    const sending = pool.send(0, chunkOf(1))
    await turn()
    await pool.close()
    await assert.rejects(sending, coded('STOPPED'))
    first.release()
  })
})
