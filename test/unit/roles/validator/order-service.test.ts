import assert from 'node:assert/strict'
import { checkLeaseCounted, type LeaseEntry } from '../../../../protocols/lease/lease.js'
import { packLease } from '../../../../protocols/lease/packed-lease.js'
import type { PlaceBody } from '../../../../protocols/order/messages.js'
import { checkOrder } from '../../../../protocols/order/order.js'
import type { CommitRequest } from '../../../../protocols/order/server.js'
import type { ErrorCode } from '../../../../src/base/errors.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { GIB, MIB } from '../../../../src/base/units.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { segmentSize } from '../../../../src/redundancy/layout.js'
import { objectSigner } from '../../../../src/redundancy/manifest-builder.js'
import { maskRootOf } from '../../../../src/redundancy/mask.js'
import { Ledger } from '../../../../src/roles/validator/ledger.js'
import type { MinerWatchMessage, WatchedMiner } from '../../../../src/roles/validator/miner-watch.js'
import { OrderService } from '../../../../src/roles/validator/order-service.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { RecordingRef } from '../../../kit/recording-context.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { testId } from '../../../kit/test-chunk.js'
import { spreadOver, type TestObject, testLease, testObject } from '../../../kit/test-object.js'
import { TEST_DOMAIN, type TestNeuron, TestSubnet } from '../../../kit/test-subnet.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)

const MINERS = 6
const VALIDATOR = 100
const CLIENT = testId(32, 50)
const BLOCK = 40
const PLACE: PlaceBody = { profile: 'copies', put: testId(16, 1), leaseBlocks: 1_000, sizeBytes: 100 }

/** Answers `live` with the miners of the view. */
class Watch extends RecordingRef<MinerWatchMessage> {
  live: () => readonly WatchedMiner[] = () => []
  unsettled = 0

  override ask: RecordingRef<MinerWatchMessage>['ask'] = (type, fields, options) => {
    const answer = RecordingRef.prototype.ask.call(this, type, fields as never, options)
    this.asked.at(-1)?.answer({ miners: this.live(), unsettled: this.unsettled })
    return answer as never
  }
}

describe('OrderService', () => {
  let directory: TempDir
  let ledger: Ledger
  let subnet: TestSubnet
  let watch: Watch
  let service: OrderService
  let clock: FakeClock
  let object: TestObject

  before(async () => {
    await cryptoReady()
    object = testObject('copies', 2 * segmentSize('private', 1) + 500)
  })
  beforeEach(async () => {
    directory = await tempDir()
    ledger = new Ledger(directory.path)
    await ledger.start()
    subnet = new TestSubnet()
    await subnet.set(neurons(), BLOCK)
    watch = new Watch()
    watch.live = () =>
      subnet.view.members().flatMap((member) => {
        const capacity = { budgetBytes: GIB, heldBytes: 0, heldChunks: 0, freeBytes: 100 * MIB }
        return member.endpoint === undefined
          ? []
          : [{ member: { ...member, endpoint: member.endpoint }, capacity }]
      })
    clock = new FakeClock()
    service = new OrderService(
      {
        clock,
        ledger,
        watch,
        view: subnet.view,
        signer: testHotkey(VALIDATOR).signer,
        random: seededRandom('orders'),
        logger: silentLogger,
      },
      TEST_DOMAIN,
    )
  })
  afterEach(async () => {
    await ledger.stop()
    await directory[Symbol.asyncDispose]()
  })

  function neurons(count = MINERS): TestNeuron[] {
    return Array.from({ length: count }, (_, miner) => ({ key: testHotkey(miner) }))
  }

  /** Miner `from + i` holds what `entries[i]` names. */
  function commitOf(
    entries: readonly (readonly LeaseEntry[])[],
    endBlocks: readonly number[] = [],
    sender = CLIENT,
  ): CommitRequest {
    const validator = testHotkey(VALIDATOR).signer.publicKey
    const leases = entries.map((own, miner) => {
      const endBlock = endBlocks[miner] ?? 900
      const terms = { object: object.address, validator, endBlock }
      return packLease(testLease(testHotkey(miner).signer, own, terms))
    })
    const body = {
      object: object.address,
      profile: object.profile,
      maskRoot: maskRootOf(object.objectKey),
      nodes: object.nodes.map(({ length }) => length),
      leases: leases.length,
    }
    return { sender, body, nodes: object.nodes, leases }
  }

  const locate = (firstSegment: number, segments: number) =>
    service.locate(CLIENT, { object: object.address, firstSegment, segments })

  describe('remember', () => {
    it('takes a nonce once', async () => {
      await service.remember(testId(16, 3), 50)
      await assert.rejects(service.remember(testId(16, 3), 50), coded('REFUSED'))
    })
  })

  describe('place', () => {
    it('offers every live miner with an order that it will take from this client', async () => {
      const { candidates, leaseEndBlock, warning } = await service.place(CLIENT, PLACE)
      assert.equal(leaseEndBlock, BLOCK + 1_000)
      assert.equal(warning, undefined)
      assert.equal(candidates.length, MINERS)
      const authority = { block: BLOCK, isRegistered: () => true, isValidator: () => true }
      for (const { hotkey, order, peerId, address, group } of candidates) {
        checkOrder(order, { domain: TEST_DOMAIN, authority, verb: 'put', client: CLIENT, miner: hotkey })
        assert.equal(order.leaseEndBlock, leaseEndBlock)
        assert.ok(order.expiresBlock > BLOCK)
        const member = subnet.view.member(hotkey)
        assert.deepEqual([peerId, [address]], [member?.endpoint?.peerId, member?.endpoint?.addresses])
        assert.equal(group, member?.coldkey)
      }
      const serials = new Set(candidates.map(({ order }) => Buffer.from(order.serial).toString('hex')))
      assert.equal(serials.size, MINERS)
    })

    it('refuses a client beyond its rate, naming the limit, and no other client', async () => {
      for (let place = 0; place < 100; place += 1) await service.place(CLIENT, PLACE)
      await assert.rejects(service.place(CLIENT, PLACE), (error) => {
        assert.ok(isSubnetError(error, 'BUSY'))
        assert.match(
          error.message,
          /place: too many requests of this client; the limit is 10 a second, 100 at once/,
        )
        assert.equal(error.data.retryAfterMs, 100)
        return true
      })
      await service.place(testId(32, 51), PLACE)
      await clock.advance(100)
      await service.place(CLIENT, PLACE)
    })

    it('gives the same seed for the same put, whoever asks and whenever, another for another put', async () => {
      const { seed } = await service.place(CLIENT, PLACE)
      assert.notDeepEqual((await service.place(CLIENT, { ...PLACE, put: testId(16, 2) })).seed, seed)
      await subnet.set(neurons(), BLOCK + 5_000)
      assert.deepEqual((await service.place(testId(32, 51), PLACE)).seed, seed)
    })

    it('refuses what the miners cannot take', async () => {
      await assert.rejects(service.place(CLIENT, { ...PLACE, sizeBytes: 10 * GIB }), coded('NO_SPACE'))
      await subnet.set(neurons(3))
      await assert.rejects(service.place(CLIENT, PLACE), coded('TOO_FEW_PEERS'))
    })

    it('asks for patience while too few are heard and others on their first visits', async () => {
      watch.live = () => []
      watch.unsettled = 4
      await assert.rejects(service.place(CLIENT, PLACE), (error) => {
        assert.ok(isSubnetError(error, 'BUSY'))
        assert.match(error.message, /needs 4 operators .* 4 more are being asked for the first time/)
        assert.equal(error.data.retryAfterMs, 2_000)
        return true
      })
    })

    it('knows operators that only members who do not answer now join', async () => {
      // Miner 5 is silent, shares a coldkey with 0 and a network with 1: a commit would count the three as one.
      const [first] = neurons()
      const at = (address: string) => ({ peerId: `p ${address}`, address })
      await subnet.set([
        { ...first, key: testHotkey(0), coldkey: 'c', record: at('/ip4/127.0.0.1/tcp/1') },
        { key: testHotkey(1), record: at('/ip4/8.8.8.1/tcp/1') },
        ...neurons().slice(2, 5),
        { key: testHotkey(5), coldkey: 'c', record: at('/ip4/8.8.8.2/tcp/1') },
      ])
      const all = watch.live
      watch.live = () => all().filter(({ member }) => member.hotkey !== testHotkey(5).address)
      const { candidates } = await service.place(CLIENT, PLACE)
      const groups = new Map(candidates.map(({ hotkey, group }) => [subnet.view.member(hotkey)?.uid, group]))
      assert.equal(groups.get(0), groups.get(1))
      assert.equal(new Set(groups.values()).size, 4)
    })
  })

  describe('commit', () => {
    it('countersigns every lease, records the object and has its miners looked at', async () => {
      const commit = commitOf(spreadOver(object, 4), [900, 800])
      const { countersignatures, weakestReceipts, fullReceipts } = await service.commit(CLIENT, commit)
      for (const [index, lease] of commit.leases.entries()) {
        checkLeaseCounted(lease, countersignatures[index] ?? new Uint8Array(0), TEST_DOMAIN)
      }
      assert.deepEqual([weakestReceipts, fullReceipts], [4, 4])
      const row = await ledger.object(object.address)
      assert.deepEqual(row?.client, CLIENT)
      assert.deepEqual(row?.maskRoot, maskRootOf(object.objectKey))
      assert.deepEqual([row?.segments, row?.committedBlock, row?.endBlock], [3, BLOCK, 800])
      const bytes = [...(commit.leases[0]?.entries ?? [])].reduce((sum, [, , size]) => sum + size, 0)
      assert.equal(row?.minerBytes[0], bytes)
      const looks = watch.sent.map((message) => (message.type === 'look' ? message.hotkey : ''))
      assert.deepEqual(
        looks,
        [0, 1, 2, 3].map((miner) => testHotkey(miner).address),
      )
      const { value: waiting } = await ledger.unconfirmed(testHotkey(0).address).next()
      assert.deepEqual(waiting?.validatorSignature, countersignatures[0])
    })

    it('records nothing of what it refuses', async () => {
      const commit = commitOf(spreadOver(object, 4).slice(0, 3))
      await assert.rejects(service.commit(CLIENT, commit), coded('NOT_DURABLE'))
      assert.equal(await ledger.object(object.address), undefined)
      assert.deepEqual(watch.sent, [])
    })

    it("refuses another client's object and leaves it as it is; the owner may commit again", async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      const before = await ledger.object(object.address)
      const other = testId(32, 51)
      const by = (sender: Uint8Array) => commitOf(spreadOver(object, 5), [], sender)
      for (const sender of [other, CLIENT, testId(32, 52)])
        await assert.rejects(service.commit(other, by(sender)), coded('REFUSED'))
      assert.deepEqual(await ledger.object(object.address), before)
      await service.commit(CLIENT, by(CLIENT))
      assert.equal((await ledger.object(object.address))?.miners.length, 5)
    })

    it("lets whoever has the object's own key commit it again, as another client", async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      const owner = objectSigner(object.objectKey).publicKey
      await service.commit(testId(32, 51), commitOf(spreadOver(object, 5), [], owner))
      assert.equal((await ledger.object(object.address))?.miners.length, 5)
    })
  })

  describe('locate', () => {
    it('does not know what was not committed', async () => {
      await assert.rejects(locate(0, 1), coded('NOT_FOUND'))
    })

    it('names the holders of every chunk and node, with an order to read for whoever asks', async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      const reader = testId(32, 70)
      const { holders, nodes, segments } = await service.locate(reader, {
        object: object.address,
        firstSegment: 0,
        segments: 512,
      })
      assert.deepEqual(nodes, [[0, 1, 2, 3]])
      assert.deepEqual(segments, [
        [[0], [1], [2], [3]],
        [[1], [2], [3], [0]],
        [[2], [3], [0], [1]],
      ])
      const authority = { block: BLOCK, isRegistered: () => true, isValidator: () => true }
      const row = await ledger.object(object.address)
      for (const [index, { hotkey, order }] of holders.entries()) {
        assert.deepEqual(hotkey, testHotkey(index).signer.publicKey)
        checkOrder(order, { domain: TEST_DOMAIN, authority, verb: 'get', client: reader, miner: hotkey })
        assert.ok(order.maxBytes >= 2 * (row?.minerBytes[index] ?? 0))
      }
    })

    it('gives the page that is asked for', async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      assert.deepEqual((await locate(1, 1)).segments, [[[1], [2], [3], [0]]])
      assert.deepEqual((await locate(2, 512)).segments.length, 1)
      assert.deepEqual((await locate(3, 512)).segments, [])
      assert.deepEqual((await locate(0, 0)).segments, [])
    })

    it('leaves out what a miner says that it has lost, until it signs for it anew', async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      const chunk = object.segments[1]?.[1]?.digest
      assert.ok(chunk)
      // Miner 2 holds it, and a copy of the manifest.
      const { address } = testHotkey(2)
      const losses = [[1, chunk] as const, [2, object.address] as const]
      const since = await ledger.hearing(address)
      assert.equal(await ledger.markLost(address, { losses, heard: 2, block: BLOCK }, since), 2)
      const { holders, nodes, segments } = await locate(0, 512)
      assert.equal(holders.length, 4)
      assert.deepEqual(nodes, [[0, 1, 3]])
      assert.deepEqual(segments, [
        [[0], [1], [2], [3]],
        [[1], [], [3], [0]],
        [[2], [3], [0], [1]],
      ])
      assert.deepEqual((await locate(1, 1)).segments, [[[1], [], [3], [0]]])
      assert.deepEqual((await locate(2, 1)).segments, [[[2], [3], [0], [1]]])
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      const healed = await locate(0, 512)
      assert.deepEqual([healed.nodes, healed.segments[1]], [[[0, 1, 2, 3]], [[1], [2], [3], [0]]])
    })

    it('leaves out miners that left or name no address, and renumbers the others', async () => {
      await service.commit(CLIENT, commitOf(spreadOver(object, 4)))
      // Miner 0 has left the subnet, miner 2 has no record.
      await subnet.set([
        { key: testHotkey(1) },
        { key: testHotkey(2), record: undefined },
        { key: testHotkey(3) },
      ])
      const { holders, nodes, segments } = await locate(0, 1)
      assert.deepEqual(
        holders.map(({ hotkey }) => subnet.view.member(hotkey)?.hotkey),
        [testHotkey(1).address, testHotkey(3).address],
      )
      assert.deepEqual(nodes, [[0, 1]])
      assert.deepEqual(segments, [[[], [0], [], [1]]])
    })
  })
})
