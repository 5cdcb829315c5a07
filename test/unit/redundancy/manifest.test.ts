import assert from 'node:assert/strict'
import { decode, encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { COMMIT_BYTES_MAX } from '../../../protocols/order/messages.js'
import { InvariantError, isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { ed25519Signer } from '../../../src/crypto/keys.js'
import { dagNodeCount, dagPbCid, leafCount, rawCid } from '../../../src/redundancy/file-dag.js'
import { chunkBytes, segmentShape, segmentSize } from '../../../src/redundancy/layout.js'
import {
  MANIFEST_BYTES_MAX,
  MANIFEST_NODES_MAX,
  type NodeReference,
  openInline,
  parseManifestNode,
  parseManifestRoot,
  signedBytes,
} from '../../../src/redundancy/manifest.js'
import {
  buildInlineManifest,
  ManifestBuilder,
  type ManifestOwner,
  objectSigner,
} from '../../../src/redundancy/manifest-builder.js'
import { checkFileDag } from '../../../src/redundancy/manifest-dag.js'
import { maskCommitment, maskRootOf } from '../../../src/redundancy/mask.js'
import { CHUNK_SIZE, PROFILES, type ProfileName } from '../../../src/redundancy/profiles.js'
import type { SegmentEntry } from '../../../src/redundancy/segment.js'
import { keptBytes } from '../../kit/kept-bytes.js'
import { pattern } from '../../kit/redundancy-reference.js'

const objectKey = pattern(32, 1)
const privateOwner: ManifestOwner = { class: 'private', objectKey }
const publisher = ed25519Signer(pattern(32, 2))
const publicOwner: ManifestOwner = { class: 'public', signer: publisher }
const createdUnixSeconds = 1_700_000_000

function init(owner: ManifestOwner, profile: ProfileName) {
  return { owner, profile: PROFILES[profile], createdUnixSeconds }
}

/** A segment as the manifest sees it, with invented hashes. */
function invented(owner: ManifestOwner, profile: ProfileName, index: number, plainBytes?: number) {
  const full = segmentSize(owner.class, PROFILES[profile].k)
  const position = { index, isLast: plainBytes !== undefined }
  const shape = segmentShape(owner.class, PROFILES[profile], position, plainBytes ?? full)
  const chunks = Array.from({ length: shape.n }, (_, i) => ({
    digest: sha256(Uint8Array.of(index & 255, index >> 8, i, 1)),
    auditRoot: sha256(Uint8Array.of(index & 255, index >> 8, i, 2)),
    sizeBytes: chunkBytes(shape, i),
  }))
  return owner.class === 'private' ? { shape, chunks, salt: pattern(16, index) } : { shape, chunks }
}

function built(owner: ManifestOwner, profile: ProfileName, fullSegments: number, lastBytes: number) {
  const builder = new ManifestBuilder(init(owner, profile))
  const nodes = []
  for (let i = 0; i < fullSegments; i++) nodes.push(builder.add(invented(owner, profile, i)).list)
  nodes.push(builder.add(invented(owner, profile, fullSegments, lastBytes)).list)
  const { node, ...rest } = builder.finish()
  return { ...rest, nodes: [...nodes, node].filter((n) => n !== undefined) }
}

type Root = Record<string, unknown>

/** The same manifest with fields changed (`undefined` removes one), and signed again. */
function changed(root: Uint8Array, fields: Root): Uint8Array {
  const { signature: _, ...before } = decode<Root>(root)
  const after = Object.fromEntries(
    Object.entries({ ...before, ...fields }).filter(([, value]) => value !== undefined),
  )
  const signer = before.class === 'private' ? objectSigner(objectKey) : publisher
  return encode({ ...after, signature: signer.sign(signedBytes(after)) })
}

function fieldOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    if (error instanceof SubnetError && error.code === 'INVALID') return error.data.field
    throw error
  }
  return 'accepted'
}

const inlined = buildInlineManifest(init(privateOwner, 'small'), pattern(100, 3)).root
const sealed = built(privateOwner, 'small', 2, 3 * CHUNK_SIZE)
/** Of three leaves, under one dag-pb node, which is complete with the last segment. */
const open = built(publicOwner, 'copies', 2, 5)
const openSegments = decode<{ segments: Root[] }>(open.root).segments
const [openDagNode] = (openSegments[2] as { dagNodes: [unknown[]] }).dagNodes

/** The segments of `open` with this in place of the dag-pb nodes of the last one. */
function withDagNodes(dagNodes: unknown): Root {
  const { chunks } = openSegments[2] as Root
  return { segments: openSegments.with(2, dagNodes === undefined ? { chunks } : { chunks, dagNodes }) }
}

describe('manifest', () => {
  it('reads what was built', () => {
    for (const { root, manifest } of [sealed, open]) {
      assert.deepEqual(parseManifestRoot(root), manifest)
      assert.deepEqual(manifest.address, sha256(root))
    }
    assert.equal(sealed.manifest.sizeBytes, 2 * segmentSize('private', 4) + 3 * CHUNK_SIZE)
    assert.equal(sealed.manifest.code, PROFILES.small)
    assert.equal(sealed.manifest.createdUnixSeconds, createdUnixSeconds)
    assert.deepEqual(sealed.manifest.maskCommitment, maskCommitment(maskRootOf(objectKey)))
    assert.deepEqual(sealed.manifest.signer, objectSigner(objectKey).publicKey)
    assert.equal(open.manifest.maskCommitment, undefined)
    assert.deepEqual(open.manifest.signer, publisher.publicKey)
    const content = sealed.manifest.content
    assert.ok(content.kind === 'segments')
    assert.equal(content.segments.length, 3)
    const { shape: _, ...entry } = invented(privateOwner, 'small', 1)
    assert.deepEqual(content.segments[1], entry)
  })

  it('is the same for the same object, key and time', () => {
    assert.deepEqual(built(privateOwner, 'small', 2, 3 * CHUNK_SIZE).root, sealed.root)
  })

  it('holds private objects up to 64 KiB, the empty one included', () => {
    for (const size of [0, 1, 65_520, 65_521, 65_536]) {
      const { root, manifest } = buildInlineManifest(init(privateOwner, 'standard'), pattern(size, 4))
      assert.deepEqual(openInline(parseManifestRoot(root), objectKey), pattern(size, 4))
      assert.throws(
        () => openInline(manifest, pattern(32, 9)),
        (error: unknown) => isSubnetError(error, 'MISMATCH'),
      )
    }
    assert.throws(() => buildInlineManifest(init(privateOwner, 'small'), pattern(65_537, 4)), InvariantError)
    assert.throws(() => buildInlineManifest(init(publicOwner, 'small'), pattern(1, 4)), InvariantError)
  })

  it('lists no segments for the empty public object', () => {
    const { manifest } = new ManifestBuilder(init(publicOwner, 'small')).finish()
    assert.equal(manifest.sizeBytes, 0)
    assert.deepEqual(manifest.content, { kind: 'segments', segments: [] })
  })

  it('splits a long list into nodes, each within its limit, that read back as the whole list', () => {
    const { root, manifest, nodes } = built(privateOwner, 'small', 800, 70_000)
    assert.ok(manifest.content.kind === 'nodes')
    assert.equal(nodes.length, 3)
    assert.deepEqual(
      manifest.content.nodes,
      nodes.map((node) => node.reference),
    )
    const segments = nodes.flatMap(({ reference, bytes }) => {
      assert.ok(bytes.length <= MANIFEST_BYTES_MAX)
      return parseManifestNode(parseManifestRoot(root), reference, bytes)
    })
    assert.equal(segments.length, 801)
    for (const [i, entry] of segments.entries()) {
      const { shape: _, ...expected } = invented(privateOwner, 'small', i, i === 800 ? 70_000 : undefined)
      assert.deepEqual(entry, expected)
    }
  })

  it('keeps a list in the root as long as the root stays within its limit', () => {
    const [few, more] = [300, 301].map((segments) => built(privateOwner, 'copies', segments, 5).root.length)
    const segmentBytes = (more as number) - (few as number)
    const most = 300 + Math.floor((MANIFEST_BYTES_MAX - (few as number)) / segmentBytes)
    const whole = built(privateOwner, 'copies', most, 5)
    assert.equal(whole.manifest.content.kind, 'segments')
    assert.ok(whole.root.length <= MANIFEST_BYTES_MAX)
    assert.ok(whole.root.length + segmentBytes > MANIFEST_BYTES_MAX)
    const split = built(privateOwner, 'copies', most + 1, 5)
    assert.equal(split.manifest.content.kind, 'nodes')
    assert.equal(split.nodes.length, 1)
  })

  it('fits as many node references into a root as it allows', () => {
    const segmentCount = 3000
    const digest = sha256(Uint8Array.of(1))
    const nodes = Array.from({ length: MANIFEST_NODES_MAX }, () => [
      digest,
      digest,
      MANIFEST_BYTES_MAX,
      segmentCount,
    ])
    const sizeBytes = MANIFEST_NODES_MAX * segmentCount * segmentSize('private', PROFILES.small.k)
    const root = changed(sealed.root, { sizeBytes, segments: undefined, nodes })
    assert.ok(root.length <= MANIFEST_BYTES_MAX)
    assert.equal(parseManifestRoot(root).content.kind, 'nodes')
  })

  it('keeps no view into the bytes it was read from', () => {
    const bytes = Buffer.from(sealed.root)
    const manifest = parseManifestRoot(bytes)
    bytes.fill(0)
    assert.deepEqual(manifest, sealed.manifest)
  })

  it('takes less than 140 bytes a chunk while it is built', async () => {
    const segments = 300
    const { bytes } = await keptBytes(() => {
      const builder = new ManifestBuilder(init(privateOwner, 'small'))
      for (let i = 0; i < segments; i += 1) builder.add(invented(privateOwner, 'small', i))
      return builder
    })
    assert.ok(bytes / (segments * 10) < 140, `${bytes / (segments * 10)} bytes a chunk`)
  })

  it('wants segments in order, and none for an object that fits inline', () => {
    const builder = new ManifestBuilder(init(privateOwner, 'small'))
    assert.throws(() => builder.add(invented(privateOwner, 'small', 1)), InvariantError)
    builder.add(invented(privateOwner, 'small', 0, 65_536))
    assert.throws(() => builder.finish(), InvariantError)
  })
})

describe('manifest root that is refused', () => {
  const digest = pattern(32, 1)
  const cases: [string, Uint8Array, Root, string][] = [
    ['version', sealed.root, { version: 2 }, 'manifest.version'],
    ['class', sealed.root, { class: 'secret' }, 'manifest.class'],
    ['negative size', sealed.root, { sizeBytes: -1 }, 'manifest.sizeBytes'],
    ['fractional size', sealed.root, { sizeBytes: 1.5 }, 'manifest.sizeBytes'],
    ['huge size', sealed.root, { sizeBytes: 2n ** 60n }, 'manifest.sizeBytes'],
    ['another size', sealed.root, { sizeBytes: 5 * CHUNK_SIZE }, 'manifest.segments'],
    [
      'size of the last chunk',
      open.root,
      { sizeBytes: 2 * CHUNK_SIZE + 6 },
      'manifest.segments[2].chunks[0][2]',
    ],
    ['code no map', sealed.root, { code: [4, 10] }, 'manifest.code'],
    ['profile', sealed.root, { code: { profile: 'toString', k: 4, n: 10 } }, 'manifest.code.profile'],
    ['k', sealed.root, { code: { profile: 'small', k: 5, n: 10 } }, 'manifest.code.k'],
    ['n', sealed.root, { code: { profile: 'small', k: 4, n: 11 } }, 'manifest.code.n'],
    ['hash', sealed.root, { hash: 'blake3' }, 'manifest.hash'],
    ['leaf size', sealed.root, { leafBytes: 1024 }, 'manifest.leafBytes'],
    ['time', sealed.root, { createdUnixSeconds: -5 }, 'manifest.createdUnixSeconds'],
    ['signer', sealed.root, { signer: pattern(31, 1) }, 'manifest.signer'],
    ['cipher', sealed.root, { cipher: 'none' }, 'manifest.cipher'],
    ['no cipher', sealed.root, { cipher: undefined }, 'manifest.cipher'],
    ['cipher of a public object', open.root, { cipher: 'none' }, 'manifest.cipher'],
    ['mask', sealed.root, { maskCommitment: pattern(16, 1) }, 'manifest.maskCommitment'],
    ['mask of a public object', open.root, { maskCommitment: digest }, 'manifest.maskCommitment'],
    ['no content', sealed.root, { segments: undefined }, 'manifest'],
    ['two contents', sealed.root, { nodes: [] }, 'manifest'],
    ['unknown field', sealed.root, { extra: 1 }, 'manifest'],
    ['segments no list', sealed.root, { segments: {} }, 'manifest.segments'],
    ['segment too few', sealed.root, { segments: [] }, 'manifest.segments'],
    ['no segment', sealed.root, { segments: [1, 2, 3] }, 'manifest.segments[0]'],
    ['no salt', sealed.root, { segments: [{ chunks: [] }, 0, 0] }, 'manifest.segments[0].salt'],
    [
      'public salt',
      open.root,
      { segments: [{ salt: digest, chunks: [], dagNodes: [] }, 0, 0] },
      'manifest.segments[0]',
    ],
    [
      'chunk too few',
      open.root,
      { segments: [{ chunks: [], dagNodes: [] }, 0, 0] },
      'manifest.segments[0].chunks',
    ],
    ['no file', open.root, { file: undefined }, 'manifest.file'],
    ['file of a private object', sealed.root, { file: dagPbCid(digest) }, 'manifest.file'],
    ['file no CID', open.root, { file: digest }, 'manifest.file'],
    ['file raw though of several leaves', open.root, { file: rawCid(digest) }, 'manifest.file'],
    ['file of CID version 0', open.root, { file: dagPbCid(digest).toV0() }, 'manifest.file'],
    [
      'file of another hash',
      open.root,
      { file: CID.createV1(0x70, Digest.create(0x1b, digest)) },
      'manifest.file',
    ],
    ['file not the root', open.root, { file: dagPbCid(digest) }, 'manifest.file'],
    ['file of too many nodes', open.root, { sizeBytes: 2 * 1024 * 1024 * CHUNK_SIZE }, 'manifest.sizeBytes'],
    ['no dag-pb nodes', open.root, withDagNodes(undefined), 'manifest.segments[2].dagNodes'],
    ['dag-pb node too few', open.root, withDagNodes([]), 'manifest.segments[2].dagNodes'],
    ['dag-pb node no list', open.root, withDagNodes([1]), 'manifest.segments[2].dagNodes[0]'],
    [
      'dag-pb node digest',
      open.root,
      withDagNodes([[1, digest, 200]]),
      'manifest.segments[2].dagNodes[0][0]',
    ],
    [
      'dag-pb node audit root',
      open.root,
      withDagNodes([[digest, pattern(31, 1), 200]]),
      'manifest.segments[2].dagNodes[0][1]',
    ],
    [
      'dag-pb node size',
      open.root,
      withDagNodes([[digest, digest, 10_241]]),
      'manifest.segments[2].dagNodes[0][2]',
    ],
    ...[0, 1, 2].map((field): [string, Uint8Array, Root, string] => [
      `dag-pb node of other chunks (${field})`,
      open.root,
      withDagNodes([openDagNode.with(field, field < 2 ? digest : 200)]),
      'manifest.segments[2].dagNodes[0]',
    ]),
    ['inline though large', sealed.root, { segments: undefined, inline: {} }, 'manifest.inline'],
    ['not inline though small', sealed.root, { sizeBytes: 65_536 }, 'manifest.segments'],
    [
      'public inline',
      open.root,
      { sizeBytes: 1, file: rawCid(digest), segments: undefined, inline: {} },
      'manifest.inline',
    ],
    ['inline salt', inlined, { inline: { salt: digest, ciphertext: digest } }, 'manifest.inline.salt'],
    [
      'inline size',
      inlined,
      { inline: { salt: pattern(16, 0), ciphertext: digest } },
      'manifest.inline.ciphertext',
    ],
    ['nodes none', sealed.root, { segments: undefined, nodes: [] }, 'manifest.nodes'],
    [
      'nodes short',
      sealed.root,
      { segments: undefined, nodes: [[digest, digest, 999, 2]] },
      'manifest.nodes',
    ],
    [
      'nodes long',
      sealed.root,
      { segments: undefined, nodes: [[digest, digest, 999, 4]] },
      'manifest.nodes[0][3]',
    ],
    [
      'node empty',
      sealed.root,
      { segments: undefined, nodes: [[digest, digest, 999, 0]] },
      'manifest.nodes[0][3]',
    ],
    [
      'node large',
      sealed.root,
      { segments: undefined, nodes: [[digest, digest, 262_145, 3]] },
      'manifest.nodes[0][2]',
    ],
    [
      'node digest',
      sealed.root,
      { segments: undefined, nodes: [[1, digest, 999, 3]] },
      'manifest.nodes[0][0]',
    ],
    [
      'node small for its list',
      sealed.root,
      { segments: undefined, nodes: [[digest, digest, 100, 3]] },
      'manifest.nodes[0][3]',
    ],
  ]
  for (const [what, root, fields, field] of cases) {
    it(`names the field: ${what}`, () => {
      assert.equal(
        fieldOf(() => parseManifestRoot(changed(root, fields))),
        field,
      )
    })
  }

  it('is signed by another key, or says what was not signed', () => {
    const root = decode<Root>(sealed.root)
    const time = encode({ ...root, createdUnixSeconds: 1 })
    const { signature: _, ...rest } = root
    const foreign = encode({ ...root, signature: publisher.sign(signedBytes(rest)) })
    for (const bytes of [time, foreign]) {
      assert.throws(
        () => parseManifestRoot(bytes),
        (error: unknown) => isSubnetError(error, 'BAD_SIGNATURE'),
      )
    }
    const short = encode({ ...root, signature: pattern(63, 1) })
    assert.equal(
      fieldOf(() => parseManifestRoot(short)),
      'manifest.signature',
    )
  })

  it('is not the one canonical encoding of its value', () => {
    const head = inlined[0] as number
    assert.equal(head >> 5, 5, 'a map')
    const longHead = new Uint8Array([0xb8, head & 31, ...inlined.subarray(1)])
    const trailing = new Uint8Array([...inlined, 0])
    const entries = Object.entries(decode<Root>(inlined)).reverse()
    const unordered = Buffer.concat([
      inlined.subarray(0, 1),
      ...entries.flatMap(([key, value]) => [encode(key), encode(value)]),
    ])
    assert.equal(unordered.length, inlined.length)
    for (const bytes of [longHead, trailing, unordered]) {
      assert.equal(
        fieldOf(() => parseManifestRoot(bytes)),
        'manifest',
      )
    }
  })

  it('is too large, empty, nested without end, or no map', () => {
    const nested = new Uint8Array(MANIFEST_BYTES_MAX).fill(0x81)
    const proto = encode(JSON.parse('{"__proto__": 1}'))
    for (const bytes of [
      new Uint8Array(0),
      new Uint8Array(MANIFEST_BYTES_MAX + 1),
      nested,
      proto,
      encode([]),
      encode(null),
      encode(pattern(9, 9)),
    ]) {
      assert.match(String(fieldOf(() => parseManifestRoot(bytes))), /^manifest/)
    }
  })
})

describe('manifest of a public object', () => {
  it('names the blocks of its IPFS file with the segment that completes them', () => {
    for (const [profile, segments] of [
      ['single', 175],
      ['standard', 43],
      ['large', 22],
    ] as const) {
      const { root, manifest } = built(publicOwner, profile, segments, 5)
      const { content, sizeBytes, fileDigest } = parseManifestRoot(root)
      assert.ok(content.kind === 'segments' && fileDigest !== undefined)
      const leaves = leafCount(sizeBytes)
      const named = content.segments.map(({ dagNodes }) => dagNodes?.length ?? 0)
      assert.equal(
        named.reduce((sum, count) => sum + count, 0),
        dagNodeCount(leaves),
      )
      const last = content.segments.at(-1)?.dagNodes?.at(-1)
      assert.deepEqual(last?.digest, fileDigest)
      assert.ok((named[Math.ceil(174 / manifest.code.k) - 1] ?? 0) >= 1)
    }
  })

  it('names the only leaf of a small file as its root', () => {
    const { root } = built(publicOwner, 'small', 0, 9)
    const { content, fileDigest } = parseManifestRoot(root)
    assert.ok(content.kind === 'segments')
    const [{ chunks, dagNodes } = { chunks: [], dagNodes: [] }] = content.segments
    assert.deepEqual(dagNodes, chunks.slice(0, 1))
    assert.deepEqual(fileDigest, chunks[0]?.digest)
  })

  it('of 100 GiB stays within the limits of its nodes, and its file is checked over all of them', () => {
    const builder = new ManifestBuilder(init(publicOwner, 'single'))
    const nameOf = (i: number) => ({
      digest: sha256(Uint8Array.of(i)),
      auditRoot: sha256(Uint8Array.of(i, i)),
      sizeBytes: CHUNK_SIZE,
    })
    const names = [nameOf(0)]
    const segments = 100 * 1024
    const lists = []
    let dagNodes = 0
    for (let index = 0; index < segments; index += 1) {
      const position = { index, isLast: index === segments - 1 }
      const shape = segmentShape('public', PROFILES.single, position, CHUNK_SIZE)
      const added = builder.add({ shape, chunks: names })
      dagNodes += added.dagNodes.length
      lists.push(added.list)
    }
    const { root, manifest, node } = builder.finish()
    const nodes = [...lists, node].filter((list) => list !== undefined)
    assert.ok(root.length <= MANIFEST_BYTES_MAX && nodes.length <= MANIFEST_NODES_MAX)
    const totalBytes = nodes.reduce((sum, { bytes }) => sum + bytes.length, root.length)
    // The others name up to three chunks for each of data.
    assert.ok(3 * totalBytes <= COMMIT_BYTES_MAX, `${totalBytes}`)
    assert.equal(dagNodes, 589 + 4 + 1)
    const entries = nodes.flatMap(({ reference, bytes }) => {
      assert.ok(bytes.length <= MANIFEST_BYTES_MAX)
      return parseManifestNode(manifest, reference, bytes)
    })
    checkFileDag(manifest, entries)
    const wrong = entries.with(0, { ...(entries[0] as SegmentEntry), chunks: [nameOf(1)] })
    assert.equal(
      fieldOf(() => checkFileDag(manifest, wrong)),
      'manifest.segments[173].dagNodes[0]',
    )
  })
})

describe('manifest node that is refused', () => {
  const { manifest, nodes } = built(privateOwner, 'small', 400, 70_000)
  const { reference, bytes } = nodes[0] as { reference: NodeReference; bytes: Uint8Array }

  /** Other bytes that the root would really name. */
  function named(value: unknown): [NodeReference, Uint8Array] {
    const other = encode(value)
    return [{ ...reference, digest: sha256(other) }, other]
  }

  it('is not the one the root names', () => {
    const other = Uint8Array.from(bytes)
    other[100] = (other[100] as number) ^ 1
    assert.throws(
      () => parseManifestNode(manifest, reference, other),
      (error: unknown) => isSubnetError(error, 'MISMATCH'),
    )
  })

  it('names the field that is wrong', () => {
    const [tag, first, list] = decode<[string, number, unknown[]]>(bytes)
    const cases: [unknown, string][] = [
      [{}, 'node'],
      [[tag, first], 'node'],
      [['manifest-node/2', first, list], 'node[0]'],
      [[tag, 1, list], 'node[1]'],
      [[tag, first, list.slice(1)], 'node[2]'],
      [[tag, first, list.with(3, 7)], 'node[2][3]'],
      [[tag, first, list.with(3, { salt: pattern(16, 1), chunks: [1] })], 'node[2][3].chunks'],
    ]
    for (const [value, field] of cases) {
      assert.equal(
        fieldOf(() => parseManifestNode(manifest, ...named(value))),
        field,
      )
    }
  })
})
