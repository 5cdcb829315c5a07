/**
 * A public object as IPFS sees it: its data chunks are the raw leaves of a UnixFS file, and above them stand dag-pb nodes,
 * exactly those of `ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576`: balanced, 174 links a node, no
 * wrapper. This file builds them from the leaves' names as these come, and says where each stands. A file of one leaf,
 * or of none, is its own root. The way back down is `file-path.ts`.
 */
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digest from 'multiformats/hashes/digest'
import { invariant } from '../base/errors.js'
import { sha256 } from '../crypto/hash.js'
import { type ChunkReference, describeChunk } from './chunk.js'
import { CHUNK_SIZE } from './profiles.js'

/** Links of a full node. Source: kubo, `DefaultLinksPerBlock`; ipfs-unixfs-importer, `maxChildrenPerNode`. */
export const DAG_LINKS_MAX = 174
/** Most dag-pb nodes of one object: about 1.3 TiB of leaves. */
export const DAG_NODES_MAX = 8_192
/** Largest dag-pb node, bytes: 174 links of at most 49 bytes, as many block sizes of at most 7, and heads. */
export const DAG_NODE_BYTES_MAX = 10_240

const SHA2_256_CODE = 0x12

/** A block of the file that is stored in full copies, so that the file can be found from its root. */
export interface DagNode extends ChunkReference {
  /** Absent: it is the file's only leaf, which is a chunk already. */
  readonly bytes?: Uint8Array
}

/** Leaves of a file of so many bytes. An empty file has none: its root is the empty raw block, which needs no storing. */
export function leafCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / CHUNK_SIZE)
}

/** Levels of dag-pb nodes above the leaves. */
export function dagDepth(leaves: number): number {
  let depth = 0
  for (let nodes = leaves; nodes > 1; nodes = Math.ceil(nodes / DAG_LINKS_MAX)) depth += 1
  return depth
}

/** Nodes of a file of so many leaves; the only leaf counts as one. */
export function dagNodeCount(leaves: number): number {
  return leaves === 1 ? 1 : nodesUpTo(leaves, dagDepth(leaves), Math.ceil)
}

/** Nodes that are complete when leaves `firstLeaf` to before `endLeaf` are there and those before were. */
export function dagNodesBetween(leaves: number, firstLeaf: number, endLeaf: number): number {
  const depth = dagDepth(leaves)
  const before = nodesUpTo(firstLeaf, depth, Math.floor)
  return (endLeaf === leaves ? dagNodeCount(leaves) : nodesUpTo(endLeaf, depth, Math.floor)) - before
}

/**
 * A node's number: nodes count from 0 in the order in which they become complete. `level` 1 is above the leaves, `index`
 * counts from 0 within the level.
 */
export function dagNodeNumber(leaves: number, level: number, index: number): number {
  const depth = dagDepth(leaves)
  const lastLeaf = Math.min(leaves, (index + 1) * DAG_LINKS_MAX ** level)
  const below = nodesUpTo(lastLeaf, level, Math.ceil)
  const above = nodesUpTo(lastLeaf - 1, depth, Math.floor) - nodesUpTo(lastLeaf - 1, level, Math.floor)
  return below + above - 1
}

/** Nodes of levels 1 to `depth` over the first `leaves` leaves: `round` says whether begun ones count. */
function nodesUpTo(leaves: number, depth: number, round: (x: number) => number): number {
  let nodes = 0
  for (let level = 1; level <= depth; level += 1) nodes += round(leaves / DAG_LINKS_MAX ** level)
  return nodes
}

/** The CID of a leaf, or of a file of at most one. */
export function rawCid(digest: Uint8Array): CID {
  return CID.createV1(raw.code, Digest.create(SHA2_256_CODE, digest))
}

export function dagPbCid(digest: Uint8Array): CID {
  return CID.createV1(dagPb.code, Digest.create(SHA2_256_CODE, digest))
}

/** The CID by which IPFS knows a file of so many bytes whose root has this digest. */
export function fileCid(sizeBytes: number, rootDigest: Uint8Array): CID {
  return leafCount(sizeBytes) <= 1 ? rawCid(rootDigest) : dagPbCid(rootDigest)
}

/** Root of the empty file. */
export const EMPTY_FILE_DIGEST: Uint8Array = sha256(new Uint8Array(0))

interface Child {
  readonly cid: CID
  /** Of the file below it. */
  readonly fileBytes: number
  /** Of all blocks below it and its own: dag-pb's `Tsize`. */
  readonly blockBytes: number
}

/** Holds at most 174 links a level. */
export class FileDagBuilder {
  /** Children not yet in a node; those of level 0 are leaves. */
  readonly #levels: Child[][] = [[]]
  #leaves = 0
  #onlyLeaf: ChunkReference | undefined

  /** Adds the next leaves; `isLast`: the file ends with them. Returns the nodes that are complete now, in order. */
  add(leaves: readonly ChunkReference[], isLast: boolean): DagNode[] {
    const nodes: DagNode[] = []
    for (const { digest, auditRoot, sizeBytes } of leaves) {
      this.#onlyLeaf = this.#leaves === 0 ? { digest, auditRoot, sizeBytes } : undefined
      this.#leaves += 1
      this.#push(0, { cid: rawCid(digest), fileBytes: sizeBytes, blockBytes: sizeBytes }, nodes)
    }
    if (!isLast) return nodes
    if (this.#onlyLeaf !== undefined) return [this.#onlyLeaf]
    for (let level = 0; level < this.#levels.length; level += 1) {
      const isRoot = level === this.#levels.length - 1 && this.#levels[level]?.length === 1
      if (!isRoot && this.#levels[level]?.length !== 0) this.#close(level, nodes)
    }
    return nodes
  }

  /** The file's root, after its last leaf. */
  get rootDigest(): Uint8Array {
    if (this.#leaves === 0) return EMPTY_FILE_DIGEST
    const [root, ...others] = this.#levels.at(-1) ?? []
    invariant(root !== undefined && others.length === 0, 'the file has ended')
    return root.cid.multihash.digest
  }

  #push(level: number, child: Child, nodes: DagNode[]): void {
    const children = this.#levels[level] ?? []
    this.#levels[level] = children
    children.push(child)
    if (children.length === DAG_LINKS_MAX) this.#close(level, nodes)
  }

  #close(level: number, nodes: DagNode[]): void {
    const children = this.#levels[level] ?? []
    this.#levels[level] = []
    const bytes = encodeNode(children)
    const reference = describeChunk(bytes)
    nodes.push({ ...reference, bytes })
    const sum = (of: (child: Child) => number) => children.reduce((total, child) => total + of(child), 0)
    const fileBytes = sum((child) => child.fileBytes)
    const blockBytes = bytes.length + sum((child) => child.blockBytes)
    this.#push(level + 1, { cid: dagPbCid(reference.digest), fileBytes, blockBytes }, nodes)
  }
}

function encodeNode(children: readonly Child[]): Uint8Array {
  const file = new UnixFS({ type: 'file' })
  for (const { fileBytes } of children) file.addBlockSize(BigInt(fileBytes))
  const links = children.map(({ cid, blockBytes }) => ({ Hash: cid, Name: '', Tsize: blockBytes }))
  return dagPb.encode(dagPb.prepare({ Data: file.marshal(), Links: links }))
}
