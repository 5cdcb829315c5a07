/**
 * The manifest: what an object is made of. Immutable canonical dag-cbor, signed; its digest is the object's address.
 * This file reads it and says its form; `manifest-builder.ts` writes it. Where chunks are is not in it.
 *
 *   root = { version: 1, class: "private" | "public", sizeBytes, code: { profile, k, n }, hash: "sha2-256",
 *            leafBytes: 4096, createdUnixSeconds, signer: ed25519 key,
 *            private only: cipher: "aes-256-gcm/65536", maskCommitment: H(maskRoot),
 *            public only: file: CID by which IPFS knows the object (raw up to one chunk, else dag-pb),
 *            one of: inline: { salt, ciphertext } | segments: [segment] | nodes: [[digest, auditRoot, sizeBytes, segment count]],
 *            signature: ed25519 over dag-cbor ["manifest/1", root without signature] }
 *   node = ["manifest-node/1", first segment's index, [segment]]
 *   segment = { chunks: [[digest, auditRoot, sizeBytes]], private only: salt,
 *               public only: dagNodes: [[digest, auditRoot, sizeBytes]] that are complete with its data chunks }
 *
 * Everything that follows from size, class and code (how many segments, chunks and dag-pb nodes, and their sizes) is
 * checked; that the dag-pb nodes are those of the data chunks by `checkFileDag` as soon as all segments are known, which
 * is here for a root without list nodes.
 */
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { equals } from 'uint8arrays/equals'
import { invariant, SubnetError } from '../base/errors.js'
import { KIB } from '../base/units.js'
import { DIGEST_BYTES, sha256 } from '../crypto/hash.js'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES, verifySignature } from '../crypto/keys.js'
import { LEAF_BYTES } from '../crypto/merkle.js'
import type { ChunkReference } from './chunk.js'
import {
  type Fields,
  readBytes,
  readCanonical,
  readChoice,
  readConstant,
  readInteger,
  readList,
  readMap,
  refuse,
} from './fields.js'
import { DAG_NODE_BYTES_MAX, DAG_NODES_MAX, dagNodeCount, fileCid, leafCount } from './file-dag.js'
import {
  chunkBytes,
  dagNodesOf,
  INLINE_BYTES_MAX,
  isInline,
  OBJECT_CLASSES,
  type ObjectClass,
  type ObjectShape,
  segmentAt,
  segmentCount,
} from './layout.js'
import { checkFileDag } from './manifest-dag.js'
import { CHUNK_SIZE, PROFILE_NAMES, PROFILES, type Profile } from './profiles.js'
import { openSegment, SALT_BYTES, sealedSize } from './seal.js'
import type { SegmentEntry } from './segment.js'

export const MANIFEST_VERSION = 1
/** Most bytes of a root or of a list node. */
export const MANIFEST_BYTES_MAX = 256 * KIB
/** Most list nodes of a manifest: their references fill a root. About 2.4 TiB of `copies`, 4 TiB of the others. */
export const MANIFEST_NODES_MAX = 3_000

export const MANIFEST_CIPHER = 'aes-256-gcm/65536'
export const MANIFEST_HASH = 'sha2-256'
export const NODE_TAG = 'manifest-node/1'
const SIGNATURE_TAG = 'manifest/1'

/** A chunk with a part of the segment list. */
export interface NodeReference extends ChunkReference {
  /** Index of its first segment. */
  readonly firstSegment: number
  readonly segmentCount: number
}

export type ManifestContent =
  /** The whole object, sealed as segment 0. */
  | { readonly kind: 'inline'; readonly salt: Uint8Array; readonly ciphertext: Uint8Array }
  | { readonly kind: 'segments'; readonly segments: readonly SegmentEntry[] }
  | { readonly kind: 'nodes'; readonly nodes: readonly NodeReference[] }

export interface Manifest extends ObjectShape {
  /** The object's address: digest of the root's bytes, 32 bytes. */
  readonly address: Uint8Array
  readonly code: Profile
  /** Seconds since 1970 by the writer's clock. */
  readonly createdUnixSeconds: number
  /** Key that signed, 32 bytes: the object's own. Whoever has it may renew and release the object. */
  readonly signer: Uint8Array
  /** H(maskRoot), 32 bytes; private only. */
  readonly maskCommitment?: Uint8Array
  /** Digest of the root block of the IPFS file, 32 bytes; public only. Its CID is `fileCid`'s. */
  readonly fileDigest?: Uint8Array
  readonly content: ManifestContent
}

const ROOT_FIELDS = [
  'version',
  'class',
  'sizeBytes',
  'code',
  'hash',
  'leafBytes',
  'createdUnixSeconds',
  'signer',
  'signature',
] as const
const PRIVATE_FIELDS = ['cipher', 'maskCommitment'] as const
const PUBLIC_FIELDS = ['file'] as const
const CONTENT_FIELDS = ['inline', 'segments', 'nodes'] as const
/** One chunk's two hashes: a small list cannot claim a huge object. */
const SEGMENT_ENTRY_BYTES_MIN = 2 * DIGEST_BYTES
/** Far enough: the end of the year 9999. */
const CREATED_UNIX_SECONDS_MAX = 253_402_300_799

/**
 * Reads a root. Throws `INVALID` naming the field for anything that is not a manifest of this version in canonical
 * form, `BAD_SIGNATURE` if the rest is well-formed. Nothing of the result is a view into `bytes`.
 */
export function parseManifestRoot(bytes: Uint8Array): Manifest {
  const path = 'manifest'
  const optional = [...PRIVATE_FIELDS, ...PUBLIC_FIELDS, ...CONTENT_FIELDS]
  const root = readMap(readCanonical(bytes, path, MANIFEST_BYTES_MAX), path, ROOT_FIELDS, optional)
  readConstant(root.version, `${path}.version`, MANIFEST_VERSION)
  readConstant(root.hash, `${path}.hash`, MANIFEST_HASH)
  readConstant(root.leafBytes, `${path}.leafBytes`, LEAF_BYTES)
  const object = {
    class: readChoice(root.class, `${path}.class`, OBJECT_CLASSES),
    sizeBytes: readInteger(root.sizeBytes, `${path}.sizeBytes`, 0, Number.MAX_SAFE_INTEGER),
    code: readCode(root.code, `${path}.code`),
  }
  const own = object.class === 'private' ? readPrivate(root, path) : readPublic(root, path, object.sizeBytes)
  const signer = readBytes(root.signer, `${path}.signer`, PUBLIC_KEY_BYTES)
  const createdUnixSeconds = readInteger(
    root.createdUnixSeconds,
    `${path}.createdUnixSeconds`,
    0,
    CREATED_UNIX_SECONDS_MAX,
  )
  const content = readContent(root, path, object)
  const { signature: given, ...signed } = root
  const signature = readBytes(given, `${path}.signature`, SIGNATURE_BYTES)
  if (!verifySignature('ed25519', signer, signedBytes(signed), signature)) {
    throw new SubnetError('BAD_SIGNATURE', 'manifest.signature does not verify')
  }
  const manifest = { ...object, address: sha256(bytes), createdUnixSeconds, signer, ...own, content }
  if (content.kind === 'segments') checkFileDag(manifest, content.segments)
  return manifest
}

/**
 * Segments of one list node. Throws `MISMATCH` if the bytes are not those the root names, `INVALID` naming the field
 * if they are and yet are no such node.
 */
export function parseManifestNode(
  object: ObjectShape,
  reference: NodeReference,
  bytes: Uint8Array,
): SegmentEntry[] {
  if (!equals(sha256(bytes), reference.digest)) {
    throw new SubnetError('MISMATCH', 'the bytes are not the list node that the manifest names')
  }
  const { firstSegment, segmentCount: count } = reference
  const path = 'node'
  const node = readList(readCanonical(bytes, path, MANIFEST_BYTES_MAX), path, 3, 3)
  readConstant(node[0], `${path}[0]`, NODE_TAG)
  readConstant(node[1], `${path}[1]`, firstSegment)
  const list = readList(node[2], `${path}[2]`, count, count)
  return list.map((segment, i) => readSegment(segment, `${path}[2][${i}]`, object, firstSegment + i))
}

/** The plaintext of an inline object. Throws `MISMATCH` if the key is not its key. */
export function openInline(manifest: Manifest, objectKey: Uint8Array): Uint8Array {
  invariant(manifest.content.kind === 'inline', 'the object is inline')
  return openSegment(objectKey, { index: 0, isLast: true }, manifest.content)
}

/** What a manifest's signature is over. */
export function signedBytes(rootWithoutSignature: Fields): Uint8Array {
  return encode([SIGNATURE_TAG, rootWithoutSignature])
}

function readCode(value: unknown, path: string): Profile {
  const code = readMap(value, path, ['profile', 'k', 'n'])
  const profile = PROFILES[readChoice(code.profile, `${path}.profile`, PROFILE_NAMES)]
  readConstant(code.k, `${path}.k`, profile.k)
  readConstant(code.n, `${path}.n`, profile.n)
  return profile
}

function readPrivate(root: Fields, path: string): { maskCommitment: Uint8Array } {
  requireNone(root, path, PUBLIC_FIELDS, 'public')
  readConstant(root.cipher, `${path}.cipher`, MANIFEST_CIPHER)
  return { maskCommitment: readBytes(root.maskCommitment, `${path}.maskCommitment`, DIGEST_BYTES) }
}

function readPublic(root: Fields, path: string, sizeBytes: number): { fileDigest: Uint8Array } {
  requireNone(root, path, PRIVATE_FIELDS, 'private')
  const file = CID.asCID(root.file)
  if (file === null) refuse(`${path}.file`, 'must be a CID')
  const fileDigest = Uint8Array.from(file.multihash.digest)
  const isFile = fileDigest.length === DIGEST_BYTES && file.equals(fileCid(sizeBytes, fileDigest))
  if (!isFile) refuse(`${path}.file`, `must be the CID of a file of ${sizeBytes} bytes: version 1, sha2-256`)
  const nodes = dagNodeCount(leafCount(sizeBytes))
  if (nodes > DAG_NODES_MAX)
    refuse(`${path}.sizeBytes`, `takes ${nodes} dag-pb nodes, ${DAG_NODES_MAX} are the most`)
  return { fileDigest }
}

function requireNone(root: Fields, path: string, keys: readonly string[], objectClass: ObjectClass): void {
  for (const key of keys) {
    if (Object.hasOwn(root, key)) refuse(`${path}.${key}`, `belongs to ${objectClass} objects only`)
  }
}

function readContent(root: Fields, path: string, object: ObjectShape): ManifestContent {
  const kinds = CONTENT_FIELDS.filter((key) => Object.hasOwn(root, key))
  const kind = kinds[0]
  if (kind === undefined || kinds.length !== 1) {
    refuse(path, `must have exactly one of ${CONTENT_FIELDS.join(', ')}`)
  }
  const inline = isInline(object.class, object.sizeBytes)
  if (inline !== (kind === 'inline')) {
    refuse(`${path}.${kind}`, `private objects up to ${INLINE_BYTES_MAX} bytes, and only they, are inline`)
  }
  const value = root[kind]
  const at = `${path}.${kind}`
  if (kind === 'inline') {
    const { salt, ciphertext } = readMap(value, at, ['salt', 'ciphertext'])
    return {
      kind,
      salt: readBytes(salt, `${at}.salt`, SALT_BYTES),
      ciphertext: readBytes(ciphertext, `${at}.ciphertext`, sealedSize(object.sizeBytes)),
    }
  }
  const total = segmentCount(object)
  if (kind === 'nodes') return { kind, nodes: readNodes(value, at, total) }
  const list = readList(value, at, total, total)
  return { kind, segments: list.map((segment, i) => readSegment(segment, `${at}[${i}]`, object, i)) }
}

function readNodes(value: unknown, path: string, segmentsOfObject: number): NodeReference[] {
  let firstSegment = 0
  const nodes = readList(value, path, 1, MANIFEST_NODES_MAX).map((item, i) => {
    const at = `${path}[${i}]`
    const node = readList(item, at, 4, 4)
    const digest = readBytes(node[0], `${at}[0]`, DIGEST_BYTES)
    const auditRoot = readBytes(node[1], `${at}[1]`, DIGEST_BYTES)
    const sizeBytes = readInteger(node[2], `${at}[2]`, 1, MANIFEST_BYTES_MAX)
    const countMax = Math.min(
      segmentsOfObject - firstSegment,
      Math.floor(sizeBytes / SEGMENT_ENTRY_BYTES_MIN),
    )
    const segmentCount = readInteger(node[3], `${at}[3]`, 1, countMax)
    const reference = { digest, auditRoot, sizeBytes, firstSegment, segmentCount }
    firstSegment += segmentCount
    return reference
  })
  if (firstSegment !== segmentsOfObject) {
    refuse(path, `must list the object's ${segmentsOfObject} segments, lists ${firstSegment}`)
  }
  return nodes
}

function readSegment(value: unknown, path: string, object: ObjectShape, index: number): SegmentEntry {
  const sealed = object.class === 'private'
  const segment = readMap(value, path, sealed ? ['salt', 'chunks'] : ['chunks', 'dagNodes'])
  const shape = segmentAt(object, index)
  const chunks = readList(segment.chunks, `${path}.chunks`, shape.n, shape.n).map((item, i) => {
    const at = `${path}.chunks[${i}]`
    const chunk = readList(item, at, 3, 3)
    return {
      digest: readBytes(chunk[0], `${at}[0]`, DIGEST_BYTES),
      auditRoot: readBytes(chunk[1], `${at}[1]`, DIGEST_BYTES),
      sizeBytes: readConstant(chunk[2], `${at}[2]`, chunkBytes(shape, i)),
    }
  })
  if (sealed) return { salt: readBytes(segment.salt, `${path}.salt`, SALT_BYTES), chunks }
  return { chunks, dagNodes: readDagNodes(segment.dagNodes, `${path}.dagNodes`, object, index) }
}

function readDagNodes(value: unknown, path: string, object: ObjectShape, index: number): ChunkReference[] {
  const count = dagNodesOf(object, index)
  // The only leaf of a small file is listed as its root.
  const sizeMax = object.sizeBytes <= CHUNK_SIZE ? object.sizeBytes : DAG_NODE_BYTES_MAX
  return readList(value, path, count, count).map((item, i) => {
    const at = `${path}[${i}]`
    const node = readList(item, at, 3, 3)
    return {
      digest: readBytes(node[0], `${at}[0]`, DIGEST_BYTES),
      auditRoot: readBytes(node[1], `${at}[1]`, DIGEST_BYTES),
      sizeBytes: readInteger(node[2], `${at}[2]`, 1, sizeMax),
    }
  })
}
