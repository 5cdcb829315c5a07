import assert from 'node:assert/strict'
import type { Located } from '../../../../protocols/order/messages.js'
import { type OrderHandler, type OwnerHandler, serveOrders } from '../../../../protocols/order/server.js'
import type { ErrorCode } from '../../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { seededRandom } from '../../../../src/base/random.js'
import { inlineCoding } from '../../../../src/coding/inline-coding.js'
import { cryptoReady, ed25519Signer } from '../../../../src/crypto/keys.js'
import { formatCapability } from '../../../../src/redundancy/capability.js'
import { segmentSize } from '../../../../src/redundancy/layout.js'
import { objectSigner } from '../../../../src/redundancy/manifest-builder.js'
import { StorageClient } from '../../../../src/roles/client/client.js'
import type { PutRecord } from '../../../../src/transfer/put-journal.js'
import type { UploadReport } from '../../../../src/transfer/upload-report.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { RetrievePeers } from '../../../kit/retrieve-peers.js'
import { testId } from '../../../kit/test-chunk.js'
import { type TestObject, testObject } from '../../../kit/test-object.js'
import { peerOf, TEST_DOMAIN, type TestNeuron, TestSubnet } from '../../../kit/test-subnet.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const CLIENT = ed25519Signer(new Uint8Array(32).fill(4))
const FIRST_VALIDATOR = 500

interface Network {
  readonly object?: TestObject
  readonly validators?: number
  readonly miners?: number
  /** Miners that hold each manifest node, and chunk i of each segment; default: all of them, and miner i. */
  readonly nodes?: readonly number[]
  readonly chunkAt?: (chunk: number) => readonly number[]
}

async function setUp({ object, validators = 1, miners = 4, nodes, chunkAt = (chunk) => [chunk] }: Network) {
  const peers = new RetrievePeers(miners, CLIENT)
  const { mesh, clock } = peers
  const authority = { block: 1, isRegistered: () => true, isValidator: () => true }
  const placed: number[] = []
  const copies = nodes ?? peers.miners.map((_, miner) => miner)
  const keys = Array.from({ length: validators }, (_, i) => testHotkey(FIRST_VALIDATOR + i))
  for (const miner of peers.miners) miner.put(...(object?.nodes ?? []))
  for (const [index, key] of keys.entries()) {
    const handler: OrderHandler = {
      remember: async () => undefined,
      place: async () => {
        placed.push(index)
        throw new SubnetError('NO_SPACE', 'only to see who is asked')
      },
      commit: async () => {
        throw new SubnetError('REFUSED', 'no')
      },
      locate: async (_client, body): Promise<Omit<Located, 'type'>> => {
        if (object === undefined) throw new SubnetError('NOT_FOUND', 'unknown')
        const page = object.segments.slice(body.firstSegment, body.firstSegment + body.segments)
        return {
          holders: [...peers.holders],
          nodes: object.nodes.map(() => [...copies]),
          segments: page.map((chunks) => chunks.map((_, chunk) => [...chunkAt(chunk)])),
        }
      },
    }
    const owners: OwnerHandler = {
      ownerOf: async () => {
        if (object === undefined) throw new SubnetError('NOT_FOUND', 'unknown')
        return objectSigner(object.objectKey).publicKey
      },
      renew: async ({ leaseBlocks }) => ({ endBlock: leaseBlocks + index, miners: 2 }),
      release: async () => ({ miners: 2 }),
    }
    const sessions = mesh.join({ peerId: peerOf(index).peerId, role: 'validator', key: key.signer.publicKey })
    serveOrders(
      { sessions, clock, authority, handler, owners },
      { domain: TEST_DOMAIN, validator: key.signer.publicKey },
    )
  }
  const subnet = new TestSubnet()
  const neurons: TestNeuron[] = keys.map((key) => ({ key, validatorPermit: true }))
  await subnet.set(neurons)
  const { sessions } = peers.components
  const client = (seed = 'client') =>
    new StorageClient(
      {
        sessions,
        clock,
        view: subnet.view,
        random: seededRandom(seed),
        signer: CLIENT,
        coding: inlineCoding,
        findProviders: async function* () {},
      },
      {
        domain: TEST_DOMAIN,
        epochs: { blockMs: 1_000 },
        defaultProfile: 'copies',
        defaultLeaseBlocks: 100,
      },
    )
  return { peers, subnet, neurons, client, placed }
}

const capabilityOf = (object: TestObject) =>
  formatCapability({ kind: 'read', address: object.address, objectKey: object.objectKey })

describe('StorageClient: stat', () => {
  before(cryptoReady)

  it('counts the holders of the manifest of an object that lies in it', async () => {
    const object = testObject('copies', 1_000)
    const { client } = await setUp({ object, miners: 5, nodes: [0, 1, 2, 4] })
    assert.deepEqual(await client().stat(capabilityOf(object)), {
      class: 'private',
      sizeBytes: 1_000,
      storedBytes: 4 * (object.nodes[0]?.length ?? 0),
      profile: 'copies',
      segments: 0,
      createdUnixSeconds: 1_700_000_000,
      holders: 4,
      holdersReachable: 4,
      weakest: { live: 4, n: 4, k: 1 },
      segmentHealth: [],
      copies: { live: 4, held: 4 },
      health: 'healthy',
    })
  })

  it('shows an object in its manifest as degraded while a copy is out of reach', async () => {
    const object = testObject('copies', 1_000)
    const { client, peers } = await setUp({ object })
    peers.mesh.set('peer 2', 'down')
    const { holders, holdersReachable, weakest, health } = await client().stat(capabilityOf(object))
    assert.deepEqual([holders, holdersReachable, health], [4, 3, 'degraded'])
    assert.deepEqual(weakest, { live: 3, n: 4, k: 1 })
  })

  it('shows it as degraded when fewer copies are leased than count as durable', async () => {
    const object = testObject('copies', 1_000)
    const { client } = await setUp({ object, nodes: [0, 1] })
    const { weakest, health } = await client().stat(capabilityOf(object))
    assert.deepEqual([weakest, health], [{ live: 2, n: 4, k: 1 }, 'degraded'])
  })

  it('goes by the copies of the manifest where a public object is empty, and names its CID', async () => {
    const object = testObject('copies', 0, 'empty', 'public')
    const { client, peers } = await setUp({ object })
    const capability = formatCapability({ kind: 'verify', address: object.address })
    const { class: objectClass, fileCid, weakest, health } = await client().stat(capability)
    assert.deepEqual([objectClass, health], ['public', 'healthy'])
    assert.equal(fileCid, 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku', 'as IPFS has it')
    assert.deepEqual(weakest, { live: 4, n: 4, k: 1 })
    for (const miner of [1, 2, 3]) peers.mesh.set(`peer ${miner}`, 'down')
    assert.equal((await client().stat(capability)).health, 'degraded')
  })

  it('counts holders of chunks and of the manifest once each', async () => {
    const object = testObject('copies', segmentSize('private', 1) + 1)
    const { client } = await setUp({ object, miners: 6, nodes: [3, 4, 5] })
    const { holders, holdersReachable, segments, weakest, health } = await client().stat(capabilityOf(object))
    assert.deepEqual([holders, holdersReachable, segments, health], [6, 6, 2, 'healthy'])
    assert.deepEqual(weakest, { live: 4, n: 4, k: 1 })
  })

  it('takes the weakest segment by chunks at reachable holders, and its state from it', async () => {
    const object = testObject('small', segmentSize('private', 4))
    const { client, peers } = await setUp({ object, miners: 12, nodes: [10, 11] })
    for (let miner = 0; miner < 6; miner += 1) peers.mesh.set(`peer ${miner}`, 'down')
    const degraded = await client().stat(capabilityOf(object))
    assert.deepEqual([degraded.weakest, degraded.health], [{ live: 4, n: 10, k: 4 }, 'degraded'])
    peers.mesh.set('peer 6', 'down')
    const lost = await client().stat(capabilityOf(object))
    assert.deepEqual([lost.weakest, lost.health], [{ live: 3, n: 10, k: 4 }, 'lost'])
  })

  it('tells of all segments, the weakest first, how many chunks live and can be lost still', async () => {
    const object = testObject('copies', 2 * segmentSize('private', 1) + 1)
    let segment = 0
    // The first segment has lost one chunk, the others none.
    const { client } = await setUp({
      object,
      chunkAt: (chunk) => (chunk === 3 && segment++ === 0 ? [] : [chunk]),
    })
    const { segmentHealth, weakest, health } = await client().stat(capabilityOf(object))
    assert.deepEqual(segmentHealth, [
      { segments: 1, live: 3, n: 4, k: 1, canLose: 2 },
      { segments: 2, live: 4, n: 4, k: 1, canLose: 3 },
    ])
    assert.deepEqual([weakest, health], [{ live: 3, n: 4, k: 1 }, 'degraded'])
  })

  it('shows a shrunken segment with all its chunks as healthy', async () => {
    const object = testObject('small', 100_000)
    const { client } = await setUp({ object, miners: 8 })
    const { weakest, health } = await client().stat(capabilityOf(object))
    assert.deepEqual([weakest, health], [{ live: 7, n: 7, k: 1 }, 'healthy'])
  })

  it('does not wait for a silent holder longer than its time', async () => {
    const object = testObject('copies', 1_000)
    const { client, peers } = await setUp({ object })
    peers.mesh.set('peer 3', 'silent')
    const stat = client().stat(capabilityOf(object))
    // Whatever it waits for, it waits on this clock.
    for (let second = 0; second < 20; second += 1) await peers.clock.advance(1_000)
    assert.equal((await stat).holdersReachable, 3)
  })
})

describe('StorageClient: get', () => {
  before(cryptoReady)

  it('refuses a capability without a key, and the key of another object', async () => {
    const object = testObject('copies', 1_000)
    const { client } = await setUp({ object })
    const verify = formatCapability({ kind: 'verify', address: object.address })
    await assert.rejects(client().get(verify), coded('INVALID'))
    const wrong = formatCapability({ kind: 'read', address: object.address, objectKey: testId(32, 9) })
    await assert.rejects(client().get(wrong), coded('MISMATCH'))
  })

  it('gives what lies in the manifest', async () => {
    const object = testObject('copies', 1_000)
    const { client } = await setUp({ object })
    const { data, sizeBytes } = await client().get(capabilityOf(object))
    let read = 0
    for await (const piece of data) read += piece.length
    assert.deepEqual([sizeBytes, read], [1_000, 1_000])
  })

  it('does not find what no validator knows, and says when there is none to ask', async () => {
    const capability = capabilityOf(testObject('copies', 1_000))
    const { client, subnet } = await setUp({})
    await assert.rejects(client().get(capability), coded('NOT_FOUND'))
    await subnet.set([])
    await assert.rejects(client().get(capability), coded('TOO_FEW_PEERS'))
  })
})

describe('StorageClient: validators', () => {
  before(cryptoReady)

  it('are asked for an object in an order that all clients share, whatever their uids', async () => {
    const object = testObject('copies', 1_000)
    const orderOf = async (arrange: (neurons: TestNeuron[]) => TestNeuron[]) => {
      const { client, subnet, neurons, peers } = await setUp({ object, validators: 5 })
      await subnet.set(arrange(neurons.map((neuron, index) => ({ ...neuron, record: peerOf(index) }))))
      await client().stat(capabilityOf(object))
      return peers.mesh.opened.filter((text) => text.startsWith('order')).join()
    }
    const first = await orderOf((neurons) => neurons)
    assert.equal(await orderOf((neurons) => neurons.reverse()), first)
    assert.equal(first.split(',').length, 5)
  })

  it('get new objects by chance: each is asked by some puts', async () => {
    const { client, placed } = await setUp({ validators: 3 })
    for (let put = 0; put < 30; put += 1) {
      await assert.rejects(client(`put ${put}`).put([new Uint8Array(1)]), coded('NO_SPACE'))
    }
    const counts = [0, 1, 2].map((index) => placed.filter((each) => each === index).length)
    assert.ok(
      counts.every((count) => count >= 3),
      counts.join(),
    )
  })

  it('are not there before the first epoch: a put names the block and the time at which there may be one', async () => {
    const { client, subnet, neurons } = await setUp({})
    await subnet.set(
      neurons.map((neuron) => ({ ...neuron, validatorPermit: false, stakeRao: 1n })),
      33,
    )
    await assert.rejects(client().put([new Uint8Array(1)]), (error) => {
      assert.ok(isSubnetError(error, 'TOO_FEW_PEERS'))
      assert.match(error.message, /no validator has a permit yet.* at block 40, in about 7 s \(now 33\)/)
      assert.deepEqual(error.data, { block: 33, epochBlock: 40, retryAfterMs: 7_000 })
      return true
    })
    await subnet.set(neurons.map((neuron) => ({ ...neuron, validatorPermit: false })))
    await assert.rejects(client().put([new Uint8Array(1)]), /none of the 1 registered nodes has stake/)
    await subnet.set([])
    await assert.rejects(client().put([new Uint8Array(1)]), /nobody is registered/)
  })

  it('that do not answer are passed over; with none left the put says so', async () => {
    const { client, placed, peers } = await setUp({ validators: 2 })
    peers.mesh.set(peerOf(0).peerId, 'down')
    for (let put = 0; put < 4; put += 1) {
      await assert.rejects(client(`put ${put}`).put([new Uint8Array(1)]), coded('NO_SPACE'))
    }
    assert.deepEqual(placed, [1, 1, 1, 1])
    peers.mesh.set(peerOf(1).peerId, 'down')
    await assert.rejects(
      client().put([new Uint8Array(1)]),
      (error) => isSubnetError(error, 'TOO_FEW_PEERS') && isSubnetError(error.cause, 'DISCONNECTED'),
    )
  })
})

describe('StorageClient: a put with a journal', () => {
  before(cryptoReady)

  /** A journal that holds `record`. */
  function journalOf(record?: PutRecord) {
    const journal = {
      record,
      load: async () => journal.record,
      save: async (saved: PutRecord) => {
        journal.record = saved
      },
      remove: async () => {
        journal.record = undefined
      },
    }
    return journal
  }

  const recordAt = (validator: number, objectKey = testId(32, 1)): PutRecord => ({
    objectKey,
    put: testId(16, 2),
    validator: testHotkey(FIRST_VALIDATOR + validator).signer.publicKey,
    profile: 'copies',
    class: 'private',
    createdUnixSeconds: 1,
  })

  const reportOf = (object: TestObject): UploadReport => ({
    address: object.address,
    class: 'private',
    sizeBytes: 1_000,
    storedBytes: 4_000,
    sentBytes: 4_000,
    reusedBytes: 0,
    segments: 0,
    endBlock: 100,
    weakestReceipts: 4,
    fullReceipts: 4,
    holders: [],
    retries: 0,
  })

  it('writes down what a second run needs before anything is sent, and leaves it there when it fails', async () => {
    const { client } = await setUp({})
    const journal = journalOf()
    await assert.rejects(client().put([testId(16, 1)], { journal }), coded('NO_SPACE'))
    const { objectKey, put, validator, profile } = journal.record as PutRecord
    assert.deepEqual([objectKey.length, put.length, profile], [32, 16, 'copies'])
    assert.deepEqual(validator, testHotkey(FIRST_VALIDATOR).signer.publicKey)
    const before = journal.record
    await assert.rejects(client('another run').put([testId(16, 1)], { journal }), coded('NO_SPACE'))
    assert.deepEqual(journal.record, before, 'key, name and time are those of the first run')
  })

  it('goes back to its validator, and to another when that is gone', async () => {
    for (const index of [0, 1, 2]) {
      const { client, placed } = await setUp({ validators: 3 })
      await assert.rejects(client().put([testId(16, 1)], { journal: journalOf(recordAt(index)) }))
      assert.equal(placed[0], index)
    }
    const { client, placed, peers } = await setUp({ validators: 2 })
    peers.mesh.set(peerOf(0).peerId, 'down')
    await assert.rejects(client().put([testId(16, 1)], { journal: journalOf(recordAt(0)) }))
    assert.deepEqual(placed, [1])
  })

  it('tries every validator in turn when one does not place it, and says what each of them said', async () => {
    const { client, placed, peers } = await setUp({ validators: 3 })
    peers.mesh.set(peerOf(1).peerId, 'down')
    let read = false
    const source = function* () {
      read = true
      yield testId(16, 1)
    }
    await assert.rejects(client().put(source), (error) => {
      assert.ok(isSubnetError(error, 'NO_SPACE'))
      assert.match(error.message, /^none of 3 validators takes the object; they were tried in this order: /)
      assert.equal(error.message.split('NO_SPACE: ').length, 3)
      assert.equal(error.message.split('DISCONNECTED: ').length, 2)
      return true
    })
    assert.deepEqual([...placed].sort(), [0, 2])
    assert.equal(read, false, 'nothing was sent, so nothing was read')
  })

  it('begins anew under another profile', async () => {
    const { client } = await setUp({})
    const journal = journalOf(recordAt(0))
    await assert.rejects(client().put([testId(16, 1)], { journal, profile: 'single' }))
    assert.equal(journal.record?.profile, 'single')
    assert.notDeepEqual(journal.record?.objectKey, testId(32, 1))
  })

  it('is done when the validator had counted the object before the first run was interrupted', async () => {
    const object = testObject('copies', 1_000)
    const { client, placed } = await setUp({ object })
    const journal = journalOf({ ...recordAt(0, object.objectKey), committing: reportOf(object) })
    const result = await client().put([], { journal })
    assert.deepEqual([result.capability, result.resumed], [capabilityOf(object), true])
    assert.equal(journal.record, undefined)
    assert.deepEqual(placed, [])
  })

  it('goes on when it had not', async () => {
    const { client, placed } = await setUp({})
    const journal = journalOf({ ...recordAt(0), committing: reportOf(testObject('copies', 1_000)) })
    await assert.rejects(client().put([testId(16, 1)], { journal }), coded('NO_SPACE'))
    assert.deepEqual(placed, [0])
    assert.deepEqual(journal.record, recordAt(0))
  })
})

describe('StorageClient: renew and release', () => {
  before(cryptoReady)

  it('asks every validator, for each may know the object, and gives the earliest end', async () => {
    const object = testObject('copies', 1_000)
    const { client, peers } = await setUp({ object, validators: 3 })
    assert.deepEqual(await client().renew(capabilityOf(object), { leaseBlocks: 50 }), {
      endBlock: 50,
      miners: 6,
    })
    assert.deepEqual(
      await client().renew(capabilityOf(object)),
      { endBlock: 100, miners: 6 },
      'its own default',
    )
    peers.mesh.set(peerOf(0).peerId, 'down')
    assert.deepEqual(await client().release(capabilityOf(object)), { miners: 4 })
  })

  it('needs the key of the object', async () => {
    const object = testObject('copies', 1_000)
    const { client } = await setUp({ object })
    const [bare = ''] = capabilityOf(object).split('#')
    await assert.rejects(client().release(bare), coded('INVALID'))
    const forged = formatCapability({ kind: 'read', address: object.address, objectKey: new Uint8Array(32) })
    await assert.rejects(client().release(forged), coded('REFUSED'))
    await assert.rejects(client().renew(forged), coded('REFUSED'))
  })

  it('says NOT_FOUND only when every validator was asked', async () => {
    const capability = capabilityOf(testObject('copies', 1_000))
    const { client, peers } = await setUp({ validators: 2 })
    await assert.rejects(client().release(capability), coded('NOT_FOUND'))
    peers.mesh.set(peerOf(0).peerId, 'down')
    await assert.rejects(client().release(capability), coded('DISCONNECTED'))
  })
})

describe('StorageClient: what a capability permits', () => {
  before(cryptoReady)

  const forms = (object: TestObject) => {
    const { address, objectKey } = object
    return {
      bare: formatCapability({ kind: 'verify', address }),
      mask: formatCapability({ kind: 'repair', address, maskRoot: objectKey }),
      key: formatCapability({ kind: 'read', address, objectKey }),
      own: formatCapability({ kind: 'own', address, ownerKey: objectKey }),
    }
  }

  it('to read: the key of a private object, the address of a public one', async () => {
    const hidden = testObject('copies', 100)
    const open = testObject('copies', 0, 'empty', 'public')
    const [one, two] = [await setUp({ object: hidden }), await setUp({ object: open })]
    assert.equal((await one.client().get(forms(hidden).key)).class, 'private')
    for (const form of ['bare', 'mask', 'own'] as const) {
      await assert.rejects(one.client().get(forms(hidden)[form]), coded('INVALID'), form)
    }
    for (const form of ['bare', 'own'] as const) {
      assert.equal((await two.client().get(forms(open)[form])).class, 'public', form)
    }
    await assert.rejects(two.client().get(forms(open).key), coded('MISMATCH'))
    await assert.rejects(two.client().get(forms(open).mask), coded('INVALID'))
    await assert.rejects(one.client().getCar(forms(hidden).key), coded('INVALID'))
    assert.equal((await two.client().getCar(forms(open).bare)).sizeBytes, 0)
  })

  it("to renew and release: the owner's key, which is the object key of a private object", async () => {
    for (const object of [testObject('copies', 100), testObject('copies', 0, 'empty', 'public')]) {
      const { client } = await setUp({ object })
      for (const form of ['bare', 'mask'] as const) {
        await assert.rejects(client().renew(forms(object)[form]), coded('INVALID'))
        await assert.rejects(client().release(forms(object)[form]), coded('INVALID'))
      }
      for (const form of ['own', 'key'] as const) {
        assert.equal((await client().renew(forms(object)[form], { leaseBlocks: 7 })).endBlock, 7)
        assert.equal((await client().release(forms(object)[form])).miners, 2)
      }
    }
  })
})
