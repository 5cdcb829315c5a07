import assert from 'node:assert/strict'
import { concat } from 'uint8arrays'
import type { FrameStream } from '../../../protocols/common/frames.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import type { SignedLease } from '../../../protocols/lease/lease.js'
import { OPEN_BYTES_MAX, type Order } from '../../../protocols/order/order.js'
import { type OutgoingChunk, StoreStream } from '../../../protocols/store/client.js'
import {
  STORE,
  STORE_CREDIT_CHUNKS_MAX,
  STORE_HAVE_MAX,
  STORE_IDLE_TIMEOUT_MS,
  type StoreAnswer,
  storeAnswerSchema,
  storeOpenedSchema,
} from '../../../protocols/store/messages.js'
import {
  type LeaseRequest,
  type Reservation,
  type StoreHandler,
  serveStore,
} from '../../../protocols/store/server.js'
import { SubnetError } from '../../../src/base/errors.js'
import { KIB, MIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { WRITE_PIECE_BYTES } from '../../../src/net/duplex.js'
import type { DuplexPairInit } from '../../kit/duplex-pair.js'
import { type SessionsPair, sessionsPair, settle, signerOf, writeLength } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'
import { issuer, leaseEntry, testLease, testOrder, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

interface Kept {
  readonly body: Uint8Array
  readonly pieces: number
  /** Ends the keeping. */
  readonly settle: (outcome: 'stored' | 'present' | Error) => void
}

/** Keeps when the test says so, and notes everything. */
class RecordingHandler implements StoreHandler {
  readonly #pair: SessionsPair
  reserved = 0
  released = 0
  readonly kept: Kept[] = []
  readonly leases: LeaseRequest[] = []
  /** What the next reservations are refused with; `undefined` for one that is granted. */
  readonly refusals: (Error | undefined)[] = []
  /** Keeps at once. */
  prompt = true
  lease: StoreHandler['lease']

  constructor(pair: SessionsPair) {
    this.#pair = pair
    this.lease = async (order, request) => this.sign(order, request)
  }

  held: readonly boolean[] = []
  /** Digests asked about. */
  readonly asked: (readonly Uint8Array[])[] = []

  async have(_order: Order, digests: readonly Uint8Array[]): Promise<readonly boolean[]> {
    this.asked.push(digests)
    return this.held
  }

  async reserve(): Promise<Reservation> {
    this.reserved += 1
    const refusal = this.refusals.shift()
    if (refusal !== undefined) throw refusal
    let over = false
    const once = () => {
      assert.ok(!over, 'a reservation is kept or released, once')
      over = true
    }
    return {
      keep: ({ body }) => {
        once()
        return new Promise((resolve, reject) => {
          const end: Kept['settle'] = (outcome) =>
            outcome instanceof Error ? reject(outcome) : resolve(outcome)
          this.kept.push({ body: concat([...body]), pieces: body.length, settle: end })
          if (this.prompt) end('stored')
        })
      },
      release: () => {
        once()
        this.released += 1
      },
    }
  }

  sign(order: Order, request: LeaseRequest): SignedLease {
    this.leases.push(request)
    return testLease(order.validator, this.#pair.far.signer, request.object, [...request.entries])
  }
}

interface Fixture extends SessionsPair {
  readonly handler: RecordingHandler
}

function fixture(streams: DuplexPairInit = {}): Fixture {
  const pair = sessionsPair({ role: 'client' }, { role: 'miner' }, streams)
  const handler = new RecordingHandler(pair)
  const { far, clock, authority } = pair
  serveStore(
    { sessions: far.sessions, clock, authority, handler },
    { domain: TEST_DOMAIN, miner: far.signer.publicKey },
  )
  return { ...pair, handler }
}

/** What the miner's handler of the last stream has read. */
function readBytes(pair: SessionsPair): number {
  return pair.far.net.served.at(-1)?.readBytes ?? 0
}

async function client(pair: SessionsPair): Promise<StoreStream> {
  return await StoreStream.open(pair.near.components, pair.far.known, testOrder(pair, 'put'), TEST_DOMAIN)
}

/** An open stream whose frames the test writes itself. */
async function raw(pair: SessionsPair, order = testOrder(pair, 'put')): Promise<FrameStream> {
  const frames = await pair.near.openRaw(pair.far, STORE)
  await frames.writeMessage({ type: 'open', order })
  const opened = await frames.readMessage(storeOpenedSchema, 'opened')
  assert.deepEqual(opened, { type: 'opened', creditChunks: STORE_CREDIT_CHUNKS_MAX })
  return frames
}

async function writeChunk(
  frames: FrameStream,
  number: number,
  chunk: OutgoingChunk,
  change = {},
): Promise<void> {
  const { digest, auditRoot, bytes } = chunk
  await frames.writeMessage({ type: 'chunk', number, digest, auditRoot, sizeBytes: bytes.length, ...change })
  await frames.writeBody(bytes)
}

async function answerOf(frames: FrameStream): Promise<StoreAnswer> {
  return await frames.readMessage(storeAnswerSchema, 'answer', { waitMs: 10 * STORE_IDLE_TIMEOUT_MS })
}

function statusOf(answer: { readonly type: string; readonly status?: number }): number | undefined {
  return answer.type === 'failure' ? answer.status : undefined
}

describe('store', () => {
  before(cryptoReady)

  it('keeps many chunks over one stream, in one buffer each, and signs a lease for them', async () => {
    for (const streams of [{}, { fragmentBytes: 1_000, bufferBytes: 8_000 }]) {
      const pair = fixture(streams)
      const stream = await client(pair)
      const chunks = [1, 4_095, 4_096, 4_097, 100_000].map((sizeBytes, i) => wireChunk(i, sizeBytes))
      assert.deepEqual(
        await Promise.all(chunks.map((chunk) => stream.send(chunk))),
        chunks.map(() => false),
      )
      assert.deepEqual(
        pair.handler.kept.map(({ body }) => body),
        chunks.map(({ bytes }) => bytes),
      )
      assert.deepEqual(
        pair.handler.kept.map(({ pieces }) => pieces),
        chunks.map(() => 1),
      )
      const terms = {
        object: testId(32, 1),
        entries: chunks.map((chunk) => leaseEntry(chunk)),
        endBlock: 1_000,
      }
      const { entries } = await stream.lease(terms)
      assert.deepEqual([...entries], terms.entries)
      await stream.close()
      await settle()
      assert.equal(pair.far.net.serving.size, 0)
      assert.equal(pair.clock.pendingTimers, 0)
    }
  })

  it('says which chunks were there already', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const sent = [stream.send(wireChunk(1, 10)), stream.send(wireChunk(2, 10))]
    await settle()
    pair.handler.kept[1]?.settle('present')
    pair.handler.kept[0]?.settle('stored')
    assert.deepEqual(await Promise.all(sent), [false, true])
  })

  it('refuses an order that is not good for this before it reads a body', async () => {
    const bad: readonly (readonly [keyof typeof WIRE_STATUS, (pair: SessionsPair) => Order])[] = [
      ['REFUSED', (pair) => testOrder(pair, 'put', { client: signerOf('client', 'other').publicKey })],
      ['REFUSED', (pair) => testOrder(pair, 'put', { miner: signerOf('miner', 'other').publicKey })],
      ['REFUSED', (pair) => testOrder(pair, 'get')],
      ['REFUSED', (pair) => testOrder(pair, 'put', { expiresBlock: pair.authority.block - 1 })],
      [
        'REFUSED',
        (pair) => {
          const order = testOrder(pair, 'put')
          pair.authority.deregister(order.validator)
          return order
        },
      ],
      ['BAD_SIGNATURE', (pair) => ({ ...testOrder(pair, 'put'), maxBytes: 2 ** 50 })],
      ['INVALID', (pair) => ({ ...testOrder(pair, 'put'), maxBytes: 0 })],
    ]
    for (const [code, make] of bad) {
      const pair = fixture()
      const order = make(pair)
      const frames = await pair.near.openRaw(pair.far, STORE)
      await frames.writeMessage({ type: 'open', order })
      const openBytes = pair.far.net.served.at(-1)
      await writeChunk(frames, 0, wireChunk(1, 200 * KIB))
      assert.equal(statusOf(await frames.readMessage(storeOpenedSchema, 'opened')), WIRE_STATUS[code])
      await settle()
      assert.ok((openBytes?.readBytes ?? 0) < OPEN_BYTES_MAX, 'nothing but the order was read')
      assert.equal(pair.handler.reserved, 0)
    }
  })

  it('refuses a first message longer than any order', async () => {
    const pair = fixture()
    const frames = await pair.near.openRaw(pair.far, STORE)
    await writeLength(frames, OPEN_BYTES_MAX + 1)
    const answer = await frames.readMessage(storeOpenedSchema, 'opened')
    assert.match((answer.type === 'failure' && answer.reason) || '', /a header of 1025 bytes/)
  })

  it('ends a stream whose order expires meanwhile', async () => {
    const pair = fixture()
    const frames = await raw(pair, testOrder(pair, 'put', { expiresBlock: pair.authority.block + 1 }))
    await writeChunk(frames, 0, wireChunk(1, 10))
    assert.equal((await answerOf(frames)).type, 'kept')
    pair.authority.block += 2
    await writeChunk(frames, 1, wireChunk(2, 10))
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.REFUSED)
    assert.equal(pair.handler.reserved, 1)
  })

  it('ends a stream whose order’s signer has lost its permit meanwhile', async () => {
    const pair = fixture()
    const frames = await raw(pair, testOrder(pair, 'put'))
    await writeChunk(frames, 0, wireChunk(1, 10))
    assert.equal((await answerOf(frames)).type, 'kept')
    pair.authority.deregister(issuer(pair).publicKey)
    await writeChunk(frames, 1, wireChunk(2, 10))
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.REFUSED)
    assert.equal(pair.handler.reserved, 1)
  })

  it('is for clients only', async () => {
    const pair = sessionsPair({ role: 'validator' }, { role: 'miner' })
    const handler = new RecordingHandler(pair)
    const { far, clock, authority } = pair
    serveStore(
      { sessions: far.sessions, clock, authority, handler },
      { domain: TEST_DOMAIN, miner: far.signer.publicKey },
    )
    await assert.rejects(client(pair), { code: 'REFUSED', message: /not for a validator/ })
  })
})

describe('store: have', () => {
  before(cryptoReady)

  const digests = (count: number) => Array.from({ length: count }, (_, i) => testId(32, i))

  it('says of each digest in turn whether it is held, many to a question', async () => {
    for (const count of [1, 7, 8, 9, STORE_HAVE_MAX]) {
      const pair = fixture()
      const stream = await client(pair)
      pair.handler.held = digests(count).map((_, i) => i % 3 === 0 || i === count - 1)
      assert.deepEqual(await stream.have(digests(count)), pair.handler.held)
      assert.deepEqual(pair.handler.asked, [digests(count)])
      assert.equal(pair.handler.reserved, 0)
    }
  })

  it('is answered between chunks, while their keeping goes on', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const sent = stream.send(wireChunk(1, 100))
    await settle()
    pair.handler.held = [true]
    assert.deepEqual(await stream.have(digests(1)), [true])
    pair.handler.kept[0]?.settle('stored')
    assert.equal(await sent, false)
  })

  it('is refused for none and for too many', async () => {
    for (const count of [0, STORE_HAVE_MAX + 1]) {
      const pair = fixture()
      const frames = await raw(pair)
      await frames.writeMessage({ type: 'have', digests: digests(count) })
      assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
      assert.equal(pair.handler.asked.length, 0)
    }
  })
})

describe('store: credit', () => {
  before(cryptoReady)

  it('has the client send no more than was granted, and go on with every answer', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const sent = Array.from({ length: 20 }, (_, i) => stream.send(wireChunk(i, 100)))
    await settle()
    assert.equal(pair.handler.kept.length, STORE_CREDIT_CHUNKS_MAX)
    pair.handler.kept[3]?.settle('stored')
    await settle()
    assert.equal(pair.handler.kept.length, STORE_CREDIT_CHUNKS_MAX + 1)
    pair.handler.prompt = true
    for (const { settle: end } of pair.handler.kept) end('stored')
    await Promise.all(sent)
  })

  it('holds a client back that sends more than was granted', async () => {
    const pair = fixture({ bufferBytes: 1_000 })
    pair.handler.prompt = false
    const frames = await raw(pair)
    let written = 0
    const writing = (async () => {
      for (; written < 30; written += 1) await writeChunk(frames, written, wireChunk(written, 1_000))
    })().catch(() => undefined)
    await settle()
    assert.equal(pair.handler.reserved, STORE_CREDIT_CHUNKS_MAX)
    assert.ok(written <= STORE_CREDIT_CHUNKS_MAX + 2, `${written} were taken`)
    frames.abort(new Error('done'))
    for (const { settle: end } of pair.handler.kept) end('stored')
    await writing
  })

  it('is not given back by a caller who loses patience, since the miner still has the chunk', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const controller = new AbortController()
    const impatient = Array.from({ length: STORE_CREDIT_CHUNKS_MAX }, (_, i) =>
      stream.send(wireChunk(i, 100), { signal: controller.signal }),
    )
    await settle()
    controller.abort(new Error('no patience'))
    await Promise.all(impatient.map((sent) => assert.rejects(sent, /no patience/)))
    const before = readBytes(pair)
    const next = stream.send(wireChunk(99, 100))
    await settle()
    assert.equal(readBytes(pair), before, 'nothing more was sent')
    pair.handler.kept[0]?.settle('stored')
    await settle()
    assert.equal(pair.handler.reserved, STORE_CREDIT_CHUNKS_MAX + 1)
    for (const { settle: end } of pair.handler.kept) end('stored')
    assert.equal(await next, false)
  })

  it('bounds what a client that reads no answers makes the miner remember', async () => {
    for (const refused of [true, false]) {
      const bufferBytes = 4 * KIB
      const pair = fixture({ bufferBytes })
      const refusal = new SubnetError('NO_SPACE', 'full')
      const frames = await raw(pair)
      const chunk = wireChunk(1, 1)
      let over = false
      const writing = (async () => {
        for (let i = 0; !over; i += 1) {
          pair.handler.refusals.push(refused ? refusal : undefined)
          await writeChunk(frames, i, chunk)
        }
      })().catch(() => undefined)
      for (let round = 0; round < 20; round += 1) await settle()
      const { reserved } = pair.handler
      assert.ok(reserved < bufferBytes / 20 + 2 * STORE_CREDIT_CHUNKS_MAX, `${reserved} chunks were taken`)
      for (let round = 0; round < 20; round += 1) await settle()
      assert.equal(pair.handler.reserved, reserved, 'nothing more is read')
      await pair.clock.advance(2 * STORE.stallTimeoutMs)
      over = true
      await writing
      await settle()
      assert.equal(pair.far.net.serving.size, 0)
    }
  })
})

describe('store: what is not as it was said', () => {
  before(cryptoReady)

  const good = wireChunk(1, 5_000)
  const cases: readonly (readonly [string, object])[] = [
    ['digest', { digest: wireChunk(2, 5_000).digest }],
    ['audit root', { auditRoot: wireChunk(2, 5_000).auditRoot }],
  ]
  for (const [what, change] of cases) {
    it(`a wrong ${what}: MISMATCH, the room is given back, the stream ends`, async () => {
      const pair = fixture()
      const frames = await raw(pair)
      await writeChunk(frames, 0, good)
      assert.equal((await answerOf(frames)).type, 'kept')
      await writeChunk(frames, 1, good, change)
      assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.MISMATCH)
      await settle()
      assert.deepEqual([pair.handler.kept.length, pair.handler.released], [1, 1])
      assert.equal(pair.far.net.serving.size, 0)
    })
  }

  it('a body longer than its header says: what is beyond is no header', async () => {
    const pair = fixture()
    const frames = await raw(pair)
    await writeChunk(frames, 0, good, { sizeBytes: 4_999 })
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.MISMATCH)
    const other = await raw(pair)
    await writeChunk(other, 0, good)
    await other.writeBody(new Uint8Array(4).fill(255))
    assert.equal((await answerOf(other)).type, 'kept')
    assert.equal(statusOf(await answerOf(other)), WIRE_STATUS.INVALID)
    assert.equal(pair.handler.released, 1)
  })

  it('a body shorter than its header says: the room is given back once, whatever the end is', async () => {
    for (const end of ['close', 'abort', 'disconnect', 'silence'] as const) {
      for (const sizeBytes of [1, 4_999]) {
        const pair = fixture()
        const frames = await raw(pair)
        const { digest, auditRoot } = good
        await frames.writeMessage({ type: 'chunk', number: 0, digest, auditRoot, sizeBytes: 5_000 })
        await frames.writeBody(good.bytes.subarray(0, sizeBytes))
        await settle()
        assert.deepEqual([pair.handler.reserved, pair.handler.released], [1, 0])
        if (end === 'close') await frames.end()
        else if (end === 'abort') frames.abort(new Error('enough'))
        else if (end === 'disconnect') await pair.near.net.disconnect(pair.far.net.peerId)
        else await pair.clock.advance(STORE.stallTimeoutMs)
        await settle()
        assert.deepEqual([pair.handler.released, pair.handler.kept.length], [1, 0], end)
        assert.equal(pair.far.net.serving.size, 0)
      }
    }
  })

  it('a body that drips: the room is not held for as long as the client likes', async () => {
    const pair = fixture()
    const frames = await raw(pair)
    const { digest, auditRoot } = good
    await frames.writeMessage({ type: 'chunk', number: 0, digest, auditRoot, sizeBytes: MIB })
    await settle()
    const waitedMs = pair.clock.monotonicMs()
    while (pair.handler.released === 0 && pair.clock.monotonicMs() - waitedMs < 3_600_000) {
      await frames.writeBody(Uint8Array.of(1)).catch(() => undefined)
      await pair.clock.advance(STORE.stallTimeoutMs - 1_000)
    }
    assert.equal(pair.handler.released, 1)
    assert.ok(pair.clock.monotonicMs() - waitedMs < 600_000)
  })

  it('an open stream that stays silent is ended after its idle time, and told', async () => {
    const pair = fixture()
    const frames = await raw(pair)
    const answer = answerOf(frames)
    await pair.clock.advance(STORE_IDLE_TIMEOUT_MS - 1)
    assert.equal(pair.far.net.serving.size, 1)
    await pair.clock.advance(1)
    assert.equal(statusOf(await answer), WIRE_STATUS.TIMEOUT)
  })
})

describe('store: the handler', () => {
  before(cryptoReady)

  it('refuses single chunks, and the stream stays in step', async () => {
    const pair = fixture()
    const stream = await client(pair)
    const hint = { data: { retryAfterMs: 250 } }
    pair.handler.refusals.push(
      undefined,
      new SubnetError('NO_SPACE', 'full'),
      new SubnetError('BUSY', 'busy', hint),
    )
    const [a, b, c, d] = [1, 2, 3, 4].map((i) => stream.send(wireChunk(i, 70_000)))
    assert.equal(await a, false)
    await assert.rejects(b as Promise<boolean>, { code: 'NO_SPACE' })
    await assert.rejects(c as Promise<boolean>, (error: SubnetError) => {
      assert.deepEqual([error.code, error.data.retryAfterMs], ['BUSY', 250])
      return true
    })
    assert.equal(await d, false)
    assert.deepEqual(
      pair.handler.kept.map(({ body }) => body),
      [wireChunk(1, 70_000).bytes, wireChunk(4, 70_000).bytes],
    )
  })

  it('is answered for only when it has kept, and the lease only when all before it is kept', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const chunks = [wireChunk(1, 10), wireChunk(2, 10)]
    const answered: number[] = []
    const sent = chunks.map((chunk, i) => stream.send(chunk).then(() => answered.push(i)))
    const entries = chunks.map((chunk) => leaseEntry(chunk))
    await settle()
    const leased = stream.lease({ object: testId(32, 1), entries, endBlock: 1_000 })
    await settle()
    assert.deepEqual([answered, pair.handler.leases], [[], []])
    pair.handler.kept[1]?.settle('stored')
    await settle()
    assert.deepEqual([answered, pair.handler.leases], [[1], []])
    pair.handler.kept[0]?.settle('stored')
    await Promise.all(sent)
    assert.deepEqual(answered, [1, 0])
    assert.equal((await leased).entries.length, 2)
  })

  it('that says it cannot keep one chunk ends nothing; that fails unexpectedly ends the stream and is logged', async () => {
    const pair = fixture()
    pair.handler.prompt = false
    const stream = await client(pair)
    const sent = [1, 2, 3].map((i) => stream.send(wireChunk(i, 10)))
    await settle()
    pair.handler.kept[0]?.settle(new SubnetError('NO_SPACE', 'the disk is full'))
    await assert.rejects(sent[0] as Promise<boolean>, { code: 'NO_SPACE' })
    assert.equal(pair.far.logger.alarms.length, 0)
    pair.handler.kept[1]?.settle(new SubnetError('DISK', '/secret/path'))
    await settle()
    pair.handler.kept[2]?.settle('stored')
    await assert.rejects(sent[1] as Promise<boolean>, { code: 'INTERNAL', message: /without saying why/ })
    assert.equal(await sent[2], false, 'what is durable is still answered')
    await settle()
    assert.equal(pair.far.logger.alarms.length, 1)
    assert.equal(pair.far.net.serving.size, 0)
    assert.equal(pair.handler.released, 0)
  })

  it('that fails unexpectedly when asked for room ends the stream and is logged', async () => {
    const pair = fixture()
    const stream = await client(pair)
    pair.handler.refusals.push(new TypeError('x of undefined'))
    await assert.rejects(stream.send(wireChunk(1, 10)), { code: 'INTERNAL' })
    assert.equal(pair.far.logger.alarms.length, 1)
  })

  it('that refuses a lease ends the stream with its reason', async () => {
    const pair = fixture()
    const stream = await client(pair)
    pair.handler.lease = async () => {
      throw new SubnetError('NOT_FOUND', 'chunk 00 is not held')
    }
    const terms = { object: testId(32, 1), entries: [leaseEntry(wireChunk(1, 10))], endBlock: 1_000 }
    await assert.rejects(stream.lease(terms), { code: 'NOT_FOUND', message: /not held/ })
    await assert.rejects(stream.send(wireChunk(1, 10)), { code: 'NOT_FOUND' })
  })
})

describe('store: the client', () => {
  before(cryptoReady)

  type Script = (frames: FrameStream, pair: SessionsPair) => Promise<void>

  async function against(
    script: Script,
    streams: DuplexPairInit = {},
  ): Promise<{ readonly pair: SessionsPair; readonly stream: StoreStream }> {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' }, streams)
    pair.far.serveRaw(STORE, ['client'], async (frames) => {
      await frames.readHeader()
      await frames.writeMessage({ type: 'opened', creditChunks: 2 })
      await script(frames, pair)
    })
    return { pair, stream: await client(pair) }
  }

  it('ends a stream on which a lease or an answer comes that nobody asked for', async () => {
    const scripts: Script[] = [
      (frames) => frames.writeMessage({ type: 'kept', number: 7, present: false }),
      async (frames) => {
        await frames.readHeader()
        await frames.readBytes(10)
        for (const _ of [1, 2]) await frames.writeMessage({ type: 'kept', number: 0, present: false })
      },
      (frames, pair) => {
        const lease = testLease(issuer(pair).publicKey, pair.far.signer, testId(32, 1), [
          leaseEntry(wireChunk(1, 1)),
        ])
        return frames.writeMessage({ type: 'leased', lease })
      },
    ]
    for (const script of scripts) {
      const { pair, stream } = await against(script)
      await stream.send(wireChunk(1, 10)).catch(() => undefined)
      await settle()
      await assert.rejects(stream.send(wireChunk(2, 10)), { code: 'INVALID', message: /never (sent|asked)/ })
      assert.ok(pair.near.net.serving.size === 0)
    }
  })

  it('believes no lease but the one it asked for, signed by this miner', async () => {
    const entries = [leaseEntry(wireChunk(1, 10))]
    const object = testId(32, 1)
    const cases: [string, (pair: SessionsPair) => SignedLease][] = [
      ['MISMATCH', (pair) => testLease(issuer(pair).publicKey, pair.far.signer, testId(32, 2), entries)],
      ['MISMATCH', (pair) => testLease(testId(32, 2), pair.far.signer, object, entries)],
      ['MISMATCH', (pair) => testLease(issuer(pair).publicKey, signerOf('miner', 'x'), object, entries)],
      [
        'MISMATCH',
        (pair) => testLease(issuer(pair).publicKey, pair.far.signer, object, [leaseEntry(wireChunk(2, 10))]),
      ],
      [
        'BAD_SIGNATURE',
        (pair) => ({
          ...testLease(issuer(pair).publicKey, pair.far.signer, object, entries),
          minerSignature: new Uint8Array(64),
        }),
      ],
    ]
    for (const [code, lease] of cases) {
      const { stream } = await against(async (frames, pair) => {
        await frames.readHeader()
        await frames.writeMessage({ type: 'leased', lease: lease(pair) })
        await frames.readHeader()
      })
      await assert.rejects(stream.lease({ object, entries, endBlock: 1_000 }), { code })
      stream.abort(new Error('done'))
    }
  })

  it('rejects everything that waits when the miner ends, breaks or says failure', async () => {
    const ends: [string, (frames: FrameStream) => Promise<void>][] = [
      ['DISCONNECTED', (frames) => frames.end()],
      ['DISCONNECTED', async (frames) => frames.abort(new Error('enough'))],
      ['BUSY', (frames) => frames.fail(new SubnetError('BUSY', 'later'))],
      ['INVALID', (frames) => frames.writeBody(new Uint8Array(8))],
    ]
    for (const [code, end] of ends) {
      const { pair, stream } = await against(async (frames) => {
        await frames.readHeader()
        await end(frames)
      })
      const waiting = [
        stream.send(wireChunk(1, 10)),
        stream.send(wireChunk(2, 10)),
        stream.send(wireChunk(3, 10)),
      ]
      await Promise.all(waiting.map((sent) => assert.rejects(sent, { code })))
      await assert.rejects(stream.lease({ object: testId(32, 1), entries: [], endBlock: 1 }), { code })
      await settle()
      assert.equal(pair.clock.pendingTimers, 0)
    }
  })

  it('gives up a miner that takes chunks and does not answer', async () => {
    const { pair, stream } = await against(async (frames) => {
      while ((await frames.duplex.read()) !== undefined);
    })
    const sent = assert.rejects(stream.send(wireChunk(1, 2_048)), { code: 'TIMEOUT' })
    await pair.clock.advance(STORE_IDLE_TIMEOUT_MS + 999)
    assert.equal(stream.ended, false)
    await pair.clock.advance(1)
    await sent
  })

  it('has patience with a miner as long as bytes leave for it, and with one that owes nothing', async () => {
    const { pair, stream } = await against(
      async (frames) => {
        await frames.readHeader()
        for (let left = 1_000_000; left > 0; left -= 20_000) {
          await pair.clock.sleep(5_000)
          await frames.readBytes(20_000)
        }
        await frames.writeMessage({ type: 'kept', number: 0, present: false })
        await frames.readHeader({ waitMs: Number.POSITIVE_INFINITY })
      },
      { bufferBytes: 20_000 },
    )
    const sent = stream.send(wireChunk(1, 1_000_000))
    for (let passed = 0; passed < 2 * STORE_IDLE_TIMEOUT_MS + 20_000; passed += 5_000)
      await pair.clock.advance(5_000)
    assert.equal(await sent, false)
    await pair.clock.advance(10 * STORE_IDLE_TIMEOUT_MS)
    assert.equal(stream.ended, false)
  })

  it('ends a stream whose answer to what is held fits no question', async () => {
    for (const bits of [[1, 0], [4], [0, 0, 0]]) {
      const { stream } = await against(async (frames) => {
        await frames.readHeader()
        await frames.writeMessage({ type: 'held', bits: Uint8Array.from(bits) })
      })
      const asked = [testId(32, 1), testId(32, 2)]
      await assert.rejects(stream.have(asked), { code: 'INVALID' })
      assert.equal(stream.ended, true)
    }
    const { stream } = await against((frames) =>
      frames.writeMessage({ type: 'held', bits: new Uint8Array(1) }),
    )
    await settle()
    assert.equal(stream.ended, true)
  })

  it('gives up a miner that does not take a body, and writes nothing behind the half of it', async () => {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' }, { bufferBytes: 1_000 })
    let taken: Promise<Uint8Array | undefined> | undefined
    pair.far.serveRaw(STORE, ['client'], async (frames) => {
      await frames.readHeader()
      await frames.writeMessage({ type: 'opened', creditChunks: 2 })
      await frames.readHeader()
      await pair.clock.sleep(10 * STORE.stallTimeoutMs)
      taken = frames.readBytes(2 * WRITE_PIECE_BYTES)
      taken.catch(() => undefined)
    })
    const stream = await client(pair)
    const sent = [stream.send(wireChunk(1, 2 * WRITE_PIECE_BYTES)), stream.send(wireChunk(2, 10))]
    const rejected = sent.map((each) => assert.rejects(each, { code: 'TIMEOUT' }))
    await pair.clock.advance(3 * STORE.stallTimeoutMs)
    await Promise.all(rejected)
    await pair.clock.advance(10 * STORE.stallTimeoutMs)
    await assert.rejects(taken as Promise<unknown>, { code: 'DISCONNECTED' })
  })

  it('is told why it was not let in, and leaves no stream behind', async () => {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
    pair.far.serveRaw(STORE, ['client'], (frames) => frames.fail(new SubnetError('REFUSED', 'no')))
    await assert.rejects(client(pair), { code: 'REFUSED', message: /no$/ })
    await settle()
    assert.equal(pair.clock.pendingTimers, 0)
  })

  it('asks for several leases at once and keeps them apart', async () => {
    const pair = fixture()
    const stream = await client(pair)
    const leases = await Promise.all(
      [1, 2, 3].map((i) =>
        stream.lease({ object: testId(32, i), entries: [leaseEntry(wireChunk(i, 10))], endBlock: 1_000 }),
      ),
    )
    assert.deepEqual(
      leases.map(({ object }) => object),
      [1, 2, 3].map((i) => testId(32, i)),
    )
  })

  it('is over when a request of its own cannot be written', async () => {
    const pair = fixture()
    const stream = await client(pair)
    const terms = { object: testId(32, 1), entries: [], endBlock: undefined as never }
    await assert.rejects(stream.lease(terms), /undefined/)
    await assert.rejects(stream.send(wireChunk(1, 10)), /undefined/)
    await settle()
    assert.equal(pair.far.net.serving.size, 0)
  })

  it('does not send what nobody waits for any more', async () => {
    const pair = fixture()
    const stream = await client(pair)
    await assert.rejects(
      stream.send(wireChunk(1, 10), { signal: AbortSignal.abort(new Error('late')) }),
      /late/,
    )
    await stream.send(wireChunk(2, 10))
    assert.equal(pair.handler.reserved, 1)
    assert.ok(readBytes(pair) > 0)
  })
})
