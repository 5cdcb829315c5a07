/**
 * Writing a manifest while an object is stored. Segments come in order and leave as soon as a list node is full, so
 * the memory it takes does not grow with them. The form of what it writes is in `manifest.ts`.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { invariant, SubnetError } from '../base/errors.js'
import { hkdf } from '../crypto/hash.js'
import { ed25519Signer, type Signer } from '../crypto/keys.js'
import { LEAF_BYTES } from '../crypto/merkle.js'
import { type ChunkReference, describeChunk } from './chunk.js'
import type { Fields } from './fields.js'
import { type DagNode, FileDagBuilder, fileCid } from './file-dag.js'
import { isInline, type SegmentShape } from './layout.js'
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_CIPHER,
  MANIFEST_HASH,
  MANIFEST_NODES_MAX,
  MANIFEST_VERSION,
  type Manifest,
  NODE_TAG,
  type NodeReference,
  parseManifestRoot,
  signedBytes,
} from './manifest.js'
import { maskCommitment, maskRootOf } from './mask.js'
import type { Profile } from './profiles.js'
import { sealSegment } from './seal.js'
import type { SegmentEntry } from './segment.js'

/** Who signs: a private object's key follows from its object key, a public object's is any ed25519 key. */
export type ManifestOwner =
  | { readonly class: 'private'; readonly objectKey: Uint8Array }
  | { readonly class: 'public'; readonly signer: Signer }

export interface ManifestInit {
  readonly owner: ManifestOwner
  readonly profile: Profile
  /** Seconds since 1970. A put that resumes passes the first run's, or the address differs. */
  readonly createdUnixSeconds: number
}

/** A list node, to be stored like the root. */
export interface ManifestNode {
  readonly reference: NodeReference
  readonly bytes: Uint8Array
}

/** What is to be stored because of a segment. */
export interface AddedSegment {
  /** A list node that became full before it. */
  readonly list?: ManifestNode
  /** Blocks of a public object's IPFS file that are complete with it, to be stored in full copies too. */
  readonly dagNodes: readonly DagNode[]
}

export interface BuiltManifest {
  readonly root: Uint8Array
  /** The root as every reader will see it; `manifest.address` is the object's address. */
  readonly manifest: Manifest
  /** The last list node, if there are list nodes. */
  readonly node?: ManifestNode
}

/** Room for a node's tag, index and list heads. */
const NODE_HEAD_BYTES = 64
const NO_SALT = new Uint8Array(0)

/** The key that signs a private object's manifest, and later its release: HKDF(object key, "sign/1") as seed. */
export function objectSigner(objectKey: Uint8Array): Signer {
  return ed25519Signer(hkdf(objectKey, NO_SALT, 'sign/1', 32))
}

/** A private object of at most `INLINE_BYTES_MAX` bytes, the empty one included, as a manifest that holds all of it. */
export function buildInlineManifest(init: ManifestInit, plaintext: Uint8Array): BuiltManifest {
  const { owner } = init
  invariant(
    owner.class === 'private' && isInline(owner.class, plaintext.length),
    'only small private objects are inline',
  )
  const { salt, ciphertext } = sealSegment(owner.objectKey, { index: 0, isLast: true }, plaintext)
  const root = encodeRoot(init, plaintext.length, { inline: { salt, ciphertext } })
  return { root, manifest: parseManifestRoot(root) }
}

export class ManifestBuilder {
  readonly #init: ManifestInit
  #sizeBytes = 0
  #segments = 0
  readonly #nodes: NodeReference[] = []
  /** Segments not yet in a list node, each encoded: as values they take thirty times as much. */
  #pending: Uint8Array[] = []
  #pendingBytes = 0
  readonly #dag = new FileDagBuilder()

  constructor(init: ManifestInit) {
    this.#init = init
  }

  /**
   * Adds the next segment; `segment` may be an encoded one, its bytes are not kept. What it returns can be stored at
   * once. Throws `INVALID` when the object outgrows `MANIFEST_NODES_MAX`.
   */
  add(segment: Omit<SegmentEntry, 'dagNodes'> & { readonly shape: SegmentShape }): AddedSegment {
    const { shape } = segment
    invariant(shape.index === this.#segments, 'segments come in order')
    invariant((shape.class === 'public') === (segment.salt === undefined), 'what is sealed has a salt')
    const dagNodes =
      shape.class === 'public' ? this.#dag.add(segment.chunks.slice(0, shape.k), shape.isLast) : []
    const chunks = segment.chunks.map(referenceFields)
    const fields =
      segment.salt === undefined
        ? { chunks, dagNodes: dagNodes.map(referenceFields) }
        : { chunks, salt: segment.salt }
    // A copy: the codec's is a part of a larger buffer, which it would keep.
    const encoded = Uint8Array.from(encode(fields))
    const isFull = NODE_HEAD_BYTES + this.#pendingBytes + encoded.length > MANIFEST_BYTES_MAX
    const list = isFull ? this.#closeNode() : undefined
    this.#pending.push(encoded)
    this.#pendingBytes += encoded.length
    this.#segments++
    this.#sizeBytes += shape.plainBytes
    return list === undefined ? { dagNodes } : { list, dagNodes }
  }

  /** Ends the object. Not for private objects that fit inline; a public one without segments is the empty object. */
  finish(): BuiltManifest {
    invariant(!isInline(this.#init.owner.class, this.#sizeBytes), 'small private objects are inline')
    if (this.#nodes.length === 0) {
      const root = this.#encodeRoot({ segments: this.#pending.map((segment) => decode(segment)) })
      if (root.length <= MANIFEST_BYTES_MAX) return { root, manifest: parseManifestRoot(root) }
    }
    const node = this.#closeNode()
    const nodes = this.#nodes.map(({ digest, auditRoot, sizeBytes, segmentCount }) => {
      return [digest, auditRoot, sizeBytes, segmentCount]
    })
    const root = this.#encodeRoot({ nodes })
    return { root, manifest: parseManifestRoot(root), node }
  }

  #encodeRoot(content: Fields): Uint8Array {
    const isPublic = this.#init.owner.class === 'public'
    const file = isPublic ? { file: fileCid(this.#sizeBytes, this.#dag.rootDigest) } : {}
    return encodeRoot(this.#init, this.#sizeBytes, { ...file, ...content })
  }

  #closeNode(): ManifestNode {
    if (this.#nodes.length === MANIFEST_NODES_MAX) {
      throw new SubnetError('INVALID', `the object needs more than ${MANIFEST_NODES_MAX} list nodes`)
    }
    const segmentCount = this.#pending.length
    const firstSegment = this.#segments - segmentCount
    const segments = this.#pending.map((segment) => decode(segment))
    const bytes = encode([NODE_TAG, firstSegment, segments])
    const reference = { ...describeChunk(bytes), firstSegment, segmentCount }
    this.#nodes.push(reference)
    this.#pending = []
    this.#pendingBytes = 0
    return { reference, bytes }
  }
}

function referenceFields({ digest, auditRoot, sizeBytes }: ChunkReference): readonly unknown[] {
  return [digest, auditRoot, sizeBytes]
}

function encodeRoot(
  { owner, profile, createdUnixSeconds }: ManifestInit,
  sizeBytes: number,
  content: Fields,
): Uint8Array {
  const signer = owner.class === 'private' ? objectSigner(owner.objectKey) : owner.signer
  invariant(signer.scheme === 'ed25519', 'manifests are signed by ed25519 keys')
  const root: Fields = {
    version: MANIFEST_VERSION,
    class: owner.class,
    sizeBytes,
    code: { profile: profile.name, k: profile.k, n: profile.n },
    hash: MANIFEST_HASH,
    leafBytes: LEAF_BYTES,
    createdUnixSeconds,
    signer: signer.publicKey,
    ...(owner.class === 'private' && {
      cipher: MANIFEST_CIPHER,
      maskCommitment: maskCommitment(maskRootOf(owner.objectKey)),
    }),
    ...content,
  }
  return encode({ ...root, signature: signer.sign(signedBytes(root)) })
}
