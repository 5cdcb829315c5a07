import assert from 'node:assert/strict'
import { askCapacity, askLosses } from '../../../protocols/capacity/client.js'
import { CAPACITY, LOSSES_MAX } from '../../../protocols/capacity/messages.js'
import { serveCapacity } from '../../../protocols/capacity/server.js'
import type { Role } from '../../../protocols/hello/messages.js'
import type { Session } from '../../../protocols/hello/sessions.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { sessionsPair, settle } from '../../kit/sessions-pair.js'
import { testId } from '../../kit/test-chunk.js'

const claim = { budgetBytes: Number.MAX_SAFE_INTEGER, heldBytes: 5, heldChunks: 1, freeBytes: 0 }

describe('capacity', () => {
  before(cryptoReady)

  it('tells validators and clients what the miner claims, and the miner who asks', async () => {
    for (const role of ['validator', 'client'] satisfies Role[]) {
      const { near, far, clock } = sessionsPair({ role }, { role: 'miner' })
      const askers: Session[] = []
      const capacity = async (asker: Session) => {
        askers.push(asker)
        return claim
      }
      serveCapacity({ sessions: far.sessions, clock, handler: { capacity, losses: () => assert.fail() } })
      assert.deepEqual(await askCapacity(near.components, far.known), claim)
      assert.deepEqual(askers, [{ peerId: near.net.peerId, role, key: near.signer.publicKey }])
      await settle()
      assert.equal(far.net.serving.size, 0)
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('does not tell other miners', async () => {
    const { near, far, clock } = sessionsPair({ role: 'miner', name: 'near' }, { role: 'miner' })
    serveCapacity({
      sessions: far.sessions,
      clock,
      handler: { capacity: () => assert.fail(), losses: () => assert.fail() },
    })
    await assert.rejects(askCapacity(near.components, far.known), { code: 'REFUSED' })
  })

  it('believes no number that is none', async () => {
    for (const wrong of [{ freeBytes: -1 }, { freeBytes: 0.5 }, { heldChunks: 2n ** 60n }, { more: 1 }]) {
      const { near, far } = sessionsPair({ role: 'validator' }, { role: 'miner' })
      far.serveRaw(CAPACITY, ['validator'], async (frames) => {
        await frames.readHeader()
        await frames.writeMessage({ type: 'capacity', ...claim, ...wrong })
      })
      await assert.rejects(askCapacity(near.components, far.known), { code: 'INVALID' })
    }
  })

  it('tells what was lost after the loss that is known', async () => {
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    const losses = Array.from({ length: LOSSES_MAX }, (_, i): [number, Uint8Array] => [i + 8, testId(32, i)])
    const asked: unknown[] = []
    const handler = {
      capacity: () => assert.fail(),
      losses: async (asker: Session, after: number) => {
        asked.push([asker.peerId, after])
        return { last: Number.MAX_SAFE_INTEGER, losses }
      },
    }
    serveCapacity({ sessions: far.sessions, clock, handler })
    const answer = await askLosses(near.components, far.known, 7)
    assert.deepEqual(answer, { last: Number.MAX_SAFE_INTEGER, losses })
    assert.deepEqual(asked, [[near.net.peerId, 7]])
  })

  it('believes no losses whose numbers do not rise', async () => {
    const digest = testId(32, 1)
    for (const [last, ...numbers] of [
      [9, 7],
      [9, 9, 9],
      [9, 9, 8],
      [9, 10],
    ] as const) {
      const { near, far } = sessionsPair({ role: 'validator' }, { role: 'miner' })
      far.serveRaw(CAPACITY, ['validator'], async (frames) => {
        await frames.readHeader()
        await frames.writeMessage({ type: 'losses', last, losses: numbers.map((number) => [number, digest]) })
      })
      await assert.rejects(askLosses(near.components, far.known, 7), { code: 'INVALID' })
    }
  })

  it('keeps no stream of a miner that answers and does not end', async () => {
    for (const more of [0, 1]) {
      const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
      far.serveRaw(CAPACITY, ['validator'], async (frames) => {
        await frames.readHeader()
        await frames.writeMessage({ type: 'capacity', ...claim })
        if (more > 0) await frames.writeBody(Uint8Array.of(1))
        await frames.duplex.read()
        await frames.duplex.read()
        await clock.sleep(1e9)
      })
      assert.deepEqual(await askCapacity(near.components, far.known), claim)
      await settle()
      const stream = far.net.served.at(-1)
      if (more === 0) await clock.advance(CAPACITY.stallTimeoutMs)
      await settle()
      await assert.rejects(stream?.write(Uint8Array.of(1)) ?? assert.fail(), { code: 'DISCONNECTED' })
    }
  })

  it('gives up a miner that does not answer', async () => {
    const { near, far, clock } = sessionsPair({ role: 'validator' }, { role: 'miner' })
    far.serveRaw(CAPACITY, ['validator'], () => clock.sleep(1e9))
    const asking = assert.rejects(askCapacity(near.components, far.known), { code: 'TIMEOUT' })
    await clock.advance(CAPACITY.stallTimeoutMs)
    await asking
  })
})
