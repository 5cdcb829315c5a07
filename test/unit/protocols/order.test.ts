import assert from 'node:assert/strict'
import { encodeMessage } from '../../../protocols/common/schema.js'
import {
  type Envelope,
  REQUEST_LIFE_BLOCKS_MAX,
  type SealEnvelope,
  signEnvelope,
} from '../../../protocols/common/signed.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import { countersignLease } from '../../../protocols/lease/lease.js'
import { type PackedLease, packLease, unpackLease } from '../../../protocols/lease/packed-lease.js'
import { OrderClient } from '../../../protocols/order/client.js'
import {
  COMMIT_BYTES_MAX,
  type CommitBody,
  type Committed,
  commitAnswerSchema,
  type LocateBody,
  type Located,
  ORDER,
  ORDER_REQUEST_BYTES_MAX,
  type PlaceBody,
  type Placed,
  type ReleaseBody,
  type Released,
  type RenewBody,
  type Renewed,
} from '../../../protocols/order/messages.js'
import { checkOrder, type Order } from '../../../protocols/order/order.js'
import {
  COMMIT_TIMEOUT_MS,
  type CommitRequest,
  type OrderHandler,
  type OwnerHandler,
  serveOrders,
} from '../../../protocols/order/server.js'
import { SubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { KIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { MANIFEST_BYTES_MAX } from '../../../src/redundancy/manifest.js'
import { type SessionsPair, sessionsPair, settle, signerOf, writeLength } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'
import { leaseEntry, testLease, testOrder, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'
import { hex } from '../../kit/vectors.js'

const PLACE: PlaceBody = { profile: 'small', sizeBytes: 5, put: testId(16, 5), leaseBlocks: 10 }
const LOCATE: LocateBody = { object: testId(32, 1), firstSegment: 0, segments: 4 }

class RecordingHandler implements OrderHandler, OwnerHandler {
  readonly calls: (readonly [method: string, client: string, body: unknown])[] = []
  readonly #seen = new Set<string>()
  failure: Error | undefined
  /** Resolves the commit, when the test has set it. */
  hold: Promise<void> | undefined
  /** A candidate or holder's order. */
  order: Order
  countersign: (lease: PackedLease) => Uint8Array

  constructor(pair: SessionsPair) {
    this.order = testOrder(pair, 'put')
    this.countersign = (lease) => countersignLease(pair.far.signer, TEST_DOMAIN, lease)
  }

  async remember(nonce: Uint8Array): Promise<void> {
    if (this.#seen.has(hex(nonce))) throw new SubnetError('REFUSED', 'seen before')
    this.#seen.add(hex(nonce))
  }

  async place(client: Uint8Array, body: PlaceBody): Promise<Omit<Placed, 'type'>> {
    this.#called('place', client, body)
    const place = { hotkey: this.order.miner, peerId: 'p', address: '/ip4/1.2.3.4/tcp/1' }
    const candidate = { ...place, group: 'g', weight: 3, order: this.order }
    return { seed: testId(32, 9), candidates: [candidate], leaseEndBlock: 77, warning: 'small network' }
  }

  async commit(client: Uint8Array, commit: CommitRequest): Promise<Omit<Committed, 'type'>> {
    this.#called('commit', client, commit)
    await this.hold
    const countersignatures = commit.leases.map(this.countersign)
    return { countersignatures, weakestReceipts: 9, fullReceipts: 10 }
  }

  async locate(client: Uint8Array, body: LocateBody): Promise<Omit<Located, 'type'>> {
    this.#called('locate', client, body)
    const holder = { hotkey: this.order.miner, peerId: 'p', address: '/ip4/1.2.3.4/tcp/1', order: this.order }
    return { holders: [holder], nodes: [[0]], segments: [[[0], []]] }
  }

  async ownerOf(object: Uint8Array): Promise<Uint8Array> {
    if (hex(object) !== hex(LOCATE.object)) throw new SubnetError('NOT_FOUND', 'unknown')
    return OWNER().publicKey
  }

  async renew(body: RenewBody): Promise<Omit<Renewed, 'type'>> {
    this.#called('renew', new Uint8Array(0), body)
    return { endBlock: 99, miners: 3 }
  }

  async release(body: ReleaseBody): Promise<Omit<Released, 'type'>> {
    this.#called('release', new Uint8Array(0), body)
    return { miners: 3 }
  }

  #called(method: string, client: Uint8Array, body: unknown): void {
    this.calls.push([method, hex(client), body])
    if (this.failure !== undefined) throw this.failure
  }
}

/** Its key is the object's own, not the session's. */
const OWNER = () => signerOf('client', 'owner')

interface Fixture extends SessionsPair {
  readonly handler: RecordingHandler
  readonly client: OrderClient
}

function fixture(): Fixture {
  const pair = sessionsPair({ role: 'client' }, { role: 'validator' })
  const { near, far } = pair
  const handler = new RecordingHandler(pair)
  serveOrders(
    { ...far, sessions: far.sessions, handler, owners: handler },
    { domain: TEST_DOMAIN, validator: far.signer.publicKey },
  )
  const parts = {
    ...near.components,
    sessions: near.sessions,
    random: seededRandom('client'),
    signer: near.signer,
  }
  const client = new OrderClient({ ...parts, clock: pair.clock, authority: pair.authority }, TEST_DOMAIN)
  return { ...pair, handler, client }
}

function oneLease({ far }: SessionsPair, object = testId(32, 1)): PackedLease {
  const entries = [leaseEntry(wireChunk(1, 10))]
  return packLease(testLease(far.signer.publicKey, signerOf('miner', 'm'), object, entries))
}

const COMMIT = { object: testId(32, 1), profile: 'small', maskRoot: testId(32, 2) } as const

describe('order', () => {
  before(cryptoReady)

  it('places: the question and the answer arrive as they were given', async () => {
    const { near, far, client, handler } = fixture()
    const placed = await client.place(far.known, PLACE)
    assert.deepEqual(handler.calls, [['place', hex(near.signer.publicKey), PLACE]])
    assert.equal(placed.warning, 'small network')
    assert.deepEqual(placed.candidates[0]?.order, handler.order)
    const { sizeBytes: _, ...unknownSize } = PLACE
    await client.place(far.known, unknownSize)
    assert.deepEqual(handler.calls[1]?.[2], unknownSize)
  })

  it('locates', async () => {
    const { far, client, handler } = fixture()
    const located = await client.locate(far.known, LOCATE)
    assert.deepEqual(handler.calls[0]?.[2], LOCATE)
    assert.deepEqual(located.segments, [[[0], []]])
  })

  it('commits: manifest nodes and leases follow the question, countersignatures come back', async () => {
    const pair = fixture()
    const nodes = [wireChunk(2, 300 * 1).bytes, wireChunk(3, MANIFEST_BYTES_MAX).bytes]
    const leases = [oneLease(pair)]
    const committed = await pair.client.commit(pair.far.known, COMMIT, { nodes, leases })
    assert.equal(committed.countersignatures.length, 1)
    const [[, , given] = []] = pair.handler.calls
    const whole: CommitBody = { ...COMMIT, nodes: [300, MANIFEST_BYTES_MAX], leases: 1 }
    const { sender, body, ...parts } = given as CommitRequest
    assert.deepEqual([sender, body, parts.nodes], [pair.near.signer.publicKey, whole, nodes])
    assert.deepEqual(parts.leases.map(unpackLease), leases.map(unpackLease))
  })

  it("commits with the object's own key too, over any client's session, and not with a forged one", async () => {
    const pair = fixture()
    const { far, near, client, handler } = pair
    const parts = { nodes: [wireChunk(2, 10).bytes], leases: [oneLease(pair)] }
    handler.commit = async (session, { sender, leases }) => {
      assert.deepEqual([session, sender], [near.signer.publicKey, OWNER().publicKey])
      return { countersignatures: leases.map(handler.countersign), weakestReceipts: 9, fullReceipts: 10 }
    }
    await client.commit(far.known, COMMIT, { ...parts, owner: OWNER() })
    const forger = signerOf('client', 'forger')
    const owner = { scheme: 'ed25519', publicKey: OWNER().publicKey, sign: forger.sign.bind(forger) } as const
    await assert.rejects(client.commit(far.known, COMMIT, { ...parts, owner }), { code: 'BAD_SIGNATURE' })
  })

  it("renews and releases for whoever has the key of the object, over any client's session", async () => {
    const { far, client, handler } = fixture()
    const { object } = LOCATE
    assert.equal((await client.renew(far.known, OWNER(), { object, leaseBlocks: 7 })).endBlock, 99)
    assert.equal((await client.release(far.known, OWNER(), { object })).miners, 3)
    assert.deepEqual(handler.calls, [
      ['renew', '', { object, leaseBlocks: 7 }],
      ['release', '', { object }],
    ])
  })

  it('neither renews nor releases without that key, nor an object it does not know', async () => {
    const { far, near, client, handler } = fixture()
    const { object } = LOCATE
    const forger = signerOf('client', 'forger')
    for (const signer of [forger, near.signer]) {
      await assert.rejects(client.renew(far.known, signer, { object, leaseBlocks: 7 }), { code: 'REFUSED' })
      await assert.rejects(client.release(far.known, signer, { object }), { code: 'REFUSED' })
    }
    const forged = {
      scheme: 'ed25519',
      publicKey: OWNER().publicKey,
      sign: forger.sign.bind(forger),
    } as const
    await assert.rejects(client.release(far.known, forged, { object }), { code: 'BAD_SIGNATURE' })
    await assert.rejects(client.release(far.known, OWNER(), { object: testId(32, 44) }), {
      code: 'NOT_FOUND',
    })
    assert.deepEqual(handler.calls, [])
  })

  it('tells the client why the handler refuses, and nothing of its own trouble', async () => {
    const { far, client, handler } = fixture()
    handler.failure = new SubnetError('TOO_FEW_PEERS', '12 operators are needed')
    await assert.rejects(client.place(far.known, PLACE), { code: 'TOO_FEW_PEERS', message: /12 operators/ })
    assert.equal(far.logger.alarms.length, 0)
    handler.failure = new TypeError('x of undefined')
    await assert.rejects(client.locate(far.known, LOCATE), {
      code: 'INTERNAL',
      message: /without saying why/,
    })
    assert.equal(far.logger.alarms.length, 1)
  })

  it('does not believe countersignatures that are missing or not over the leases', async () => {
    const pair = fixture()
    const parts = { nodes: [wireChunk(2, 10).bytes], leases: [oneLease(pair)] }
    pair.handler.countersign = () => new Uint8Array(64)
    await assert.rejects(pair.client.commit(pair.far.known, COMMIT, parts), { code: 'BAD_SIGNATURE' })
    const others = oneLease(pair, testId(32, 3))
    pair.handler.countersign = () => countersignLease(pair.far.signer, TEST_DOMAIN, others)
    await assert.rejects(pair.client.commit(pair.far.known, COMMIT, parts), { code: 'BAD_SIGNATURE' })
    pair.handler.commit = async () => ({ countersignatures: [], weakestReceipts: 1, fullReceipts: 1 })
    await assert.rejects(pair.client.commit(pair.far.known, COMMIT, parts), { code: 'INVALID' })
  })

  it('says BUSY while it has no permit by its own metagraph: it may be a block behind the client’s', async () => {
    const { far, clock, authority, client, handler } = fixture()
    authority.deregister(far.signer.publicKey)
    authority.register(far.signer.publicKey, 'miner')
    const placing = client.place(far.known, PLACE)
    await settle()
    authority.register(far.signer.publicKey, 'validator')
    await clock.advance(1_000)
    assert.equal((await placing).leaseEndBlock, 77)
    assert.deepEqual(handler.calls.length, 1)
  })

  it('is for clients only', async () => {
    const pair = sessionsPair({ role: 'miner' }, { role: 'validator' })
    const handler = new RecordingHandler(pair)
    const { far, near, clock, authority } = pair
    serveOrders(
      { sessions: far.sessions, clock, authority, handler, owners: handler },
      { domain: TEST_DOMAIN, validator: far.signer.publicKey },
    )
    const random = seededRandom('client')
    const client = new OrderClient(
      { sessions: near.sessions, clock, authority, random, signer: near.signer },
      TEST_DOMAIN,
    )
    await assert.rejects(client.locate(far.known, LOCATE), { code: 'REFUSED', message: /not for a miner/ })
  })
})

describe('an order request', () => {
  before(cryptoReady)

  /** Sends a request as it stands; resolves with the answer. */
  async function send(pair: SessionsPair, type: string, request: unknown) {
    const frames = await pair.near.openRaw(pair.far, ORDER)
    await frames.writeMessage({ type, request })
    return await frames.readMessage(commitAnswerSchema, 'answer')
  }

  function sealed(pair: SessionsPair, change: Partial<SealEnvelope> = {}): Envelope {
    return signEnvelope({
      domain: TEST_DOMAIN,
      method: 'order.locate',
      body: LOCATE,
      signer: pair.near.signer,
      receiver: pair.far.signer.publicKey,
      nonce: testId(16, 3),
      expiresBlock: pair.authority.block + 20,
      ...change,
    })
  }

  type Seal = (pair: SessionsPair) => Envelope
  const refused: readonly (readonly [string, keyof typeof WIRE_STATUS, Seal])[] = [
    ['meant for another receiver', 'REFUSED', (pair) => sealed(pair, { receiver: testId(32, 8) })],
    [
      'from another key than the session',
      'REFUSED',
      (pair) => sealed(pair, { signer: signerOf('client', 'other') }),
    ],
    ['that expired', 'REFUSED', (pair) => sealed(pair, { expiresBlock: pair.authority.block - 1 })],
    [
      'that lives too long',
      'REFUSED',
      (pair) => sealed(pair, { expiresBlock: pair.authority.block + REQUEST_LIFE_BLOCKS_MAX + 1 }),
    ],
    ['of another subnet', 'BAD_SIGNATURE', (pair) => sealed(pair, { domain: { ...TEST_DOMAIN, netuid: 2 } })],
    [
      'of another chain',
      'BAD_SIGNATURE',
      (pair) => sealed(pair, { domain: { ...TEST_DOMAIN, genesis: new Uint8Array(32) } }),
    ],
    ['signed for another method', 'BAD_SIGNATURE', (pair) => sealed(pair, { method: 'order.place' })],
    [
      'with another body than was signed',
      'BAD_SIGNATURE',
      (pair) => ({ ...sealed(pair), body: encodeMessage(PLACE) }),
    ],
    ['with another nonce', 'BAD_SIGNATURE', (pair) => ({ ...sealed(pair), nonce: testId(16, 4) })],
    [
      'with a longer life',
      'BAD_SIGNATURE',
      (pair) => ({ ...sealed(pair), expiresBlock: pair.authority.block + 21 }),
    ],
    ['with no signature', 'BAD_SIGNATURE', (pair) => ({ ...sealed(pair), signature: new Uint8Array(64) })],
    ['whose body is something else', 'INVALID', (pair) => sealed(pair, { body: PLACE })],
    ['whose body is no message', 'INVALID', (pair) => sealed(pair, { body: 7 })],
  ]
  for (const [what, code, seal] of refused) {
    it(`${what} is refused before the handler hears of it`, async () => {
      const pair = fixture()
      const answer = await send(pair, 'locate', seal(pair))
      assert.equal(answer.type === 'failure' && answer.status, WIRE_STATUS[code])
      assert.deepEqual(pair.handler.calls, [])
    })
  }

  it('is accepted up to its last block, and once', async () => {
    const pair = fixture()
    for (const expiresBlock of [pair.authority.block, pair.authority.block + REQUEST_LIFE_BLOCKS_MAX]) {
      const envelope = sealed(pair, { expiresBlock, nonce: testId(16, expiresBlock) })
      const frames = await pair.near.openRaw(pair.far, ORDER)
      await frames.writeMessage({ type: 'locate', request: envelope })
      assert.ok(((await frames.readHeader())?.length ?? 0) > 100)
      const again = await send(pair, 'locate', envelope)
      assert.equal(again.type === 'failure' && again.status, WIRE_STATUS.REFUSED)
    }
    assert.equal(pair.handler.calls.length, 2)
  })

  it('is refused by its length before it is read, if no request is that long', async () => {
    const pair = fixture()
    const frames = await pair.near.openRaw(pair.far, ORDER)
    await writeLength(frames, ORDER_REQUEST_BYTES_MAX + 1)
    const answer = await frames.readMessage(commitAnswerSchema, 'answer')
    assert.match((answer.type === 'failure' && answer.reason) || '', /a header of 67585 bytes/)
  })
})

describe('a commit', () => {
  before(cryptoReady)

  async function open(pair: Fixture, body: Partial<CommitBody>, nonce = 1) {
    const frames = await pair.near.openRaw(pair.far, ORDER)
    const whole = { ...COMMIT, nodes: [10], leases: 1, ...body }
    const request = signEnvelope({
      domain: TEST_DOMAIN,
      method: 'order.commit',
      body: whole,
      signer: pair.near.signer,
      receiver: pair.far.signer.publicKey,
      nonce: testId(16, nonce),
      expiresBlock: pair.authority.block + 20,
    })
    await frames.writeMessage({ type: 'commit', request })
    return frames
  }

  it('whose manifest is too large is refused before any of it is read', async () => {
    const pair = fixture()
    const nodes = Array<number>(COMMIT_BYTES_MAX / MANIFEST_BYTES_MAX + 1).fill(MANIFEST_BYTES_MAX)
    const frames = await open(pair, { nodes })
    await frames.writeBody(new Uint8Array(10 * KIB))
    const answer = await frames.readMessage(commitAnswerSchema, 'answer')
    assert.equal(answer.type === 'failure' && answer.status, WIRE_STATUS.INVALID)
    assert.ok((pair.far.net.served.at(-1)?.readBytes ?? 0) < 10 * KIB)
    assert.deepEqual(pair.handler.calls, [])
  })

  it('whose leases name more chunks than its manifest can is refused while they come in', async () => {
    const pair = fixture()
    const frames = await open(pair, { nodes: [10], leases: 256 })
    await frames.writeBody(new Uint8Array(10))
    // One chunk, and 32 copies of the one node and of five of an IPFS file.
    const entries = Array(1 + 6 * 32 + 1).fill(leaseEntry(wireChunk(1, 10)))
    await frames.writeMessage(
      testLease(pair.far.signer.publicKey, signerOf('miner', 'm'), COMMIT.object, entries),
    )
    const answer = await frames.readMessage(commitAnswerSchema, 'answer')
    assert.equal(
      answer.type === 'failure' && answer.reason,
      'commit: the leases name more than the manifest can',
    )
    assert.deepEqual(pair.handler.calls, [])
  })

  it('that never ends is given up, however steadily it drips', async () => {
    const pair = fixture()
    const frames = await open(pair, { nodes: Array<number>(3_000).fill(1) })
    const answer = frames.readMessage(commitAnswerSchema, 'answer', { waitMs: 10 * COMMIT_TIMEOUT_MS })
    let ended = false
    for (let ms = 0; ms <= COMMIT_TIMEOUT_MS && !ended; ms += 10_000) {
      await frames.writeBody(Uint8Array.of(1)).catch(() => {
        ended = true
      })
      await pair.clock.advance(10_000)
    }
    const failure = await answer
    assert.equal(failure.type === 'failure' && failure.status, WIRE_STATUS.TIMEOUT)
    assert.equal(pair.clock.pendingTimers, 0)
  })

  it('waits while others take all the memory that commits may have', async () => {
    const pair = fixture()
    const largest = Array<number>(COMMIT_BYTES_MAX / MANIFEST_BYTES_MAX).fill(MANIFEST_BYTES_MAX)
    const large = await open(pair, { nodes: largest }, 1)
    await settle()
    const streams = await Promise.all([2, 3, 4].map((nonce) => open(pair, { nodes: largest }, nonce)))
    await settle()
    const served = pair.far.net.served.slice(-3)
    const before = served.map(({ readBytes }) => readBytes)
    for (const stream of streams) await stream.writeBody(new Uint8Array(KIB))
    await settle()
    const read = () => served.map(({ readBytes }, index) => readBytes - (before[index] ?? 0) === KIB)
    assert.deepEqual(read(), [false, false, false])
    large.abort(new Error('gone'))
    await settle()
    assert.equal(read().filter(Boolean).length, 1, 'one takes its place')
    for (const stream of streams) stream.abort(new Error('gone'))
    await settle()
    await pair.client.commit(pair.far.known, COMMIT, {
      nodes: [new Uint8Array(10)],
      leases: [oneLease(pair)],
    })
  })
})

describe('checkOrder', () => {
  before(cryptoReady)

  it('refuses every order that is not for this client, miner, verb and block, or not by a validator', () => {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
    const check = {
      domain: TEST_DOMAIN,
      authority: pair.authority,
      verb: 'put' as const,
      client: pair.near.signer.publicKey,
      miner: pair.far.signer.publicKey,
    }
    const good = testOrder(pair, 'put')
    checkOrder(good, check)
    checkOrder(testOrder(pair, 'put', { expiresBlock: pair.authority.block }), check)
    const refuses = (order: Order, code: string, over: Partial<typeof check> = {}) =>
      assert.throws(() => checkOrder(order, { ...check, ...over }), { code })
    refuses(testOrder(pair, 'get'), 'REFUSED')
    refuses(testOrder(pair, 'put', { client: testId(32, 1) }), 'REFUSED')
    refuses(testOrder(pair, 'put', { miner: testId(32, 1) }), 'REFUSED')
    refuses(testOrder(pair, 'put', { expiresBlock: pair.authority.block - 1 }), 'REFUSED')
    for (const change of [
      { maxBytes: good.maxBytes + 1 },
      { serial: testId(16, 2) },
      { expiresBlock: good.expiresBlock + 1 },
      { leaseEndBlock: good.leaseEndBlock + 1 },
      { signature: new Uint8Array(64) },
    ]) {
      refuses({ ...good, ...change }, 'BAD_SIGNATURE')
    }
    refuses(good, 'BAD_SIGNATURE', { domain: { ...TEST_DOMAIN, netuid: 2 } })
    pair.authority.deregister(good.validator)
    refuses(good, 'REFUSED')
  })
})
