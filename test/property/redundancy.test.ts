import assert from 'node:assert/strict'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { isSubnetError } from '../../src/base/errors.js'
import { sha256 } from '../../src/crypto/hash.js'
import { ed25519Signer } from '../../src/crypto/keys.js'
import { formatCapability, parseCapability } from '../../src/redundancy/capability.js'
import { segmentAt, segmentCount, spansOf } from '../../src/redundancy/layout.js'
import { parseManifestNode, parseManifestRoot } from '../../src/redundancy/manifest.js'
import { buildInlineManifest, ManifestBuilder } from '../../src/redundancy/manifest-builder.js'
import { type Candidate, placeManifest, placeSegment } from '../../src/redundancy/placement.js'
import { PROFILES } from '../../src/redundancy/profiles.js'
import { encodeParity, reconstruct } from '../../src/redundancy/reed-solomon.js'
import {
  FRAME_BYTES,
  FRAME_PLAIN_BYTES,
  openFrames,
  openSegment,
  sealSegment,
} from '../../src/redundancy/seal.js'
import { decodeSegment, encodeSegment, openSpan } from '../../src/redundancy/segment.js'
import { pattern } from '../kit/redundancy-reference.js'
import { verifiedChunk } from '../kit/verified-chunk.js'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const fraction = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true })

/** The numbers below n in an order that the seed decides. */
function shuffled(n: number, seed: number): number[] {
  const keys = Array.from({ length: n }, (_, i) => sha256(encode([seed, i])))
  return [...keys.keys()].sort((a, b) => Buffer.compare(keys[a] as Uint8Array, keys[b] as Uint8Array))
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes)
  const at = Math.floor(bit / 8) % bytes.length
  copy[at] = (copy[at] as number) ^ (1 << (bit % 8))
  return copy
}

describe('Reed–Solomon, any code', () => {
  it('gives data and parity back from any k chunks', () => {
    const codes = fc
      .integer({ min: 1, max: 255 })
      .chain((n) => fc.record({ n: fc.constant(n), k: fc.integer({ min: 1, max: Math.min(n, 40) }) }))
    fc.assert(
      fc.property(codes, fc.integer({ min: 1, max: 40 }), fraction, fc.nat(), (code, length, short, seed) => {
        const { k, n } = code
        const lastLength = k === 1 ? length : 1 + Math.floor(short * length)
        const data = Array.from({ length: k }, (_, i) =>
          pattern(i === k - 1 ? lastLength : length, seed + 7 * i),
        )
        const chunks = [...data, ...encodeParity(data, code)]
        const order = shuffled(n, seed)
        const kept = new Set(order.slice(0, k))
        const wanted = order.slice(k, k + 5)
        const given = chunks.map((chunk, i) => (kept.has(i) ? chunk : undefined))
        for (const [j, rebuilt] of reconstruct(given, code, length, wanted).entries()) {
          const expected = new Uint8Array(length)
          expected.set(chunks[wanted[j] as number] as Uint8Array)
          assert.deepEqual(rebuilt, expected)
        }
      }),
      { numRuns: 40 },
    )
  })

  it('gives segments of the large profiles back from sampled erasures', () => {
    for (const { k, n } of [PROFILES.standard, PROFILES.high, PROFILES.large]) {
      const data = Array.from({ length: k }, (_, i) => pattern(64, 3 * i))
      const chunks = [...data, ...encodeParity(data, { k, n })]
      for (let seed = 0; seed < 60; seed++) {
        const kept = new Set(shuffled(n, seed).slice(0, k))
        const given = chunks.map((chunk, i) => (kept.has(i) ? chunk : undefined))
        const all = Array.from({ length: k }, (_, i) => i)
        assert.deepEqual(reconstruct(given, { k, n }, 64, all), data)
      }
    }
  })
})

describe('seal, any segment', () => {
  const sizes = fc.oneof(
    fc.nat(3 * FRAME_PLAIN_BYTES),
    fc.tuple(fc.nat(3), fc.integer({ min: -17, max: 17 })).map(([frames, d]) => {
      return Math.max(0, frames * FRAME_PLAIN_BYTES + d)
    }),
  )
  const position = fc.record({ index: fc.maxSafeNat(), isLast: fc.boolean() })

  it('opens, whole and frame by frame', () => {
    fc.assert(
      fc.property(bytes32, position, sizes, fc.nat(255), (key, place, size, seed) => {
        const plaintext = pattern(size, seed)
        const { salt, ciphertext } = sealSegment(key, place, plaintext)
        assert.deepEqual(openSegment(key, place, { salt, ciphertext }), plaintext)
        for (let frame = 0; frame * FRAME_BYTES < ciphertext.length; frame++) {
          const opened = openFrames(key, {
            ...place,
            salt,
            sealedBytes: ciphertext.length,
            firstFrame: frame,
            ciphertext: ciphertext.subarray(frame * FRAME_BYTES, (frame + 1) * FRAME_BYTES),
          })
          const at = frame * FRAME_PLAIN_BYTES
          assert.deepEqual(opened, plaintext.slice(at, at + FRAME_PLAIN_BYTES))
        }
      }),
      { numRuns: 40 },
    )
  })

  it('does not open with any bit of ciphertext, salt or key flipped, nor at any length', () => {
    const isMismatch = (error: unknown): boolean => isSubnetError(error, 'MISMATCH')
    fc.assert(
      fc.property(bytes32, position, sizes, fc.nat(), fraction, (key, place, size, bit, cut) => {
        const { salt, ciphertext } = sealSegment(key, place, pattern(size, bit & 255))
        const wrong = [
          { salt, ciphertext: flipped(ciphertext, bit) },
          { salt: flipped(salt, bit), ciphertext },
        ]
        for (const sealed of wrong) assert.throws(() => openSegment(key, place, sealed), isMismatch)
        assert.throws(() => openSegment(flipped(key, bit), place, { salt, ciphertext }), isMismatch)
        const isLastFrameOnly = { salt, ciphertext: ciphertext.slice(0, Math.floor(cut * ciphertext.length)) }
        // A cut between frames of a segment that is not the last is the layout's to notice: its size is fixed.
        fc.pre(place.isLast || isLastFrameOnly.ciphertext.length % FRAME_BYTES !== 0)
        assert.throws(() => openSegment(key, place, isLastFrameOnly), isMismatch)
      }),
      { numRuns: 40 },
    )
  })
})

describe('objects of any size', () => {
  it('come back from any k chunks of each segment, whole and by range', () => {
    const objects = fc.record({
      code: fc.constantFrom({ k: 1, n: 3 }, { k: 2, n: 4 }, { k: 3, n: 5 }),
      sizeBytes: fc.oneof(
        fc.integer({ min: 65_537, max: 3_500_000 }),
        fc.constant(2 * 16 * FRAME_PLAIN_BYTES),
      ),
      isPrivate: fc.boolean(),
      seed: fc.nat(255),
      from: fraction,
      share: fraction,
    })
    fc.assert(
      fc.property(objects, ({ code, sizeBytes, isPrivate, seed, from, share }) => {
        const key = isPrivate ? pattern(32, seed) : undefined
        const object = { class: isPrivate ? 'private' : 'public', sizeBytes, code } as const
        const plaintext = pattern(sizeBytes, seed)
        let offset = 0
        const segments = Array.from({ length: segmentCount(object) }, (_, index) => {
          const shape = segmentAt(object, index)
          const bytes = plaintext.subarray(offset, offset + shape.plainBytes)
          offset += shape.plainBytes
          return encodeSegment({ code, index, isLast: shape.isLast, plaintext: bytes, objectKey: key })
        })
        const sourcesOf = () =>
          segments.map((entry, i) => {
            const kept = new Set(shuffled(entry.shape.n, seed + i).slice(0, entry.shape.k))
            const chunks = entry.chunks.map((c, j) => (kept.has(j) ? verifiedChunk(c, c.bytes) : undefined))
            return { shape: entry.shape, entry, chunks }
          })
        const decoded = sourcesOf().flatMap((source) => decodeSegment(source, key))
        assert.ok(Buffer.concat(decoded).equals(plaintext))
        if (!isPrivate) return
        // Fresh ones: decoding has used up the others.
        const sources = sourcesOf()
        const start = Math.floor(from * sizeBytes)
        const end = start + Math.floor(share * (sizeBytes - start))
        const parts = [...spansOf(object, start, end)].map((span) => {
          return openSpan(span, sources[span.segment.index] as (typeof sources)[number], key)
        })
        assert.ok(Buffer.concat(parts).equals(plaintext.subarray(start, end)))
      }),
      { numRuns: 8 },
    )
  })
})

describe('parsers, any input', () => {
  const objectKey = pattern(32, 1)
  const owner = { class: 'private', objectKey } as const
  const init = { owner, profile: PROFILES.small, createdUnixSeconds: 1 }
  const inline = buildInlineManifest(init, pattern(40, 1)).root
  const publicInit = { ...init, owner: { class: 'public', signer: ed25519Signer(objectKey) } as const }
  const builder = new ManifestBuilder(publicInit)
  builder.add(encodeSegment({ code: PROFILES.small, index: 0, isLast: true, plaintext: pattern(9, 9) }))
  const open = builder.finish()

  const isInvalid = (error: unknown): boolean => isSubnetError(error, 'INVALID')
  const isRefusal = (error: unknown): boolean => isInvalid(error) || isSubnetError(error, 'BAD_SIGNATURE')

  it('manifest: garbage and random values are INVALID', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (b) =>
        assert.throws(() => parseManifestRoot(b), isInvalid),
      ),
    )
    const values = fc.anything({ withTypedArray: false, maxDepth: 3 })
    fc.assert(
      fc.property(values, (value) => {
        let bytes: Uint8Array
        try {
          bytes = encode(value)
        } catch {
          return // Not a value of the data model.
        }
        assert.throws(() => parseManifestRoot(bytes), isInvalid)
      }),
    )
  })

  it('manifest: any flipped bit, cut or splice is refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(inline, open.root), fc.nat(), (root, bit) => {
        assert.throws(() => parseManifestRoot(flipped(root, bit)), isRefusal)
        assert.throws(() => parseManifestRoot(root.slice(0, bit % root.length)), isInvalid)
        const at = bit % root.length
        const spliced = new Uint8Array([...root.subarray(0, at), bit & 255, ...root.subarray(at)])
        assert.throws(() => parseManifestRoot(spliced), isRefusal)
      }),
      { numRuns: 300 },
    )
  })

  it('list node: garbage that the root names is INVALID', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const digest = sha256(bytes)
        const reference = {
          digest,
          auditRoot: digest,
          sizeBytes: bytes.length,
          firstSegment: 0,
          segmentCount: 1,
        }
        assert.throws(() => parseManifestNode(open.manifest, reference, bytes), isInvalid)
      }),
    )
  })

  it('capability: round trip; anything else is INVALID', () => {
    fc.assert(
      fc.property(bytes32, bytes32, (address, secret) => {
        for (const capability of [
          { kind: 'verify', address },
          { kind: 'repair', address, maskRoot: secret },
          { kind: 'read', address, objectKey: secret },
          { kind: 'own', address, ownerKey: secret },
        ] as const) {
          assert.deepEqual(parseCapability(formatCapability(capability)), capability)
        }
      }),
    )
    const text = formatCapability({ kind: 'read', address: objectKey, objectKey })
    fc.assert(fc.property(fc.string(), (garbage) => assert.throws(() => parseCapability(garbage), isInvalid)))
    fc.assert(
      fc.property(fc.nat(text.length), fc.string({ minLength: 1, maxLength: 3 }), (at, garbage) => {
        assert.throws(() => parseCapability(text.slice(0, at) + garbage + text.slice(at)), isInvalid)
      }),
    )
  })
})

describe('placement, any network', () => {
  const networks = fc
    .record({
      seed: bytes32,
      segment: fc.nat(),
      n: fc.integer({ min: 1, max: 40 }),
      cap: fc.integer({ min: 1, max: 8 }),
      miners: fc.array(fc.record({ group: fc.nat(30), weight: fc.integer({ min: 1, max: 1000 }) }), {
        minLength: 2,
        maxLength: 80,
      }),
    })
    .map(({ miners, ...rest }) => ({
      ...rest,
      candidates: miners.map(
        ({ group, weight }, i): Candidate => ({ id: `m${i}`, group: `g${group}`, weight }),
      ),
    }))

  function groupsOf(candidates: readonly Candidate[]): number {
    return new Set(candidates.map(({ group }) => group)).size
  }

  /** How many distinct miners can hold a chunk each within the cap. */
  function room(candidates: readonly Candidate[], cap: number): number {
    const sizes = new Map<string, number>()
    for (const { group } of candidates) sizes.set(group, (sizes.get(group) ?? 0) + 1)
    return [...sizes.values()].reduce((sum, size) => sum + Math.min(size, cap), 0)
  }

  it('keeps the cap also with every spare, uses distinct miners where it can, and answers the same twice', () => {
    fc.assert(
      fc.property(networks, (network) => {
        const { n, cap, candidates } = network
        if (groupsOf(candidates) < Math.ceil(n / cap)) {
          assert.throws(
            () => placeSegment(network),
            (error: unknown) => isSubnetError(error, 'TOO_FEW_PEERS'),
          )
          return
        }
        const placement = placeSegment(network)
        assert.deepEqual(placeSegment(network), placement)
        const { holders, spares } = placement
        assert.equal(holders.length, n)
        const load = new Map<string, number>()
        for (const index of [...holders, ...spares]) {
          const { group } = candidates[index] as Candidate
          load.set(group, (load.get(group) ?? 0) + 1)
        }
        assert.ok([...load.values()].every((held) => held <= cap))
        assert.equal(new Set(holders).size >= Math.min(n, room(candidates, cap)), true)
      }),
    )
  })

  it('does not depend on the order of the candidates', () => {
    fc.assert(
      fc.property(networks, (network) => {
        fc.pre(groupsOf(network.candidates) >= Math.ceil(network.n / network.cap))
        const reversed = { ...network, candidates: network.candidates.toReversed() }
        const names = ({ candidates }: typeof network, indexes: readonly number[]) => {
          return indexes.map((i) => candidates[i]?.id)
        }
        assert.deepEqual(
          names(reversed, placeSegment(reversed).holders),
          names(network, placeSegment(network).holders),
        )
      }),
    )
  })

  it('changes at most one holder when a candidate goes', () => {
    fc.assert(
      fc.property(networks, fc.nat(), (network, gone) => {
        const { n, cap, candidates } = network
        const rest = candidates.filter((_, i) => i !== gone % candidates.length)
        fc.pre(room(rest, cap) >= n && groupsOf(rest) >= Math.ceil(n / cap))
        const ids = (from: readonly Candidate[]): Set<string | undefined> => {
          return new Set(placeSegment({ ...network, candidates: from }).holders.map((i) => from[i]?.id))
        }
        const before = ids(candidates)
        const added = [...ids(rest)].filter((id) => !before.has(id))
        assert.ok(added.length <= 1, `${added}`)
      }),
    )
  })

  it('moves few chunks on average when a candidate goes', () => {
    const n = 40
    const candidates = Array.from({ length: 200 }, (_, i) => ({
      id: `m${i}`,
      group: `g${i % 60}`,
      weight: 1 + (i % 3),
    }))
    let moved = 0
    let runs = 0
    for (let segment = 0; segment < 50; segment++) {
      const init = { seed: pattern(32, segment), segment, n, cap: 8 }
      const before = placeSegment({ ...init, candidates }).holders.map((i) => candidates[i]?.id)
      const rest = candidates.filter(({ id }) => id !== before[segment % n])
      const after = placeSegment({ ...init, candidates: rest }).holders.map((i) => rest[i]?.id)
      moved += after.filter((id, chunk) => id !== before[chunk]).length
      runs++
    }
    assert.ok(moved / runs < n / 4, `${moved / runs} of ${n} chunks move`)
  })

  it('puts manifest copies on distinct miners and as many groups as there can be', () => {
    fc.assert(
      fc.property(networks, ({ seed, candidates, n }) => {
        const { holders } = placeManifest({ seed, copies: n, candidates })
        const copies = Math.min(n, candidates.length)
        assert.equal(new Set(holders).size, copies)
        const groups = new Set(holders.map((i) => candidates[i]?.group)).size
        assert.equal(groups, Math.min(copies, groupsOf(candidates)))
      }),
    )
  })
})
