/** Public objects through a subnet of real nodes: the same bytes and names that IPFS's own programs make of a file. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CarReader } from '@ipld/car'
import { CID } from 'multiformats/cid'
import { concat, equals } from 'uint8arrays'
import { isSubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import { readCarPart } from '../../src/cli/car-part.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { SubnetClient } from '../../src/node/client.js'
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../../src/redundancy/profiles.js'
import type { PutJournal, PutRecord } from '../../src/transfer/put-journal.js'
import type { UploadProgress } from '../../src/transfer/upload.js'
import { type Blocks, ipfsAdd, ipfsCat } from '../kit/ipfs.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { deferred } from '../kit/probe-actor.js'
import { tempDir } from '../kit/temp-dir.js'

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Every block of a CAR, each checked against its CID; fails unless the root is its only one. */
async function blocksOf(data: AsyncIterable<Uint8Array>, root: string): Promise<Blocks> {
  const reader = await CarReader.fromIterable(data)
  assert.deepEqual(
    (await reader.getRoots()).map((cid) => cid.toString()),
    [root],
  )
  const blocks: Blocks = new Map()
  for await (const { cid, bytes } of reader.blocks()) {
    assert.ok(equals(cid.multihash.digest, sha256(bytes)))
    blocks.set(cid.toString(), bytes)
  }
  return blocks
}

const MINERS = 8
/** Before a leaf of a MiB in a CAR: its length, 3 bytes, and its CID; before one of a few bytes 37. */
const LEAF_HEAD_BYTES = 39

describe('public objects', function () {
  this.timeout(120_000)
  let network: LocalNetwork
  let writer: SubnetClient
  let reader: SubnetClient

  before(async () => {
    network = await LocalNetwork.start({ miners: MINERS, validators: 1, capacityBytes: 512 * MIB })
    writer = await network.client()
    reader = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  /** Stores it, and reads it as bytes, as IPFS's exporter does from our blocks alone, and as what `stat` says of it. */
  async function roundTrip(bytes: Uint8Array, profile: ProfileName) {
    const sizeBytes = bytes.length
    const stored = await writer.storage.put([bytes], { profile, sizeBytes, public: true })
    const theirs: Blocks = new Map()
    const cid = await ipfsAdd(streamOf(bytes), theirs)
    assert.equal(stored.fileCid, cid)
    assert.equal(stored.weakestReceipts, stored.fullReceipts)
    assert.match(stored.capability, /^subnet:[a-z2-7]+$/)
    assert.ok(sameBytes(await readBack(reader, stored.capability), bytes))
    const { data, fileCid } = await reader.storage.getCar(stored.capability)
    assert.equal(fileCid, cid)
    const blocks = await blocksOf(data, cid)
    assert.deepEqual([...blocks.keys()].sort(), [...theirs.keys()].sort())
    assert.ok(sameBytes(await ipfsCat(CID.parse(cid), blocks), bytes))
    const status = await reader.storage.stat(stored.capability)
    assert.deepEqual([status.class, status.fileCid, status.health], ['public', cid, 'healthy'])
    assert.equal(status.storedBytes, stored.storedBytes)
    return stored
  }

  const sizes: readonly (readonly [what: string, sizeBytes: number])[] = [
    ['nothing', 0],
    ['one byte', 1],
    ['exactly one leaf', MIB],
    ['one leaf and a byte', MIB + 1],
  ]
  for (const [what, sizeBytes] of sizes) {
    it(`has the CID that IPFS gives ${what}, and gives the same back as bytes and as blocks`, async () => {
      await roundTrip(testBytes(what, sizeBytes), 'copies')
    })
  }

  for (const profile of PROFILE_NAMES) {
    it(`stores more than a segment, with chunks that have one name, as ${profile}`, async () => {
      const bytes = new Uint8Array((PROFILES[profile].k + 2) * MIB + 7)
      bytes.set(testBytes(profile, MIB))
      const { storedBytes } = await roundTrip(bytes, profile)
      // One chunk of the first segment is not zeros, and so is its parity; zeros lie once at each miner that has some.
      const { k, n } = PROFILES[profile]
      assert.ok(storedBytes < (1 + n - k + MINERS) * MIB + MIB, `${storedBytes}`)
    })
  }

  it('reads ranges, over leaves and segments too', async () => {
    const bytes = testBytes('ranges', 5 * MIB + 12_345)
    const { capability } = await writer.storage.put([bytes], { profile: 'small', public: true })
    const ranges = [
      [0, 0],
      [0, 1],
      [MIB - 1, MIB + 1],
      [4 * MIB - 5_000, 4 * MIB + 5_000],
      [3 * MIB, 5 * MIB],
      [5 * MIB + 12_344, 5 * MIB + 12_345],
    ] as const
    for (const [start, end] of ranges) {
      const { data } = await reader.storage.get(capability, { range: { start, end } })
      assert.ok(sameBytes(await collected(data), bytes.subarray(start, end)), `${start}-${end}`)
    }
  })

  it('reads all of it and any range while holders of data chunks are gone', async () => {
    const bytes = testBytes('gone', 8 * MIB)
    const stored = await writer.storage.put([bytes], { profile: 'small', public: true })
    const gone = stored.holders.slice(0, 3).map(({ hotkey }) => network.nameOf(hotkey))
    await network.without(gone, async () => {
      const client = await network.client()
      assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
      for (let start = 1_000; start < bytes.length; start += MIB) {
        const range = { start, end: start + 10_000 }
        const { data } = await client.storage.get(stored.capability, { range })
        assert.ok(sameBytes(await collected(data), bytes.subarray(start, start + 10_000)), `${start}`)
      }
      await network.stopClient(client)
    })
  })

  it('keeps what two objects share when one of them is released, and answers audits of it', async () => {
    const shared = testBytes('shared', 2 * MIB)
    const [first, second] = [shared, concat([shared, testBytes('own', MIB)])]
    const one = await writer.storage.put([first], { profile: 'copies', public: true })
    const two = await writer.storage.put([second], { profile: 'copies', public: true })
    await writer.storage.release(one.ownerCapability)
    await assert.rejects(writer.storage.renew(one.ownerCapability), (error) =>
      isSubnetError(error, 'NOT_FOUND'),
    )
    assert.ok(sameBytes(await readBack(reader, two.capability), second))
    const reports = await network.node('validator-0').audit()
    assert.ok(reports.length > 0)
    assert.deepEqual(
      reports.filter(({ outcome }) => outcome !== 'pass'),
      [],
    )
  })

  it('lets only the owner renew and release it', async () => {
    const { capability, ownerCapability, endBlock } = await writer.storage.put([testBytes('owned', 100)], {
      profile: 'copies',
      public: true,
      leaseBlocks: 10_000,
    })
    const stranger = ownerCapability.replace(/=.*/, `=${'A'.repeat(43)}`)
    await assert.rejects(reader.storage.renew(capability), (error) => isSubnetError(error, 'INVALID'))
    await assert.rejects(reader.storage.release(stranger), (error) => isSubnetError(error, 'REFUSED'))
    const renewed = await reader.storage.renew(ownerCapability, { leaseBlocks: 20_000 })
    assert.ok(renewed.endBlock > endBlock)
    assert.ok(sameBytes(await readBack(reader, ownerCapability), testBytes('owned', 100)))
    await reader.storage.release(ownerCapability)
    await assert.rejects(reader.storage.renew(ownerCapability), (error) => isSubnetError(error, 'NOT_FOUND'))
  })

  it('gives no private object as a CAR, nor by its bare address, and no public one under a key', async () => {
    const hidden = await writer.storage.put([testBytes('private', 100_000)], { profile: 'copies' })
    assert.equal(hidden.ownerCapability, hidden.capability)
    await assert.rejects(reader.storage.getCar(hidden.capability), (error) => isSubnetError(error, 'INVALID'))
    const [bare = ''] = hidden.capability.split('#')
    await assert.rejects(reader.storage.get(bare), (error) => isSubnetError(error, 'INVALID'))
    const open = await writer.storage.put([testBytes('open', 10)], { profile: 'copies', public: true })
    const keyed = `${open.capability}#${'A'.repeat(43)}`
    await assert.rejects(reader.storage.get(keyed), (error) => isSubnetError(error, 'MISMATCH'))
  })

  it('goes on with an interrupted put, and sends only what is missing', async () => {
    const bytes = testBytes('resumed', 12 * MIB)
    let record: PutRecord | undefined
    const journal: PutJournal = {
      load: async () => record,
      save: async (saved) => {
        record = saved
      },
      remove: async () => {
        record = undefined
      },
    }
    const options = { profile: 'small', public: true, journal } as const
    const { promise: isKept, resolve: keep } = deferred<void>()
    async function* broken() {
      yield bytes.subarray(0, 9 * MIB)
      await isKept
      throw new Error('the line is cut')
    }
    const onProgress = ({ doneBytes }: UploadProgress) => doneBytes >= 4 * MIB && keep()
    await assert.rejects(writer.storage.put(broken(), { ...options, onProgress }), /the line is cut/)
    assert.equal(record?.class, 'public')
    const { resumed, reusedBytes, sentBytes, capability } = await reader.storage.put([bytes], options)
    assert.ok(resumed && reusedBytes >= 10 * MIB && sentBytes < 21 * MIB, `${reusedBytes}, ${sentBytes}`)
    assert.ok(sameBytes(await readBack(reader, capability), bytes))
    assert.equal(record, undefined)
  })

  it('is had as the same CAR when it goes on behind the whole blocks of a part, and sends only the rest', async () => {
    const bytes = testBytes('part of a car', 4 * MIB + 5)
    const { capability } = await writer.storage.put([bytes], { profile: 'copies', public: true })
    const whole = await collected((await reader.storage.getCar(capability)).data)
    await using directory = await tempDir()
    const path = join(directory.path, 'part')
    const rootEnds = whole.length - bytes.length - 4 * LEAF_HEAD_BYTES - 37
    const lengths = [20, rootEnds - 1, rootEnds, rootEnds + 1, 2 * MIB, whole.length - 1, whole.length]
    const leaves: (number | undefined)[] = []
    for (const length of lengths) {
      await writeFile(path, whole.subarray(0, length))
      const part = await readCarPart(path, length)
      leaves.push(part?.leaves)
      const { data } = await reader.storage.getCar(capability, part === undefined ? {} : { start: part })
      const rest = await collected(data)
      const kept = whole.subarray(0, part?.doneBytes ?? 0)
      assert.ok(kept.length <= length && length - kept.length < MIB + LEAF_HEAD_BYTES, `${length}`)
      assert.ok(sameBytes(concat([kept, rest]), whole), `${length}`)
    }
    assert.deepEqual(leaves, [undefined, undefined, 0, 0, 1, 4, 5])
  })

  it('can be read, and had as blocks, without any validator', async () => {
    const bytes = testBytes('alone', 2 * MIB)
    const { capability, fileCid = '' } = await writer.storage.put([bytes], {
      profile: 'copies',
      public: true,
    })
    await network.without(network.validators, async () => {
      const client = await network.client()
      const { data } = await client.storage.getCar(capability)
      const blocks = await blocksOf(data, fileCid)
      assert.ok(sameBytes(await ipfsCat(CID.parse(fileCid), blocks), bytes))
      await network.stopClient(client)
    })
  })
})

async function collected(data: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of data) pieces.push(piece)
  return concat(pieces)
}
