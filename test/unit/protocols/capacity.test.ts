import assert from 'node:assert/strict'
import { askCapacity } from '../../../protocols/capacity/client.js'
import { CAPACITY } from '../../../protocols/capacity/messages.js'
import { serveCapacity } from '../../../protocols/capacity/server.js'
import type { Role } from '../../../protocols/hello/messages.js'
import type { Session } from '../../../protocols/hello/sessions.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { sessionsPair, settle } from '../../kit/sessions-pair.js'

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
      serveCapacity({ sessions: far.sessions, clock, handler: { capacity } })
      assert.deepEqual(await askCapacity(near.components, far.known), claim)
      assert.deepEqual(askers, [{ peerId: near.net.peerId, role, key: near.signer.publicKey }])
      await settle()
      assert.equal(far.net.serving.size, 0)
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('does not tell other miners', async () => {
    const { near, far, clock } = sessionsPair({ role: 'miner', name: 'near' }, { role: 'miner' })
    serveCapacity({ sessions: far.sessions, clock, handler: { capacity: () => assert.fail() } })
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
