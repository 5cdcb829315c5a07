/** Data outlives an outage of every validator: what the chain records and the miners know is enough to read it. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import { askHave } from '../../protocols/have/client.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import { RetrieveStream } from '../../protocols/retrieve/client.js'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import type { SubnetClient } from '../../src/node/client.js'
import { dhtSearch } from '../../src/node/dht-search.js'
import { Neighbours } from '../../src/node/neighbours.js'
import { formatCapability, parseCapability } from '../../src/redundancy/capability.js'
import { parseManifestRoot } from '../../src/redundancy/manifest.js'
import type { PutResult } from '../../src/roles/client/put.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { testId } from '../kit/test-chunk.js'
import { until } from '../kit/until.js'

/** One segment, too large to lie in the manifest. */
const BYTES = testBytes('alone', 900_000)

describe('a subnet whose validators and five of eight miners are gone', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  let stored: PutResult
  /** Names of the three miners that are left. */
  let left: readonly string[]
  let reader: SubnetClient

  before(async () => {
    network = await LocalNetwork.start({ miners: 8, validators: 2 })
    const writer = await network.client()
    stored = await writer.storage.put([BYTES], { profile: 'copies' })
    const { address } = parseCapability(stored.capability)
    const holders = namesOf(({ holdsManifest }) => holdsManifest).sort()
    // A client finds it in the DHT that knows the chain records and nobody else.
    await until(async () => isDeepStrictEqual((await named(address)).sort(), holders), {
      deadlineMs: 40_000,
      title: 'the DHT names the holders of the manifest',
    })
    await network.stopClient(writer)
    // One that has a chunk, one that has the manifest, who may be the same, and any others.
    const needed = [namesOf(holdsChunk)[0], namesOf(({ holdsManifest }) => holdsManifest)[0]]
    left = [...new Set([...needed.flatMap((name) => name ?? []), ...network.miners])].slice(0, 3)
    const gone = [...network.validators, ...network.miners].filter((name) => !left.includes(name))
    assert.equal(gone.length, 2 + 5)
    await Promise.all(gone.map((name) => network.stopNode(name)))
    // It knows nothing but the chain.
    reader = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  it('still gives an object, and says how little of it is left', async () => {
    assert.ok(sameBytes(await readBack(reader, stored.capability), BYTES))
    const { health, weakest } = await reader.storage.stat(stored.capability)
    const live = namesOf(holdsChunk).filter((name) => left.includes(name)).length
    assert.ok(live >= 1 && live <= 3)
    assert.deepEqual([health, weakest], ['degraded', { live, n: 4, k: 1 }])
  })

  it('says which ways were tried for an object that nobody has', async () => {
    const unknown = formatCapability({ kind: 'verify', address: testId(32, 1) })
    await assert.rejects(reader.storage.stat(unknown), (error) => {
      assert.ok(isSubnetError(error, 'DISCONNECTED'))
      assert.match(
        error.message,
        /2 did not answer; the DHT names no miner, 3 of 8 miners answered and none has it/,
      )
      return true
    })
  })

  /** Names of the members that the DHT names to a client that has no connection yet. */
  async function named(digest: Uint8Array): Promise<string[]> {
    const client = await network.client()
    const { view, network: own } = client.subnet
    const common = { net: own.net, view, clock: systemClock, random: systemRandom, logger: silentLogger }
    const find = dhtSearch({ ...common, neighbours: new Neighbours(common) })
    const peerIds = new Set<string>()
    for await (const { peerId } of find(digest, {})) peerIds.add(peerId)
    const members = view.members().filter(({ endpoint }) => peerIds.has(endpoint?.peerId ?? ''))
    await network.stopClient(client)
    return members.map(({ hotkey }) => network.nameOf(hotkey))
  }

  type Holding = PutResult['holders'][number]

  function namesOf(condition: (holder: Holding) => boolean): string[] {
    return stored.holders.filter(condition).map(({ hotkey }) => network.nameOf(hotkey))
  }

  function holdsChunk({ bytes }: Holding): boolean {
    return bytes > BYTES.length
  }
})

describe('a miner that strangers read from', function () {
  this.timeout(60_000)

  it('ends one that takes more than its allowance, and not the next one', async () => {
    const allowance = { peerBytesPerHour: 3 * MIB, totalBytesPerHour: 64 * MIB, peersMax: 16 }
    await using network = await LocalNetwork.start({ miners: 1, validators: 1, allowance })
    const writer = await network.client()
    const stored = await writer.storage.put([testBytes('greedy', MIB)], { profile: 'single' })
    const { endpoint, publicKey } = writer.subnet.view.reachable(stored.holders[0]?.hotkey ?? '')
    const miner = { ...endpoint, hotkey: publicKey }
    const { content } = parseManifestRoot(
      await take(writer, miner, parseCapability(stored.capability).address),
    )
    const chunk = content.kind === 'segments' ? content.segments[0]?.chunks[0] : undefined
    assert.equal(chunk?.sizeBytes, MIB)
    const { digest } = chunk
    const greedy = await network.client()
    for (let i = 0; i < 3; i += 1) await take(greedy, miner, digest)
    await assert.rejects(take(greedy, miner, digest), (error) => {
      assert.ok(isSubnetError(error, 'BUSY'))
      assert.ok(Number(error.data.retryAfterMs) > 0)
      return true
    })
    const next = await network.client()
    await take(next, miner, digest)
    assert.deepEqual(await askHave(componentsOf(next), miner, [digest, testId(32, 1)]), [true, false])
    assert.ok((await readBack(greedy, stored.capability)).length === MIB, 'with orders it reads on')
  })

  /** A chunk without an order. */
  async function take(client: SubnetClient, peer: KnownPeer, digest: Uint8Array): Promise<Uint8Array> {
    const stream = await RetrieveStream.open(componentsOf(client), peer, undefined)
    try {
      return await stream.getWhole(digest)
    } finally {
      await stream.close()
    }
  }

  function componentsOf(client: SubnetClient) {
    return { ...client.subnet.network, clock: systemClock }
  }
})
