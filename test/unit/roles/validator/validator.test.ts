import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serveCapacity } from '../../../../protocols/capacity/server.js'
import {
  checkLeaseCounted,
  type Lease,
  type SignedLease,
  signLease,
} from '../../../../protocols/lease/lease.js'
import { packLease } from '../../../../protocols/lease/packed-lease.js'
import { type Renewal, serveLeases } from '../../../../protocols/lease/server.js'
import { OrderClient } from '../../../../protocols/order/client.js'
import { ActorSystem } from '../../../../src/actor/system.js'
import { SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { GIB } from '../../../../src/base/units.js'
import { cryptoReady, ed25519Signer } from '../../../../src/crypto/keys.js'
import { objectSigner } from '../../../../src/redundancy/manifest-builder.js'
import { maskRootOf } from '../../../../src/redundancy/mask.js'
import { Validator } from '../../../../src/roles/validator/validator.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { PeerMesh } from '../../../kit/peer-mesh.js'
import { tempDir } from '../../../kit/temp-dir.js'
import { spreadOver, testLease, testObject } from '../../../kit/test-object.js'
import { peerOf, TEST_DOMAIN, TestSubnet } from '../../../kit/test-subnet.js'
import { until } from '../../../kit/until.js'

const MINERS = 4
const VALIDATOR = MINERS
const VISIT_MS = 10_000

/** A miner that answers visits and keeps what it is handed. */
class VisitedMiner {
  visits = 0
  readonly confirmed: Uint8Array[] = []
  /** Ends it was asked for, and signed. */
  readonly renewed: number[] = []
  readonly released: Uint8Array[] = []
  /** The lease it signed. */
  lease: Lease | undefined
  /** Digests of what it has lost, the first with the number 1. */
  readonly lost: Uint8Array[] = []
  refusal: Error | undefined
}

async function start(path: string) {
  const [clock, subnet, mesh] = [new FakeClock(), new TestSubnet(), new PeerMesh()]
  const miners = Array.from({ length: MINERS }, (_, number) => {
    const miner = new VisitedMiner()
    const key = testHotkey(number).signer.publicKey
    const sessions = mesh.join({ peerId: peerOf(number).peerId, role: 'miner', key })
    const capacity = async () => {
      miner.visits += 1
      const lastLoss = miner.lost.length
      const claim = { budgetBytes: GIB, heldBytes: 0, heldChunks: 0, freeBytes: GIB }
      return lastLoss === 0 ? claim : { ...claim, lastLoss }
    }
    const confirm = async (_validator: Uint8Array, _object: Uint8Array, signature: Uint8Array) => {
      if (miner.refusal !== undefined) throw miner.refusal
      miner.confirmed.push(signature)
    }
    const renew = async (_validator: Uint8Array, { endBlock, validatorSignature }: Renewal) => {
      if (miner.refusal !== undefined) throw miner.refusal
      assert.ok(miner.lease)
      const lease = { ...miner.lease, endBlock }
      checkLeaseCounted(lease, validatorSignature, TEST_DOMAIN)
      miner.renewed.push(endBlock)
      return signLease(testHotkey(number).signer, TEST_DOMAIN, lease).minerSignature
    }
    const release = async (_validator: Uint8Array, object: Uint8Array) => {
      if (miner.refusal !== undefined) throw miner.refusal
      miner.released.push(object)
    }
    const losses = async (_asker: unknown, after: number) => {
      const numbered = miner.lost.map((digest, i): [number, Uint8Array] => [i + 1, digest])
      return { last: numbered.length, losses: numbered.slice(after) }
    }
    serveCapacity({ sessions, clock, handler: { capacity, losses } })
    serveLeases({ sessions, clock, handler: { confirm, renew, release } })
    return miner
  })
  const neurons = [0, 1, 2, 3].map((number) => ({ key: testHotkey(number) }))
  const all = [...neurons, { key: testHotkey(VALIDATOR), validatorPermit: true }]
  await subnet.set(all, 7)
  const actors = new ActorSystem({ clock, log: silentLogger }, { onFailure: (reason) => assert.fail(reason) })
  const { signer } = testHotkey(VALIDATOR)
  const peerId = peerOf(VALIDATOR).peerId
  const sessions = mesh.join({ peerId, role: 'validator', key: signer.publicKey })
  const { view, chain } = subnet
  const authority = {
    get block() {
      return view.block
    },
    isRegistered: () => true,
    isValidator: () => true,
  }
  const random = seededRandom('validator')
  const logger = silentLogger
  const components = { sessions, clock, actors, chain, view, authority, signer, random, logger }
  const weights = { weightsPath: join(path, 'weights'), weightTarget: undefined }
  const init = { domain: TEST_DOMAIN, path, visitIntervalMs: VISIT_MS, ...weights }
  const validator = new Validator(components, init)
  const clientKey = ed25519Signer(new Uint8Array(32).fill(9))
  const clientSessions = mesh.join({ peerId: 'client', role: 'client', key: clientKey.publicKey })
  const orders = new OrderClient(
    { sessions: clientSessions, clock, authority, random, signer: clientKey },
    TEST_DOMAIN,
  )
  const peer = { peerId, addresses: [], hotkey: signer.publicKey }
  return {
    clock,
    subnet,
    miners,
    validator,
    /** A new block with the same members. */
    block: (number: number) => subnet.set(all, number),
    /** The same, with or without a permit of ours. */
    permit: (validatorPermit: boolean, number: number) =>
      subnet.set([...neurons, { key: testHotkey(VALIDATOR), validatorPermit }], number),
    place: () => orders.place(peer, { profile: 'copies', put: new Uint8Array(16), leaseBlocks: 10 }),
    /** Commits an object that the four miners hold. */
    async commit(): Promise<SignedLease[]> {
      const object = testObject('copies', 1_000)
      const terms = { object: object.address, validator: signer.publicKey }
      const leases = spreadOver(object, MINERS).map((own, number) =>
        testLease(testHotkey(number).signer, own, terms),
      )
      const body = { object: object.address, profile: object.profile, maskRoot: maskRootOf(object.objectKey) }
      await orders.commit(peer, body, { nodes: object.nodes, leases: leases.map(packLease) })
      for (const [number, miner] of miners.entries()) miner.lease = leases[number]?.lease
      return leases
    },
    renew: (leaseBlocks: number) => {
      const { address: object, objectKey } = testObject('copies', 1_000)
      return orders.renew(peer, objectSigner(objectKey), { object, leaseBlocks })
    },
    release: () => {
      const { address: object, objectKey } = testObject('copies', 1_000)
      return orders.release(peer, objectSigner(objectKey), { object })
    },
    live: async () => (await validator.miners()).length,
    [Symbol.asyncDispose]: async () => {
      await actors.stop()
      await validator.stop()
    },
  }
}

const heard = (what: () => Promise<boolean>, title: string) => until(what, { deadlineMs: 2_000, title })

describe('Validator', () => {
  before(cryptoReady)

  it('visits the miners and not itself or other validators, and knows who answered', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    await node.validator.start()
    await node.clock.advance(1)
    await heard(async () => (await node.live()) === MINERS, 'all miners answer')
  })

  it('visits nobody without a permit, and everybody at once when it gets one', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    await node.permit(false, 8)
    await node.validator.start()
    await node.clock.advance(3 * VISIT_MS)
    assert.deepEqual(
      node.miners.map(({ visits }) => visits),
      Array(MINERS).fill(0),
    )
    await node.permit(true, 9)
    await node.clock.advance(1)
    await heard(async () => (await node.live()) === MINERS, 'all miners answer')
    await node.permit(false, 10)
    await heard(async () => (await node.live()) === 0, 'what they said is forgotten')
  })

  it('hands a countersignature over soon after the commit, once', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    await node.validator.start()
    const [lease] = await node.commit()
    assert.ok(lease)
    await node.clock.advance(1)
    await heard(async () => node.miners.every(({ confirmed }) => confirmed.length === 1), 'all are told')
    checkLeaseCounted(lease.lease, node.miners[0]?.confirmed[0] ?? new Uint8Array(0), TEST_DOMAIN)
    const [first] = node.miners
    const visits = first?.visits ?? 0
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return (first?.visits ?? 0) > visits + 1
    }, 'two more visits')
    assert.equal(first?.confirmed.length, 1)
  })

  it('keeps handing it over to a miner that cannot take it now, which lives for all that', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    const [first] = node.miners
    assert.ok(first)
    first.refusal = new SubnetError('BUSY', 'later')
    await node.validator.start()
    await node.commit()
    await node.clock.advance(1)
    await heard(async () => (await node.live()) === MINERS, 'all miners answer')
    first.refusal = undefined
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return first.confirmed.length === 1
    }, 'it is told at a later visit')
  })

  for (const code of ['NOT_FOUND', 'BAD_SIGNATURE'] as const) {
    it(`does not ask a miner again whose answer is ${code}: it has no such lease`, async () => {
      await using directory = await tempDir()
      await using node = await start(directory.path)
      const [first] = node.miners
      assert.ok(first)
      first.refusal = new SubnetError(code, 'no')
      await node.validator.start()
      await node.commit()
      await node.clock.advance(1)
      await heard(async () => (await node.live()) === MINERS, 'all miners answer')
      first.refusal = undefined
      const { visits } = first
      await heard(async () => {
        await node.clock.advance(VISIT_MS)
        return first.visits > visits + 1
      }, 'two more visits')
      assert.deepEqual(first.confirmed, [])
    })
  }

  it('brings a renewal to every miner, to one that is away when it is back, and only then counts on it', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    const [first, ...others] = node.miners
    assert.ok(first)
    await node.validator.start()
    await node.commit()
    await node.clock.advance(1)
    await heard(
      async () => node.miners.every(({ confirmed }) => confirmed.length === 1),
      'all are told of their lease',
    )
    assert.deepEqual(
      await node.renew(10),
      { type: 'renewed', endBlock: 1_000, miners: MINERS },
      'never shorter',
    )
    first.refusal = new SubnetError('BUSY', 'away')
    assert.deepEqual(await node.renew(2_000), { type: 'renewed', endBlock: 2_007, miners: MINERS })
    await heard(async () => others.every(({ renewed }) => renewed.join() === '2007'), 'the others sign')
    assert.deepEqual(first.renewed, [])
    first.refusal = undefined
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return first.renewed.join() === '2007'
    }, 'it signs at a later visit')
    const { visits } = first
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return first.visits > visits + 1
    }, 'two more visits')
    assert.deepEqual(
      node.miners.map(({ renewed }) => renewed),
      node.miners.map(() => [2_007]),
      'once each',
    )
  })

  it('forgets a released object at once, and tells every miner, one that is away when it is back', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    const [first, ...others] = node.miners
    assert.ok(first)
    await node.validator.start()
    await node.commit()
    first.refusal = new SubnetError('BUSY', 'away')
    assert.deepEqual(await node.release(), { type: 'released', miners: MINERS })
    await assert.rejects(node.release(), { code: 'NOT_FOUND' })
    await assert.rejects(node.renew(5), { code: 'NOT_FOUND' })
    assert.deepEqual(await node.validator.audit(), [], 'nothing of it is audited')
    await node.clock.advance(1)
    await heard(async () => others.every(({ released }) => released.length === 1), 'the others are told')
    first.refusal = undefined
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return first.released.length === 1
    }, 'it is told at a later visit')
    await node.commit()
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return first.confirmed.length === 1
    }, 'the same object, stored again, counts again')
    assert.equal(first.released.length, 1)
  })

  it('hears from a miner what that has lost, and asks it for that no more', async () => {
    await using directory = await tempDir()
    await using node = await start(directory.path)
    await node.validator.start()
    const [lease] = await node.commit()
    const [miner] = node.miners
    assert.ok(lease && miner)
    // Nobody serves challenges here: who is asked is missing.
    const asked = async () => (await node.validator.audit()).map((report) => report.miner)
    assert.equal((await asked()).length, MINERS)
    miner.lost.push(...lease.lease.entries.map(([digest]) => digest))
    await heard(async () => {
      await node.clock.advance(VISIT_MS)
      return (await asked()).length === MINERS - 1
    }, 'the loss')
    assert.ok(!(await asked()).includes(testHotkey(0).address))
  })

  it('leaves nothing behind when its ledger does not open', async () => {
    await using directory = await tempDir()
    await writeFile(join(directory.path, 'objects'), 'not a directory')
    await using node = await start(directory.path)
    await assert.rejects(node.validator.start())
    await node.validator.stop()
    await node.block(8)
    await node.clock.advance(VISIT_MS)
    assert.ok(node.miners.every(({ visits }) => visits === 0))
  })

  it('forgets an object a week of blocks after its leases ended', async () => {
    await using directory = await tempDir()
    await using set = await start(directory.path)
    await set.validator.start()
    const [signed] = await set.commit()
    await set.block((signed?.lease.endBlock ?? 0) + 50_400)
    await set.clock.advance(10_000)
    await until(
      () =>
        set.renew(1).then(
          () => false,
          (error) => /does not know the object/.test(String(error)),
        ),
      { deadlineMs: 5_000 },
    )
  })
})
