/**
 * Where an object's bytes lie: how it is cut into segments, chunks and frames. Pure arithmetic on sizes, the same for
 * the writer, the reader and whoever checks a manifest. It sees no bytes.
 */
import { invariant } from '../base/errors.js'
import { KIB } from '../base/units.js'
import { LEAF_BYTES } from '../crypto/merkle.js'
import { dagNodesBetween, leafCount } from './file-dag.js'
import { CHUNK_SIZE, type Code, shrinkCode } from './profiles.js'
import { FRAME_BYTES, FRAME_PLAIN_BYTES, type SegmentPosition, sealedSize } from './seal.js'

/** Sealed and masked, or stored as it is. */
export const OBJECT_CLASSES = ['private', 'public'] as const
export type ObjectClass = (typeof OBJECT_CLASSES)[number]

/** Private objects up to this many plaintext bytes lie sealed in their manifest and have no segments. */
export const INLINE_BYTES_MAX = 64 * KIB

/** All it takes to know an object's layout. */
export interface ObjectShape {
  readonly class: ObjectClass
  /** Plaintext bytes. */
  readonly sizeBytes: number
  /** The code of full segments. */
  readonly code: Code
}

/** One segment's layout. */
export interface SegmentShape extends SegmentPosition, Code {
  readonly class: ObjectClass
  /** Plaintext bytes. */
  readonly plainBytes: number
  /** Bytes of its k data chunks together: ciphertext if private. */
  readonly codedBytes: number
}

export function isInline(objectClass: ObjectClass, sizeBytes: number): boolean {
  return objectClass === 'private' && sizeBytes <= INLINE_BYTES_MAX
}

/** Plaintext bytes of a full segment. */
export function segmentSize(objectClass: ObjectClass, k: number): number {
  return k * chunkPlainBytes(objectClass)
}

/** 0 for an inline and for an empty public object. */
export function segmentCount(object: ObjectShape): number {
  if (isInline(object.class, object.sizeBytes)) return 0
  return Math.ceil(object.sizeBytes / segmentSize(object.class, object.code.k))
}

export function segmentAt(object: ObjectShape, index: number): SegmentShape {
  const last = segmentCount(object) - 1
  invariant(Number.isInteger(index) && index >= 0 && index <= last, 'the object has this segment')
  const fullBytes = segmentSize(object.class, object.code.k)
  const plainBytes = index === last ? object.sizeBytes - index * fullBytes : fullBytes
  return segmentShape(object.class, object.code, { index, isLast: index === last }, plainBytes)
}

/** Blocks of a public object's IPFS file that are complete with segment `index`, and not before. */
export function dagNodesOf({ sizeBytes, code }: ObjectShape, index: number): number {
  const leaves = leafCount(sizeBytes)
  return dagNodesBetween(leaves, index * code.k, Math.min((index + 1) * code.k, leaves))
}

/** Layout of a segment whose plaintext has `plainBytes`: the code shrinks to the chunks it fills. */
export function segmentShape(
  objectClass: ObjectClass,
  code: Code,
  { index, isLast }: SegmentPosition,
  plainBytes: number,
): SegmentShape {
  const fullBytes = segmentSize(objectClass, code.k)
  invariant(plainBytes === fullBytes || (isLast && plainBytes > 0), 'only the last segment is not full')
  invariant(plainBytes <= fullBytes, 'a segment has at most k chunks of data')
  const codedBytes = objectClass === 'private' ? sealedSize(plainBytes) : plainBytes
  const shrunk = shrinkCode(code, Math.ceil(codedBytes / CHUNK_SIZE))
  return { class: objectClass, index, isLast, plainBytes, codedBytes, ...shrunk }
}

/** Bytes of the segment's longest chunk: all but the last data chunk have them. */
export function coderBytes(segment: SegmentShape): number {
  return Math.min(CHUNK_SIZE, segment.codedBytes)
}

export function chunkBytes(segment: SegmentShape, chunk: number): number {
  invariant(Number.isInteger(chunk) && chunk >= 0 && chunk < segment.n, 'the segment has this chunk')
  return chunk === segment.k - 1 ? segment.codedBytes - chunk * CHUNK_SIZE : coderBytes(segment)
}

/** Part of a data chunk, cut where it can be verified (and, if private, decrypted) alone. */
export interface ChunkSpan {
  readonly segment: SegmentShape
  /** A data chunk. */
  readonly chunk: number
  /** In the stored chunk; a multiple of `LEAF_BYTES`. */
  readonly offsetBytes: number
  /** Stored bytes; ends at a leaf's end or the chunk's. */
  readonly lengthBytes: number
  /** Of the span's plaintext, the part that was asked for. */
  readonly skipBytes: number
  readonly takeBytes: number
}

/** The spans that hold plaintext bytes [startByte, endByte) of an object with segments, in order. */
export function* spansOf(object: ObjectShape, startByte: number, endByte: number): Generator<ChunkSpan> {
  invariant(!isInline(object.class, object.sizeBytes), 'an inline object has no chunks')
  invariant(0 <= startByte && endByte <= object.sizeBytes, 'the range lies in the object')
  const perChunk = chunkPlainBytes(object.class)
  // The smallest piece that opens alone: its plaintext and its stored bytes.
  const [plainUnit, storedUnit] =
    object.class === 'private' ? [FRAME_PLAIN_BYTES, FRAME_BYTES] : [LEAF_BYTES, LEAF_BYTES]
  for (let position = startByte; position < endByte; ) {
    const dataChunk = Math.floor(position / perChunk)
    const segment = segmentAt(object, Math.floor(dataChunk / object.code.k))
    const chunk = dataChunk % object.code.k
    const from = position - dataChunk * perChunk
    const to = Math.min(perChunk, endByte - dataChunk * perChunk)
    const firstUnit = Math.floor(from / plainUnit)
    const offsetBytes = firstUnit * storedUnit
    const endOffset = Math.min(Math.ceil(to / plainUnit) * storedUnit, chunkBytes(segment, chunk))
    const skipBytes = from - firstUnit * plainUnit
    yield {
      segment,
      chunk,
      offsetBytes,
      lengthBytes: endOffset - offsetBytes,
      skipBytes,
      takeBytes: to - from,
    }
    position += to - from
  }
}

/**
 * What to fetch of any of the segment's chunks to open `span` with it: the same bytes, to the end of their last leaf.
 * 0 bytes: the short last data chunk has none there, nothing is needed from it.
 */
export function spanIn(span: ChunkSpan, chunk: number): { offsetBytes: number; lengthBytes: number } {
  const { segment, offsetBytes, lengthBytes } = span
  const leafEnd = Math.ceil((offsetBytes + lengthBytes) / LEAF_BYTES) * LEAF_BYTES
  const endOffset = Math.min(leafEnd, chunkBytes(segment, chunk))
  return { offsetBytes, lengthBytes: Math.max(0, endOffset - offsetBytes) }
}

/** Plaintext bytes of a full data chunk: whole frames fill it exactly. */
function chunkPlainBytes(objectClass: ObjectClass): number {
  return objectClass === 'private' ? (CHUNK_SIZE / FRAME_BYTES) * FRAME_PLAIN_BYTES : CHUNK_SIZE
}
