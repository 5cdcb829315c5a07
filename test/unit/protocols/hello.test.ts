import assert from 'node:assert/strict'
import { FrameStream } from '../../../protocols/common/frames.js'
import type { ProtocolSpec } from '../../../protocols/common/protocol.js'
import { protocolId } from '../../../protocols/common/protocol.js'
import { decodeMessage } from '../../../protocols/common/schema.js'
import { type Failure, failureSchema, WIRE_STATUS } from '../../../protocols/common/status.js'
import { makeAttestation } from '../../../protocols/hello/attestation.js'
import {
  ATTESTATION_AHEAD_BLOCKS_MAX,
  ATTESTATION_LIFE_BLOCKS,
  ATTESTATION_LIFE_BLOCKS_MAX,
  type Attestation,
  HELLO,
  HELLO_TIMEOUT_MS,
  helloAnswerSchema,
  type Role,
} from '../../../protocols/hello/messages.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import {
  type SessionsPair,
  sessionsPair,
  settle,
  signerOf,
  TestAuthority,
  type TestPeer,
  type TestPeerInit,
  TestPeers,
} from '../../kit/sessions-pair.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

/** Where the test's chain is. */
const BLOCK = new TestAuthority().block
const MINER: TestPeerInit = { role: 'miner' }
const CLIENT: TestPeerInit = { role: 'client' }
const VALIDATOR: TestPeerInit = { role: 'validator' }

/** A protocol that says what it got. */
const ECHO: ProtocolSpec = {
  name: 'echo',
  version: 0,
  headerBytesMax: 1024,
  stallTimeoutMs: 5_000,
  streamsMax: 8,
  opens: { perSecond: 10, burst: 30 },
}
const ECHO_ID = protocolId(ECHO, TEST_DOMAIN.netuid)

function serveEcho(peer: TestPeer, roles: readonly Role[] = ['miner', 'validator', 'client']): void {
  peer.serveRaw(ECHO, roles, async (_, duplex) => {
    const piece = await duplex.read()
    if (piece !== undefined) await duplex.write(piece)
  })
}

async function echo(from: TestPeer, to: TestPeer): Promise<Uint8Array | undefined> {
  const duplex = await from.sessions.open(to.known, ECHO_ID)
  await duplex.write(Uint8Array.of(7))
  const answer = await duplex.read()
  await duplex.closeWrite()
  return answer
}

/** What the other side says to a stream opened past our own `Sessions`. */
async function ungreeted(
  pair: SessionsPair,
): Promise<{ readonly stream: FrameStream; readonly answer: Promise<unknown> }> {
  const duplex = await pair.near.net.open(pair.far.known, ECHO_ID)
  await duplex.write(Uint8Array.of(7))
  const stream = new FrameStream(duplex, pair.clock, { ...ECHO, stallTimeoutMs: 60_000 })
  const answer = stream.readMessage(helloAnswerSchema, 'answer')
  answer.catch(() => undefined)
  return { stream, answer }
}

describe('hello', () => {
  before(cryptoReady)

  it('makes each side know the other, from one exchange', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    const session = await near.sessions.connect(far.known)
    await settle()
    assert.deepEqual(session, { peerId: far.net.peerId, role: 'miner', key: far.signer.publicKey })
    assert.deepEqual(near.sessions.session(far.net.peerId), session)
    const theirs = { peerId: near.net.peerId, role: 'client', key: near.signer.publicKey }
    assert.deepEqual(far.sessions.session(near.net.peerId), theirs)
    assert.equal(far.net.serving.size, 0)
  })

  it('greets once for all who ask at the same time, and not again', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    serveEcho(far)
    await Promise.all([echo(near, far), echo(near, far), near.sessions.connect(far.known)])
    await echo(near, far)
    assert.equal(far.net.served.filter(({ protocol }) => protocol !== ECHO_ID).length, 1)
  })

  it('works when both sides dial at the same moment', async () => {
    const { near, far } = sessionsPair(VALIDATOR, MINER)
    serveEcho(near)
    serveEcho(far)
    const answers = await Promise.all([echo(near, far), echo(far, near)])
    assert.deepEqual(answers, [Uint8Array.of(7), Uint8Array.of(7)])
    assert.ok(near.sessions.session(far.net.peerId) && far.sessions.session(near.net.peerId))
  })

  it('tries again after a hello that failed', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    let fail = true
    near.net.onOpen = async () => {
      if (fail) throw new Error('no line')
    }
    await assert.rejects(near.sessions.connect(far.known), /no line/)
    fail = false
    await near.sessions.connect(far.known)
  })

  it('lets one caller lose patience without ending the hello of the others', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    const controller = new AbortController()
    const impatient = near.sessions.connect(far.known, { signal: controller.signal })
    const patient = near.sessions.connect(far.known)
    controller.abort(new Error('no patience'))
    await assert.rejects(impatient, /no patience/)
    assert.equal((await patient).role, 'miner')
  })

  it('gives up a peer that does not answer', async () => {
    const { near, far, clock } = sessionsPair(CLIENT, MINER)
    near.net.onOpen = () => new Promise(() => undefined)
    const connecting = assert.rejects(near.sessions.connect(far.known), { code: 'TIMEOUT' })
    await clock.advance(HELLO_TIMEOUT_MS)
    await connecting
    assert.equal(clock.pendingTimers, 0)
  })

  it('refuses to open a stream to a peer that speaks for another hotkey', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    serveEcho(far)
    const known = { ...far.known, hotkey: signerOf('miner', 'somebody else').publicKey }
    await assert.rejects(near.sessions.open(known, ECHO_ID), { code: 'REFUSED', message: /another hotkey/ })
    assert.equal(far.net.served.filter(({ protocol }) => protocol === ECHO_ID).length, 0)
  })
})

describe('hello refuses', () => {
  before(cryptoReady)

  function changed(change: Partial<Attestation>, role: Role = 'miner'): (own: Attestation) => Attestation {
    return (own) => ({ ...own, ...change, role: change.role ?? role })
  }

  function resigned(fields: { block?: number; peerId?: string; role?: Role }, name: Role = 'miner') {
    return (own: Attestation) => ({
      ...makeAttestation(signerOf(name, name), TEST_DOMAIN, {
        role: fields.role ?? own.role,
        peerId: fields.peerId ?? own.peerId,
        block: fields.block ?? own.issuedBlock,
        sequence: 1,
        agent: 'test/0',
      }),
    })
  }

  const cases: readonly (readonly [string, string, TestPeerInit])[] = [
    [
      'an attestation for another peer id',
      'REFUSED',
      { ...MINER, attest: resigned({ peerId: 'peer-of-x' }) },
    ],
    [
      'one that expired',
      'REFUSED',
      { ...MINER, attest: resigned({ block: BLOCK - ATTESTATION_LIFE_BLOCKS - 1 }) },
    ],
    [
      'one from the future',
      'REFUSED',
      { ...MINER, attest: resigned({ block: BLOCK + ATTESTATION_AHEAD_BLOCKS_MAX + 1 }) },
    ],
    ['one of another subnet', 'BAD_SIGNATURE', { ...MINER, attest: foreign({ ...TEST_DOMAIN, netuid: 2 }) }],
    [
      'one of another chain',
      'BAD_SIGNATURE',
      { ...MINER, attest: foreign({ ...TEST_DOMAIN, genesis: new Uint8Array(32) }) },
    ],
    ['a signature that is not over it', 'BAD_SIGNATURE', { ...MINER, attest: changed({ sequence: 2 }) }],
    [
      'a longer life than was signed',
      'BAD_SIGNATURE',
      { ...MINER, attest: changed({ expiresBlock: BLOCK + ATTESTATION_LIFE_BLOCKS + 1 }) },
    ],
    [
      'a life above the limit',
      'REFUSED',
      { ...MINER, attest: changed({ expiresBlock: BLOCK + 1 + ATTESTATION_LIFE_BLOCKS_MAX }) },
    ],
    [
      'a signature of nobody',
      'BAD_SIGNATURE',
      { ...MINER, attest: changed({ signature: new Uint8Array(64) }) },
    ],
    [
      'the key of somebody else',
      'BAD_SIGNATURE',
      { ...MINER, attest: (own) => ({ ...own, key: signerOf('miner', 'x').publicKey }) },
    ],
    ['another role than was signed', 'BAD_SIGNATURE', { ...MINER, attest: changed({ role: 'validator' }) }],
    ['a hotkey as a client', 'BAD_SIGNATURE', { ...MINER, attest: resigned({ role: 'client' }) }],
    ['a message that is not one', 'INVALID', { ...MINER, attest: changed({ agent: '' }) }],
  ]
  for (const [what, code, peer] of cases) {
    it(`${what}, from the one who dials and from the one who answers`, async () => {
      const dialler = sessionsPair(peer, VALIDATOR)
      await assert.rejects(dialler.near.sessions.connect(dialler.far.known), { code })
      const answerer = sessionsPair(VALIDATOR, peer)
      await assert.rejects(answerer.near.sessions.connect(answerer.far.known), { code })
      await settle()
      for (const { near, far } of [dialler, answerer]) {
        assert.equal((peer === MINER ? far : near).sessions.session('peer-of-miner'), undefined)
        assert.deepEqual([...near.logger.alarms, ...far.logger.alarms], [])
        assert.equal(far.net.serving.size, 0)
      }
    })
  }

  function foreign(domain: typeof TEST_DOMAIN) {
    return (own: Attestation) =>
      makeAttestation(signerOf('miner', 'miner'), domain, {
        role: own.role,
        peerId: own.peerId,
        block: own.issuedBlock,
        sequence: 1,
        agent: 'test/0',
      })
  }

  it('a hotkey that is not registered', async () => {
    const { near, far, authority } = sessionsPair(MINER, VALIDATOR)
    authority.deregister(near.signer.publicKey)
    await assert.rejects(near.sessions.connect(far.known), { code: 'REFUSED', message: /not registered/ })
  })

  it('a peer of another subnet: it does not even serve the protocol', async () => {
    const { near, far } = sessionsPair(MINER, { ...VALIDATOR, domain: { ...TEST_DOMAIN, netuid: 2 } })
    await assert.rejects(near.sessions.connect(far.known), { code: 'REFUSED', message: /does not serve/ })
  })

  it('a dialler that is silent, or says failure, after one deadline at most', async () => {
    const { near, far, clock } = sessionsPair(MINER, VALIDATOR)
    const id = protocolId(HELLO, TEST_DOMAIN.netuid)
    const silent = await near.net.open(far.known, id)
    const failing = new FrameStream(await near.net.open(far.known, id), clock, HELLO)
    await failing.writeMessage({ type: 'failure', status: WIRE_STATUS.INTERNAL, reason: '' })
    await settle()
    assert.equal(far.net.serving.size, 1)
    await clock.advance(HELLO_TIMEOUT_MS)
    await settle()
    assert.equal(far.net.serving.size, 0)
    silent.abort(new Error('done'))
    // What a stranger sends must not look like a fault of ours.
    assert.deepEqual(far.logger.alarms, [])
  })

  it('one session more than it keeps, and takes it once there is room', async () => {
    const peers = new TestPeers()
    const miner = peers.peer({ ...MINER, sessionsMax: 2 })
    const clients = ['a', 'b', 'c'].map((name) => peers.peer({ ...CLIENT, name }))
    const [first, second, third] = clients as [TestPeer, TestPeer, TestPeer]
    await first.sessions.connect(miner.known)
    await second.sessions.connect(miner.known)
    await assert.rejects(third.sessions.connect(miner.known), { code: 'BUSY' })
    await miner.net.disconnect(first.net.peerId)
    await third.sessions.connect(miner.known)
    await assert.rejects(first.sessions.connect(miner.known), { code: 'BUSY' })
  })
})

describe('sessions', () => {
  before(cryptoReady)

  it('hold a stream that came before its hello, and serve it when the hello is there', async () => {
    const pair = sessionsPair(CLIENT, MINER)
    serveEcho(pair.far)
    const duplex = await pair.near.net.open(pair.far.known, ECHO_ID)
    await duplex.write(Uint8Array.of(7))
    const answer = duplex.read()
    await settle()
    assert.equal(pair.far.net.serving.size, 1)
    await pair.near.sessions.connect(pair.far.known)
    assert.deepEqual(await answer, Uint8Array.of(7))
    await settle()
    assert.equal(pair.clock.pendingTimers, 0)
  })

  it('refuse it as UNAUTHENTICATED after one deadline, in words the peer receives', async () => {
    const pair = sessionsPair(CLIENT, MINER)
    serveEcho(pair.far)
    const { answer } = await ungreeted(pair)
    await pair.clock.advance(HELLO_TIMEOUT_MS - 1)
    await settle()
    assert.equal(pair.far.net.serving.size, 1)
    await pair.clock.advance(1)
    await settle()
    assert.equal(((await answer) as { status: number }).status, WIRE_STATUS.UNAUTHENTICATED)
    const [stream] = pair.far.net.served
    assert.deepEqual([stream?.readBytes, stream?.failure], [0, undefined])
    assert.equal(pair.far.net.serving.size, 0)
  })

  it('let go of held streams when their peer is gone', async () => {
    const pair = sessionsPair(CLIENT, MINER)
    serveEcho(pair.far)
    for (let i = 0; i < 3; i += 1) await ungreeted(pair)
    await settle()
    assert.equal(pair.far.net.serving.size, 3)
    await pair.near.net.disconnect(pair.far.net.peerId)
    await settle()
    assert.equal(pair.far.net.serving.size, 0)
    assert.equal(pair.clock.pendingTimers, 0)
  })

  it('end with the connection, so that the next stream greets again', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    serveEcho(far)
    await echo(near, far)
    await near.net.disconnect(far.net.peerId)
    assert.equal(near.sessions.session(far.net.peerId), undefined)
    assert.equal(far.sessions.session(near.net.peerId), undefined)
    assert.deepEqual(await echo(near, far), Uint8Array.of(7))
  })

  it('leave nothing of a peer whose connection is lost before its hello is read', async () => {
    const { near, far, clock } = sessionsPair(CLIENT, MINER)
    const id = protocolId(HELLO, TEST_DOMAIN.netuid)
    const own = { role: 'client', peerId: near.net.peerId, block: BLOCK, sequence: 1, agent: 'x' } as const
    const attestation = makeAttestation(near.signer, TEST_DOMAIN, own)
    const frames = new FrameStream(await near.net.open(far.known, id), clock, HELLO)
    await frames.writeMessage({ type: 'hello', attestation })
    // Complete input stays readable after the connection is gone, and nobody is told a second time that it is gone.
    await frames.end()
    await near.net.disconnect(far.net.peerId)
    await settle()
    assert.equal(far.sessions.session(near.net.peerId), undefined)
    assert.equal(far.net.serving.size, 0)
  })

  it('outlive a later hello on the same connection that breaks off', async () => {
    const { near, far, clock } = sessionsPair(CLIENT, MINER)
    await near.sessions.connect(far.known)
    const session = far.sessions.session(near.net.peerId)
    assert.ok(session !== undefined)
    const own = { role: 'client', peerId: near.net.peerId, block: BLOCK, sequence: 2, agent: 'x' } as const
    const attestation = makeAttestation(near.signer, TEST_DOMAIN, own)
    const id = protocolId(HELLO, TEST_DOMAIN.netuid)
    const frames = new FrameStream(await near.net.open(far.known, id), clock, HELLO)
    await frames.writeMessage({ type: 'hello', attestation })
    await frames.end()
    frames.abort(new Error('enough'))
    await settle()
    assert.equal(far.sessions.session(near.net.peerId), session)
  })

  it('leave nothing of a peer that answers and is gone', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    const connecting = near.sessions.connect(far.known)
    connecting.catch(() => undefined)
    for (let turns = 0; turns < 400 && near.sessions.session(far.net.peerId) === undefined; turns += 1) {
      await Promise.resolve()
    }
    await far.net.disconnect(near.net.peerId)
    await connecting.catch(() => undefined)
    assert.equal(near.sessions.session(far.net.peerId), undefined)
  })

  it('serve only the roles a protocol is for', async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    serveEcho(far, ['validator'])
    const duplex = await near.sessions.open(far.known, ECHO_ID)
    const frames = new FrameStream(duplex, near.clock, ECHO)
    const answer = await frames.readMessage(helloAnswerSchema, 'answer')
    assert.equal((answer as { status: number }).status, WIRE_STATUS.REFUSED)
  })

  it('refuse a hotkey at its next stream once it is no longer registered, or has lost its permit', async () => {
    for (const role of ['miner', 'validator'] as const) {
      const { near, far, authority } = sessionsPair({ role }, { role: 'miner', name: 'far' })
      serveEcho(far)
      assert.deepEqual(await echo(near, far), Uint8Array.of(7))
      authority.deregister(near.signer.publicKey)
      if (role === 'validator') authority.register(near.signer.publicKey, 'miner')
      const frames = new FrameStream(await near.sessions.open(far.known, ECHO_ID), near.clock, ECHO)
      const answer = await frames.readMessage(helloAnswerSchema, 'answer')
      assert.equal((answer as { status: number }).status, WIRE_STATUS.REFUSED)
    }
  })

  it('end at the next metagraph, streams and connection, once the hotkey is not registered any more', async () => {
    for (const role of ['miner', 'validator'] as const) {
      const { near, far, authority } = sessionsPair({ role }, { role: 'miner', name: 'far' })
      serveEcho(near)
      serveEcho(far)
      const [inbound, outbound] = [
        await near.sessions.open(far.known, ECHO_ID),
        await far.sessions.open(near.known, ECHO_ID),
      ]
      await settle()
      far.sessions.review()
      assert.equal(far.net.serving.size, 1, 'nothing was lost yet')
      authority.deregister(near.signer.publicKey)
      far.sessions.review()
      assert.equal(far.sessions.session(near.net.peerId), undefined)
      await assert.rejects(inbound.read(), { code: 'DISCONNECTED' })
      await assert.rejects(outbound.read(), { code: 'DISCONNECTED' })
      await settle()
      assert.equal(far.net.serving.size, 0)
      await assert.rejects(near.sessions.open(far.known, ECHO_ID), { code: 'REFUSED' })
      await assert.rejects(far.sessions.open(near.known, ECHO_ID), { code: 'REFUSED' })
    }
  })

  it('lose at the next metagraph what a validator opened that has no permit any more, and no connection', async () => {
    const { near, far, authority } = sessionsPair(VALIDATOR, MINER)
    serveEcho(far)
    const duplex = await near.sessions.open(far.known, ECHO_ID)
    await settle()
    authority.deregister(near.signer.publicKey)
    authority.register(near.signer.publicKey, 'miner')
    far.sessions.review()
    await assert.rejects(duplex.read())
    await settle()
    assert.equal(far.net.serving.size, 0)
    authority.register(near.signer.publicKey, 'validator')
    assert.deepEqual(await echo(near, far), Uint8Array.of(7))
    assert.equal(far.net.served.filter(({ protocol }) => protocol !== ECHO_ID).length, 1)
  })

  it('lose them also when the peer has said hello as somebody else meanwhile, who stays', async () => {
    const { near, far, clock, authority } = sessionsPair(VALIDATOR, MINER)
    serveEcho(far)
    const duplex = await near.sessions.open(far.known, ECHO_ID)
    await settle()
    const own = { role: 'client', peerId: near.net.peerId, block: BLOCK, sequence: 2, agent: 'x' } as const
    const attestation = makeAttestation(signerOf('client', 'own'), TEST_DOMAIN, own)
    const id = protocolId(HELLO, TEST_DOMAIN.netuid)
    const frames = new FrameStream(await near.net.open(far.known, id), clock, HELLO)
    await frames.writeMessage({ type: 'hello', attestation })
    await frames.readMessage(helloAnswerSchema, 'hello')
    authority.deregister(near.signer.publicKey)
    far.sessions.review()
    await assert.rejects(duplex.read())
    assert.equal(far.sessions.session(near.net.peerId)?.role, 'client')
  })

  it("wake the operator for a fault of this node, and not for a peer's", async () => {
    const { near, far } = sessionsPair(CLIENT, MINER)
    const errors = [new TypeError('x of undefined'), new Error('own')]
    far.serveRaw(ECHO, ['client'], async () => {
      throw errors.shift() as Error
    })
    await echo(near, far).catch(() => undefined)
    assert.equal(far.logger.alarms.length, 1)
  })
})

describe('streams of a greeted peer', () => {
  before(cryptoReady)

  /** What one stream brings: the echo, or the failure. */
  async function ask(from: TestPeer, to: TestPeer): Promise<Uint8Array | Failure> {
    const frames = await from.openRaw(to, ECHO)
    await frames.duplex.write(Uint8Array.of(0, 0, 0, 1))
    const answer = await frames.duplex.read()
    assert.ok(answer)
    return answer.length === 4 ? answer : decodeMessage(failureSchema, answer.subarray(4), 'failure')
  }

  it('are refused as BUSY beyond the rate, naming the limit and when to come back, until then', async () => {
    const { near, far, clock } = sessionsPair(CLIENT, MINER)
    serveEcho(far)
    for (let stream = 0; stream < ECHO.opens.burst; stream += 1) {
      assert.ok((await ask(near, far)) instanceof Uint8Array)
    }
    assert.deepEqual(await ask(near, far), {
      type: 'failure',
      status: WIRE_STATUS.BUSY,
      reason: `${ECHO_ID}: too many streams from this peer; the limit is 10 a second, 30 at once`,
      retryAfterMs: 100,
    })
    await clock.advance(99)
    assert.ok(!((await ask(near, far)) instanceof Uint8Array), 'a millisecond early')
    await clock.advance(1)
    assert.ok((await ask(near, far)) instanceof Uint8Array)
    assert.equal(far.logger.alarms.length, 0)
  })

  it('count together for one key at several peers, and apart for different ones', async () => {
    const peers = new TestPeers()
    const far = peers.peer(MINER)
    serveEcho(far)
    const [one, other] = [
      peers.peer({ role: 'client', name: 'one' }),
      peers.peer({ role: 'client', name: 'other' }),
    ]
    for (let stream = 0; stream < ECHO.opens.burst; stream += 1) await ask(one, far)
    assert.ok((await ask(other, far)) instanceof Uint8Array, 'another key is not disturbed')
    const twin = peers.peer({ role: 'client', name: 'one', peer: 'twin' })
    assert.match(((await ask(twin, far)) as Failure).reason, /from this key/)
  })
})
