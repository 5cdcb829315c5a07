import assert from 'node:assert/strict'
import fc from 'fast-check'
import { askHave } from '../../../protocols/have/client.js'
import {
  HAVE,
  HAVE_DIGESTS_MAX,
  haveAnswerSchema,
  haveAskSchema,
  packBits,
  unpackBits,
} from '../../../protocols/have/messages.js'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { HaveServing } from '../../kit/have-serving.js'
import { settle } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const digests = (count: number) => Array.from({ length: count }, (_, i) => testId(32, i))

describe('have', () => {
  before(cryptoReady)

  it('answers for each digest, up to the largest batch', async () => {
    const { near, far, handler } = new HaveServing()
    for (const count of [1, 7, 8, 9, HAVE_DIGESTS_MAX]) {
      handler.held = (index) => index % 3 === 1
      const held = await askHave(near.components, far.known, digests(count))
      assert.deepEqual(
        held,
        digests(count).map((_, i) => i % 3 === 1),
      )
    }
  })

  it('refuses no digests, too many, and one of another length', async () => {
    const serving = new HaveServing()
    for (const wrong of [[], digests(HAVE_DIGESTS_MAX + 1), [new Uint8Array(31)]]) {
      const frames = await serving.near.openRaw(serving.far, HAVE)
      // One too many digests fits in no header: the encoder of an honest asker would stop it.
      await frames.writeMessage({ type: 'ask', digests: wrong })
      const answer = await frames.readMessage(haveAnswerSchema, 'held')
      assert.equal(answer.type === 'failure' && answer.status, 1)
    }
    assert.equal(serving.handler.asked, 0)
  })

  it('takes no answer but one bit per digest, padded with zeros', async () => {
    for (const bits of [[], [0, 0], [0b1000]]) {
      const serving = new HaveServing({ serve: false })
      serving.far.serveRaw(HAVE, ['client'], async (frames) => {
        await frames.readMessage(haveAskSchema, 'ask')
        await frames.writeMessage({ type: 'held', bits: Uint8Array.from(bits) })
        await frames.end()
      })
      await assert.rejects(askHave(serving.near.components, serving.far.known, digests(3)), coded('INVALID'))
    }
  })

  it('looks up four questions at a time and says BUSY when 64 wait', async () => {
    const serving = new HaveServing()
    const { near, far, handler } = serving
    handler.hold()
    const askers = Array.from({ length: 34 }, (_, number) => serving.asker(number))
    // One connection has two streams.
    const asked = [...askers, ...askers].map((asker) => askHave(asker.components, far.known, digests(1)))
    await settle()
    assert.equal(handler.asked, 4)
    const refused = assert.rejects(
      askHave(near.components, far.known, digests(1)),
      (error) => isSubnetError(error, 'BUSY') && error.data.retryAfterMs !== undefined,
    )
    // It comes back as it was told to, a few times.
    await near.clock.advance(5_000)
    await refused
    handler.release()
    await Promise.all(asked)
    assert.equal(handler.asked, 68)
  })

  it('does not answer a miner', async () => {
    const { near, far } = new HaveServing({ role: 'miner' })
    await assert.rejects(askHave(near.components, far.known, digests(1)), coded('REFUSED'))
  })

  it('packs and unpacks any flags, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }), (flags) => {
        const bits = packBits(flags)
        assert.deepEqual(unpackBits(bits, flags.length), flags)
        assert.equal(unpackBits(bits, flags.length + 8), undefined)
        if (flags.length % 8 !== 0) {
          const dirty = Uint8Array.from(bits)
          dirty[dirty.length - 1] = (dirty.at(-1) as number) | (1 << (flags.length % 8))
          assert.equal(unpackBits(dirty, flags.length), undefined)
        }
      }),
    )
  })
})
