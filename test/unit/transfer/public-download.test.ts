import assert from 'node:assert/strict'
import { CarReader } from '@ipld/car'
import { decode, encode } from '@ipld/dag-cbor'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import type { OrderClient } from '../../../protocols/order/client.js'
import type { LocateBody, Located } from '../../../protocols/order/messages.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { inlineCoding } from '../../../src/coding/inline-coding.js'
import { cryptoReady, ed25519Signer } from '../../../src/crypto/keys.js'
import { describeChunk } from '../../../src/redundancy/chunk.js'
import { dagPbCid, FileDagBuilder, fileCid } from '../../../src/redundancy/file-dag.js'
import { segmentAt, segmentCount } from '../../../src/redundancy/layout.js'
import { parseManifestRoot, signedBytes } from '../../../src/redundancy/manifest.js'
import { ManifestBuilder } from '../../../src/redundancy/manifest-builder.js'
import { CHUNK_SIZE, PROFILES } from '../../../src/redundancy/profiles.js'
import { carOf, fileBlocks } from '../../../src/transfer/car.js'
import { Download } from '../../../src/transfer/download.js'
import { candidatePeer } from '../../../src/transfer/store-pool.js'
import { RetrievePeers } from '../../kit/retrieve-peers.js'
import { testId } from '../../kit/test-chunk.js'

const MINERS = 4
const SIZE = 950 * CHUNK_SIZE + 5
const signer = ed25519Signer(testId(32, 1))
const full = new Uint8Array(CHUNK_SIZE)
const short = new Uint8Array(5)

/** 951 segments of one data chunk, all full ones the same: the list of them does not fit the root. */
function buildLong() {
  const builder = new ManifestBuilder({
    owner: { class: 'public', signer },
    profile: PROFILES.copies,
    createdUnixSeconds: 1,
  })
  const object = { class: 'public', sizeBytes: SIZE, code: PROFILES.copies } as const
  const names = [describeChunk(full), describeChunk(short)] as const
  const lists: Uint8Array[] = []
  const dagNodes: Uint8Array[] = []
  for (let index = 0; index < segmentCount(object); index += 1) {
    const shape = segmentAt(object, index)
    const added = builder.add({ shape, chunks: Array(4).fill(names[shape.isLast ? 1 : 0]) })
    if (added.list !== undefined) lists.push(added.list.bytes)
    dagNodes.push(...added.dagNodes.flatMap(({ bytes = [] }) => [Uint8Array.from(bytes)]))
  }
  const { root, node } = builder.finish()
  if (node !== undefined) lists.push(node.bytes)
  return { nodes: [root, ...lists], dagNodes }
}

type Stored = ReturnType<typeof buildLong>

/** Everything is at every miner. */
function setUp({ nodes, dagNodes }: Stored) {
  const { address } = parseManifestRoot(nodes[0] as Uint8Array)
  const peers = new RetrievePeers(MINERS)
  for (const miner of peers.miners) miner.put(...nodes, ...dagNodes, full, short)
  const everybody = peers.miners.map((_, number) => number)
  const orders = {
    async locate(_: KnownPeer, { firstSegment, segments }: LocateBody): Promise<Located> {
      const page = Math.min(segments, 951 - firstSegment)
      return {
        type: 'located',
        holders: [...peers.holders],
        nodes: [...nodes, ...dagNodes].map(() => everybody),
        segments: Array.from({ length: page }, () => everybody.map((miner) => [miner])),
      }
    },
  }
  const components = {
    ...peers.components,
    orders: orders as unknown as OrderClient,
    authority: { block: 1 },
    coding: inlineCoding,
    findProviders: async function* () {},
    miners: () => peers.holders.map((holder) => candidatePeer(holder)),
  }
  const validators = [{ peerId: 'validator', addresses: [], hotkey: testId(32, 6) }]
  return { peers, download: new Download(components, address, validators) }
}

/** The manifest says of itself that it is another file. */
function lying(stored: Stored): Stored {
  const [root, ...lists] = stored.nodes as [Uint8Array, ...Uint8Array[]]
  const dag = new FileDagBuilder()
  const names = [describeChunk(full), describeChunk(short)] as const
  // The same length, and the first two leaves of other bytes.
  const other = describeChunk(new Uint8Array(CHUNK_SIZE).fill(7))
  const leaves = Array.from({ length: 951 }, (_, i) => (i < 2 ? other : names[i === 950 ? 1 : 0]))
  const dagNodes = dag.add(leaves, true).flatMap(({ bytes = [] }) => [Uint8Array.from(bytes)])
  const { signature: _, ...fields } = decode<Record<string, unknown>>(root)
  const changed = { ...fields, file: dagPbCid(dag.rootDigest) }
  const forged = encode({ ...changed, signature: signer.sign(signedBytes(changed)) })
  return { nodes: [forged, ...lists], dagNodes }
}

async function lengthOf(data: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0
  for await (const piece of data) length += piece.length
  return length
}

describe('Download of a public object whose manifest has list nodes', () => {
  let stored: Stored

  before(async () => {
    await cryptoReady()
    stored = buildLong()
  })

  it('fetches only the dag-pb nodes above what it reads', async () => {
    const { peers, download } = setUp(stored)
    const manifest = await download.manifest()
    assert.equal(manifest.content.kind, 'nodes')
    const range = { start: 700 * CHUNK_SIZE + 10, end: 700 * CHUNK_SIZE + 20 }
    assert.equal(await lengthOf(download.read(manifest, undefined, { range })), 10)
    const asked = peers.miners.flatMap((miner) => miner.asked)
    // The manifest's root and one list node, the file's root and one node below it, and leaves of one chunk.
    assert.equal(asked.length, 5, asked.join(' '))
    await download.close()
  })

  it('gives nothing of what is not under the root, and asks for none of it', async () => {
    const { peers, download } = setUp(lying(stored))
    const manifest = await download.manifest()
    for (const start of [0, CHUNK_SIZE]) {
      const reading = lengthOf(download.read(manifest, undefined, { range: { start, end: start + 10 } }))
      await assert.rejects(reading, (error) => isSubnetError(error, 'MISMATCH'))
    }
    const body = Buffer.from(describeChunk(full).digest).toString('hex')
    assert.ok(peers.miners.every(({ asked }) => !asked.includes(body)))
    // What is under it is given: the rest of the file is the same.
    const range = { start: 200 * CHUNK_SIZE, end: 200 * CHUNK_SIZE + 10 }
    assert.equal(await lengthOf(download.read(manifest, undefined, { range })), 10)
    await download.close()
  })

  it('says which block of the file cannot be had', async () => {
    const { peers, download } = setUp({ ...stored, dagNodes: [] })
    const manifest = await download.manifest()
    const located = peers.miners.length
    assert.equal(located, MINERS)
    await assert.rejects(
      lengthOf(download.read(manifest, undefined, { range: { start: 0, end: 1 } })),
      (error) => isSubnetError(error, 'UNRECOVERABLE') && /block 6 of the IPFS file/.test(error.message),
    )
    await download.close()
  })
})

describe('carOf', () => {
  it('gives every block after the one that links to it, and holds back its source', async () => {
    const { nodes, dagNodes } = buildLong()
    const { download } = setUp({ nodes, dagNodes })
    const manifest = await download.manifest()
    let given = 0
    async function* data() {
      for (let leaf = 0; leaf < 951; leaf += 1) {
        given += 1
        yield leaf === 950 ? short : full
      }
    }
    const root = fileCid(SIZE, manifest.fileDigest ?? testId(32, 9))
    const blocks = fileBlocks(SIZE, data(), download.filePath(manifest))
    const car = carOf(root, blocks)
    await car.next()
    assert.ok(given < 5, `${given} leaves were read for the first piece`)
    await car.return(undefined)
    const again = carOf(root, fileBlocks(SIZE, data(), download.filePath(manifest)))
    const reader = await CarReader.fromIterable(firstMegabytes(again, 3))
    const order: string[] = []
    for await (const { cid } of reader.blocks()) order.push(cid.toString())
    assert.deepEqual(order.slice(0, 2), [
      root.toString(),
      dagPbCid(describeChunk(dagNodes[0] as Uint8Array).digest).toString(),
    ])
    await download.close()
  })

  it('ends with the reason its source ends with', async () => {
    const { nodes, dagNodes } = buildLong()
    const { download } = setUp({ nodes, dagNodes })
    const manifest = await download.manifest()
    async function* data() {
      yield full
      throw new Error('the line is cut')
    }
    const root = fileCid(SIZE, manifest.fileDigest ?? testId(32, 9))
    const car = carOf(root, fileBlocks(SIZE, data(), download.filePath(manifest)))
    await assert.rejects(lengthOf(car), /the line is cut/)
    await download.close()
  })
})

/** Whole blocks only: a CAR that ends within one is refused by its reader. */
async function* firstMegabytes(
  car: AsyncIterable<Uint8Array>,
  megabytes: number,
): AsyncGenerator<Uint8Array> {
  let length = 0
  for await (const piece of car) {
    yield piece
    length += piece.length
    if (piece.length === CHUNK_SIZE && length > megabytes * CHUNK_SIZE) return
  }
}
