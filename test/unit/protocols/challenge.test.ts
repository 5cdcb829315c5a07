import assert from 'node:assert/strict'
import { askChallenge } from '../../../protocols/challenge/client.js'
import {
  type Answer,
  CHALLENGE,
  CHALLENGE_BYTES_MAX,
  CHALLENGE_DEADLINE_MS,
  CHALLENGE_SAMPLES_MAX,
  type Challenge,
  challengeAnswerSchema,
  type SampleAnswer,
} from '../../../protocols/challenge/messages.js'
import { judgeAnswer, signAnswer } from '../../../protocols/challenge/proof.js'
import { serveChallenge } from '../../../protocols/challenge/server.js'
import { encodeMessage } from '../../../protocols/common/schema.js'
import { MIB } from '../../../src/base/units.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { LEAF_BYTES, LeafHasher, proveRange } from '../../../src/crypto/merkle.js'
import { type SessionsPair, sessionsPair, settle, signerOf, writeLength } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'
import { wireChunk } from '../../kit/test-orders.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'

const chunks = [wireChunk(1, 20_000), wireChunk(2, MIB), wireChunk(3, 1)]

function leafOf(chunk: number, leaf: number): SampleAnswer {
  const { bytes } = chunks[chunk] as (typeof chunks)[number]
  const hasher = new LeafHasher()
  hasher.update(bytes)
  const path = proveRange(hasher.finish().leafHashes, leaf, 1)
  return { type: 'leaf', bytes: bytes.slice(leaf * LEAF_BYTES, (leaf + 1) * LEAF_BYTES), path }
}

/** The last leaf of the first chunk is short; the last chunk has one leaf and an empty path. */
const PLACES = [
  [0, 1],
  [0, 4],
  [1, 255],
  [2, 0],
] as const
const challenge: Challenge = {
  type: 'challenge',
  nonce: testId(16, 1),
  samples: PLACES.map(([chunk, leaf]) => [(chunks[chunk] as (typeof chunks)[number]).digest, leaf]),
}
const sampled = PLACES.map(([chunk]) => chunks[chunk] as (typeof chunks)[number])
const leaves = () => PLACES.map(([chunk, leaf]) => leafOf(chunk, leaf))

const miner = () => signerOf('miner', 'miner')
const judge = (answer: Answer, key = miner().publicKey, asked = challenge) =>
  judgeAnswer(TEST_DOMAIN, key, asked, sampled, answer)

describe('judgeAnswer', () => {
  before(cryptoReady)

  it('proves every leaf that is there', () => {
    const answer = signAnswer(miner(), TEST_DOMAIN, challenge, leaves())
    assert.deepEqual(judge(answer), ['proven', 'proven', 'proven', 'proven'])
  })

  it('tells lost leaves from wrong ones, sample by sample', () => {
    const [first, second, third, last] = leaves() as [SampleAnswer, SampleAnswer, SampleAnswer, SampleAnswer]
    const bytes = (sample: SampleAnswer) => (sample.type === 'leaf' ? sample.bytes : assert.fail())
    const path = (sample: SampleAnswer) => (sample.type === 'leaf' ? sample.path : assert.fail())
    const flipped = Uint8Array.from(bytes(first), (byte, i) => (i === 7 ? byte ^ 1 : byte))
    const wrong: SampleAnswer[] = [
      { type: 'leaf', bytes: flipped, path: path(first) },
      { type: 'leaf', bytes: bytes(first), path: path(second) },
      { type: 'leaf', bytes: bytes(first), path: path(first).slice(1) },
      { type: 'leaf', bytes: bytes(first), path: [...path(first), testId(32, 1)] },
      { type: 'leaf', bytes: bytes(first).slice(0, -1), path: path(first) },
      second,
      third,
    ]
    for (const sample of wrong) {
      const answer = signAnswer(miner(), TEST_DOMAIN, challenge, [sample, second, { type: 'lost' }, last])
      assert.deepEqual(judge(answer), ['wrong', 'proven', 'lost', 'proven'])
    }
  })

  it('takes no answer that the miner did not sign for this challenge', () => {
    const answer = signAnswer(miner(), TEST_DOMAIN, challenge, leaves())
    const other = signerOf('miner', 'other')
    const nonce = { ...challenge, nonce: testId(16, 2) }
    const bad = { code: 'BAD_SIGNATURE' }
    assert.throws(() => judge(answer, miner().publicKey, nonce), bad)
    assert.throws(() => judge(answer, other.publicKey), bad)
    assert.throws(() => judge(signAnswer(other, TEST_DOMAIN, challenge, leaves())), bad)
    assert.throws(() => judge({ ...answer, samples: answer.samples.with(0, { type: 'lost' }) }), bad)
    assert.throws(() => judge(signAnswer(miner(), { ...TEST_DOMAIN, netuid: 2 }, challenge, leaves())), bad)
    const swapped = { ...challenge, samples: [...challenge.samples].reverse() }
    assert.throws(() => judge(answer, miner().publicKey, swapped), bad)
  })

  it('takes no answer with too many or too few samples', () => {
    for (const samples of [leaves().slice(1), [...leaves(), { type: 'lost' as const }]]) {
      assert.throws(() => judge(signAnswer(miner(), TEST_DOMAIN, challenge, samples)), { code: 'INVALID' })
    }
  })
})

describe('challenge', () => {
  before(cryptoReady)

  function fixture(
    prove: (asked: Challenge) => Promise<Answer>,
  ): SessionsPair & { readonly asked: Challenge[] } {
    const pair = sessionsPair({ role: 'validator' }, { role: 'miner' })
    const asked: Challenge[] = []
    const handler = {
      prove: async (question: Challenge) => {
        asked.push(question)
        return await prove(question)
      },
    }
    serveChallenge({ sessions: pair.far.sessions, clock: pair.clock, handler })
    return { ...pair, asked }
  }

  it('carries the largest question and the largest answer', async () => {
    const samples: Challenge['samples'] = Array.from({ length: CHALLENGE_SAMPLES_MAX }, (_, i) => [
      (chunks[1] as (typeof chunks)[number]).digest,
      255 - i,
    ])
    const largest: Challenge = { type: 'challenge', nonce: testId(16, 1), samples }
    assert.ok(encodeMessage(largest).length <= CHALLENGE_BYTES_MAX)
    const { near, far, asked } = fixture(async (question) => {
      const answers = question.samples.map(([, leaf]) => leafOf(1, leaf))
      return signAnswer(far.signer, TEST_DOMAIN, question, answers)
    })
    const answer = await askChallenge(near.components, far.known, largest)
    assert.deepEqual(asked, [largest])
    const proven = judgeAnswer(
      TEST_DOMAIN,
      far.signer.publicKey,
      largest,
      samples.map(() => sampled[2] as never),
      answer,
    )
    assert.deepEqual(new Set(proven), new Set(['proven']))
    await settle()
    assert.equal(far.net.serving.size, 0)
  })

  it('times out when the answer is not complete within the deadline, however it drips', async () => {
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    far.serveRaw(CHALLENGE, ['validator'], async (frames, duplex) => {
      await frames.readHeader()
      const answer = encodeMessage(signAnswer(far.signer, TEST_DOMAIN, challenge, leaves()))
      for (const byte of [0, 0, answer.length >> 8, answer.length & 255, ...answer]) {
        await duplex.write(Uint8Array.of(byte))
        await clock.sleep(500)
      }
    })
    const asking = assert.rejects(askChallenge(near.components, far.known, challenge), {
      code: 'TIMEOUT',
      message: /challenge of/,
    })
    await clock.advance(CHALLENGE_DEADLINE_MS)
    await asking
  })

  it('is asked by validators with a permit only, in one message of limited size', async () => {
    const client = sessionsPair({ role: 'client' }, { role: 'miner' })
    serveChallenge({
      sessions: client.far.sessions,
      clock: client.clock,
      handler: { prove: () => assert.fail() },
    })
    await assert.rejects(askChallenge(client.near.components, client.far.known, challenge), {
      code: 'REFUSED',
    })
    const { near, far, asked, authority } = fixture(() => assert.fail())
    const frames = await near.openRaw(far, CHALLENGE)
    await writeLength(frames, CHALLENGE_BYTES_MAX + 1)
    const answer = await frames.readMessage(challengeAnswerSchema, 'answer')
    assert.match((answer.type === 'failure' && answer.reason) || '', /a header of 4097 bytes/)
    authority.deregister(near.signer.publicKey)
    authority.register(near.signer.publicKey, 'miner')
    await assert.rejects(askChallenge(near.components, far.known, challenge), { code: 'REFUSED' })
    assert.deepEqual(asked, [])
  })
})
