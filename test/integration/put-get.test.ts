/** Objects through a whole subnet of real nodes over TCP: what goes in comes out, and what cannot be is said clearly. */
import assert from 'node:assert/strict'
import { systemRandom } from '../../src/base/random.js'
import { GIB, KIB } from '../../src/base/units.js'
import type { SubnetClient } from '../../src/node/client.js'
import { formatCapability } from '../../src/redundancy/capability.js'
import { segmentSize } from '../../src/redundancy/layout.js'
import { PROFILES, type ProfileName } from '../../src/redundancy/profiles.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { until } from '../kit/until.js'

describe('put and get', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  let writer: SubnetClient
  let reader: SubnetClient

  before(async () => {
    network = await LocalNetwork.start({ miners: 12, validators: 2 })
    writer = await network.client()
    reader = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  for (const profile of ['single', 'copies', 'small'] satisfies ProfileName[]) {
    const wholeBytes = segmentSize('private', PROFILES[profile].k)
    const sizes: readonly (readonly [what: string, sizeBytes: number, segments: number])[] = [
      ['nothing', 0, 0],
      ['one byte', 1, 0],
      ['the largest object that lies in its manifest', 64 * KIB, 0],
      ['the smallest object that does not', 64 * KIB + 1, 1],
      ['exactly one segment', wholeBytes, 1],
      ['several segments, the last one short', 2 * wholeBytes + 12_345, 3],
    ]
    for (const [what, sizeBytes, segments] of sizes) {
      it(`gives back ${what}, stored as ${profile}`, async () => {
        const bytes = testBytes(what, sizeBytes)
        const stored = await writer.storage.put([bytes], { profile, sizeBytes })
        assert.equal(stored.sizeBytes, sizeBytes)
        assert.equal(stored.segments, segments)
        assert.equal(stored.weakestReceipts, stored.fullReceipts)
        assert.ok(sameBytes(await readBack(reader, stored.capability), bytes))
      })
    }
  }

  it('stores a stream of unknown size in pieces of any size', async () => {
    const bytes = testBytes('pieces', 300_000)
    async function* pieces() {
      for (let start = 0; start < bytes.length; start += 70_001) yield bytes.subarray(start, start + 70_001)
    }
    const { capability, sizeBytes } = await writer.storage.put(pieces(), { profile: 'small' })
    assert.equal(sizeBytes, bytes.length)
    assert.ok(sameBytes(await readBack(reader, capability), bytes))
  })

  it('tells how an object is doing without reading it', async () => {
    const sizeBytes = 100_000
    const { capability } = await writer.storage.put([testBytes('stat', sizeBytes)], { profile: 'small' })
    const [bare = ''] = capability.split('#')
    const status = await reader.storage.stat(bare)
    assert.deepEqual(
      { sizeBytes: status.sizeBytes, health: status.health, weakest: status.weakest },
      { sizeBytes, health: 'healthy', weakest: { live: 7, n: 7, k: 1 } },
    )
  })

  it('tells as many bytes at the holders as the put stored there', async () => {
    for (const sizeBytes of [1_000, 100_000]) {
      const stored = await writer.storage.put([testBytes('size', sizeBytes)], { profile: 'small' })
      const { storedBytes } = await reader.storage.stat(stored.capability)
      assert.equal(storedBytes, stored.storedBytes)
      assert.ok(storedBytes > sizeBytes)
    }
  })

  it('refuses a capability with the key of another object, before it fetches a byte for it', async () => {
    for (const sizeBytes of [1, 100_000]) {
      const { capability } = await writer.storage.put([testBytes('own', sizeBytes)], { profile: 'copies' })
      const other = await writer.storage.put([testBytes('other', 1)], { profile: 'copies' })
      const crossed = `${capability.split('#')[0]}#${other.capability.split('#')[1]}`
      await assert.rejects(reader.storage.get(crossed), { code: 'MISMATCH', message: /key/ })
    }
  })

  it('keeps an object for longer, and lets it go, for whoever has its capability', async () => {
    const { capability } = await writer.storage.put([testBytes('owned', 100_000)], {
      profile: 'copies',
      leaseBlocks: 50_000,
    })
    const renewed = await reader.storage.renew(capability, { leaseBlocks: 90_000 })
    assert.ok(renewed.endBlock >= 90_000)
    assert.equal(renewed.miners >= 4, true)
    await readBack(reader, capability)
    await reader.storage.release(capability)
    // No validator knows it any more, and miners keep it in their trash, where nobody can read it.
    await assert.rejects(writer.storage.release(capability), { code: 'NOT_FOUND' })
    await assert.rejects(writer.storage.renew(capability), { code: 'NOT_FOUND' })
    await until(
      () =>
        readBack(reader, capability).then(
          () => false,
          (error: { readonly code?: string }) => error.code === 'NOT_FOUND' || error.code === 'UNRECOVERABLE',
        ),
      {
        deadlineMs: 20_000,
        title: 'the miners have heard of the release',
      },
    )
  })

  it('refuses to read with a capability that has no key', async () => {
    const { capability } = await writer.storage.put([testBytes('bare', 1)], { profile: 'single' })
    const [bare = ''] = capability.split('#')
    await assert.rejects(reader.storage.get(bare), { code: 'INVALID' })
  })

  it('says NOT_FOUND for an object that no validator knows', async () => {
    const [address, objectKey] = [systemRandom.bytes(32), systemRandom.bytes(32)]
    const capability = formatCapability({ kind: 'read', address, objectKey })
    await assert.rejects(reader.storage.get(capability), { code: 'NOT_FOUND', message: /2 validators/ })
  })

  it('says NO_SPACE, and how much is needed, before it reads what does not fit', async () => {
    let read = false
    function* source() {
      read = true
      yield testBytes('huge', 1)
    }
    const put = writer.storage.put(source(), { profile: 'small', sizeBytes: 100 * GIB })
    await assert.rejects(put, { code: 'NO_SPACE', message: /250\.\d GiB are needed/ })
    assert.equal(read, false)
  })
})

describe('put in a network that is too small', function () {
  this.timeout(60_000)
  let network: LocalNetwork

  before(async () => {
    network = await LocalNetwork.start({ miners: 4, validators: 1 })
  })

  after(() => network?.[Symbol.asyncDispose]())

  it('says TOO_FEW_PEERS with the number of operators that the profile needs', async () => {
    const client = await network.client()
    await assert.rejects(client.storage.put([testBytes('few', 1)], { profile: 'small' }), {
      code: 'TOO_FEW_PEERS',
      message: /needs 5 operators with room, there are 4/,
    })
  })

  it('warns of a profile that has not its full strength', async () => {
    const client = await network.client()
    const { warning } = await client.storage.put([testBytes('weak', 1)], { profile: 'copies' })
    assert.match(warning ?? '', /full strength from 6 operators, there are 4/)
  })
})
