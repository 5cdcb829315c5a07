/** Many peers of one address dial at once, over real TCP: those that are too many are told why, and get in a moment later. */
import assert from 'node:assert/strict'
import { makeAttestation } from '../../protocols/hello/attestation.js'
import { type KnownPeer, Sessions } from '../../protocols/hello/sessions.js'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError, type SubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { addressOf, netNode, startAll } from '../kit/net-node.js'
import { signerOf, TestAuthority } from '../kit/sessions-pair.js'
import { TEST_DOMAIN } from '../kit/test-subnet.js'
import { until } from '../kit/until.js'

const ALLOWED = 1
const DIALLERS = 4

function greeting(name: string, role: 'client' | 'miner', authority: TestAuthority, init = {}) {
  const net = netNode(name, init)
  const signer = signerOf(role, name)
  authority.register(signer.publicKey, role)
  const own = makeAttestation(signer, TEST_DOMAIN, {
    role,
    peerId: net.peerId,
    block: authority.block,
    sequence: 1,
    agent: 'test/0',
  })
  const components = { net, clock: systemClock, authority, logger: silentLogger, attest: () => own }
  return { net, signer, sessions: new Sessions(components, { domain: TEST_DOMAIN }) }
}

describe('a burst of dials from one address', () => {
  before(cryptoReady)

  it('is told the limit by name and when to come back, and then let in', async () => {
    const authority = new TestAuthority()
    const miner = greeting('busy miner', 'miner', authority, { inboundPerSecondMax: ALLOWED })
    await using _ = await startAll(miner.net)
    const clients = Array.from({ length: DIALLERS }, (_, i) =>
      greeting(`dialler ${i}`, 'client', authority, { listen: [] }),
    )
    await using all = await startAll(...clients.map(({ net }) => net))
    assert.equal(all.nets.length, DIALLERS)
    const peer: KnownPeer = { ...addressOf(miner.net), hotkey: miner.signer.publicKey }
    const refusals: SubnetError[] = []
    const meet = async ({ sessions }: (typeof clients)[number]) => {
      try {
        await sessions.connect(peer)
        return true
      } catch (error) {
        // While the miner closes what it has refused, the same connection may still be found.
        assert.ok(isSubnetError(error), String(error))
        if (error.code === 'BUSY') refusals.push(error)
        return false
      }
    }
    const first = await Promise.all(clients.map(meet))
    assert.ok(first.filter((met) => met).length >= ALLOWED)
    assert.ok(refusals.length > 0, 'nobody was told')
    for (const { message, data } of refusals) {
      assert.match(message, /too many connections from this address; the limit is 1 a second, 1 at once/)
      assert.ok(Number(data.retryAfterMs) > 0)
    }
    for (const client of clients) {
      await until(() => meet(client), { deadlineMs: 10_000, title: 'it is let in' })
    }
  })
})
