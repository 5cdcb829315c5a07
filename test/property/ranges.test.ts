import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { LocateBody, Located } from '../../protocols/order/messages.js'
import { seededRandom } from '../../src/base/random.js'
import { inlineCoding } from '../../src/coding/inline-coding.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { segmentSize } from '../../src/redundancy/layout.js'
import { ManifestBuilder } from '../../src/redundancy/manifest-builder.js'
import { PROFILES } from '../../src/redundancy/profiles.js'
import { FRAME_BYTES } from '../../src/redundancy/seal.js'
import { encodeSegment } from '../../src/redundancy/segment.js'
import { type ByteRange, Download } from '../../src/transfer/download.js'
import { RetrievePeers } from '../kit/retrieve-peers.js'
import { testId } from '../kit/test-chunk.js'

const MINERS = 10
const objectKey = testId(32, 5)
const SEGMENT_BYTES = segmentSize('private', 4)
/** A full segment of 4 chunks, and one of 2 chunks of which the second is short. */
const plaintext = seededRandom('ranges').bytes(SEGMENT_BYTES + segmentSize('private', 1) + 100_000)

interface Stored {
  readonly root: Uint8Array
  readonly address: Uint8Array
  readonly segments: readonly (readonly Uint8Array[])[]
}

function store(): Stored {
  const owner = { class: 'private', objectKey } as const
  const builder = new ManifestBuilder({ owner, profile: PROFILES.small, createdUnixSeconds: 1 })
  const segments = [0, 1].map((index) => {
    const bytes = plaintext.slice(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES)
    const segment = encodeSegment({
      code: PROFILES.small,
      index,
      isLast: index === 1,
      plaintext: bytes,
      objectKey,
    })
    builder.add(segment)
    return segment.chunks.map((chunk) => chunk.bytes)
  })
  const { root, manifest } = builder.finish()
  return { root, address: manifest.address, segments }
}

/** A network in which chunk i is at miner i. */
function network({ root, address, segments }: Stored) {
  const peers = new RetrievePeers(MINERS)
  for (const [number, miner] of peers.miners.entries()) {
    miner.put(root, ...segments.flatMap((chunks) => chunks.slice(number, number + 1)))
  }
  const located: Located = {
    type: 'located',
    holders: [...peers.holders],
    nodes: [peers.miners.map((_, number) => number)],
    segments: segments.map((chunks) => chunks.map((_, number) => [number])),
  }
  const orders = { locate: async (_: KnownPeer, _body: LocateBody) => located }
  const validators = [{ peerId: 'validator', addresses: [], hotkey: testId(32, 6) }]
  const read = async (range: ByteRange): Promise<Uint8Array> => {
    const download = new Download(
      {
        ...peers.components,
        orders,
        authority: { block: 1 },
        coding: inlineCoding,
        miners: () => [],
        findProviders: async function* () {},
      },
      address,
      validators,
    )
    const pieces: Uint8Array[] = []
    const manifest = await download.manifest()
    for await (const piece of download.read(manifest, objectKey, { range })) pieces.push(piece)
    await download.close()
    return Uint8Array.from(Buffer.concat(pieces))
  }
  return { peers, read }
}

describe('a range of an object', function () {
  this.timeout(60_000)
  let stored: Stored

  before(async () => {
    await cryptoReady()
    stored = store()
  })

  it('is the slice, also with six miners of ten gone', async () => {
    const position = fc.oneof(
      fc.integer({ min: 0, max: plaintext.length }),
      // Where pieces meet: frames, chunks, segments, the end.
      fc
        .tuple(
          fc.constantFrom(65_520, FRAME_BYTES, 1_048_320, SEGMENT_BYTES, plaintext.length),
          fc.integer({ min: -2, max: 2 }),
        )
        .map(([at, off]) => Math.min(plaintext.length, at + off)),
    )
    const gone = fc.uniqueArray(fc.nat(MINERS - 1), { maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(position, position, gone, async (a, b, down) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)]
        const { peers, read } = network(stored)
        for (const miner of down) peers.mesh.set(`peer ${miner}`, 'down')
        assert.ok(Buffer.from(await read({ start, end })).equals(plaintext.subarray(start, end)))
      }),
      { numRuns: 40 },
    )
  })

  it('goes to the end without an end, and stops at the object’s', async () => {
    const { read } = network(stored)
    const last = plaintext.subarray(plaintext.length - 10)
    assert.deepEqual(await read({ start: plaintext.length - 10 }), last)
    assert.deepEqual(await read({ start: plaintext.length - 10, end: 2 ** 40 }), last)
    assert.deepEqual(await read({ start: plaintext.length }), new Uint8Array(0))
  })

  it('is refused where the object has none', async () => {
    const { read } = network(stored)
    const bad = [{ start: -1 }, { start: 1.5 }, { start: 2, end: 1 }, { start: plaintext.length + 1 }]
    for (const range of bad) await assert.rejects(read(range), { code: 'INVALID' })
  })

  it('costs the frames it touches and no more', async () => {
    const { peers, read } = network(stored)
    await read({ start: 2_000_000, end: 2_000_100 })
    const given = peers.miners.reduce((sum, miner) => sum + miner.givenBytes, 0)
    assert.equal(given, FRAME_BYTES + stored.root.length)
  })
})
