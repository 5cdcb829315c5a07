import assert from 'node:assert/strict'
import { ed25519Signer } from '../../../src/crypto/keys.js'
import { LeafHasher } from '../../../src/crypto/merkle.js'
import { type Capability, formatCapability, parseCapability } from '../../../src/redundancy/capability.js'
import { type ObjectClass, segmentSize } from '../../../src/redundancy/layout.js'
import { buildInlineManifest, ManifestBuilder } from '../../../src/redundancy/manifest-builder.js'
import { maskChunk, maskCommitment, maskRootOf } from '../../../src/redundancy/mask.js'
import { placeSegment } from '../../../src/redundancy/placement.js'
import { type Code, PROFILES, type ProfileName } from '../../../src/redundancy/profiles.js'
import { encodeParity } from '../../../src/redundancy/reed-solomon.js'
import { openSegment, sealSegment } from '../../../src/redundancy/seal.js'
import { encodeSegment } from '../../../src/redundancy/segment.js'
import * as reference from '../../kit/redundancy-reference.js'
import { hex, readVectors, unhex } from '../../kit/vectors.js'

type Chunks = [string, string, number][]

interface Vectors {
  objectKey: string
  trees: { sizeBytes: number; patternSeed: number; digest: string; auditRoot: string }[]
  seals: {
    index: number
    isLast: boolean
    plainBytes: number
    patternSeed: number
    salt: string
    sealedBytes: number
    ciphertextDigest: string
    ciphertext?: string
  }[]
  codes: { k: number; n: number; data: string[]; parity: string[] }[]
  mask: Record<'maskRoot' | 'maskCommitment' | 'salt' | 'plain' | 'masked', string> &
    Record<'segment' | 'chunk', number>
  segments: {
    class: ObjectClass
    profile: ProfileName
    index: number
    isLast: boolean
    plainBytes: number
    patternSeed: number
    salt?: string
    chunks: Chunks
  }[]
  manifests: {
    class: ObjectClass
    profile: ProfileName
    createdUnixSeconds: number
    sizeBytes: number
    patternSeed: number
    publisherSeed?: string
    address: string
    root?: string
    rootBytes?: number
  }[]
  capabilities: { kind: Capability['kind']; address: string; secret?: string; text: string }[]
  placements: {
    seed: string
    segment: number
    n: number
    cap: number
    miners: number
    groups: number
    holders: number[]
  }[]
}

const vectors = readVectors<Vectors>('redundancy')
const objectKey = unhex(vectors.objectKey)
const { pattern } = reference

describe('redundancy vectors', () => {
  it('trees: code and reference agree with them', () => {
    for (const { sizeBytes, patternSeed, digest, auditRoot } of vectors.trees) {
      const body = pattern(sizeBytes, patternSeed)
      const hasher = new LeafHasher()
      hasher.update(body)
      const hashes = hasher.finish()
      assert.deepEqual([hex(hashes.digest), hex(hashes.auditRoot)], [digest, auditRoot])
      assert.deepEqual([hex(reference.sha(body)), hex(reference.auditRoot(body))], [digest, auditRoot])
    }
  })

  it('seals: code and reference agree with them', () => {
    for (const vector of vectors.seals) {
      const plaintext = pattern(vector.plainBytes, vector.patternSeed)
      const sealed = sealSegment(objectKey, vector, plaintext)
      for (const { salt, ciphertext } of [
        sealed,
        reference.seal(objectKey, vector.index, vector.isLast, plaintext),
      ]) {
        assert.equal(hex(salt), vector.salt)
        assert.equal(ciphertext.length, vector.sealedBytes)
        assert.equal(hex(reference.sha(ciphertext)), vector.ciphertextDigest)
        assert.equal(hex(ciphertext), vector.ciphertext ?? hex(ciphertext))
      }
      assert.deepEqual(openSegment(objectKey, vector, sealed), plaintext)
    }
  })

  it('codes: code and reference agree with them', () => {
    for (const { k, n, data, parity } of vectors.codes) {
      const chunks = data.map(unhex)
      assert.deepEqual(encodeParity(chunks, { k, n }).map(hex), parity, `${k}/${n}`)
      assert.deepEqual(reference.parity(chunks, k, n).map(hex), parity, `${k}/${n}`)
    }
  })

  it('mask: code and reference agree with it', () => {
    const { segment, chunk, ...texts } = vectors.mask
    const [salt, plain] = [unhex(texts.salt), unhex(texts.plain)]
    const maskRoot = maskRootOf(objectKey)
    assert.equal(hex(maskRoot), texts.maskRoot)
    assert.equal(hex(reference.maskRoot(objectKey)), texts.maskRoot)
    assert.equal(hex(maskCommitment(maskRoot)), texts.maskCommitment)
    assert.equal(hex(maskChunk(maskRoot, { salt, segment, chunk }, plain)), texts.masked)
    assert.equal(hex(reference.mask(maskRoot, salt, segment, chunk, plain)), texts.masked)
  })

  it('segments: code and reference agree with them', () => {
    for (const vector of vectors.segments) {
      const { index, isLast, profile, salt, chunks } = vector
      const code = PROFILES[profile]
      const plaintext = pattern(vector.plainBytes, vector.patternSeed)
      const key = vector.class === 'private' ? objectKey : undefined
      const encoded = encodeSegment({ code, index, isLast, plaintext, objectKey: key })
      const names = encoded.chunks.map((c) => [hex(c.digest), hex(c.auditRoot), c.sizeBytes])
      assert.deepEqual([encoded.salt && hex(encoded.salt), names], [salt, chunks])
      const slow = reference.segment(key, code, index, isLast, plaintext)
      const slowNames = slow.chunks.map(([digest, root, sizeBytes]) => [hex(digest), hex(root), sizeBytes])
      assert.deepEqual([slow.salt && hex(slow.salt), slowNames], [salt, chunks])
    }
  })

  it('manifests: code and reference agree with them', () => {
    for (const vector of vectors.manifests) {
      const { manifest, root } = buildManifest(vector)
      const slow = referenceManifest(vector)
      assert.equal(hex(root), hex(slow))
      assert.equal(hex(manifest.address), vector.address)
      assert.equal(hex(root), vector.root ?? hex(root))
      assert.equal(root.length, vector.rootBytes ?? root.length)
    }
  })

  it('capabilities: code agrees with them both ways', () => {
    for (const { kind, address, secret, text } of vectors.capabilities) {
      const parsed = parseCapability(text)
      assert.equal(formatCapability(parsed), text)
      assert.equal(parsed.kind, kind)
      assert.equal(hex(parsed.address), address)
      if (parsed.kind === 'repair') assert.equal(hex(parsed.maskRoot), secret)
      if (parsed.kind === 'read') assert.equal(hex(parsed.objectKey), secret)
      if (parsed.kind === 'own') assert.equal(hex(parsed.ownerKey), secret)
    }
  })

  it('placements: code and reference agree with them', () => {
    for (const { seed: seedHex, segment, n, cap, miners, groups, holders } of vectors.placements) {
      const candidates = Array.from({ length: miners }, (_, i) => {
        return { id: `miner-${i}`, group: `group-${i % groups}`, weight: 1 + (i % 5) }
      })
      const seed = unhex(seedHex)
      assert.deepEqual(placeSegment({ seed, segment, n, cap, candidates }).holders, holders)
      assert.deepEqual(reference.placeChunks(seed, segment, n, cap, candidates), holders)
    }
  })
})

type ManifestVector = Vectors['manifests'][number]

function buildManifest(vector: ManifestVector) {
  const { profile: name, createdUnixSeconds, sizeBytes, patternSeed, publisherSeed } = vector
  const owner =
    publisherSeed === undefined
      ? { class: 'private' as const, objectKey }
      : { class: 'public' as const, signer: ed25519Signer(unhex(publisherSeed)) }
  const init = { owner, profile: PROFILES[name], createdUnixSeconds }
  const plaintext = pattern(sizeBytes, patternSeed)
  if (vector.class === 'private' && sizeBytes <= 65_536) return buildInlineManifest(init, plaintext)
  const builder = new ManifestBuilder(init)
  const key = publisherSeed === undefined ? objectKey : undefined
  const fullBytes = segmentSize(vector.class, PROFILES[name].k)
  assert.ok(sizeBytes <= fullBytes, 'vectors have at most one segment')
  if (sizeBytes > 0) {
    builder.add(encodeSegment({ code: PROFILES[name], index: 0, isLast: true, plaintext, objectKey: key }))
  }
  return builder.finish()
}

function referenceManifest(vector: ManifestVector): Buffer {
  const { profile: name, createdUnixSeconds, sizeBytes, patternSeed, publisherSeed } = vector
  const plaintext = pattern(sizeBytes, patternSeed)
  const key = publisherSeed === undefined ? objectKey : undefined
  const owner = publisherSeed === undefined ? objectKey : unhex(publisherSeed)
  const segments = sizeBytes > 0 ? [reference.segment(key, PROFILES[name], 0, true, plaintext)] : []
  const named = segments.map((s) => ({ ...s, chunks: s.chunks.map((chunk) => chunk.slice(0, 3)) }))
  const content =
    key === undefined
      ? publicContent(named, PROFILES[name])
      : sizeBytes <= 65_536
        ? { inline: reference.seal(key, 0, true, plaintext) }
        : { segments: named }
  return reference.manifestRoot(vector.class, owner, PROFILES[name], createdUnixSeconds, sizeBytes, content)
}

/** Of at most one segment. */
function publicContent(segments: { chunks: unknown[][] }[], { k, n }: Code) {
  const chunks = segments.flatMap((s) => s.chunks) as [Uint8Array, Uint8Array, number][]
  const leaves = chunks.slice(0, Math.max(0, chunks.length - (n - k)))
  if (leaves.length === 0) {
    return { segments, file: new reference.Link(reference.cid(0x55, reference.sha(Buffer.alloc(0)))) }
  }
  const block = reference.fileNode(leaves.map(([digest, , sizeBytes]) => ({ digest, sizeBytes })))
  const above = [reference.sha(block), reference.auditRoot(block), block.length] as const
  const root = leaves.length === 1 ? (leaves[0] as [Uint8Array, Uint8Array, number]) : above
  const file = new reference.Link(reference.cid(leaves.length === 1 ? 0x55 : 0x70, root[0]))
  return { segments: segments.map((s) => ({ ...s, dagNodes: [[...root]] })), file }
}
