import assert from 'node:assert/strict'
import type { FrameStream } from '../../../protocols/common/frames.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import { OPEN_BYTES_MAX, type Order } from '../../../protocols/order/order.js'
import { RetrieveStream } from '../../../protocols/retrieve/client.js'
import { BODIES_BYTES_MAX, type ChunkRange, type OrderAccount } from '../../../protocols/retrieve/exchange.js'
import {
  RETRIEVE,
  RETRIEVE_CREDIT_BYTES,
  RETRIEVE_IDLE_TIMEOUT_MS,
  RETRIEVE_QUEUE_MAX,
  type RetrieveAnswer,
  retrieveAnswerSchema,
  retrieveOpenedSchema,
  retrieveRequestSchema,
} from '../../../protocols/retrieve/messages.js'
import { type RetrieveHandler, serveRetrieve } from '../../../protocols/retrieve/server.js'
import { childSignal } from '../../../src/base/abort.js'
import { SubnetError } from '../../../src/base/errors.js'
import { KIB, MIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { LEAF_BYTES, LeafHasher, leafCount, proveRange } from '../../../src/crypto/merkle.js'
import type { DuplexPairInit } from '../../kit/duplex-pair.js'
import { freeAccount } from '../../kit/order-accounts.js'
import {
  type SessionsPair,
  sessionsPair,
  settle,
  signerOf,
  type TestPeer,
  TestPeers,
  writeLength,
} from '../../kit/sessions-pair.js'
import { issuer, testOrder, testTally, wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'
import { hex } from '../../kit/vectors.js'

type TestChunk = ReturnType<typeof wireChunk>

/** Holds some chunks, and notes what it is asked. */
class RecordingHandler implements RetrieveHandler {
  readonly #chunks = new Map<string, TestChunk>()
  reads = 0
  readonly servedBytes: number[] = []
  /** What the next reads fail with. */
  readonly failures: Error[] = []
  #held: Promise<void> | undefined

  /** Reads wait until the returned function is called. */
  holdReads(): () => void {
    let release: () => void = () => undefined
    this.#held = new Promise((resolve) => {
      release = resolve
    })
    return release
  }

  add(...chunks: TestChunk[]): void {
    for (const chunk of chunks) this.#chunks.set(hex(chunk.digest), chunk)
  }

  async account(): Promise<OrderAccount> {
    return freeAccount()
  }

  async read(_: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange> {
    this.reads += 1
    await this.#held
    const failure = this.failures.shift()
    if (failure !== undefined) throw failure
    const chunk = this.#chunks.get(hex(digest))
    if (chunk === undefined) throw new SubnetError('NOT_FOUND', 'the chunk is not held here')
    return rangeOf(chunk, firstLeaf, leaves)
  }

  async readWithoutOrder(): Promise<ChunkRange> {
    throw new SubnetError('BUSY', 'nothing is served without an order')
  }

  async served(_: Order, bytes: number): Promise<void> {
    this.servedBytes.push(bytes)
  }
}

function rangeOf({ bytes: whole }: TestChunk, firstLeaf: number, leaves: number): ChunkRange {
  const count = leaves === 0 ? leafCount(whole.length) - firstLeaf : leaves
  const bytes = whole.subarray(firstLeaf * LEAF_BYTES, (firstLeaf + count) * LEAF_BYTES)
  const hasher = new LeafHasher()
  hasher.update(whole)
  const proof = bytes.length === whole.length ? [] : proveRange(hasher.finish().leafHashes, firstLeaf, count)
  return { sizeBytes: whole.length, bytes, proof }
}

interface Fixture extends SessionsPair {
  readonly handler: RecordingHandler
}

function serve(far: TestPeer, handler: RetrieveHandler): void {
  const { sessions, clock, authority } = far
  serveRetrieve({ sessions, clock, authority, handler }, { domain: TEST_DOMAIN, miner: far.signer.publicKey })
}

function fixture(streams: DuplexPairInit = {}): Fixture {
  const pair = sessionsPair({ role: 'client' }, { role: 'miner' }, streams)
  const handler = new RecordingHandler()
  serve(pair.far, handler)
  return { ...pair, handler }
}

async function client(pair: SessionsPair): Promise<RetrieveStream> {
  return await RetrieveStream.open(pair.near.components, pair.far.known, testTally(pair))
}

/** An open stream whose frames the test writes itself. */
async function raw(pair: SessionsPair, order = testOrder(pair, 'get')): Promise<FrameStream> {
  const frames = await pair.near.openRaw(pair.far, RETRIEVE)
  await frames.writeMessage({ type: 'open', order })
  assert.deepEqual(await frames.readMessage(retrieveOpenedSchema, 'opened'), { type: 'opened' })
  return frames
}

async function ask(
  frames: FrameStream,
  number: number,
  { digest }: TestChunk,
  range: object = {},
): Promise<void> {
  await frames.writeMessage({ type: 'get', number, digest, firstLeaf: 0, leaves: 0, ...range })
}

async function answerOf(frames: FrameStream): Promise<RetrieveAnswer> {
  const answer = await frames.readMessage(retrieveAnswerSchema, 'answer', { waitMs: 1e9 })
  if (answer.type === 'body') await frames.readBytes(answer.lengthBytes)
  return answer
}

function statusOf(answer: { readonly type: string; readonly status?: number }): number | undefined {
  return answer.type === 'failure' ? answer.status : undefined
}

const chunks = [1, 4_096, 4_097, 20_000, MIB].map((sizeBytes, i) => wireChunk(i, sizeBytes))
const [tiny, , , middle, large] = chunks as [TestChunk, TestChunk, TestChunk, TestChunk, TestChunk]

describe('retrieve', () => {
  before(cryptoReady)

  it('gets many chunks, whole and in ranges with their proof, over one stream', async () => {
    for (const streams of [{}, { fragmentBytes: 1_000, bufferBytes: 8_000 }]) {
      const pair = fixture(streams)
      pair.handler.add(...chunks)
      const stream = await client(pair)
      const whole = await Promise.all(chunks.map((chunk) => stream.get(chunk)))
      for (const [i, chunk] of chunks.entries()) {
        assert.deepEqual(whole[i]?.read(chunk, 0, chunk.sizeBytes), chunk.bytes)
      }
      assert.deepEqual(await stream.getWhole(middle.digest), middle.bytes)
      for (const [firstLeaf, leaves] of [
        [0, 1],
        [1, 2],
        [4, 1],
        [0, 5],
      ] as const) {
        const span = await stream.get(middle, { firstLeaf, leaves })
        const start = firstLeaf * LEAF_BYTES
        const lengthBytes = Math.min(middle.sizeBytes, start + leaves * LEAF_BYTES) - start
        assert.deepEqual(
          span.read(middle, start, lengthBytes),
          middle.bytes.subarray(start, start + lengthBytes),
        )
      }
      await stream.close()
      await settle()
      const sentBytes = chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
      assert.equal(pair.handler.servedBytes.length, 1)
      assert.ok((pair.handler.servedBytes[0] ?? 0) > sentBytes)
      assert.equal(pair.far.net.serving.size, 0)
      assert.equal(pair.clock.pendingTimers, 0)
    }
  })

  it('goes on far beyond the first credit', async () => {
    const pair = fixture()
    pair.handler.add(large)
    const stream = await client(pair)
    for (let i = 0; i < 3; i += 1) await Promise.all([1, 2, 3].map(() => stream.get(large)))
    assert.equal(stream.waiting, 0)
  })

  it('refuses an order that is not good for this before anything is read', async () => {
    const bad: readonly (readonly [keyof typeof WIRE_STATUS, (pair: SessionsPair) => Order])[] = [
      ['REFUSED', (pair) => testOrder(pair, 'get', { client: signerOf('client', 'other').publicKey })],
      ['REFUSED', (pair) => testOrder(pair, 'get', { miner: signerOf('miner', 'other').publicKey })],
      ['REFUSED', (pair) => testOrder(pair, 'put')],
      ['REFUSED', (pair) => testOrder(pair, 'get', { expiresBlock: pair.authority.block - 1 })],
      [
        'REFUSED',
        (pair) => {
          const order = testOrder(pair, 'get')
          pair.authority.deregister(order.validator)
          return order
        },
      ],
      ['BAD_SIGNATURE', (pair) => ({ ...testOrder(pair, 'get'), maxBytes: 2 ** 50 })],
      ['INVALID', (pair) => ({ ...testOrder(pair, 'get'), serial: new Uint8Array(15) })],
    ]
    for (const [code, make] of bad) {
      const pair = fixture()
      pair.handler.add(tiny)
      const frames = await pair.near.openRaw(pair.far, RETRIEVE)
      await frames.writeMessage({ type: 'open', order: make(pair) })
      const far = pair.far.net.served.at(-1)
      await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
      await ask(frames, 0, tiny)
      assert.equal(statusOf(await frames.readMessage(retrieveOpenedSchema, 'opened')), WIRE_STATUS[code])
      await settle()
      assert.ok((far?.readBytes ?? 0) < OPEN_BYTES_MAX)
      assert.deepEqual([pair.handler.reads, pair.handler.servedBytes], [0, []])
    }
  })

  it('refuses a first message longer than any order', async () => {
    const pair = fixture()
    const frames = await pair.near.openRaw(pair.far, RETRIEVE)
    await writeLength(frames, OPEN_BYTES_MAX + 1)
    const answer = await frames.readMessage(retrieveOpenedSchema, 'opened')
    assert.match((answer.type === 'failure' && answer.reason) || '', /a header of 1025 bytes/)
  })

  it('ends a stream whose order expires meanwhile', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const frames = await raw(pair, testOrder(pair, 'get', { expiresBlock: pair.authority.block }))
    await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
    await ask(frames, 0, tiny)
    assert.equal((await answerOf(frames)).type, 'body')
    pair.authority.block += 1
    await ask(frames, 1, tiny)
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.REFUSED)
    assert.deepEqual([pair.handler.reads, pair.handler.servedBytes], [1, [1]])
  })

  it('sends no body of a request that waited for credit while its order’s signer lost its permit', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const frames = await raw(pair, testOrder(pair, 'get'))
    await ask(frames, 0, tiny)
    await settle()
    pair.authority.deregister(issuer(pair).publicKey)
    await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.REFUSED)
    assert.equal(pair.handler.reads, 0)
  })
})

describe('retrieve: credit', () => {
  before(cryptoReady)

  it('is never exceeded, and nothing is read from disk that may not be sent', async () => {
    const pair = fixture()
    pair.handler.add(large, middle)
    const frames = await raw(pair)
    for (let number = 0; number < 6; number += 1) await ask(frames, number, large)
    await settle()
    assert.equal(pair.handler.reads, 0)
    const answers: RetrieveAnswer[] = []
    const reading = (async () => {
      for (;;) answers.push(await answerOf(frames))
    })().catch(() => undefined)
    for (const [bytes, bodies] of [
      [MIB - 1, 0],
      [MIB, 1],
      [2 * MIB - 1, 1],
      [3 * MIB + 5, 3],
      [3 * MIB + 5, 3],
      [100 * MIB, 6],
    ] as const) {
      await frames.writeMessage({ type: 'credit', bytes })
      await settle()
      assert.deepEqual([answers.length, pair.handler.reads], [bodies, bodies])
    }
    assert.deepEqual(
      answers.map((answer) => answer.type === 'body' && answer.number),
      [0, 1, 2, 3, 4, 5],
    )
    frames.abort(new Error('done'))
    await reading
  })

  it('must cover the largest body a request can have', async () => {
    const pair = fixture()
    pair.handler.add(middle)
    const frames = await raw(pair)
    await frames.writeMessage({ type: 'credit', bytes: 2 * LEAF_BYTES })
    await ask(frames, 0, middle, { firstLeaf: 1, leaves: 2 })
    assert.equal((await answerOf(frames)).type, 'body')
    await frames.writeMessage({ type: 'credit', bytes: 2 * LEAF_BYTES + MIB - 1 })
    await ask(frames, 1, middle)
    await settle()
    assert.equal(pair.handler.reads, 1)
    await frames.writeMessage({ type: 'credit', bytes: 2 * LEAF_BYTES + MIB })
    assert.equal((await answerOf(frames)).type, 'body')
  })

  it('taken back is INVALID', async () => {
    const pair = fixture()
    const frames = await raw(pair)
    await frames.writeMessage({ type: 'credit', bytes: 10 })
    await frames.writeMessage({ type: 'credit', bytes: 9 })
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
  })

  it('of a client that takes no body ends at a deadline, and what was sent is counted', async () => {
    const pair = fixture({ bufferBytes: 10 * KIB })
    pair.handler.add(large)
    const frames = await raw(pair)
    await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
    await ask(frames, 0, large)
    await pair.clock.advance(700_000)
    await settle()
    assert.equal(pair.far.net.serving.size, 0)
    assert.deepEqual(pair.handler.servedBytes, [MIB])
    assert.equal(pair.clock.pendingTimers, 0)
  })

  it('of many clients together reads no more from disk than the miner has memory for', async () => {
    const peers = new TestPeers()
    const far = peers.peer({ role: 'miner' })
    const handler = new RecordingHandler()
    serve(far, handler)
    handler.add(tiny)
    const release = handler.holdReads()
    const streams: FrameStream[] = []
    const most = BODIES_BYTES_MAX / MIB
    for (let i = 0; i <= most / 4; i += 1) {
      const near = peers.peer({ role: 'client', name: `client-${i}` })
      const pair = { ...peers, network: peers.network, near, far }
      const order = testOrder(pair, 'get')
      for (let stream = 0; stream < 4; stream += 1) streams.push(await raw(pair, order))
    }
    for (const frames of streams) {
      await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
      await ask(frames, 0, tiny)
    }
    await settle()
    assert.equal(handler.reads, most)
    // One that leaves while it waits gives its turn to the next.
    streams[most]?.abort(new Error('gone'))
    await settle()
    release()
    await settle()
    assert.equal(handler.reads, most + 3)
    assert.equal((await answerOf(streams[most + 3] as FrameStream)).type, 'body')
  })
})

describe('retrieve: requests', () => {
  before(cryptoReady)

  it('for what is not held fail alone: the stream goes on', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const stream = await client(pair)
    const missing = stream.get(middle)
    const there = stream.get(tiny)
    await assert.rejects(missing, { code: 'NOT_FOUND' })
    assert.deepEqual((await there).read(tiny, 0, 1), tiny.bytes)
    pair.handler.failures.push(
      new SubnetError('REFUSED', 'the order is used up'),
      new SubnetError('INVALID', 'leaves'),
    )
    await assert.rejects(stream.get(tiny), { code: 'REFUSED' })
    await assert.rejects(stream.get(tiny), { code: 'INVALID' })
    await stream.get(tiny)
    assert.equal(pair.far.logger.alarms.length, 0)
  })

  it('that fail unexpectedly end the stream, and are logged', async () => {
    for (const failure of [new TypeError('x of undefined'), new SubnetError('DISK', '/secret')]) {
      const pair = fixture()
      pair.handler.add(tiny)
      pair.handler.failures.push(failure)
      const stream = await client(pair)
      await Promise.all(
        [stream.get(tiny), stream.get(tiny)].map((got) =>
          assert.rejects(got, { code: 'INTERNAL', message: /without saying why/ }),
        ),
      )
      await settle()
      assert.equal(pair.far.logger.alarms.length, 1)
      assert.equal(pair.far.net.serving.size, 0)
    }
  })

  it('may wait up to a limit', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const frames = await raw(pair)
    for (let number = 0; number < RETRIEVE_QUEUE_MAX; number += 1) await ask(frames, number, tiny)
    await settle()
    assert.equal(pair.far.net.serving.size, 1)
    await ask(frames, RETRIEVE_QUEUE_MAX, tiny)
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
    assert.equal(pair.handler.reads, 0)
  })

  it('never exceed that limit from our client, also when callers give up and ask again', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const release = pair.handler.holdReads()
    const stream = await client(pair)
    const { signal, abort } = childSignal()
    const given = Array.from({ length: RETRIEVE_QUEUE_MAX }, () => stream.get(tiny, undefined, { signal }))
    await settle()
    abort(new Error('no patience'))
    await Promise.all(given.map((got) => assert.rejects(got, /no patience/)))
    const again = Array.from({ length: RETRIEVE_QUEUE_MAX }, () => stream.get(tiny))
    await settle()
    release()
    assert.equal((await Promise.all(again)).length, RETRIEVE_QUEUE_MAX)
  })

  it('sent before the client ended its side are still answered; then the miner ends', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const frames = await raw(pair)
    await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
    await ask(frames, 0, tiny)
    await ask(frames, 1, tiny)
    await frames.end()
    assert.equal((await answerOf(frames)).type, 'body')
    assert.equal((await answerOf(frames)).type, 'body')
    assert.equal(await frames.readHeader(), undefined)
    assert.deepEqual(pair.handler.servedBytes, [2])
  })

  it('after a broken one are not served any more', async () => {
    const pair = fixture()
    pair.handler.add(tiny)
    const release = pair.handler.holdReads()
    const frames = await raw(pair)
    await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES })
    for (let number = 0; number < 5; number += 1) await ask(frames, number, tiny)
    await frames.writeMessage({ type: 'get' })
    await settle()
    release()
    assert.equal((await answerOf(frames)).type, 'body')
    assert.equal(statusOf(await answerOf(frames)), WIRE_STATUS.INVALID)
    assert.equal(pair.handler.reads, 1)
  })

  it('that stop coming end the stream after its idle time', async () => {
    const pair = fixture()
    const frames = await raw(pair)
    const answer = answerOf(frames)
    await pair.clock.advance(RETRIEVE_IDLE_TIMEOUT_MS)
    assert.equal(statusOf(await answer), WIRE_STATUS.TIMEOUT)
    await settle()
    assert.deepEqual(pair.handler.servedBytes, [])
  })
})

describe('retrieve: a miner that lies', () => {
  before(cryptoReady)

  type Lie = (frames: FrameStream, number: number) => Promise<void>

  async function against(
    lie: Lie,
  ): Promise<{ readonly pair: SessionsPair; readonly stream: RetrieveStream }> {
    const pair = sessionsPair({ role: 'client' }, { role: 'miner' })
    pair.far.serveRaw(RETRIEVE, ['client'], async (frames) => {
      await frames.readHeader()
      await frames.writeMessage({ type: 'opened' })
      for (;;) {
        const request = await frames.readMessage(retrieveRequestSchema, 'request', { waitMs: 1e9 })
        if (request.type === 'get') await lie(frames, request.number)
      }
    })
    return { pair, stream: await client(pair) }
  }

  async function body(frames: FrameStream, number: number, range: ChunkRange, change = {}): Promise<void> {
    const { sizeBytes, bytes, proof } = range
    await frames.writeMessage({
      type: 'body',
      number,
      sizeBytes,
      lengthBytes: bytes.length,
      proof,
      ...change,
    })
    await frames.writeBody(bytes)
  }

  const whole = rangeOf(middle, 0, 0)
  const flipped = { ...whole, bytes: Uint8Array.from(whole.bytes, (byte, i) => (i === 9 ? byte ^ 1 : byte)) }
  const other = wireChunk(9, middle.sizeBytes)
  const cases: readonly (readonly [string, string, boolean, Lie])[] = [
    ['one bit of a chunk', 'MISMATCH', false, (frames, n) => body(frames, n, flipped)],
    ['another chunk', 'MISMATCH', false, (frames, n) => body(frames, n, rangeOf(other, 0, 0))],
    ['a chunk of another size', 'MISMATCH', false, (frames, n) => body(frames, n, rangeOf(large, 0, 0))],
    [
      'too few bytes',
      'MISMATCH',
      false,
      (frames, n) => body(frames, n, { ...whole, bytes: whole.bytes.subarray(1) }),
    ],
    ['another range', 'MISMATCH', true, (frames, n) => body(frames, n, rangeOf(middle, 2, 1))],
    ['a range of another chunk', 'MISMATCH', true, (frames, n) => body(frames, n, rangeOf(other, 1, 1))],
    [
      'a range without its proof',
      'MISMATCH',
      true,
      (frames, n) => body(frames, n, rangeOf(middle, 1, 1), { proof: [] }),
    ],
    [
      'a range with a hash too many',
      'MISMATCH',
      true,
      (frames, n) => {
        const range = rangeOf(middle, 1, 1)
        return body(frames, n, { ...range, proof: [...range.proof, middle.digest] })
      },
    ],
    ['what nobody asked for', 'INVALID', false, (frames, n) => body(frames, n + 7, whole)],
    [
      'an end in the middle',
      'DISCONNECTED',
      false,
      async (frames, n) => {
        await frames.writeMessage({
          type: 'body',
          number: n,
          sizeBytes: 20_000,
          lengthBytes: 20_000,
          proof: [],
        })
        await frames.writeBody(whole.bytes.subarray(0, 100))
        await frames.end()
      },
    ],
    ['no message', 'INVALID', false, (frames) => frames.writeBody(new Uint8Array(100))],
    ['a failure', 'BUSY', false, (frames) => frames.fail(new SubnetError('BUSY', 'later'))],
  ]
  for (const [what, code, ranged, lie] of cases) {
    it(`and sends ${what} is ${code}, for all that wait, and the stream is over`, async () => {
      const { pair, stream } = await against(lie)
      const range = ranged ? { firstLeaf: 1, leaves: 1 } : undefined
      await Promise.all(
        [stream.get(middle, range), stream.get(tiny), stream.getWhole(large.digest)].map((got) =>
          assert.rejects(got, { code }),
        ),
      )
      await assert.rejects(stream.get(middle), { code })
      assert.equal(stream.waiting, 0)
      await settle()
      assert.equal(pair.far.net.serving.size, 0)
      assert.equal(pair.clock.pendingTimers, 0)
    })
  }

  it('about a size is found out before a body comes', async () => {
    for (const [sizeBytes, lengthBytes] of [
      [MIB, MIB],
      [20_000, 19_999],
      [20_000, 4_096],
    ]) {
      const { stream } = await against((frames, number) =>
        frames.writeMessage({ type: 'body', number, sizeBytes, lengthBytes, proof: [] }),
      )
      await assert.rejects(stream.get(middle), { code: 'MISMATCH' })
    }
  })

  it('about a chunk of which only the digest is known is MISMATCH', async () => {
    const { stream } = await against((frames, number) => body(frames, number, flipped))
    await assert.rejects(stream.getWhole(middle.digest), { code: 'MISMATCH' })
  })

  it('and says nothing is given up', async () => {
    const { pair, stream } = await against(async () => undefined)
    const got = assert.rejects(stream.get(middle), { code: 'TIMEOUT' })
    await pair.clock.advance(RETRIEVE_IDLE_TIMEOUT_MS)
    await got
  })

  it('costs nothing but its own streams: an abort rejects what waits', async () => {
    const { stream } = await against(async () => undefined)
    const got = assert.rejects(stream.get(middle), /enough/)
    await settle()
    stream.abort(new Error('enough'))
    await got
  })
})
