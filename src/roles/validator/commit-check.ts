/**
 * Whether an object may be counted: the leases are of this validator and of registered miners, they cover what the
 * manifest names, and every segment has its durable quorum within the group cap. A pure function of its arguments.
 */
import { equals } from 'uint8arrays'
import type { WireDomain } from '../../../protocols/common/signed.js'
import { sameKey } from '../../../protocols/common/signed.js'
import type { Lease } from '../../../protocols/lease/lease.js'
import { checkLeaseHeld, DAG_SEGMENT, MANIFEST_SEGMENT } from '../../../protocols/lease/lease.js'
import type { CommitRequest } from '../../../protocols/order/server.js'
import { SubnetError } from '../../base/errors.js'
import { toSs58 } from '../../crypto/keys.js'
import { type ChunkReference, describeChunk } from '../../redundancy/chunk.js'
import { type Manifest, parseManifestNode, parseManifestRoot } from '../../redundancy/manifest.js'
import { checkFileDag } from '../../redundancy/manifest-dag.js'
import { maskCommitment } from '../../redundancy/mask.js'
import { durableQuorum, groupCap, manifestQuorum, shrinkProfile } from '../../redundancy/profiles.js'
import type { SegmentHolders } from './ledger-rows.js'

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
  readonly segments: readonly SegmentHolders[]
  /** Receipts of the weakest segment, and how many a complete one of that shape has. */
  readonly weakestReceipts: number
  readonly fullReceipts: number
}

/** Throws `INVALID`, `MISMATCH`, `BAD_SIGNATURE` or `REFUSED` for what is wrong, `NOT_DURABLE` for what is too little. */
export function checkCommit(commit: UnsignedCommit, check: CommitCheck): CheckedCommit {
  const { manifest, nodes, dagNodes, segments } = readManifest(commit)
  const nodeHolders: number[][] = nodes.map(() => [])
  const dagHolders: number[][] = dagNodes.map(() => [])
  const segmentHolders: number[][][] = segments.map((chunks) => chunks.map(() => []))
  const partOf = (segment: number) => {
    if (segment === MANIFEST_SEGMENT) return { references: nodes, holders: nodeHolders }
    if (segment === DAG_SEGMENT) return { references: dagNodes, holders: dagHolders }
    return { references: segments[segment], holders: segmentHolders[segment] }
  }
  for (const [position, { lease, minerSignature }] of commit.leases.entries()) {
    checkParties(lease, commit, check)
    checkLeaseHeld({ lease, minerSignature }, check.domain)
    for (const [digest, auditRoot, sizeBytes, segment, index] of lease.entries) {
      const part = partOf(segment)
      const reference = part.references?.[index]
      const holders = part.holders?.[index]
      if (reference === undefined || holders === undefined) {
        throw new SubnetError('INVALID', `lease: the manifest has no chunk ${index} in segment ${segment}`)
      }
      if (!sameChunk(reference, { digest, auditRoot, sizeBytes })) {
        throw new SubnetError('MISMATCH', `lease: chunk ${index} of segment ${segment} is not the manifest's`)
      }
      if (!holders.includes(position)) holders.push(position)
    }
  }
  const miners = commit.leases.map(({ lease }) => toSs58(lease.miner))
  const groupOf = (position: number) => check.groups.get(miners[position] ?? '') ?? ''
  requireCopies(manifest, 'manifest node', nodeHolders)
  requireCopies(manifest, 'block of the IPFS file', dagHolders)
  const weakest = weakestSegment(manifest, segmentHolders, groupOf)
  return {
    manifest,
    nodes: [...nodes, ...dagNodes].map(({ digest }) => digest),
    nodeHolders: [...nodeHolders, ...dagHolders],
    segments: segmentHolders,
    ...weakest,
  }
}

interface ReadManifest {
  readonly manifest: Manifest
  readonly nodes: readonly ChunkReference[]
  readonly dagNodes: readonly ChunkReference[]
  readonly segments: readonly (readonly ChunkReference[])[]
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
  const entries =
    manifest.content.kind === 'segments'
      ? manifest.content.segments
      : references.flatMap((reference, i) =>
          parseManifestNode(manifest, reference, lists[i] ?? new Uint8Array(0)),
        )
  // Of one without list nodes the parser has checked it.
  if (manifest.content.kind === 'nodes') checkFileDag(manifest, entries)
  return {
    manifest,
    nodes: [describeChunk(root), ...references],
    dagNodes: entries.flatMap(({ dagNodes = [] }) => dagNodes),
    segments: entries.map(({ chunks }) => chunks),
  }
}

function checkParties(lease: Lease, commit: UnsignedCommit, check: CommitCheck): void {
  const miner = toSs58(lease.miner)
  if (!sameKey(lease.object, commit.body.object))
    throw new SubnetError('MISMATCH', 'lease: it is of another object')
  if (!sameKey(lease.validator, check.validator))
    throw new SubnetError('REFUSED', 'lease: it is of another validator')
  if (!check.groups.has(miner)) throw new SubnetError('REFUSED', `lease: ${miner} is no registered miner`)
  if (lease.endBlock <= lease.startBlock) throw new SubnetError('INVALID', 'lease: it ends before it begins')
  if (lease.endBlock <= check.block)
    throw new SubnetError('REFUSED', `lease: it ended at block ${lease.endBlock}`)
  const again = commit.leases.filter((other) => sameKey(other.lease.miner, lease.miner)).length
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
  segments: readonly (readonly (readonly number[])[])[],
  groupOf: (position: number) => string,
): { readonly weakestReceipts: number; readonly fullReceipts: number } {
  const { code } = manifest
  const cap = groupCap(code)
  let weakest = { weakestReceipts: code.n, fullReceipts: code.n, margin: Number.POSITIVE_INFINITY }
  for (const [index, chunks] of segments.entries()) {
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
