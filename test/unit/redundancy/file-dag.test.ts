import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import type { CID } from 'multiformats/cid'
import { MIB } from '../../../src/base/units.js'
import { sha256 } from '../../../src/crypto/hash.js'
import type { ChunkReference } from '../../../src/redundancy/chunk.js'
import {
  DAG_NODE_BYTES_MAX,
  type DagNode,
  dagDepth,
  dagNodeCount,
  dagNodesBetween,
  FileDagBuilder,
  fileCid,
  leafCount,
  rawCid,
} from '../../../src/redundancy/file-dag.js'
import { FilePath } from '../../../src/redundancy/file-path.js'
import { ipfsAdd, ipfsLayout } from '../../kit/ipfs.js'
import { readVectors } from '../../kit/vectors.js'

interface Vectors {
  readonly files: readonly { readonly sizeBytes: number; readonly cid: string }[]
}

/** The key stream of AES-256-CTR under key and counter 0: nothing repeats in it, and every machine has it. */
async function* keyStream(sizeBytes: number): AsyncGenerator<Uint8Array> {
  const cipher = createCipheriv('aes-256-ctr', new Uint8Array(32), new Uint8Array(16))
  const zeros = new Uint8Array(MIB)
  for (let at = 0; at < sizeBytes; at += MIB)
    yield cipher.update(zeros.subarray(0, Math.min(MIB, sizeBytes - at)))
}

function leafOf(bytes: Uint8Array): ChunkReference {
  return { digest: sha256(bytes), auditRoot: new Uint8Array(32), sizeBytes: bytes.length }
}

/** Leaves with invented digests, all full but the last. */
function inventedLeaves(sizeBytes: number): ChunkReference[] {
  return Array.from({ length: leafCount(sizeBytes) }, (_, i) => ({
    digest: sha256(Uint8Array.of(i & 255, (i >> 8) & 255, i >> 16)),
    auditRoot: new Uint8Array(32),
    sizeBytes: Math.min(MIB, sizeBytes - i * MIB),
  }))
}

/** As a put does it: `k` leaves at a time. */
function build(
  leaves: readonly ChunkReference[],
  k = 8,
): { cid: CID; nodes: DagNode[]; perSegment: number[] } {
  const dag = new FileDagBuilder()
  const perSegment: number[] = []
  const nodes: DagNode[] = []
  for (let at = 0; at < leaves.length; at += k) {
    const added = dag.add(leaves.slice(at, at + k), at + k >= leaves.length)
    perSegment.push(added.length)
    nodes.push(...added)
  }
  const sizeBytes = leaves.reduce((sum, leaf) => sum + leaf.sizeBytes, 0)
  return { cid: fileCid(sizeBytes, dag.rootDigest), nodes, perSegment }
}

describe('FileDagBuilder', () => {
  for (const { sizeBytes, cid } of readVectors<Vectors>('ipfs').files) {
    it(`gives ${sizeBytes} bytes the root of the vectors, which is the importer's`, async () => {
      assert.equal(await ipfsAdd(keyStream(sizeBytes)), cid)
      const leaves: ChunkReference[] = []
      for await (const piece of keyStream(sizeBytes)) leaves.push(leafOf(piece))
      assert.equal(build(leaves).cid.toString(), cid)
    }).timeout(60_000)
  }

  for (const leaves of [
    1,
    2,
    173,
    174,
    175,
    348,
    349,
    174 * 174 - 1,
    174 * 174,
    174 * 174 + 1,
    174 * 174 + 176,
  ]) {
    it(`builds what the importer builds above ${leaves} leaves, whatever a segment has`, async () => {
      const sizeBytes = (leaves - 1) * MIB + 7
      const named = inventedLeaves(sizeBytes)
      const theirs = await ipfsLayout(named.map(({ digest, sizeBytes: size }) => [rawCid(digest), size]))
      for (const k of leaves < 1_000 ? [1, 4, 16] : [10]) {
        const { cid, nodes, perSegment } = build(named, k)
        assert.equal(cid.toString(), theirs)
        assert.equal(nodes.length, dagNodeCount(leaves))
        const expected = perSegment.map((_, i) =>
          dagNodesBetween(leaves, i * k, Math.min(leaves, (i + 1) * k)),
        )
        assert.deepEqual(perSegment, expected)
        assert.ok(nodes.every(({ bytes }) => (bytes?.length ?? 0) <= DAG_NODE_BYTES_MAX))
      }
    })
  }

  it('numbers nodes as it gives them', async () => {
    for (const leaves of [2, 174, 175, 500, 174 * 174 + 176]) {
      const named = inventedLeaves(leaves * MIB)
      const { cid, nodes } = build(named)
      const seen = new Set<number>()
      const path = new FilePath(
        { sizeBytes: leaves * MIB, rootDigest: cid.multihash.digest },
        async (digest, number) => {
          const { bytes, digest: named } = nodes[number] as DagNode
          assert.deepEqual(named, digest)
          assert.ok(!seen.has(number), 'each is loaded once by a reader who goes forward')
          seen.add(number)
          return bytes as Uint8Array
        },
      )
      for (const [leaf, { digest }] of named.entries()) await path.check(leaf, digest)
      assert.equal(seen.size, nodes.length)
    }
  })

  it('gives the only leaf as the block to be kept, without bytes', () => {
    const [leaf] = inventedLeaves(9) as [ChunkReference]
    assert.deepEqual(build([leaf]).nodes, [leaf])
    assert.deepEqual(build([leaf]).cid, rawCid(leaf.digest))
  })

  it('has no more levels than the largest object has use for', () => {
    assert.deepEqual(
      [0, 1, 2, 174, 175, 174 ** 2, 174 ** 2 + 1, 174 ** 3].map(dagDepth),
      [0, 0, 1, 1, 2, 2, 3, 3],
    )
  })

  it('keeps every node within the limit of one, also with the largest numbers in it', () => {
    const { nodes } = build(inventedLeaves(174 * 174 * MIB))
    const largest = Math.max(...nodes.map(({ sizeBytes }) => sizeBytes))
    // Above those, block sizes and Tsize have up to two bytes more each.
    assert.ok(largest + 174 * 4 <= DAG_NODE_BYTES_MAX, `${largest}`)
  })
})
