/** Objects as manifest and leases see them: chunks that have names and sizes, and no bytes. */
import type { WireDomain } from '../../protocols/common/signed.js'
import {
  DAG_SEGMENT,
  type LeaseEntry,
  MANIFEST_SEGMENT,
  type SignedLease,
  signLease,
} from '../../protocols/lease/lease.js'
import { seededRandom } from '../../src/base/random.js'
import type { Signer } from '../../src/crypto/keys.js'
import { type ChunkReference, describeChunk } from '../../src/redundancy/chunk.js'
import type { DagNode } from '../../src/redundancy/file-dag.js'
import {
  chunkBytes,
  isInline,
  type ObjectClass,
  segmentAt,
  segmentCount,
} from '../../src/redundancy/layout.js'
import { buildInlineManifest, ManifestBuilder, objectSigner } from '../../src/redundancy/manifest-builder.js'
import { PROFILES, type ProfileName } from '../../src/redundancy/profiles.js'
import { TEST_DOMAIN } from './test-subnet.js'

export interface TestObject {
  /** Of a private object; of a public one, the owner's. */
  readonly objectKey: Uint8Array
  readonly address: Uint8Array
  readonly profile: ProfileName
  /** Encoded manifest nodes, root first. */
  readonly nodes: readonly Uint8Array[]
  readonly segments: readonly (readonly ChunkReference[])[]
  /** Blocks of the IPFS file that the manifest lists; those of a file of several leaves with their bytes. */
  readonly dagNodes: readonly DagNode[]
}

/** The same arguments give the same object. */
export function testObject(
  profile: ProfileName,
  sizeBytes: number,
  seed = 'object',
  objectClass: ObjectClass = 'private',
): TestObject {
  const random = seededRandom(seed)
  const objectKey = random.bytes(32)
  const isPrivate = objectClass === 'private'
  const owner = isPrivate
    ? ({ class: 'private', objectKey } as const)
    : ({ class: 'public', signer: objectSigner(objectKey) } as const)
  const init = { owner, profile: PROFILES[profile], createdUnixSeconds: 1_700_000_000 }
  if (isInline(objectClass, sizeBytes)) {
    const { root, manifest } = buildInlineManifest(init, random.bytes(sizeBytes))
    return { objectKey, address: manifest.address, profile, nodes: [root], segments: [], dagNodes: [] }
  }
  const object = { class: objectClass, sizeBytes, code: PROFILES[profile] } as const
  const builder = new ManifestBuilder(init)
  const lists: Uint8Array[] = []
  const segments: ChunkReference[][] = []
  const dagNodes: DagNode[] = []
  for (let index = 0; index < segmentCount(object); index += 1) {
    const shape = segmentAt(object, index)
    const chunks = Array.from({ length: shape.n }, (_, chunk) => ({
      digest: random.bytes(32),
      auditRoot: random.bytes(32),
      sizeBytes: chunkBytes(shape, chunk),
    }))
    segments.push(chunks)
    const added = builder.add({ shape, chunks, ...(isPrivate ? { salt: random.bytes(16) } : {}) })
    if (added.list !== undefined) lists.push(added.list.bytes)
    dagNodes.push(...added.dagNodes)
  }
  const { root, manifest, node } = builder.finish()
  if (node !== undefined) lists.push(node.bytes)
  return { objectKey, address: manifest.address, profile, nodes: [root, ...lists], segments, dagNodes }
}

export function chunkEntry(object: TestObject, segment: number, index: number): LeaseEntry {
  const reference = object.segments[segment]?.[index]
  if (reference === undefined) throw new RangeError('the object has no such chunk')
  return [reference.digest, reference.auditRoot, reference.sizeBytes, segment, index]
}

export function nodeEntry(object: TestObject, index: number): LeaseEntry {
  const { digest, auditRoot, sizeBytes } = describeChunk(object.nodes[index] ?? new Uint8Array(0))
  return [digest, auditRoot, sizeBytes, MANIFEST_SEGMENT, index]
}

export function dagEntry(object: TestObject, number: number): LeaseEntry {
  const node = object.dagNodes[number]
  if (node === undefined) throw new RangeError('the object has no such block')
  return [node.digest, node.auditRoot, node.sizeBytes, DAG_SEGMENT, number]
}

/** Entries by miner: chunk i of segment s at miner (s + i) mod miners, what is kept in full copies at all of them. */
export function spreadOver(object: TestObject, miners: number): LeaseEntry[][] {
  const entries = Array.from({ length: miners }, () => [
    ...object.nodes.map((_, index) => nodeEntry(object, index)),
    ...object.dagNodes.map((_, number) => dagEntry(object, number)),
  ])
  for (const [segment, chunks] of object.segments.entries()) {
    for (const index of chunks.keys()) {
      entries[(segment + index) % miners]?.push(chunkEntry(object, segment, index))
    }
  }
  return entries
}

export interface TestLeaseTerms {
  readonly object: Uint8Array
  readonly validator: Uint8Array
  readonly startBlock?: number
  readonly endBlock?: number
  readonly domain?: WireDomain
}

/** Signed by the miner; from block 1 to block 1,000 unless the terms say otherwise. */
export function testLease(miner: Signer, entries: readonly LeaseEntry[], terms: TestLeaseTerms): SignedLease {
  return signLease(miner, terms.domain ?? TEST_DOMAIN, {
    object: terms.object,
    validator: terms.validator,
    miner: miner.publicKey,
    entries: [...entries],
    startBlock: terms.startBlock ?? 1,
    endBlock: terms.endBlock ?? 1_000,
  })
}
