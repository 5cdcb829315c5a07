/** Data outlives an outage of every validator: what the chain records and the miners know is enough to read it. */
import assert from 'node:assert/strict'
import { askHave } from '../../protocols/have/client.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import { RetrieveStream } from '../../protocols/retrieve/client.js'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import type { SubnetClient } from '../../src/node/client.js'
import { formatCapability, parseCapability } from '../../src/redundancy/capability.js'
import { parseManifestRoot } from '../../src/redundancy/manifest.js'
import type { PutResult } from '../../src/roles/client/client.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { testId } from '../kit/test-chunk.js'
import { until } from '../kit/until.js'

const BYTES = testBytes('alone', 3 * MIB)

describe('a subnet whose validators and five of eight miners are gone', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  let stored: PutResult
  let reader: SubnetClient

  before(async () => {
    network = await LocalNetwork.start({ miners: 8, validators: 2 })
    const writer = await network.client()
    stored = await writer.storage.put([BYTES], { profile: 'copies' })
    const { address } = parseCapability(stored.capability)
    await until(async () => (await announcers(writer, address)).length === 4, {
      deadlineMs: 40_000,
      title: 'all four holders announce the manifest',
    })
    await network.stopClient(writer)
    const holders = stored.holders.map(({ hotkey }) => network.nameOf(hotkey))
    const others = network.miners.filter((name) => !holders.includes(name))
    // One of four holders is left.
    const gone = [...network.validators, ...holders.slice(0, 3), ...others.slice(0, 2)]
    await Promise.all(gone.map((name) => network.stopNode(name)))
    // It knows nothing but the chain.
    reader = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  it('still gives an object, and says how little of it is left', async () => {
    assert.ok(sameBytes(await readBack(reader, stored.capability), BYTES))
    const { health, weakest } = await reader.storage.stat(stored.capability)
    assert.deepEqual([health, weakest], ['degraded', { live: 1, n: 4, k: 1 }])
  })

  it('names the holder that is left in the DHT, reached through the chain records alone', async () => {
    const members = reader.subnet.view.members()
    const left = network.nameOf(stored.holders[3]?.hotkey ?? '')
    const named = await announcers(reader, parseCapability(stored.capability).address)
    const names = members
      .filter(({ endpoint }) => named.includes(endpoint?.peerId ?? ''))
      .map(({ hotkey }) => network.nameOf(hotkey))
    assert.ok(names.includes(left), `${left} is among ${names}`)
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

  /** Peer ids that the DHT names for a digest. */
  async function announcers(client: SubnetClient, digest: Uint8Array): Promise<string[]> {
    const found = new Set<string>()
    for await (const { peerId } of client.subnet.network.net.findProviders(digest)) found.add(peerId)
    return [...found]
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
