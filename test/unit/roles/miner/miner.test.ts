import assert from 'node:assert/strict'
import { askCapacity } from '../../../../protocols/capacity/client.js'
import { ActorSystem } from '../../../../src/actor/system.js'
import { type Logger, silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { MIB } from '../../../../src/base/units.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { MAINNET_HOUSEKEEPING } from '../../../../src/roles/miner/housekeeping.js'
import { Miner } from '../../../../src/roles/miner/miner.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock, turn } from '../../../kit/fake-clock.js'
import { PeerMesh } from '../../../kit/peer-mesh.js'
import { tempDir } from '../../../kit/temp-dir.js'
import { type TestNeuron, TestSubnet } from '../../../kit/test-subnet.js'
import { until } from '../../../kit/until.js'

const validator = (number: number, stakeRao = 0n): TestNeuron => ({
  key: testHotkey(number),
  stakeRao,
  validatorPermit: true,
})

async function startMiner(path: string, ...others: readonly TestNeuron[]) {
  const [clock, subnet, mesh] = [new FakeClock(), new TestSubnet(), new PeerMesh()]
  await subnet.set([validator(1), { key: testHotkey(2) }, ...others])
  const plans: unknown[] = []
  const logger: Logger = { ...silentLogger, info: (fields) => plans.push(fields) }
  const actors = new ActorSystem({ clock, log: silentLogger }, { onFailure: (reason) => assert.fail(reason) })
  const own = testHotkey(2).signer
  const sessions = mesh.join({ peerId: 'miner', role: 'miner', key: own.publicKey })
  const authority = { block: 1, isRegistered: () => true, isValidator: () => true }
  const miner = new Miner(
    {
      net: { provide: async () => [] },
      sessions,
      clock,
      actors,
      view: subnet.view,
      authority,
      signer: own,
      random: seededRandom('miner'),
      logger,
    },
    {
      domain: { genesis: new Uint8Array(32), netuid: 1 },
      path,
      threshold: 0,
      capacityBytes: 100 * MIB,
      replanIntervalMs: 600_000,
      housekeeping: MAINNET_HOUSEKEEPING,
      blockMs: 12_000,
    },
  )
  await miner.start()
  const freeFor = async (role: 'validator' | 'client', number: number) => {
    const asker = mesh.join({ peerId: `asker ${number}`, role, key: testHotkey(number).signer.publicKey })
    const peer = { peerId: 'miner', addresses: [], hotkey: own.publicKey }
    return await askCapacity({ sessions: asker, clock }, peer)
  }
  return {
    clock,
    subnet,
    plans,
    freeFor,
    [Symbol.asyncDispose]: async () => {
      await actors.stop()
      await miner.stop()
    },
  }
}

describe('Miner', () => {
  before(cryptoReady)

  it('has a plan when it has started, and tells each asker what is free for it', async () => {
    await using directory = await tempDir()
    await using node = await startMiner(directory.path)
    const capacity = { budgetBytes: 100 * MIB, heldBytes: 0, heldChunks: 0 }
    assert.deepEqual(await node.freeFor('validator', 1), { ...capacity, freeBytes: 100 * MIB })
    assert.deepEqual(await node.freeFor('client', 7), { ...capacity, freeBytes: 0 })
  })

  it('plans again when the validators change, and not when only stakes do', async () => {
    await using directory = await tempDir()
    await using node = await startMiner(directory.path, validator(3))
    const miner = { key: testHotkey(2) }
    assert.equal(node.plans.length, 1)
    assert.equal((await node.freeFor('validator', 1)).freeBytes, 50 * MIB)
    await node.subnet.set([validator(1, 99n), miner, validator(3)])
    await turn()
    assert.equal(
      node.clock.pendingTimers,
      6,
      'the next look, probe, sweep, scrub, announcements and receipts are due: it is not planning',
    )
    await node.subnet.set([validator(1, 99n), miner, validator(3), validator(4, 99n)])
    await until(() => node.plans.length > 1, { deadlineMs: 2_000, title: 'the new plan' })
    await until(async () => (await node.freeFor('validator', 4)).freeBytes === 49 * MIB, {
      deadlineMs: 2_000,
      title: 'shares by the new stakes',
    })
    assert.equal(node.plans.length, 2)
  })
})
