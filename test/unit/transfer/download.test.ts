import assert from 'node:assert/strict'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import type { LocateBody, Located } from '../../../protocols/order/messages.js'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { inlineCoding } from '../../../src/coding/inline-coding.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { segmentSize } from '../../../src/redundancy/layout.js'
import { buildInlineManifest, ManifestBuilder } from '../../../src/redundancy/manifest-builder.js'
import { PROFILES } from '../../../src/redundancy/profiles.js'
import { encodeSegment } from '../../../src/redundancy/segment.js'
import { Download, type DownloadOptions, type DownloadProgress } from '../../../src/transfer/download.js'
import { candidatePeer } from '../../../src/transfer/store-pool.js'
import { turn } from '../../kit/fake-clock.js'
import { RetrievePeers } from '../../kit/retrieve-peers.js'
import { testId } from '../../kit/test-chunk.js'
import { testObject } from '../../kit/test-object.js'
import { until } from '../../kit/until.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const MINERS = 4
const objectKey = testId(32, 5)
const init = {
  owner: { class: 'private', objectKey },
  profile: PROFILES.copies,
  createdUnixSeconds: 1,
} as const
const SEGMENT_BYTES = segmentSize('private', 1)
/** Three segments of which any 1 of 4 chunks will do; encoded once. */
const plaintext = new Uint8Array(2 * SEGMENT_BYTES + 70_000).map((_, i) => i % 253)

interface Stored {
  readonly address: Uint8Array
  readonly nodes: readonly Uint8Array[]
  readonly segments: readonly (readonly Uint8Array[])[]
}

function storeSegments(): Stored {
  const builder = new ManifestBuilder(init)
  const segments = [0, 1, 2].map((index) => {
    const bytes = plaintext.subarray(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES)
    const segment = encodeSegment({
      code: PROFILES.copies,
      index,
      isLast: index === 2,
      plaintext: bytes,
      objectKey,
    })
    builder.add(segment)
    return segment.chunks.map((chunk) => chunk.bytes)
  })
  const { root, manifest } = builder.finish()
  return { address: manifest.address, nodes: [root], segments }
}

/** Chunk i is at miner i, every manifest node at all. */
function setUp(stored: Stored) {
  const peers = new RetrievePeers(MINERS)
  for (const [number, miner] of peers.miners.entries()) {
    miner.put(...stored.nodes)
    for (const chunks of stored.segments) miner.put(...chunks.slice(number, number + 1))
  }
  const everybody = peers.miners.map((_, number) => number)
  const orders = {
    async locate(_: KnownPeer, { object, firstSegment, segments }: LocateBody): Promise<Located> {
      if (!Buffer.from(object).equals(stored.address)) throw new SubnetError('NOT_FOUND', 'unknown')
      const page = stored.segments.slice(firstSegment, firstSegment + segments)
      return {
        type: 'located',
        holders: [...peers.holders],
        nodes: stored.nodes.map(() => everybody),
        segments: page.map((chunks) => chunks.map((_chunk, number) => [number])),
      }
    },
  }
  const components = {
    ...peers.components,
    orders,
    authority: { block: 1 },
    coding: inlineCoding,
    findProviders: async function* () {},
    miners: () => peers.holders.map((holder) => candidatePeer(holder)),
  }
  const validators = [{ peerId: 'validator', addresses: [], hotkey: testId(32, 6) }]
  const open = (address = stored.address) => new Download(components, address, validators)
  /** Knows no validator. */
  const openAlone = () => new Download(components, stored.address, [])
  return { peers, open, openAlone }
}

async function readAll(
  download: Download,
  key = objectKey,
  options: DownloadOptions = {},
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of download.read(await download.manifest(options), key, options)) pieces.push(piece)
  await download.close()
  return Uint8Array.from(Buffer.concat(pieces))
}

describe('Download', () => {
  let stored: Stored

  before(async () => {
    await cryptoReady()
    stored = storeSegments()
  })

  it('gives it back without any validator, from miners that say they hold it', async () => {
    const { peers, openAlone } = setUp(stored)
    const first = peers.miner(0)
    first.claimsAll = true
    peers.mesh.set('peer 2', 'down')
    assert.deepEqual(await readAll(openAlone()), plaintext)
    assert.equal(
      peers.miners.some(({ withoutOrder }) => withoutOrder > 0),
      true,
    )
    const questions = peers.miners.map((miner) => miner.questions)
    assert.deepEqual(questions, [[1, 12], [1, 12], [], [1, 12]], 'the root, then all three segments at once')
  })

  it('says which ways it tried when nobody has the object', async () => {
    const { peers, openAlone } = setUp({ ...stored, nodes: [] })
    peers.mesh.set('peer 2', 'down')
    await assert.rejects(
      openAlone().manifest(),
      (error) =>
        isSubnetError(error, 'TOO_FEW_PEERS') &&
        error.message ===
          'no validator has published an address; the DHT names no miner, 3 of 4 miners answered and none has it',
    )
  })

  it('gives back what was stored, and says how far it is', async () => {
    const progress: DownloadProgress[] = []
    const { open } = setUp(stored)
    const read = await readAll(open(), objectKey, { onProgress: (each) => progress.push(each) })
    assert.deepEqual(read, plaintext)
    assert.deepEqual(
      progress.map(({ doneBytes, totalBytes, retries }) => [doneBytes, totalBytes, retries]),
      [SEGMENT_BYTES, 2 * SEGMENT_BYTES, plaintext.length].map((done) => [done, plaintext.length, 0]),
    )
  })

  it('gives it back from any of the holders that are left', async () => {
    for (const left of [0, 3]) {
      const { peers, open } = setUp(stored)
      for (let miner = 0; miner < MINERS; miner += 1)
        if (miner !== left) peers.mesh.set(`peer ${miner}`, 'down')
      assert.deepEqual(await readAll(open()), plaintext)
    }
  })

  it('fails with the first segment that cannot be had, after giving those before it', async () => {
    const lost = {
      ...stored,
      segments: stored.segments.map((chunks, i) => (i === 1 ? chunks.map(() => new Uint8Array(9)) : chunks)),
    }
    const { open } = setUp(lost)
    const download = open()
    const pieces: number[] = []
    await assert.rejects(
      async () => {
        for await (const piece of download.read(await download.manifest(), objectKey))
          pieces.push(piece.length)
      },
      (error) => isSubnetError(error, 'UNRECOVERABLE') && error.data.segment === 1 && error.data.live === 0,
    )
    assert.deepEqual(pieces, [SEGMENT_BYTES])
    await download.close()
  })

  it('reads an object that lies in its manifest without asking for anything else', async () => {
    const bytes = plaintext.slice(0, 1_000)
    const { root, manifest } = buildInlineManifest(init, bytes)
    const { peers, open } = setUp({ address: manifest.address, nodes: [root], segments: [] })
    assert.deepEqual(await readAll(open()), bytes)
    assert.equal(
      peers.miners.reduce((sum, miner) => sum + miner.asked.length, 0),
      1,
    )
  })

  it('does not give anything under another key', async () => {
    const { open } = setUp(stored)
    const download = open()
    await assert.rejects(readAll(download, testId(32, 9)), coded('MISMATCH'))
    await download.close()
  })

  it('takes the manifest from the next holder when one fails, lies or is silent', async () => {
    const { peers, open } = setUp(stored)
    peers.mesh.set('peer 0', 'down')
    peers.miner(1).lies = true
    peers.mesh.set('peer 2', 'silent')
    const download = open()
    const reading = download.manifest()
    await peers.clock.advance(2_000)
    assert.deepEqual((await reading).address, stored.address)
    await download.close()
  })

  it('is UNRECOVERABLE when no holder gives the manifest, NOT_FOUND when no validator knows the object', async () => {
    const { peers, open } = setUp(stored)
    for (let miner = 0; miner < MINERS; miner += 1) peers.mesh.set(`peer ${miner}`, 'down')
    await assert.rejects(
      open().manifest(),
      (error) =>
        isSubnetError(error, 'UNRECOVERABLE') &&
        error.message ===
          'none of the 4 holders of the manifest gives it; ' +
            'then 0 of all 4 miners answered, 0 of them said that they hold it',
    )
    await assert.rejects(open(testId(32, 9)).manifest(), coded('NOT_FOUND'))
  })

  it('searches for what the holders by lease do not give, manifest and chunks', async () => {
    const { peers, open } = setUp(stored)
    // What the leases name, the miners have lost; what they have now, no lease names.
    for (const miner of peers.miners) miner.forget()
    peers.miner(3).put(...stored.nodes, ...stored.segments.flatMap((chunks) => chunks.slice(0, 1)))
    const download = open()
    assert.deepEqual(await readAll(download), plaintext)
    await download.close()
  })

  it('says how many chunks live and who was asked when the search does not help either', async () => {
    const { peers, open } = setUp(stored)
    for (const miner of peers.miners) miner.forget()
    peers.miner(3).put(...stored.nodes)
    peers.mesh.set('peer 0', 'down')
    await assert.rejects(readAll(open()), (error) => {
      assert.ok(isSubnetError(error, 'UNRECOVERABLE'))
      assert.match(error.message, /^segment 0: 0 chunks could be had, 1 are needed; 1 of 4 holders failed; /)
      assert.match(error.message, /then 3 of all 4 miners said what they hold$/)
      assert.deepEqual([error.data.segment, error.data.live, error.data.asked], [0, 0, 4])
      return true
    })
  })

  it('follows list nodes, fetching each when the reader comes to it, and names the one it cannot have', async () => {
    // 900 segments of 4 chunks do not fit a root. Their bodies are not needed to find them.
    const object = testObject('copies', 900 * SEGMENT_BYTES)
    const segments = object.segments.map((chunks) => chunks.map(() => new Uint8Array(1)))
    const { peers, open } = setUp({ ...object, segments })
    const download = open()
    const manifest = await download.manifest()
    const seen: number[] = []
    for await (const { shape, entry, holders } of download.segments(manifest)) {
      if (seen.length === 0)
        assert.equal(peers.miners.flatMap(({ asked }) => asked).length, 2, 'root and first list')
      seen.push(shape.index)
      assert.deepEqual(entry.chunks, object.segments[shape.index])
      assert.deepEqual(
        holders.map((own) => own.length),
        [1, 1, 1, 1],
      )
    }
    assert.deepEqual(seen, [...object.segments.keys()])
    const nodes = await download.copiedBlocks(manifest, [])
    assert.deepEqual(
      nodes.map(({ sizeBytes, holders }) => [sizeBytes, holders.length]),
      object.nodes.map(({ length }) => [length, MINERS]),
    )
    for (const miner of peers.miners) miner.refusal = new SubnetError('NOT_FOUND', 'lost')
    await assert.rejects(
      async () => {
        for await (const _ of download.segments(manifest)) assert.fail('no list, no segment')
      },
      (error) => isSubnetError(error, 'UNRECOVERABLE') && /part 1 of the manifest/.test(error.message),
    )
    await download.close()
  })

  it('stops asking when the reader stops early', async () => {
    const { peers, open } = setUp(stored)
    const download = open()
    for await (const piece of download.read(await download.manifest(), objectKey)) {
      assert.equal(piece.length, SEGMENT_BYTES)
      break
    }
    await download.close()
    const idle = () => peers.clock.pendingTimers === 0
    await until(idle, { deadlineMs: 2_000, title: 'every stream has ended' })
  })

  it('ends with the reason of an abort', async () => {
    const { peers, open } = setUp(stored)
    const download = open()
    const manifest = await download.manifest()
    for (const miner of peers.miners) miner.hold()
    const stop = new AbortController()
    const reading = download.read(manifest, objectKey, { signal: stop.signal }).next()
    reading.catch(() => undefined)
    await turn()
    stop.abort(new Error('changed my mind'))
    await assert.rejects(reading, /changed my mind/)
    await download.close(new Error('changed my mind'))
  })
})
