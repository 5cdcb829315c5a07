/**
 * Every row of "What bad input gets" (the design's page on storage), over real sessions: the typed answer, that nothing is
 * kept, that what was set aside is given back, and what becomes of the peer. The wire is in memory, so that deadlines pass
 * at once; keeper, services and shards are the real ones.
 */
import assert from 'node:assert/strict'
import { decode, encode } from '@ipld/dag-cbor'
import type { z } from 'zod'
import type { FrameStream } from '../../protocols/common/frames.js'
import { type Failure, WIRE_STATUS } from '../../protocols/common/status.js'
import { FAULTS, FAULTS_PAUSE_MS } from '../../protocols/hello/conduct.js'
import { packLease } from '../../protocols/lease/packed-lease.js'
import { OrderClient } from '../../protocols/order/client.js'
import { type Order, signOrder } from '../../protocols/order/order.js'
import { serveOrders } from '../../protocols/order/server.js'
import { RETRIEVE, retrieveOpenedSchema } from '../../protocols/retrieve/messages.js'
import { serveRetrieve } from '../../protocols/retrieve/server.js'
import { type OutgoingChunk, StoreStream } from '../../protocols/store/client.js'
import {
  STORE,
  STORE_IDLE_TIMEOUT_MS,
  type StoreAnswer,
  storeAnswerSchema,
  storeOpenedSchema,
} from '../../protocols/store/messages.js'
import { serveStore } from '../../protocols/store/server.js'
import { ActorSystem } from '../../src/actor/system.js'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import { cryptoReady, type Signer, toSs58 } from '../../src/crypto/keys.js'
import { MANIFEST_BYTES_MAX } from '../../src/redundancy/manifest.js'
import { objectSigner } from '../../src/redundancy/manifest-builder.js'
import { maskRootOf } from '../../src/redundancy/mask.js'
import { Allowance } from '../../src/roles/miner/allowance.js'
import { keeper } from '../../src/roles/miner/keeper.js'
import { Receipts } from '../../src/roles/miner/receipts.js'
import { RetrieveService } from '../../src/roles/miner/retrieve-service.js'
import { StoreService } from '../../src/roles/miner/store-service.js'
import { checkCommit } from '../../src/roles/validator/commit-check.js'
import { fetchSegment } from '../../src/transfer/fetch.js'
import { RetrievePool } from '../../src/transfer/retrieve-pool.js'
import { MemoryPartition } from '../kit/memory-partition.js'
import { specOf } from '../kit/probe-actor.js'
import { RetrievePeers } from '../kit/retrieve-peers.js'
import { settle, signerOf, TestPeers } from '../kit/sessions-pair.js'
import { SimDisk } from '../kit/sim-disk.js'
import { testId } from '../kit/test-chunk.js'
import { testDisk } from '../kit/test-disk.js'
import { spreadOver, testLease, testObject } from '../kit/test-object.js'
import { wireChunk } from '../kit/test-orders.js'
import { TEST_DOMAIN } from '../kit/test-subnet.js'

const BUDGET_BYTES = 4 * MIB
const CHUNK = wireChunk(1, 5_000)
const OTHER = wireChunk(2, 5_000)

/** A miner with all its parts but the disk, and a client that knows what it must not do. */
async function setUp() {
  const peers = new TestPeers()
  const { clock, authority } = peers
  const [near, far] = [peers.peer({ role: 'client' }), peers.peer({ role: 'miner' })]
  const issuer = signerOf('validator', 'issuer')
  authority.register(issuer.publicKey, 'validator')
  const validator = toSs58(issuer.publicKey)
  const partition = new MemoryPartition()
  const shard = await partition.open(validator)
  partition.share({ validator, shareBytes: BUDGET_BYTES })
  const actors = new ActorSystem({ clock, log: silentLogger }, { onFailure: (reason) => assert.fail(reason) })
  const keeping = actors.spawn(specOf('keeper', keeper(partition)))
  const { health, inspector } = testDisk()
  const disk = { health, inspector }
  const shared = { keeper: keeping, shards: partition, signer: far.signer, head: authority, ...disk }
  const storing = new StoreService(
    {
      ...shared,
      onCounted: () => assert.fail('no lease counts'),
      onDiskFailure: () => assert.fail('the disk works'),
    },
    { domain: TEST_DOMAIN, trashBlocks: 10 },
  )
  const receipts = new Receipts(
    { clock, logger: silentLogger, head: authority, openIndex: new SimDisk().openIndex },
    '/receipts',
  )
  await receipts.start()
  const reading = new RetrieveService({ ...shared, receipts, allowance: new Allowance(clock) })
  const init = { domain: TEST_DOMAIN, miner: far.signer.publicKey }
  serveStore({ ...far.components, handler: storing }, init)
  serveRetrieve({ ...far.components, handler: reading }, init)
  const order = (fields: Partial<Parameters<typeof signOrder>[2]> = {}, signer: Signer = issuer): Order => {
    const expiresBlock = authority.block + 100
    return signOrder(signer, TEST_DOMAIN, {
      verb: 'put',
      client: near.signer.publicKey,
      miner: far.signer.publicKey,
      maxBytes: 64 * MIB,
      serial: testId(16, 1),
      expiresBlock,
      leaseEndBlock: expiresBlock + 1_000,
      ...fields,
    })
  }
  return {
    peers,
    clock,
    authority,
    near,
    far,
    shard,
    order,
    /** Nothing is kept, nothing is set aside, no stream and no deadline is left. */
    async assertUntouched(): Promise<void> {
      await settle()
      const nothing = { chunks: 0, bytes: 0, diskBytes: 0, trashBytes: 0, lostChunks: 0 }
      assert.deepEqual({ ...shard.usage(), diskBytes: 0 }, nothing)
      assert.equal((await keeping.ask('room', { validator })).freeBytes, BUDGET_BYTES)
      assert.equal(await shard.orderUse(testId(16, 1)), 0)
      assert.equal(far.net.serving.size, 0)
      assert.equal(clock.pendingTimers, 1, 'the next write of receipts is due, and nothing else')
    },
    async freeBytes(): Promise<number> {
      return (await keeping.ask('room', { validator })).freeBytes
    },
  }
}

type Fixture = Awaited<ReturnType<typeof setUp>>

async function opened({ near, far, order }: Pick<Fixture, 'near' | 'far' | 'order'>): Promise<FrameStream> {
  const frames = await near.openRaw(far, STORE)
  await frames.writeMessage({ type: 'open', order: order() })
  assert.equal((await frames.readMessage(storeOpenedSchema, 'opened')).type, 'opened')
  return frames
}

async function header(frames: FrameStream, chunk: OutgoingChunk, fields: object = {}): Promise<void> {
  const { digest, auditRoot, bytes } = chunk
  await frames.writeMessage({
    type: 'chunk',
    number: 1,
    digest,
    auditRoot,
    sizeBytes: bytes.length,
    ...fields,
  })
}

async function answerOf(frames: FrameStream): Promise<StoreAnswer> {
  return await frames.readMessage(storeAnswerSchema, 'answer', { waitMs: 1e9 })
}

function failureOf(answer: StoreAnswer | { readonly type: string }): Failure {
  if (answer.type !== 'failure') assert.fail(`${answer.type} instead of a failure`)
  return answer as Failure
}

describe('bad input: a body that is not what its header says', () => {
  before(cryptoReady)

  const LIES: readonly [string, (frames: FrameStream) => Promise<void>][] = [
    [
      'shorter',
      async (frames) => {
        await header(frames, CHUNK)
        await frames.writeBody(CHUNK.bytes.subarray(0, 2_000))
        await header(frames, OTHER)
        await frames.writeBody(OTHER.bytes)
      },
    ],
    [
      'longer',
      async (frames) => {
        await header(frames, CHUNK, { sizeBytes: 3_000 })
        await frames.writeBody(CHUNK.bytes)
      },
    ],
    [
      'of another digest',
      async (frames) => {
        await header(frames, CHUNK)
        await frames.writeBody(OTHER.bytes)
      },
    ],
    [
      'of another root',
      async (frames) => {
        await header(frames, { ...CHUNK, auditRoot: OTHER.auditRoot })
        await frames.writeBody(CHUNK.bytes)
      },
    ],
  ]
  for (const [what, send] of LIES) {
    it(`${what}: MISMATCH, nothing is kept`, async () => {
      const fixture = await setUp()
      const frames = await opened(fixture)
      await send(frames)
      assert.equal(failureOf(await answerOf(frames)).status, WIRE_STATUS.MISMATCH)
      frames.abort(new Error('over'))
      await fixture.assertUntouched()
    })
  }

  it('cut off in its middle: the stream is reset, nothing is kept', async () => {
    const fixture = await setUp()
    const frames = await opened(fixture)
    await header(frames, CHUNK)
    await frames.writeBody(CHUNK.bytes.subarray(0, 2_000))
    await frames.end()
    await assert.rejects(answerOf(frames), (error) => isSubnetError(error, 'DISCONNECTED'))
    await fixture.assertUntouched()
  })

  it('again and again: the peer is not heard for a minute, on no protocol, and others are', async () => {
    const fixture = await setUp()
    const { peers, near, far, clock, order } = fixture
    for (let fault = 0; fault <= FAULTS.burst; fault += 1) {
      const frames = await opened(fixture)
      await header(frames, CHUNK)
      await frames.writeBody(OTHER.bytes)
      assert.equal(failureOf(await answerOf(frames)).status, WIRE_STATUS.MISMATCH)
      frames.abort(new Error('over'))
      await settle()
    }
    for (const spec of [STORE, RETRIEVE]) {
      const frames = await near.openRaw(far, spec)
      const failure = failureOf(await frames.readMessage(storeOpenedSchema, 'opened'))
      assert.equal(failure.status, WIRE_STATUS.BUSY)
      assert.match(failure.reason, /too many faults/)
      assert.equal(failure.retryAfterMs, FAULTS_PAUSE_MS)
    }
    const other = peers.peer({ role: 'client', name: 'another' })
    const own = () => order({ client: other.signer.publicKey })
    ;(await opened({ near: other, far, order: own })).abort(new Error('over'))
    await clock.advance(FAULTS_PAUSE_MS)
    ;(await opened(fixture)).abort(new Error('over'))
    await fixture.assertUntouched()
  })
})

describe('bad input: an order', () => {
  before(cryptoReady)

  type Verb = Order['verb']
  const REFUSED: readonly [string, number, (fixture: Fixture, verb: Verb) => Order][] = [
    ['forged', WIRE_STATUS.BAD_SIGNATURE, ({ order }, verb) => ({ ...order({ verb }), maxBytes: 65 * MIB })],
    [
      'expired',
      WIRE_STATUS.REFUSED,
      ({ order, authority }, verb) => order({ verb, expiresBlock: authority.block - 1 }),
    ],
    ['for another miner', WIRE_STATUS.REFUSED, ({ order }, verb) => order({ verb, miner: testId(32, 7) })],
    ['for another client', WIRE_STATUS.REFUSED, ({ order }, verb) => order({ verb, client: testId(32, 7) })],
    [
      'for the other verb',
      WIRE_STATUS.REFUSED,
      ({ order }, verb) => order({ verb: verb === 'put' ? 'get' : 'put' }),
    ],
    [
      'of no validator',
      WIRE_STATUS.REFUSED,
      ({ order }, verb) => order({ verb }, signerOf('validator', 'without a permit')),
    ],
  ]
  for (const [what, status, wrong] of REFUSED) {
    it(`${what} is refused before a body is read, to put and to get`, async () => {
      const fixture = await setUp()
      const { near, far } = fixture
      for (const [spec, verb] of [
        [STORE, 'put'],
        [RETRIEVE, 'get'],
      ] as const) {
        const frames = await near.openRaw(far, spec)
        await frames.writeMessage({ type: 'open', order: wrong(fixture, verb) })
        const schema: z.ZodType<{ readonly type: string }> =
          spec === STORE ? storeOpenedSchema : retrieveOpenedSchema
        assert.equal(failureOf(await frames.readMessage(schema, 'opened')).status, status)
        frames.abort(new Error('over'))
      }
      await fixture.assertUntouched()
    })
  }

  it('that is spent is refused chunk by chunk, and the stream stays in step', async () => {
    const fixture = await setUp()
    const { near, far, order } = fixture
    const stream = await StoreStream.open(near.components, far.known, order({ maxBytes: 9_999 }), TEST_DOMAIN)
    assert.equal(await stream.send(CHUNK), false)
    await assert.rejects(stream.send(OTHER), (error) => isSubnetError(error, 'REFUSED'))
    assert.equal(await stream.send(CHUNK).catch(() => 'refused'), 'refused')
    assert.equal(await stream.send(wireChunk(3, 4_999)), false)
    assert.equal(await fixture.freeBytes(), BUDGET_BYTES - 9_999)
    await stream.close()
  })
})

describe('bad input: more than fits', () => {
  before(cryptoReady)

  it('is NO_SPACE, chunk by chunk, what is held goes on, and no room is lost', async () => {
    const fixture = await setUp()
    const { near, far, order, shard } = fixture
    const stream = await StoreStream.open(near.components, far.known, order(), TEST_DOMAIN)
    const chunks = [10, 11, 12, 13, 14, 15].map((number) => wireChunk(number, MIB))
    const sent = await Promise.allSettled(chunks.map((chunk) => stream.send(chunk)))
    const refused = sent.filter(({ status }) => status === 'rejected')
    assert.equal(refused.length, 2)
    for (const each of refused)
      assert.ok(each.status === 'rejected' && isSubnetError(each.reason, 'NO_SPACE'))
    assert.equal(await fixture.freeBytes(), 0)
    assert.equal(stream.ended, false)
    // One goes: exactly its room is there again.
    await shard.remove(chunks[0]?.digest ?? assert.fail())
    assert.equal(await stream.send(chunks[5] ?? assert.fail()), false)
    assert.equal(await fixture.freeBytes(), 0)
    await stream.close()
  })
})

describe('bad input: a peer that stalls', () => {
  before(cryptoReady)

  it('in the middle of a body is cut at the deadline, and its reservation is given back', async () => {
    const fixture = await setUp()
    const frames = await opened(fixture)
    await header(frames, CHUNK)
    await frames.writeBody(CHUNK.bytes.subarray(0, 100))
    await settle()
    assert.equal(await fixture.freeBytes(), BUDGET_BYTES - CHUNK.sizeBytes)
    const answer = answerOf(frames)
    await fixture.clock.advance(STORE.stallTimeoutMs)
    assert.equal(failureOf(await answer).status, WIRE_STATUS.TIMEOUT)
    frames.abort(new Error('over'))
    await fixture.assertUntouched()
  })

  it('between two messages is told so and cut', async () => {
    const fixture = await setUp()
    const frames = await opened(fixture)
    const answer = answerOf(frames)
    await fixture.clock.advance(STORE_IDLE_TIMEOUT_MS)
    assert.equal(failureOf(await answer).status, WIRE_STATUS.TIMEOUT)
    frames.abort(new Error('over'))
    await fixture.assertUntouched()
  })
})

describe('bad input: a manifest', () => {
  before(cryptoReady)

  /** A validator that checks what it is told to count, and notes what it would count. */
  function validating() {
    const peers = new TestPeers()
    const [near, far] = [peers.peer({ role: 'client' }), peers.peer({ role: 'validator' })]
    const { clock, authority } = peers
    const miners = Array.from({ length: 10 }, (_, number) => signerOf('miner', `miner ${number}`))
    const counted: unknown[] = []
    serveOrders(
      {
        ...far.components,
        handler: {
          remember: async () => undefined,
          place: async () => assert.fail('nobody places'),
          locate: async () => assert.fail('nobody looks'),
          commit: async (_, commit) => {
            const groups = new Map(miners.map(({ publicKey }, i) => [toSs58(publicKey), `g${i}`]))
            const check = { domain: TEST_DOMAIN, validator: far.signer.publicKey, block: 5, groups }
            counted.push(checkCommit(commit, check))
            return assert.fail('it should not have passed')
          },
        },
        owners: {
          ownerOf: async () => assert.fail('nobody asks'),
          renew: async () => assert.fail('nobody asks'),
          release: async () => assert.fail('nobody asks'),
        },
      },
      { domain: TEST_DOMAIN, validator: far.signer.publicKey },
    )
    const components = {
      ...near.components,
      clock,
      authority,
      random: seededRandom('orders'),
      signer: near.signer,
    }
    const orders = new OrderClient(components, TEST_DOMAIN)
    const object = testObject('small', 100_000)
    const commit = async (root: Uint8Array) => {
      const terms = { object: object.address, validator: far.signer.publicKey }
      const leases = spreadOver(object, miners.length).map((entries, miner) =>
        testLease(miners[miner] as Signer, entries, terms),
      )
      const body = { object: object.address, profile: object.profile, maskRoot: maskRootOf(object.objectKey) }
      await orders.commit(far.known, body, {
        nodes: [root, ...object.nodes.slice(1)],
        leases: leases.map(packLease),
      })
    }
    const root = object.nodes[0] ?? assert.fail()
    const changed = (fields: object) => encode({ ...(decode(root) as object), ...fields })
    return { commit, counted, changed, signer: objectSigner(object.objectKey) }
  }

  const WRONG: readonly [string, object, string][] = [
    ['of another version', { version: 99 }, 'manifest.version'],
    ['with another hash', { hash: 'blake3' }, 'manifest.hash'],
    ['with a field too many', { extra: 1 }, 'manifest: has an unknown field'],
    ['that names more than its size has', { sizeBytes: 65_537 * 1_000 }, 'manifest.segments'],
    ['whose profile there is not', { code: { profile: 'huge', k: 200, n: 255 } }, 'manifest.code.profile'],
  ]
  for (const [what, fields, field] of WRONG) {
    it(`${what} is refused with the field's name, and nothing is counted`, async () => {
      const { commit, counted, changed } = validating()
      await assert.rejects(
        commit(changed(fields)),
        (error) => isSubnetError(error, 'INVALID') && error.message.includes(field),
      )
      assert.deepEqual(counted, [])
    })
  }

  it('that is no manifest at all, or larger than any, is refused', async () => {
    const { commit, counted } = validating()
    await assert.rejects(commit(new Uint8Array(100)), (error) => isSubnetError(error, 'INVALID'))
    await assert.rejects(commit(new Uint8Array(MANIFEST_BYTES_MAX + 1)), (error) =>
      isSubnetError(error, 'INVALID'),
    )
    assert.deepEqual(counted, [])
  })
})

describe('bad input: too few chunks alive', () => {
  before(cryptoReady)

  it('is UNRECOVERABLE, naming the segment, how many live, and who holds them', async () => {
    const peers = new RetrievePeers(4)
    const chunks = [1, 2, 3, 4].map((number) => wireChunk(number, 4_096))
    for (const [number, { bytes }] of chunks.entries()) peers.miner(number).put(bytes)
    for (const miner of [0, 2, 3]) peers.mesh.set(`peer ${miner}`, 'down')
    const place = {
      shape: { index: 7, k: 2, n: 4, plainBytes: 8_192 },
      entry: { salt: new Uint8Array(16), chunks },
      holders: chunks.map((_, number) => [peers.holder(number)]),
    }
    const pool = new RetrievePool(peers.components)
    const fetching = fetchSegment(place as never, { pool, clock: peers.clock })
    const left = toSs58(peers.holder(1).hotkey)
    await assert.rejects(fetching, (error) => {
      assert.ok(isSubnetError(error, 'UNRECOVERABLE'))
      const { segment, live, needed, holders } = error.data
      assert.deepEqual(
        { segment, live, needed, holders },
        { segment: 7, live: 1, needed: 2, holders: [left] },
      )
      assert.ok(error.message.includes('segment 7: 1 chunks') && error.message.includes(left))
      return true
    })
    await pool.close()
  })
})
