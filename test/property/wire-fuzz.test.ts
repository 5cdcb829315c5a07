/**
 * Every message and every server against a hostile peer. `FUZZ_CASES` is the number of cases (default 100,000, a
 * million in `npm run test:long`), one in fifty of them a whole stream; `FUZZ_SEED` replays a run.
 */
import assert from 'node:assert/strict'
import { equals } from 'uint8arrays'
import type { z } from 'zod'
import { capacityAnswerSchema, lossesAnswerSchema } from '../../protocols/capacity/messages.js'
import { serveCapacity } from '../../protocols/capacity/server.js'
import { challengeAnswerSchema, challengeSchema } from '../../protocols/challenge/messages.js'
import { signAnswer } from '../../protocols/challenge/proof.js'
import { serveChallenge } from '../../protocols/challenge/server.js'
import { FrameStream } from '../../protocols/common/frames.js'
import { decodeMessage, encodeMessage } from '../../protocols/common/schema.js'
import { signEnvelope } from '../../protocols/common/signed.js'
import { failureSchema } from '../../protocols/common/status.js'
import { HAVE_DIGESTS_MAX, haveAnswerSchema } from '../../protocols/have/messages.js'
import { serveHave } from '../../protocols/have/server.js'
import { makeAttestation } from '../../protocols/hello/attestation.js'
import { type Attestation, helloAnswerSchema, type Role } from '../../protocols/hello/messages.js'
import { type Session, type SessionHandler, Sessions } from '../../protocols/hello/sessions.js'
import { checkLeaseHeld, leaseEntrySchema } from '../../protocols/lease/lease.js'
import {
  confirmAnswerSchema,
  releaseAnswerSchema,
  renewAnswerSchema,
} from '../../protocols/lease/messages.js'
import { type Renewal, serveLeases } from '../../protocols/lease/server.js'
import {
  commitAnswerSchema,
  commitBodySchema,
  locateAnswerSchema,
  locateBodySchema,
  placeAnswerSchema,
  placeBodySchema,
  releaseAnswerSchema as releaseOrderAnswerSchema,
  renewAnswerSchema as renewOrderAnswerSchema,
} from '../../protocols/order/messages.js'
import { checkOrder, type Order } from '../../protocols/order/order.js'
import { serveOrders } from '../../protocols/order/server.js'
import { retrieveAnswerSchema, retrieveOpenedSchema } from '../../protocols/retrieve/messages.js'
import { type Receipt, receiptCheck, signReceipt } from '../../protocols/retrieve/receipt.js'
import { serveRetrieve } from '../../protocols/retrieve/server.js'
import { storeAnswerSchema, storeOpenedSchema } from '../../protocols/store/messages.js'
import { serveStore } from '../../protocols/store/server.js'
import { isSubnetError, SubnetError } from '../../src/base/errors.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import type { Duplex } from '../../src/net/duplex.js'
import type { Net, StreamHandler } from '../../src/net/net.js'
import { describeChunk } from '../../src/redundancy/chunk.js'
import { duplexPair } from '../kit/duplex-pair.js'
import { FakeClock, turn } from '../kit/fake-clock.js'
import { freeAccount } from '../kit/order-accounts.js'
import { AlarmLogger, signerOf, TestAuthority } from '../kit/sessions-pair.js'
import { testId } from '../kit/test-chunk.js'
import { leaseEntry, testLease, testOrder, wireChunk } from '../kit/test-orders.js'
import { TEST_DOMAIN } from '../kit/test-subnet.js'
import { hex } from '../kit/vectors.js'
import { Dice, mutateBytes, mutateValue, sloppyEncode } from '../kit/wire-mutations.js'
import { PROTOCOLS, protocolFolders, uncovered } from '../kit/wire-schemas.js'
import { type WireMessage, wireVectors } from '../kit/wire-vectors.js'

const CASES = Number(process.env.FUZZ_CASES ?? 100_000)
const SEED = Number(process.env.FUZZ_SEED ?? 1)
const STREAM_CASES = Math.ceil(CASES / 50)

const SERVERS = {
  hello: helloServer,
  order: orderServer,
  lease: leaseServer,
  store: storeServer,
  retrieve: retrieveServer,
  challenge: challengeServer,
  capacity: capacityServer,
  have: haveServer,
}

describe('the wire against a hostile peer', function () {
  this.timeout(60_000 + CASES)
  const unhandled: unknown[] = []
  const note = (reason: unknown) => unhandled.push(reason)

  before(async () => {
    await cryptoReady()
    process.on('unhandledRejection', note)
  })

  after(() => {
    process.off('unhandledRejection', note)
    assert.deepEqual(unhandled, [])
  })

  it(`decodes no message but a good one, and fails with nothing but INVALID (${CASES} cases)`, () => {
    const { messages } = wireVectors()
    const encoded = messages.map(({ value }) => encodeMessage(value))
    const dice = new Dice(SEED)
    let accepted = 0
    for (let index = 0; index < CASES; index += 1) {
      const message = messages[index % messages.length] as WireMessage
      const good = encoded[index % messages.length] as Uint8Array
      const bytes = mutated(message.value, good, encoded, dice)
      accepted += decodes(dice.pick(message.schemas), bytes, message.name, index) ? 1 : 0
    }
    // Bits of digests and numbers may change: a run in which nothing passes tests nothing.
    assert.ok(accepted > CASES / 50 && accepted < CASES / 2, `${accepted} were accepted`)
  })

  it('is met in every message of every protocol', () => {
    assert.deepEqual(Object.keys(PROTOCOLS).sort(), protocolFolders().sort())
    assert.deepEqual(Object.keys(SERVERS).sort(), protocolFolders().sort())
    assert.deepEqual(uncovered(wireVectors().messages), [])
  })

  for (const server of Object.keys(SERVERS) as (keyof typeof SERVERS)[]) {
    it(`${server}: the server refuses or ends, whatever comes`, async () => {
      const fuzzed = SERVERS[server]()
      const dice = new Dice(SEED)
      await runStream(fuzzed, fuzzed.streams[0] as Uint8Array[], dice, 'whole')
      for (const stream of fuzzed.streams) {
        const outcome = await runStream(fuzzed, stream, dice, 'whole')
        assert.equal(outcome, 'served', 'the stream that is mutated is a good one')
      }
      const outcomes = { served: 0, refused: 0 }
      for (let index = 0; index < STREAM_CASES / Object.keys(SERVERS).length; index += 1) {
        const stream = dice.int(20) === 0 ? [dice.bytes(dice.int(300))] : mutatedStream(fuzzed.streams, dice)
        const outcome = await runStream(
          fuzzed,
          stream,
          dice,
          dice.pick(['whole', 'whole', 'cut', 'silent', 'deaf']),
        )
        outcomes[outcome] += 1
      }
      assert.ok(outcomes.refused > 0, JSON.stringify(outcomes))
    })

    it(`${server}: a peer that stalls is cut, wherever it does, and gets back what was set aside for it`, async () => {
      const fuzzed = SERVERS[server]()
      const dice = new Dice(SEED)
      for (const stream of fuzzed.streams) {
        const whole = Uint8Array.from(Buffer.concat(stream))
        let end = 0
        // After each part, inside the next one's length, and inside its middle.
        const ends = stream.flatMap((part) => {
          end += part.length
          return [end - part.length, end - part.length + 1, end - Math.ceil(part.length / 2), end]
        })
        for (const at of ends) await runStream(fuzzed, [whole.subarray(0, at)], dice, 'silent')
        await runStream(fuzzed, stream, dice, 'deaf')
      }
    })
  }
})

function mutated(value: unknown, good: Uint8Array, others: readonly Uint8Array[], dice: Dice): Uint8Array {
  switch (dice.int(4)) {
    case 0:
      return sloppyEncode(mutateValue(value, dice), dice)
    case 1:
      return sloppyEncode(value, dice)
    default:
      return mutateBytes(good, others, dice)
  }
}

/** True if the bytes were taken; they are then the one encoding of what they were taken for. */
function decodes(schema: z.ZodType<unknown>, bytes: Uint8Array, name: string, index: number): boolean {
  const where = () => `${name}, case ${index}, seed ${SEED}: ${hex(bytes)}`
  let value: unknown
  try {
    value = decodeMessage(schema, bytes, name)
  } catch (error) {
    if (isSubnetError(error, 'INVALID') && error.message.length < 300) return false
    assert.fail(`${error} at ${where()}`)
  }
  if (!equals(encodeMessage(value), bytes)) assert.fail(where())
  return true
}

/** A server with good streams of a client, as the frames and bodies in turn. */
interface Fuzzed {
  readonly streams: readonly Uint8Array[][]
  readonly clock: FakeClock
  serve(duplex: Duplex): Promise<void>
  /** Things set aside for streams and not given back. */
  setAside?(): number
  /** Checks one answer; returns the length of the body that follows. */
  answer(header: Uint8Array): number
}

/** Mutates one part, so that what is before it still brings the server to that point, or all of them together. */
function mutatedStream(streams: readonly Uint8Array[][], dice: Dice): Uint8Array[] {
  const stream = dice.pick(streams)
  const at = dice.int(stream.length + 1)
  if (at === stream.length) return [mutateBytes(Uint8Array.from(Buffer.concat(stream)), streams.flat(), dice)]
  return stream.map((part, index) => (index === at ? mutateBytes(part, streams.flat(), dice) : part))
}

/** Plays one client; fails if the server throws what is no `SubnetError`, hangs, leaves a timer or says nonsense. */
async function runStream(
  fuzzed: Fuzzed,
  stream: readonly Uint8Array[],
  dice: Dice,
  end: 'whole' | 'cut' | 'silent' | 'deaf',
): Promise<'served' | 'refused'> {
  const { clock } = fuzzed
  const fragmentBytes = dice.pick([1, 7, 1_000, 1_000_000])
  const buffer = end === 'deaf' ? { bufferBytes: 0 } : {}
  const [near, far] = duplexPair({ ...buffer, fragmentBytes, peers: ['near', 'far'] })
  let failure: unknown
  let over = false
  const serving = fuzzed
    .serve(far)
    .catch((error: unknown) => {
      failure = error
    })
    .finally(() => {
      over = true
    })
  // Who reads nothing writes all it has, and is never done: the server must not wait for that.
  const heard = end === 'deaf' ? undefined : hear(near, fuzzed)
  const writing = (async () => {
    for (const part of stream) await near.write(part)
    if (end === 'whole') await near.closeWrite()
    else if (end === 'cut') near.abort(new Error('gone'))
  })().catch(() => undefined)
  for (let turns = 0; turns < 50 && !over; turns += 1) await turn()
  for (let rounds = 0; rounds < 20 && !over; rounds += 1) await clock.advance(400_000)
  assert.ok(over, `the server hangs: ${stream.map(hex).join(' ')}`)
  await Promise.all([serving, writing])
  near.abort(new Error('done'))
  far.abort(new Error('done'))
  const failed = (await heard)?.failed ?? false
  assert.ok(failure === undefined || isSubnetError(failure), `${(failure as Error)?.stack}`)
  assert.equal(clock.pendingTimers, 0)
  assert.equal(fuzzed.setAside?.() ?? 0, 0, 'what was set aside is given back')
  return failed || failure !== undefined ? 'refused' : 'served'
}

/** Reads what the server says to the end. */
async function hear(near: Duplex, fuzzed: Fuzzed): Promise<{ readonly failed: boolean }> {
  const patient = { headerBytesMax: 1 << 20, stallTimeoutMs: 1e12 }
  const frames = new FrameStream(near, new FakeClock(), patient)
  for (;;) {
    try {
      const header = await frames.readHeader()
      if (header === undefined) return { failed: false }
      if (isFailure(header)) return { failed: true }
      await frames.readBytes(fuzzed.answer(header))
    } catch (error) {
      assert.ok(!isSubnetError(error, 'INVALID'), `${error}`)
      return { failed: true }
    }
  }
}

function isFailure(header: Uint8Array): boolean {
  try {
    decodeMessage(failureSchema, header, 'failure')
    return true
  } catch {
    return false
  }
}

function frame(message: unknown): Uint8Array {
  const header = encodeMessage(message)
  const bytes = new Uint8Array(4 + header.length)
  new DataView(bytes.buffer).setUint32(0, header.length)
  bytes.set(header, 4)
  return bytes
}

/** Registers a server without a network; the handler it gives is called for every stream. */
function captured(role: Role): {
  readonly components: {
    readonly sessions: Sessions
    readonly clock: FakeClock
    readonly authority: TestAuthority
  }
  readonly session: Session
  readonly clock: FakeClock
  serve(duplex: Duplex): Promise<void>
} {
  const clock = new FakeClock()
  let captured: SessionHandler = () => assert.fail('nothing is served')
  const sessions = {
    netuid: TEST_DOMAIN.netuid,
    handle: (_: unknown, __: unknown, handler: SessionHandler) => {
      captured = handler
    },
  } as unknown as Sessions
  const key = signerOf(role, role).publicKey
  const session: Session = { peerId: 'near', role, key }
  const authority = new TestAuthority()
  return {
    components: { sessions, clock, authority },
    session,
    clock,
    serve: (duplex) => captured(duplex, session),
  }
}

const MINER = () => signerOf('miner', 'miner')
const VALIDATOR = () => signerOf('validator', 'validator')
const CLIENT = () => signerOf('client', 'client')

function anOrder(authority: TestAuthority, verb: 'put' | 'get'): Order {
  const pair = { authority, near: { signer: CLIENT() }, far: { signer: MINER() } }
  return testOrder(pair as never, verb)
}

function helloServer(): Fuzzed {
  const clock = new FakeClock()
  const authority = new TestAuthority()
  const logger = new AlarmLogger()
  let handler: StreamHandler = () => assert.fail('nothing is served')
  const net = {
    peerId: 'far',
    handle: (_: unknown, captured: StreamHandler) => {
      handler = captured
    },
    onDisconnect: () => () => undefined,
  } as unknown as Net
  const attestation = (role: Role, peerId: string): Attestation => {
    const signer = signerOf(role, role)
    authority.register(signer.publicKey, role)
    const { block } = authority
    return makeAttestation(signer, TEST_DOMAIN, { role, peerId, block, sequence: 1, agent: 'x' })
  }
  const own = attestation('miner', 'far')
  const sessions = new Sessions({ net, clock, authority, logger, attest: () => own }, { domain: TEST_DOMAIN })
  return {
    clock,
    streams: (['miner', 'validator', 'client'] as const).map((role) => [
      frame({ type: 'hello', attestation: attestation(role, 'near') }),
    ]),
    serve: async (duplex) => {
      await handler(duplex)
      const session = sessions.session('near')
      if (session !== undefined) assert.deepEqual(session.key, signerOf(session.role, session.role).publicKey)
      assert.deepEqual(logger.alarms, [])
    },
    answer: (header) => {
      decodeMessage(helloAnswerSchema, header, 'answer')
      return 0
    },
  }
}

function orderServer(): Fuzzed {
  const { components, clock, serve } = captured('client')
  const { authority } = components
  const validator = VALIDATOR()
  authority.register(validator.publicKey, 'validator')
  const client = hex(CLIENT().publicKey)
  const order = anOrder(authority, 'put')
  const holder = { hotkey: order.miner, peerId: 'p', address: 'a', order }
  serveOrders(
    {
      ...components,
      handler: {
        remember: async (nonce, expiresBlock) => {
          assert.equal(nonce.length, 16)
          assert.ok(expiresBlock >= authority.block)
        },
        place: async (key, body) => {
          assert.equal(hex(key), client)
          placeBodySchema.parse(body)
          return { seed: testId(32, 1), candidates: [{ ...holder, group: 'g', weight: 1 }], leaseEndBlock: 1 }
        },
        commit: async (key, commit) => {
          assert.equal(hex(key), client)
          commitBodySchema.parse(commit.body)
          assert.deepEqual(
            commit.nodes.map(({ length }) => length),
            commit.body.nodes,
          )
          assert.equal(commit.leases.length, commit.body.leases)
          return {
            countersignatures: commit.leases.map(() => new Uint8Array(64)),
            weakestReceipts: 1,
            fullReceipts: 1,
          }
        },
        locate: async (key, body) => {
          assert.equal(hex(key), client)
          locateBodySchema.parse(body)
          return { holders: [holder], nodes: [[0]], segments: [] }
        },
      },
      owners: {
        ownerOf: async (object) => {
          assert.equal(object.length, 32)
          return CLIENT().publicKey
        },
        renew: async ({ object, leaseBlocks }) => {
          assert.ok(object.length === 32 && leaseBlocks >= 1)
          return { endBlock: 1, miners: 1 }
        },
        release: async ({ object }) => {
          assert.equal(object.length, 32)
          return { miners: 1 }
        },
      },
    },
    { domain: TEST_DOMAIN, validator: validator.publicKey },
  )
  const request = (verb: string, body: unknown) => ({
    type: verb,
    request: signEnvelope({
      domain: TEST_DOMAIN,
      method: `order.${verb}`,
      body,
      signer: CLIENT(),
      receiver: validator.publicKey,
      nonce: testId(16, 1),
      expiresBlock: authority.block + 1,
    }),
  })
  const commit = {
    object: testId(32, 1),
    profile: 'small',
    maskRoot: testId(32, 2),
    nodes: [100, 50],
    leases: 2,
  }
  const lease = testLease(validator.publicKey, MINER(), testId(32, 1), [leaseEntry(wireChunk(1, 10))])
  return {
    clock,
    serve,
    streams: [
      [frame(request('place', { profile: 'small', put: testId(16, 1), leaseBlocks: 9 }))],
      [frame(request('locate', { object: testId(32, 1), firstSegment: 0, segments: 1 }))],
      [frame(request('renew', { object: testId(32, 1), leaseBlocks: 9 }))],
      [frame(request('release', { object: testId(32, 1) }))],
      [frame(request('commit', commit)), new Uint8Array(100), new Uint8Array(50), frame(lease), frame(lease)],
    ],
    answer: (header) => {
      accepted(
        header,
        placeAnswerSchema,
        commitAnswerSchema,
        locateAnswerSchema,
        renewOrderAnswerSchema,
        releaseOrderAnswerSchema,
      )
      return 0
    },
  }
}

function leaseServer(): Fuzzed {
  const { components, clock, session, serve } = captured('validator')
  const confirm = async (validator: Uint8Array, object: Uint8Array, signature: Uint8Array) => {
    assert.deepEqual([validator, object.length, signature.length], [session.key, 32, 64])
  }
  const renew = async (validator: Uint8Array, { object, validatorSignature }: Renewal) => {
    assert.deepEqual([validator, object.length, validatorSignature.length], [session.key, 32, 64])
    return new Uint8Array(64)
  }
  const release = async (validator: Uint8Array, object: Uint8Array) => {
    assert.deepEqual([validator, object.length], [session.key, 32])
  }
  serveLeases({ ...components, handler: { confirm, renew, release } })
  return {
    clock,
    serve,
    streams: [
      [frame({ type: 'confirm', object: testId(32, 1), validatorSignature: new Uint8Array(64) })],
      [frame({ type: 'renew', object: testId(32, 1), endBlock: 9, validatorSignature: new Uint8Array(64) })],
      [frame({ type: 'release', object: testId(32, 1) })],
    ],
    answer: (header) => {
      accepted(header, confirmAnswerSchema, renewAnswerSchema, releaseAnswerSchema)
      return 0
    },
  }
}

function storeServer(): Fuzzed {
  const { components, clock, session, serve } = captured('client')
  const { authority } = components
  const miner = MINER()
  let setAside = 0
  const orderIsGood = (order: Order) =>
    checkOrder(order, {
      domain: TEST_DOMAIN,
      authority,
      verb: 'put',
      client: session.key,
      miner: miner.publicKey,
    })
  serveStore(
    {
      ...components,
      handler: {
        reserve: async (order, sizeBytes) => {
          orderIsGood(order)
          assert.ok(sizeBytes >= 1 && sizeBytes <= 1 << 20)
          if (sizeBytes % 5 === 0) throw new SubnetError('NO_SPACE', 'full')
          setAside += 1
          const end = () => {
            setAside -= 1
            ends += 1
            assert.equal(ends, 1)
          }
          let ends = 0
          return {
            keep: async ({ digest, auditRoot, body }) => {
              end()
              const found = describeChunk(Uint8Array.from(Buffer.concat([...body])))
              assert.deepEqual(
                [found.digest, found.auditRoot, found.sizeBytes],
                [digest, auditRoot, sizeBytes],
              )
              return 'stored'
            },
            release: end,
          }
        },
        have: async (order, digests) => {
          orderIsGood(order)
          for (const digest of digests) assert.equal(digest.length, 32)
          return digests.map((_, index) => index % 2 === 0)
        },
        lease: async (order, { object, entries }) => {
          orderIsGood(order)
          for (const entry of entries) leaseEntrySchema.parse(entry)
          return testLease(order.validator, miner, object, [...entries])
        },
      },
    },
    { domain: TEST_DOMAIN, miner: miner.publicKey },
  )
  const chunk = (number: number, sizeBytes: number) => {
    const { digest, auditRoot, bytes } = wireChunk(number, sizeBytes)
    return [frame({ type: 'chunk', number, digest, auditRoot, sizeBytes }), bytes]
  }
  const entries = [leaseEntry(wireChunk(1, 11))]
  const lease = frame({ type: 'lease', object: testId(32, 1), entries, endBlock: 1_000 })
  const open = frame({ type: 'open', order: anOrder(authority, 'put') })
  return {
    clock,
    serve,
    setAside: () => setAside,
    streams: [
      [open, ...chunk(1, 11), ...chunk(2, 5_001), ...chunk(3, 10), lease, ...chunk(4, 1)],
      [open, frame({ type: 'have', digests: [testId(32, 1), testId(32, 2)] }), ...chunk(1, 11)],
      [open],
    ],
    answer: (header) => {
      const answer = accepted(header, storeOpenedSchema, storeAnswerSchema) as { type: string; lease: never }
      if (answer.type === 'leased') checkLeaseHeld(answer.lease, TEST_DOMAIN)
      return 0
    },
  }
}

function retrieveServer(): Fuzzed {
  const { components, clock, session, serve } = captured('client')
  const { authority } = components
  const miner = MINER().publicKey
  serveRetrieve(
    {
      ...components,
      handler: {
        account: async (order, { receipt }) => {
          const check = (each: Receipt) => receiptCheck(order, TEST_DOMAIN, 'ed25519')(each)
          if (receipt !== undefined) check(receipt)
          return { ...freeAccount(), confirm: check }
        },
        read: async (order, digest, firstLeaf, leaves) => {
          checkOrder(order, { domain: TEST_DOMAIN, authority, verb: 'get', client: session.key, miner })
          assert.equal(digest.length, 32)
          assert.ok(firstLeaf >= 0 && firstLeaf <= 256 && leaves >= 0 && leaves <= 256)
          if (hex(digest) !== hex(testId(32, 1))) throw new SubnetError('NOT_FOUND', 'not held')
          if (firstLeaf > 0) throw new SubnetError('INVALID', 'the chunk has 1 leaf')
          return { sizeBytes: 33, bytes: new Uint8Array(33), proof: [] }
        },
        readWithoutOrder: async (peerId) => {
          assert.equal(peerId, session.peerId)
          throw new SubnetError('BUSY', 'the allowance is used up')
        },
        served: async (_, bytes) => assert.ok(bytes > 0),
      },
    },
    { domain: TEST_DOMAIN, miner },
  )
  const get = (number: number, id: number) =>
    frame({ type: 'get', number, digest: testId(32, id), firstLeaf: 0, leaves: 0 })
  const credit = (bytes: number) => frame({ type: 'credit', bytes })
  const order = anOrder(authority, 'get')
  const receipt = (bytes: number) => signReceipt(CLIENT(), TEST_DOMAIN, order, bytes)
  const open = frame({ type: 'open', order })
  return {
    clock,
    serve,
    streams: [
      [open, credit(2 ** 20), get(1, 1), get(2, 2), credit(2 ** 22), get(3, 1)],
      [
        frame({ type: 'open', order, receipt: receipt(9) }),
        credit(2 ** 20),
        get(1, 1),
        frame({ type: 'credit', bytes: 2 ** 21, receipt: receipt(42) }),
        get(2, 1),
      ],
      [frame({ type: 'open' }), credit(2 ** 20), get(1, 1)],
      [open, get(1, 1)],
    ],
    answer: (header) => {
      const answer = accepted(header, retrieveOpenedSchema, retrieveAnswerSchema) as {
        type: string
        lengthBytes: number
      }
      return answer.type === 'body' ? answer.lengthBytes : 0
    },
  }
}

function challengeServer(): Fuzzed {
  const { components, clock, serve } = captured('validator')
  const prove = async (challenge: z.infer<typeof challengeSchema>) => {
    const { samples } = challengeSchema.parse(challenge)
    return signAnswer(
      MINER(),
      TEST_DOMAIN,
      challenge,
      samples.map(() => ({ type: 'lost' as const })),
    )
  }
  serveChallenge({ ...components, handler: { prove } })
  const samples = [
    [testId(32, 1), 255],
    [testId(32, 2), 0],
  ]
  return {
    clock,
    serve,
    streams: [[frame({ type: 'challenge', nonce: testId(16, 1), samples })]],
    answer: (header) => {
      accepted(header, challengeAnswerSchema)
      return 0
    },
  }
}

function capacityServer(): Fuzzed {
  const { components, clock, session, serve } = captured('validator')
  const capacity = async (asker: Session) => {
    assert.equal(asker, session)
    return { budgetBytes: 1, heldBytes: 1, heldChunks: 1, freeBytes: 1 }
  }
  serveCapacity({ ...components, handler: { capacity, losses: async () => ({ last: 0, losses: [] }) } })
  return {
    clock,
    serve,
    streams: [[frame({ type: 'ask' })], [frame({ type: 'ask-losses', after: 1 })]],
    answer: (header) => {
      accepted(header, capacityAnswerSchema, lossesAnswerSchema)
      return 0
    },
  }
}

function haveServer(): Fuzzed {
  const { components, clock, serve } = captured('client')
  const have = async (digests: readonly Uint8Array[]) => {
    assert.ok(digests.length >= 1 && digests.length <= HAVE_DIGESTS_MAX)
    for (const digest of digests) assert.equal(digest.length, 32)
    return digests.map((_, index) => index % 2 === 0)
  }
  serveHave({ ...components, handler: { have } })
  return {
    clock,
    serve,
    streams: [[frame({ type: 'ask', digests: [testId(32, 1), testId(32, 2)] })]],
    answer: (header) => {
      accepted(header, haveAnswerSchema)
      return 0
    },
  }
}

/** The answer as one of these schemas takes it. */
function accepted(header: Uint8Array, ...schemas: z.ZodType<unknown>[]): unknown {
  for (const [index, schema] of schemas.entries()) {
    try {
      return decodeMessage(schema, header, 'answer')
    } catch (error) {
      if (index === schemas.length - 1) throw error
    }
  }
  return assert.fail('no schema')
}
