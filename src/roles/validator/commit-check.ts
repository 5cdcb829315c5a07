/**
 * Whether an object may be counted: the leases are of this validator and of registered miners, they cover what the
 * manifest names, and every segment has its durable quorum within the group cap. A pure function of its arguments.
 */
import { equals } from 'uint8arrays'
import type { WireDomain } from '../../../protocols/common/signed.js'
import { sameKey } from '../../../protocols/common/signed.js'
import { checkLeaseHeld, DAG_SEGMENT, MANIFEST_SEGMENT } from '../../../protocols/lease/lease.js'
import type { PackedLease } from '../../../protocols/lease/packed-lease.js'
import type { CommitRequest } from '../../../protocols/order/server.js'
import { SubnetError } from '../../base/errors.js'
import { toSs58 } from '../../crypto/keys.js'
import { type ChunkReference, describeChunk } from '../../redundancy/chunk.js'
import { segmentCount } from '../../redundancy/layout.js'
import { type Manifest, parseManifestNode, parseManifestRoot } from '../../redundancy/manifest.js'
import { FileDagCheck } from '../../redundancy/manifest-dag.js'
import { maskCommitment } from '../../redundancy/mask.js'
import { durableQuorum, groupCap, manifestQuorum, shrinkProfile } from '../../redundancy/profiles.js'
import type { SegmentEntry } from '../../redundancy/segment.js'
import type { SegmentHolders } from './ledger-rows.js'
import { SegmentTable } from './segment-table.js'

type UnsignedCommit = Omit<CommitRequest, 'sender'>

export interface CommitCheck {
  readonly domain: WireDomain
  /** Our own hotkey. */
  readonly validator: Uint8Array
  /** Our head: a lease that has ended counts nothing. */
  readonly block: number
  /** Operator groups of all registered miners by SS58: who is absent here holds nothing that counts. */
  readonly groups: ReadonlyMap<string, string>
}

export interface CheckedCommit {
  readonly manifest: Manifest
  /** Digest of every manifest node, root first, then of every block of the IPFS file that the manifest lists. */
  readonly nodes: readonly Uint8Array[]
  /** Positions in `leases` of the holders of each of these. */
  readonly nodeHolders: SegmentHolders
  /** Holders of each segment's chunks. */
  readonly segments: Iterable<SegmentHolders> & { readonly length: number }
  /** Receipts of the weakest segment, and how many a complete one of that shape has. */
  readonly weakestReceipts: number
  readonly fullReceipts: number
}

/** Throws `INVALID`, `MISMATCH`, `BAD_SIGNATURE` or `REFUSED` for what is wrong, `NOT_DURABLE` for what is too little. */
export function checkCommit(commit: UnsignedCommit, check: CommitCheck): CheckedCommit {
  const { manifest, nodes, dagNodes, segments } = readManifest(commit)
  const nodeHolders: number[][] = nodes.map(() => [])
  const dagHolders: number[][] = dagNodes.map(() => [])
  const hold = (segment: number, index: number, position: number) => {
    if (segment >= 0) segments.hold(segment, index, position)
    else {
      const holders = (segment === MANIFEST_SEGMENT ? nodeHolders : dagHolders)[index]
      if (holders?.includes(position) === false) holders.push(position)
    }
  }
  const referenceOf = (segment: number, index: number) => {
    if (segment === MANIFEST_SEGMENT) return nodes[index]
    if (segment === DAG_SEGMENT) return dagNodes[index]
    return segments.reference(segment, index)
  }
  for (const [position, lease] of commit.leases.entries()) {
    checkParties(lease, commit, check)
    checkLeaseHeld({ lease, minerSignature: lease.minerSignature }, check.domain)
    for (const [digest, auditRoot, sizeBytes, segment, index] of lease.entries) {
      const reference = referenceOf(segment, index)
      if (reference === undefined) {
        throw new SubnetError('INVALID', `lease: the manifest has no chunk ${index} in segment ${segment}`)
      }
      if (!sameChunk(reference, { digest, auditRoot, sizeBytes })) {
        throw new SubnetError('MISMATCH', `lease: chunk ${index} of segment ${segment} is not the manifest's`)
      }
      hold(segment, index, position)
    }
  }
  const miners = commit.leases.map(({ miner }) => toSs58(miner))
  const groupOf = (position: number) => check.groups.get(miners[position] ?? '') ?? ''
  requireCopies(manifest, 'manifest node', nodeHolders)
  requireCopies(manifest, 'block of the IPFS file', dagHolders)
  const weakest = weakestSegment(manifest, segments, groupOf)
  return {
    manifest,
    nodes: [...nodes, ...dagNodes].map(({ digest }) => digest),
    nodeHolders: [...nodeHolders, ...dagHolders],
    segments,
    ...weakest,
  }
}

interface ReadManifest {
  readonly manifest: Manifest
  readonly nodes: readonly ChunkReference[]
  readonly dagNodes: readonly ChunkReference[]
  readonly segments: SegmentTable
}

function readManifest({ body, nodes }: UnsignedCommit): ReadManifest {
  const [root, ...lists] = nodes
  if (root === undefined) throw new SubnetError('INVALID', 'commit: no manifest')
  const manifest = parseManifestRoot(root)
  if (!equals(manifest.address, body.object))
    throw new SubnetError('MISMATCH', 'commit: the manifest is another object')
  if (manifest.code.name !== body.profile)
    throw new SubnetError('MISMATCH', 'commit: the manifest has another profile')
  const masked = manifest.maskCommitment
  const maskFits =
    masked === undefined
      ? body.maskRoot === undefined
      : body.maskRoot && equals(maskCommitment(body.maskRoot), masked)
  if (maskFits !== true) throw new SubnetError('MISMATCH', "commit: the mask root is not the manifest's")
  const references = manifest.content.kind === 'nodes' ? manifest.content.nodes : []
  if (references.length !== lists.length)
    throw new SubnetError('INVALID', 'commit: not all manifest nodes are there')
  const dagNodes: ChunkReference[] = []
  const segments = new SegmentTable()
  // Of one without list nodes the parser has checked it already.
  const dag = new FileDagCheck(manifest, segmentCount(manifest))
  for (const entry of entriesOf(manifest, lists)) {
    if (manifest.content.kind === 'nodes') dag.add(entry)
    for (const node of entry.dagNodes ?? []) dagNodes.push(node)
    segments.add(entry.chunks)
  }
  if (manifest.content.kind === 'nodes') dag.finish()
  return { manifest, nodes: [describeChunk(root), ...references], dagNodes, segments }
}

/** One list node's after the other's: of all at once the names alone take a kilobyte a chunk. */
function* entriesOf(manifest: Manifest, lists: readonly Uint8Array[]): Generator<SegmentEntry> {
  const { content } = manifest
  if (content.kind === 'segments') yield* content.segments
  if (content.kind !== 'nodes') return
  for (const [i, reference] of content.nodes.entries())
    yield* parseManifestNode(manifest, reference, lists[i] ?? new Uint8Array(0))
}

function checkParties(lease: PackedLease, commit: UnsignedCommit, check: CommitCheck): void {
  const miner = toSs58(lease.miner)
  if (!sameKey(lease.object, commit.body.object))
    throw new SubnetError('MISMATCH', 'lease: it is of another object')
  if (!sameKey(lease.validator, check.validator))
    throw new SubnetError('REFUSED', 'lease: it is of another validator')
  if (!check.groups.has(miner)) throw new SubnetError('REFUSED', `lease: ${miner} is no registered miner`)
  if (lease.endBlock <= lease.startBlock) throw new SubnetError('INVALID', 'lease: it ends before it begins')
  if (lease.endBlock <= check.block)
    throw new SubnetError('REFUSED', `lease: it ended at block ${lease.endBlock}`)
  const again = commit.leases.filter((other) => sameKey(other.miner, lease.miner)).length
  if (again > 1) throw new SubnetError('INVALID', `lease: ${miner} has two of them`)
}

function requireCopies(manifest: Manifest, what: string, nodeHolders: readonly (readonly number[])[]): void {
  const needed = manifestQuorum(manifest.code)
  for (const [node, holders] of nodeHolders.entries()) {
    if (holders.length >= needed) continue
    const text = `${what} ${node} has ${holders.length} copies, ${needed} are needed`
    throw new SubnetError('NOT_DURABLE', text, { data: { receipts: holders.length, needed } })
  }
}

function weakestSegment(
  manifest: Manifest,
  segments: Iterable<SegmentHolders>,
  groupOf: (position: number) => string,
): { readonly weakestReceipts: number; readonly fullReceipts: number } {
  const { code } = manifest
  const cap = groupCap(code)
  let weakest = { weakestReceipts: code.n, fullReceipts: code.n, margin: Number.POSITIVE_INFINITY }
  let index = -1
  for (const chunks of segments) {
    index += 1
    const shape = shrinkProfile(code, code.k - (code.n - chunks.length))
    const receipts = countReceipts(chunks, cap, groupOf)
    const needed = durableQuorum(shape)
    if (receipts < needed) {
      const text = `segment ${index} has ${receipts} receipts that count, ${needed} are needed`
      throw new SubnetError('NOT_DURABLE', text, { data: { segment: index, receipts, needed } })
    }
    const margin = receipts - shape.n
    if (margin < weakest.margin) weakest = { weakestReceipts: receipts, fullReceipts: shape.n, margin }
  }
  const { margin: _, ...rest } = weakest
  return rest
}

/** Chunks with a holder, no group counted for more than `cap` of them. */
function countReceipts(
  chunks: readonly (readonly number[])[],
  cap: number,
  groupOf: (position: number) => string,
): number {
  const used = new Map<string, number>()
  let receipts = 0
  for (const holders of chunks) {
    const group = holders.map(groupOf).find((name) => (used.get(name) ?? 0) < cap)
    if (group === undefined) continue
    used.set(group, (used.get(group) ?? 0) + 1)
    receipts += 1
  }
  return receipts
}

function sameChunk(a: ChunkReference, b: ChunkReference): boolean {
  return a.sizeBytes === b.sizeBytes && equals(a.digest, b.digest) && equals(a.auditRoot, b.auditRoot)
}
