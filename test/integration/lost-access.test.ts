/**
 * A hotkey whose uid another one took, by pruning or by a swap, loses at one refresh of the metagraph all that it could do:
 * real nodes over TCP, a devchain, and nothing is waited for but that refresh. Its streams and connections are open before.
 */
import assert from 'node:assert/strict'
import { askCapacity } from '../../protocols/capacity/client.js'
import { CHALLENGE, challengeAnswerSchema } from '../../protocols/challenge/messages.js'
import { wireDomain } from '../../protocols/common/signed.js'
import { openFrames } from '../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import { LEASE, releaseAnswerSchema } from '../../protocols/lease/messages.js'
import { OrderClient } from '../../protocols/order/client.js'
import { type Order, type OrderVerb, signOrder } from '../../protocols/order/order.js'
import { RetrieveStream } from '../../protocols/retrieve/client.js'
import { OrderTally } from '../../protocols/retrieve/receipt.js'
import { StoreStream } from '../../protocols/store/client.js'
import { systemClock } from '../../src/base/clock.js'
import { type ErrorCode, isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import { DevchainAdapter } from '../../src/chain/devchain/adapter.js'
import { localApi } from '../../src/chain/devchain/api.js'
import { SubnetView } from '../../src/chain/subnet-view.js'
import { type Signer, toSs58 } from '../../src/crypto/keys.js'
import type { SubnetClient } from '../../src/node/client.js'
import { createNetwork, type Network } from '../../src/node/network.js'
import { WeightSetter } from '../../src/roles/validator/weight-setter.js'
import type { PutRecord } from '../../src/transfer/put-journal.js'
import { testHotkey } from '../kit/chain-keys.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { tempDir } from '../kit/temp-dir.js'
import { testId } from '../kit/test-chunk.js'
import { wireChunk } from '../kit/test-orders.js'
import { until } from '../kit/until.js'

const CHUNK = wireChunk(1, 50_000)
const OTHER = wireChunk(2, 50_000)
const SWAP_PAYMENT_RAO = 1_000_000_000n

describe('a hotkey that loses its place on the subnet', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  let chain: DevchainAdapter
  let client: SubnetClient
  let serial = 0
  const open: AsyncDisposable[] = []

  before(async () => {
    network = await LocalNetwork.start({
      validators: 4,
      miners: 4,
      // Nobody earns before the first epoch, so a full subnet prunes in the order of uids.
      firstUids: ['validator-0', 'miner-0'],
      genesis: {
        tempo: 360,
        parameters: { maxAllowedUids: 8, immunityPeriodBlocks: 0, minNonImmuneUids: 0 },
      },
      faucet: false,
    })
    chain = new DevchainAdapter({ api: localApi(network.devchain), clock: systemClock })
    await chain.start()
    client = await network.client()
  })
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]()
  })
  after(async () => {
    await chain?.stop()
    await network?.[Symbol.asyncDispose]()
  })

  /** A peer of a validator's hotkey that does as it likes: it never looks at the metagraph. */
  async function peerOf(
    signer: Signer,
  ): Promise<Network & { readonly signer: Signer; readonly clock: typeof systemClock }> {
    const view = new SubnetView({ chain, logger: silentLogger })
    await view.start()
    const components = { clock: systemClock, logger: silentLogger, chain, view, signer }
    const seed = seededRandom(`peer of ${toSs58(signer.publicKey)}`).bytes(32)
    const made = createNetwork(components, { role: 'validator', peerKeySeed: seed, listen: [] })
    await made.net.start()
    open.push({
      [Symbol.asyncDispose]: async () => {
        await made.net.stop()
        await view.stop()
      },
    })
    return { ...made, signer, clock: systemClock }
  }

  function known(name: string): KnownPeer {
    const { hotkey } = network.node(name).identity
    const { endpoint, publicKey } = client.subnet.view.reachable(hotkey)
    return { ...endpoint, hotkey: publicKey }
  }

  /** For the client, at this miner. */
  function order(verb: OrderVerb, validator: Signer, miner: KnownPeer): Order {
    const expiresBlock = network.devchain.head.number + 1_000
    serial += 1
    return signOrder(validator, wireDomain(chain.constants), {
      verb,
      client: client.subnet.signer.publicKey,
      miner: miner.hotkey,
      maxBytes: 64 * MIB,
      serial: testId(16, serial),
      expiresBlock,
      leaseEndBlock: expiresBlock,
    })
  }

  const asking = () => ({ ...client.subnet.network, clock: systemClock })
  const domain = () => wireDomain(chain.constants)

  /** Every running node and the client have a metagraph of the newest block, or a later one. */
  async function refreshed(): Promise<void> {
    const { number } = network.devchain.head
    const names = [...network.validators, ...network.miners]
    const blocks = async () => [
      client.subnet.view.membersBlock,
      ...(await Promise.all(names.map(async (name) => (await network.node(name).status()).membersBlock))),
    ]
    await until(async () => (await blocks()).every((block) => block >= number), {
      deadlineMs: 10_000,
      title: `a metagraph of block ${number}`,
    })
  }

  /** Gives its uid to a newcomer; who it is follows from the rules of pruning. */
  async function prune(name: string): Promise<void> {
    const { uid, hotkey } = network.node(name).identity
    const newcomer = testHotkey(uid)
    const { address: coldkey } = testHotkey(100)
    assert.equal(await chain.faucet.join({ hotkey: newcomer.signer, coldkey }), uid)
    assert.ok((await chain.metagraph()).neurons.every((neuron) => neuron.hotkey !== hotkey))
    await refreshed()
  }

  /** By its own coldkey; the new hotkey. */
  async function swap(name: string): Promise<Signer> {
    const { hotkey, coldkey } = await network.keysOf(name)
    const fresh = testHotkey(50 + network.node(name).identity.uid)
    await chain.faucet.pay(coldkey, SWAP_PAYMENT_RAO)
    await chain.swapHotkey({ coldkey, hotkey: toSs58(hotkey.publicKey), newHotkey: fresh.address })
    await refreshed()
    return fresh.signer
  }

  async function refusedWith(work: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
    await assert.rejects(work, (error) => {
      assert.ok(isSubnetError(error, code), `${error}`)
      assert.match(error.message, text)
      return true
    })
  }

  /** All that a validator could do before; `lose` takes its place away. */
  async function losesAll(name: string, lose: () => Promise<unknown>): Promise<void> {
    const { hotkey } = await network.keysOf(name)
    const [miner, own] = [known('miner-2'), known(name)]
    const peer = await peerOf(hotkey)
    const orders = new OrderClient(
      { ...asking(), random: seededRandom(name), signer: client.subnet.signer },
      domain(),
    )
    const place = () =>
      orders.place(own, { profile: 'single', put: testId(16, 1), leaseBlocks: 100, sizeBytes: 5 })
    // Before: challenges, leases and questions of its own; what it signs lets clients store and read; it places.
    await askCapacity(peer, miner)
    const challenge = await openFrames(peer, CHALLENGE, miner)
    const lease = await openFrames(peer, LEASE, miner)
    const [put, get] = [order('put', hotkey, miner), order('get', hotkey, miner)]
    const storing = await StoreStream.open(asking(), miner, put, domain())
    await storing.send(CHUNK)
    const tally = new OrderTally(get, { domain: domain(), signer: client.subnet.signer })
    const reading = await RetrieveStream.open(asking(), miner, tally)
    await reading.getWhole(CHUNK.digest)
    assert.ok((await place()).candidates.length > 0)
    const gone = new Promise<void>((resolve) => {
      peer.net.onDisconnect((peerId) => peerId === miner.peerId && resolve())
    })

    await lose()

    // What was open is cut, from the other side.
    await refusedWith(challenge.readMessage(challengeAnswerSchema, 'answer'), 'DISCONNECTED', /./)
    await refusedWith(lease.readMessage(releaseAnswerSchema, 'released'), 'DISCONNECTED', /./)
    await gone
    await refusedWith(askCapacity(peer, miner), 'REFUSED', /hotkey is not registered on this subnet/)
    // What it signed is worth nothing, on streams that are open and on new ones.
    await refusedWith(storing.send(OTHER), 'REFUSED', /its signer has no validator permit/)
    await refusedWith(reading.getWhole(CHUNK.digest), 'REFUSED', /its signer has no validator permit/)
    await refusedWith(StoreStream.open(asking(), miner, put, domain()), 'REFUSED', /no validator permit/)
    // It places nothing any more: clients do not even talk to it.
    await refusedWith(place(), 'REFUSED', /hotkey is not registered on this subnet/)
    assert.ok(client.subnet.view.validators().every((each) => toSs58(own.hotkey) !== each.hotkey))
    await setsNoWeights(hotkey)
  }

  async function setsNoWeights(hotkey: Signer): Promise<void> {
    await using directory = await tempDir()
    const components = { chain, clock: systemClock, random: seededRandom('weights') }
    const setter = new WeightSetter(components, { hotkey, path: directory.path })
    const { number: block } = await chain.head()
    const planning = setter.plan({ shares: new Map([[2, 1n]]), block })
    await refusedWith(planning, 'CHAIN_REFUSED', /not registered on subnet 1: run "subnet-node register"/)
    const sending = chain.commitWeights(hotkey, new Uint8Array(32))
    await refusedWith(sending, 'CHAIN_REFUSED', /HotKeyNotRegisteredInSubNet/)
  }

  /** As a miner: nothing is placed on it, sent to it or asked of it. */
  async function getsNothing(name: string, lose: () => Promise<unknown>): Promise<void> {
    const { hotkey: validator } = await network.keysOf('validator-3')
    const [miner, asked] = [known(name), known('validator-3')]
    const orders = new OrderClient(
      { ...asking(), random: seededRandom(name), signer: client.subnet.signer },
      domain(),
    )
    const candidates = async () => {
      const body = { profile: 'single' as const, put: testId(16, 2), leaseBlocks: 100 }
      return (await orders.place(asked, body)).candidates.map(({ hotkey }) => toSs58(hotkey))
    }
    const address = toSs58(miner.hotkey)
    assert.ok((await candidates()).includes(address))
    const put = order('put', validator, miner)
    const storing = await StoreStream.open(asking(), miner, put, domain())
    await storing.send(CHUNK)

    await lose()

    assert.ok(!(await candidates()).includes(address))
    await refusedWith(storing.send(OTHER), 'DISCONNECTED', /./)
    await refusedWith(
      StoreStream.open(asking(), miner, put, domain()),
      'REFUSED',
      /hotkey is not registered on this subnet/,
    )
    const heard = await network.node('validator-3').miners()
    assert.ok(heard.every(({ member }) => member.hotkey !== address))
  }

  it('as a validator that was pruned can challenge, place, sign and weigh nothing', async () => {
    await losesAll('validator-0', () => prune('validator-0'))
  })

  it('as a miner that was pruned is offered, sent and asked nothing', async () => {
    await getsNothing('miner-0', () => prune('miner-0'))
  })

  it('as a validator that was swapped hands all of it to the new hotkey, and keeps nothing', async () => {
    let fresh: Signer | undefined
    await losesAll('validator-1', async () => {
      fresh = await swap('validator-1')
    })
    assert.ok(fresh)
    const peer = await peerOf(fresh)
    assert.ok((await askCapacity(peer, known('miner-2'))).budgetBytes > 0)
    const storing = StoreStream.open(
      asking(),
      known('miner-2'),
      order('put', fresh, known('miner-2')),
      domain(),
    )
    await (await storing).send(OTHER)
  })

  it('as a miner that was swapped is offered, sent and asked nothing', async () => {
    await getsNothing('miner-1', () => swap('miner-1'))
  })

  it('in the middle of a put leaves it to another validator, and what is stored can be read', async () => {
    const bytes = testBytes('middle', 4 * MIB)
    const placing: string[] = []
    const journal = {
      load: async () => undefined,
      save: async ({ validator }: PutRecord) => {
        placing.push(network.nameOf(toSs58(validator)))
      },
      remove: async () => undefined,
    }
    let runs = 0
    async function* source() {
      runs += 1
      yield bytes.subarray(0, 2 * MIB)
      if (runs === 1) await swap(placing[0] ?? assert.fail('nobody places'))
      yield bytes.subarray(2 * MIB)
    }
    const stored = await client.storage.put(() => source(), { profile: 'single', journal })
    assert.deepEqual([runs, stored.validatorsTried], [2, 1])
    assert.notEqual(placing.at(-1), placing[0])
    assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
  })
})
