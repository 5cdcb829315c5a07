/**
 * One segment's way there and back: plaintext → sealed → coded → masked chunks with their names, and from any k
 * verified chunks to plaintext again, or to the chunks that are missing. Where chunks come from and go to is
 * `src/transfer`; the list of all segments is `manifest.ts`.
 */
import { equals } from 'uint8arrays/equals'
import { invariant, SubnetError } from '../base/errors.js'
import { sha256 } from '../crypto/hash.js'
import { type ChunkReference, describeChunk, type VerifiedSpan } from './chunk.js'
import { type ChunkSpan, chunkBytes, coderBytes, type SegmentShape, segmentShape } from './layout.js'
import { maskInto, maskRootOf } from './mask.js'
import { CHUNK_SIZE, type Code } from './profiles.js'
import { encodeParity, reconstruct } from './reed-solomon.js'
import { FRAME_BYTES, openFrames, type SegmentPosition, sealSegment } from './seal.js'

/** What a manifest says of one segment. */
export interface SegmentEntry {
  /** 16 bytes; private objects only. */
  readonly salt?: Uint8Array
  /** All n chunks in order, data first. */
  readonly chunks: readonly ChunkReference[]
  /** Blocks of the IPFS file that are complete with this segment, as `file-dag.ts` builds them; public objects only. */
  readonly dagNodes?: readonly ChunkReference[]
}

export interface EncodeSegmentInit extends SegmentPosition {
  /** The profile's code; a short last segment shrinks it. */
  readonly code: Code
  /** At least one byte; full unless the segment is the last. */
  readonly plaintext: Uint8Array
  /** 32 bytes make the segment private; without it, it is public. */
  readonly objectKey?: Uint8Array | undefined
}

/** A chunk ready to be stored. */
export interface EncodedChunk extends ChunkReference {
  /** Data chunks may be views into one buffer: of a public segment, into its plaintext. */
  readonly bytes: Uint8Array
}

export interface EncodedSegment extends SegmentEntry {
  readonly shape: SegmentShape
  readonly chunks: readonly EncodedChunk[]
}

/** All n chunks of a segment. The same input gives the same chunks. */
export function encodeSegment(init: EncodeSegmentInit): EncodedSegment {
  const { code, index, isLast, plaintext, objectKey } = init
  const objectClass = objectKey === undefined ? 'public' : 'private'
  const shape = segmentShape(objectClass, code, { index, isLast }, plaintext.length)
  if (objectKey === undefined) return { shape, chunks: codeChunks(shape, plaintext).map(encodedChunk) }
  const { salt, ciphertext } = sealSegment(objectKey, init, plaintext)
  const maskRoot = maskRootOf(objectKey)
  const chunks = codeChunks(shape, ciphertext).map((bytes, chunk) =>
    encodedChunk(maskInto(bytes, maskRoot, { salt, segment: index, chunk }, bytes)),
  )
  return { shape, salt, chunks }
}

/** What reading needs of a segment. */
export interface SegmentSource {
  readonly shape: SegmentShape
  readonly entry: SegmentEntry
  /** Chunk i at place i, if it is there: whole, or at least the span that is read. Any k serve. */
  readonly chunks: readonly (VerifiedSpan | undefined)[]
}

/**
 * The plaintext of a whole segment, in k pieces. It is made where the chunks are, whose bytes are thereby used up: a
 * piece is the front part of a buffer of its own. `objectKey` is given exactly if the segment is private. Throws
 * `UNRECOVERABLE` with fewer than k chunks, `MISMATCH` if they are all as named and yet are not what was encoded (or
 * the key is another).
 */
export function decodeSegment(source: SegmentSource, objectKey?: Uint8Array): Uint8Array[] {
  const { shape, entry } = source
  const data = dataChunks(source, objectKey && maskRootOf(objectKey))
  return data.map((bytes, chunk) => openChunk(shape, entry, objectKey, bytes, chunk, 0, bytes))
}

/**
 * The asked-for plaintext of a span: from its own chunk if that is there, else (private only) from what `spanIn` says of
 * any k others. A public span has nothing that authenticates a rebuilt part of a chunk, so its chunk must be there:
 * without it decode the segment, whose rebuilt chunks are checked whole. Throws as `decodeSegment`.
 */
export function openSpan(
  span: ChunkSpan,
  { entry, chunks }: Omit<SegmentSource, 'shape'>,
  objectKey?: Uint8Array,
): Uint8Array {
  const { segment: shape, chunk, offsetBytes, lengthBytes, skipBytes, takeBytes } = span
  const source = { shape, entry, chunks }
  invariant(shape.class === 'private' || chunks[chunk] !== undefined, 'a public span is not rebuilt')
  const maskRoot = objectKey && maskRootOf(objectKey)
  const own = codedSpan(source, maskRoot, chunk, offsetBytes, lengthBytes)
  const bytes = own ?? rebuildCoded(source, maskRoot, offsetBytes, lengthBytes, [chunk])[0]
  invariant(bytes !== undefined, 'one chunk was wanted')
  const opened = openChunk(shape, entry, objectKey, bytes, chunk, offsetBytes)
  return opened.subarray(skipBytes, skipBytes + takeBytes)
}

/**
 * Stored bytes of the `wanted` chunks out of any k others: the repairer's way, which needs no object key. `maskRoot` is
 * given exactly if the object is private, and was checked against the manifest's commitment. Throws `UNRECOVERABLE`
 * with fewer than k, `MISMATCH` if k verified chunks do not reproduce a digest: then the segment itself is inconsistent.
 */
export function rebuildChunks(
  source: SegmentSource,
  wanted: readonly number[],
  maskRoot?: Uint8Array,
): Uint8Array[] {
  const { shape, entry } = source
  const rebuilt = rebuildCoded(source, maskRoot, 0, coderBytes(shape), wanted)
  return wanted.map((chunk, i) => {
    const coded = rebuilt[i]?.subarray(0, chunkBytes(shape, chunk))
    invariant(coded !== undefined, 'every wanted chunk was rebuilt')
    const bytes = masked(shape, entry, maskRoot, chunk, coded, 0)
    if (!equals(sha256(bytes), referenceOf(entry, chunk).digest)) throw inconsistent(shape, chunk)
    return bytes
  })
}

function encodedChunk(bytes: Uint8Array): EncodedChunk {
  return { ...describeChunk(bytes), bytes }
}

/** Cuts the coded bytes into data chunks and adds the parity. */
function codeChunks(shape: SegmentShape, coded: Uint8Array): Uint8Array[] {
  const data = Array.from({ length: shape.k }, (_, i) =>
    coded.subarray(i * CHUNK_SIZE, i * CHUNK_SIZE + chunkBytes(shape, i)),
  )
  return [...data, ...encodeParity(data, shape)]
}

/** All data chunks, unmasked where they are; those not there are rebuilt, and checked where no seal authenticates them later. */
function dataChunks(source: SegmentSource, maskRoot: Uint8Array | undefined): Uint8Array[] {
  const { shape, entry } = source
  const lengthBytes = coderBytes(shape)
  const coded = anyCoded(source, (chunk) => codedSpan(source, maskRoot, chunk, 0, lengthBytes, true))
  const missing = Array.from({ length: shape.k }, (_, chunk) => chunk).filter((chunk) => !coded[chunk])
  if (missing.length > 0) {
    const rebuilt = reconstruct(coded, shape, lengthBytes, missing)
    for (const [i, chunk] of missing.entries()) {
      const bytes = rebuilt[i]?.subarray(0, chunkBytes(shape, chunk))
      invariant(bytes !== undefined, 'every missing chunk was rebuilt')
      const sealed = shape.class === 'private'
      if (!sealed && !equals(sha256(bytes), referenceOf(entry, chunk).digest))
        throw inconsistent(shape, chunk)
      coded[chunk] = bytes
    }
  }
  return coded.slice(0, shape.k) as Uint8Array[]
}

/** The `wanted` chunks' unmasked bytes at [offset, offset + length) out of the same bytes of k chunks, zero-padded. */
function rebuildCoded(
  source: SegmentSource,
  maskRoot: Uint8Array | undefined,
  offsetBytes: number,
  lengthBytes: number,
  wanted: readonly number[],
): Uint8Array[] {
  const coded = anyCoded(source, (chunk) => codedSpan(source, maskRoot, chunk, offsetBytes, lengthBytes))
  return reconstruct(coded, source.shape, lengthBytes, wanted)
}

/** The first k chunks that `codedOf` gives, each at its place. */
function anyCoded(
  { shape: { k, n, index } }: SegmentSource,
  codedOf: (chunk: number) => Uint8Array | undefined,
): (Uint8Array | undefined)[] {
  const coded: (Uint8Array | undefined)[] = []
  let available = 0
  for (let chunk = 0; chunk < n && available < k; chunk++) {
    coded[chunk] = codedOf(chunk)
    if (coded[chunk] !== undefined) available++
  }
  if (available >= k) return coded
  const text = `segment ${index}: ${available} chunks are there, ${k} are needed`
  throw new SubnetError('UNRECOVERABLE', text, { data: { segment: index, available, needed: k } })
}

/**
 * A chunk's unmasked bytes at [offset, offset + length), as far as the chunk goes; `undefined` if it is not there. Fresh,
 * unless it is public or `inPlace`.
 */
function codedSpan(
  { shape, entry, chunks }: SegmentSource,
  maskRoot: Uint8Array | undefined,
  chunk: number,
  offsetBytes: number,
  lengthBytes: number,
  inPlace = false,
): Uint8Array | undefined {
  const endOffset = Math.min(offsetBytes + lengthBytes, chunkBytes(shape, chunk))
  // The short last data chunk may end before the span: nothing but padding, which everybody knows.
  if (endOffset <= offsetBytes) return new Uint8Array(0)
  const stored = chunks[chunk]?.read(referenceOf(entry, chunk), offsetBytes, endOffset - offsetBytes)
  return stored && masked(shape, entry, maskRoot, chunk, stored, offsetBytes, inPlace ? stored : undefined)
}

/** Masks or unmasks, if private, into `target` or else into fresh bytes. */
function masked(
  shape: SegmentShape,
  entry: SegmentEntry,
  maskRoot: Uint8Array | undefined,
  chunk: number,
  bytes: Uint8Array,
  offsetBytes: number,
  target?: Uint8Array,
): Uint8Array {
  invariant((shape.class === 'private') === (maskRoot !== undefined), 'a key is given exactly if private')
  if (maskRoot === undefined) return bytes
  const place = { salt: saltOf(entry), segment: shape.index, chunk }
  return maskInto(target ?? new Uint8Array(bytes.length), maskRoot, place, bytes, offsetBytes)
}

/** Plaintext of a data chunk's unmasked bytes from `offsetBytes` on; written to `target` if it has to be opened. */
function openChunk(
  shape: SegmentShape,
  entry: SegmentEntry,
  objectKey: Uint8Array | undefined,
  ciphertext: Uint8Array,
  chunk: number,
  offsetBytes: number,
  target?: Uint8Array,
): Uint8Array {
  if (objectKey === undefined) return ciphertext
  const sealed = {
    index: shape.index,
    isLast: shape.isLast,
    salt: saltOf(entry),
    sealedBytes: shape.codedBytes,
    firstFrame: (chunk * CHUNK_SIZE + offsetBytes) / FRAME_BYTES,
    ciphertext,
  }
  return openFrames(objectKey, sealed, target)
}

function saltOf(entry: SegmentEntry): Uint8Array {
  invariant(entry.salt !== undefined, 'a private segment has a salt')
  return entry.salt
}

function referenceOf(entry: SegmentEntry, chunk: number): ChunkReference {
  const reference = entry.chunks[chunk]
  invariant(reference !== undefined, 'the segment names this chunk')
  return reference
}

function inconsistent(shape: SegmentShape, chunk: number): SubnetError {
  const what = `segment ${shape.index} is inconsistent: its chunks do not reproduce chunk ${chunk}`
  return new SubnetError('MISMATCH', what, { data: { segment: shape.index, chunk } })
}
