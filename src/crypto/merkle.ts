/**
 * The tree over a chunk's 4 KiB leaves (RFC 6962, section 2.1): its root is the `auditRoot` that audits and verified
 * byte ranges answer to. One fold serves the root, the proof of a range and its check; a single leaf's proof is RFC
 * 6962's audit path. The Merkle-sum tree of an inventory is not here.
 */
import { createHash } from 'node:crypto'
import { equals } from 'uint8arrays/equals'
import { invariant } from '../base/errors.js'
import { DIGEST_BYTES, sha256, sha256Into } from './hash.js'

/** Bytes of every leaf but the last, which holds the rest. */
export const LEAF_BYTES = 4096

const LEAF_DOMAIN = 0x00
const NODE_DOMAIN = 0x01

export function leafCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / LEAF_BYTES)
}

/** What a body's bytes are known by. */
export interface BodyHashes {
  /** sha2-256 of the whole body, 32 bytes. */
  readonly digest: Uint8Array
  /** Root of the tree over its leaves, 32 bytes. */
  readonly auditRoot: Uint8Array
  /** Hash of every leaf in order, 32 bytes each. */
  readonly leafHashes: Uint8Array
}

/** Hashes a body while it arrives, in pieces of any size. */
export class LeafHasher {
  readonly #body = createHash('sha256')
  readonly #leaf = new LeafScratch()
  #filledBytes = 0
  #leafHashes = new Uint8Array(16 * DIGEST_BYTES)
  #leaves = 0

  update(piece: Uint8Array): void {
    this.#body.update(piece)
    for (let offset = 0; offset < piece.length; ) {
      const end = Math.min(piece.length, offset + LEAF_BYTES - this.#filledBytes)
      this.#leaf.body.set(piece.subarray(offset, end), this.#filledBytes)
      this.#filledBytes += end - offset
      offset = end
      if (this.#filledBytes === LEAF_BYTES) this.#closeLeaf()
    }
  }

  /** Ends the body. Nobody stores an empty one, so it is a defect to ask for its hashes. */
  finish(): BodyHashes {
    if (this.#filledBytes > 0) this.#closeLeaf()
    invariant(this.#leaves > 0, 'a body has at least one byte')
    const leafHashes = this.#leafHashes.slice(0, this.#leaves * DIGEST_BYTES)
    return { digest: Uint8Array.from(this.#body.digest()), auditRoot: merkleRoot(leafHashes), leafHashes }
  }

  #closeLeaf(): void {
    if ((this.#leaves + 1) * DIGEST_BYTES > this.#leafHashes.length) {
      const grown = new Uint8Array(this.#leafHashes.length * 2)
      grown.set(this.#leafHashes)
      this.#leafHashes = grown
    }
    this.#leaf.hashInto(this.#filledBytes, this.#leafHashes, this.#leaves * DIGEST_BYTES)
    this.#leaves++
    this.#filledBytes = 0
  }
}

/** Root over leaf hashes, 32 bytes each; at least one. */
export function merkleRoot(leafHashes: Uint8Array): Uint8Array {
  // Level by level in one buffer: two by two, an odd last one goes up as it is. The largest power of two is left so.
  const level = Uint8Array.from(leafHashes)
  const node = new Uint8Array(1 + 2 * DIGEST_BYTES)
  node[0] = NODE_DOMAIN
  let count = countOf(leafHashes)
  while (count > 1) {
    const pairs = Math.floor(count / 2)
    for (let pair = 0; pair < pairs; pair += 1) {
      node.set(level.subarray(2 * pair * DIGEST_BYTES, 2 * (pair + 1) * DIGEST_BYTES), 1)
      sha256Into(node, level, pair * DIGEST_BYTES)
    }
    if (count % 2 === 1)
      level.copyWithin(pairs * DIGEST_BYTES, (count - 1) * DIGEST_BYTES, count * DIGEST_BYTES)
    count = Math.ceil(count / 2)
  }
  return level.slice(0, DIGEST_BYTES)
}

/** Whether these bytes are the leaves from `firstLeaf` on; all of them whole, but the body's last. */
export function hasLeaves(bytes: Uint8Array, leafHashes: Uint8Array, firstLeaf: number): boolean {
  const scratch = new LeafScratch()
  for (let at = 0; at < bytes.length; at += LEAF_BYTES) {
    const leaf = firstLeaf + at / LEAF_BYTES
    if (leaf >= countOf(leafHashes)) return false
    if (!equals(scratch.hashOf(bytes.subarray(at, at + LEAF_BYTES)), hashAt(leafHashes, leaf))) return false
  }
  return true
}

/**
 * Hashes a verifier needs beside the leaves [firstLeaf, firstLeaf + leaves) to reach the root: roots of the largest
 * subtrees outside the range, each after everything below its sibling. For one leaf this is PATH of RFC 6962.
 */
export function proveRange(leafHashes: Uint8Array, firstLeaf: number, leaves: number): Uint8Array[] {
  const total = countOf(leafHashes)
  const inside = { first: firstLeaf, end: firstLeaf + leaves }
  invariant(firstLeaf >= 0 && leaves >= 1 && inside.end <= total, 'the range lies in the tree')
  const proof: Uint8Array[] = []
  fold(
    { first: 0, end: total },
    inside,
    (leaf) => hashAt(leafHashes, leaf),
    (outside) => {
      const root = rootOf(leafHashes, outside)
      proof.push(root)
      return root
    },
  )
  return proof
}

export interface RangeProof {
  /** 32 bytes, from where the verifier trusts it (manifest, lease, chain): never from the prover. */
  readonly root: Uint8Array
  /**
   * Size of the whole body, from the same trusted place as the root. RFC 6962 does not hash it: a wrong one is noticed
   * only where it changes the path or the last leaf.
   */
  readonly sizeBytes: number
  readonly firstLeaf: number
  /** Bytes of the leaves in order; all whole, but the body's last. */
  readonly leaves: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** True only if these are the body's bytes at that place, shown with exactly the hashes `proveRange` gives. Never throws. */
export function verifyRange({ root, sizeBytes, firstLeaf, leaves, proof }: RangeProof): boolean {
  if (!Number.isSafeInteger(sizeBytes) || !Number.isSafeInteger(firstLeaf) || firstLeaf < 0) return false
  const inside = { first: firstLeaf, end: firstLeaf + leafCount(leaves.length) }
  const endByte = Math.min(inside.end * LEAF_BYTES, sizeBytes)
  if (leaves.length === 0 || firstLeaf * LEAF_BYTES + leaves.length !== endByte) return false
  // A node has room for two digests: what a longer hash has beyond 32 bytes would not count.
  if (proof.some((hash) => hash.length !== DIGEST_BYTES)) return false
  const scratch = new LeafScratch()
  let used = 0
  const found = fold(
    { first: 0, end: leafCount(sizeBytes) },
    inside,
    (leaf) => scratch.hashOf(leaves.subarray((leaf - firstLeaf) * LEAF_BYTES).subarray(0, LEAF_BYTES)),
    () => proof[used++] ?? MISSING,
  )
  return used === proof.length && equals(found, root)
}

/** Stands in for a hash the proof lacks; its length check fails afterwards. */
const MISSING = new Uint8Array(DIGEST_BYTES)

interface LeafRange {
  readonly first: number
  /** One past the last. */
  readonly end: number
}

/**
 * Root of the subtree `tree`, taking leaves of `inside` from `leafHash` and the largest subtrees without any from
 * `outside`, which is asked in proof order.
 */
function fold(
  tree: LeafRange,
  inside: LeafRange,
  leafHash: (leaf: number) => Uint8Array,
  outside: (tree: LeafRange) => Uint8Array,
): Uint8Array {
  if (tree.end <= inside.first || tree.first >= inside.end) return outside(tree)
  if (tree.end - tree.first === 1) return leafHash(tree.first)
  let leftLeaves = 1
  while (leftLeaves * 2 < tree.end - tree.first) leftLeaves *= 2
  const middle = tree.first + leftLeaves
  const left = { first: tree.first, end: middle }
  const right = { first: middle, end: tree.end }
  if (middle <= inside.first) {
    const rightRoot = fold(right, inside, leafHash, outside)
    return hashNode(outside(left), rightRoot)
  }
  const leftRoot = fold(left, inside, leafHash, outside)
  return hashNode(leftRoot, fold(right, inside, leafHash, outside))
}

function rootOf(leafHashes: Uint8Array, tree: LeafRange): Uint8Array {
  return fold(
    tree,
    tree,
    (leaf) => hashAt(leafHashes, leaf),
    () => MISSING, // Unreachable: nothing of the tree is outside itself.
  )
}

function countOf(leafHashes: Uint8Array): number {
  const count = leafHashes.length / DIGEST_BYTES
  invariant(Number.isInteger(count) && count >= 1, 'leaf hashes are 32 bytes each, at least one')
  return count
}

function hashAt(leafHashes: Uint8Array, leaf: number): Uint8Array {
  // Copied, and not with `slice`: a Buffer's slice is a view.
  return new Uint8Array(leafHashes.subarray(leaf * DIGEST_BYTES, (leaf + 1) * DIGEST_BYTES))
}

function hashNode(left: Uint8Array, right: Uint8Array): Uint8Array {
  const node = new Uint8Array(1 + 2 * DIGEST_BYTES)
  node[0] = NODE_DOMAIN
  node.set(left, 1)
  node.set(right, 1 + DIGEST_BYTES)
  return sha256(node)
}

/** One leaf with its domain byte in front, reused: a hash object or a buffer per leaf halves the speed. */
class LeafScratch {
  readonly #bytes = new Uint8Array(1 + LEAF_BYTES).fill(LEAF_DOMAIN)
  readonly body = this.#bytes.subarray(1)

  hashInto(lengthBytes: number, target: Uint8Array, offset: number): void {
    sha256Into(this.#bytes.subarray(0, 1 + lengthBytes), target, offset)
  }

  hashOf(leaf: Uint8Array): Uint8Array {
    this.body.set(leaf)
    const digest = new Uint8Array(DIGEST_BYTES)
    this.hashInto(leaf.length, digest, 0)
    return digest
  }
}
