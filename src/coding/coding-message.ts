/**
 * What a coding pool and its threads say to each other: one task there, one answer back. Keys cross in the clear: a
 * thread is part of this process. Large bytes are moved, not copied.
 */
import { InvariantError, SubnetError } from '../base/errors.js'
import { release } from '../base/release.js'
import { type ChunkReference, type SpanContent, VerifiedSpan } from '../redundancy/chunk.js'
import type { EncodedSegment, EncodeSegmentInit, SegmentSource } from '../redundancy/segment.js'
import { decodeSegment, encodeSegment } from '../redundancy/segment.js'

export type CodingTask =
  | ({ readonly type: 'encode' } & EncodeSegmentInit)
  | ({ readonly type: 'decode' } & DecodeTask)

interface DecodeTask extends Omit<SegmentSource, 'chunks'> {
  readonly chunks: readonly (SpanContent | undefined)[]
  readonly objectKey: Uint8Array | undefined
}

export type CodingAnswer =
  | { readonly type: 'encoded'; readonly segment: EncodedSegment }
  | { readonly type: 'decoded'; readonly pieces: readonly Uint8Array[] }
  | { readonly type: 'failed'; readonly error: ErrorContent }

/** A message, and the buffers in it that its receiver gets for good. */
export interface Parcel<T> {
  readonly message: T
  readonly moved: ArrayBuffer[]
}

export function encodeParcel(init: EncodeSegmentInit): Parcel<CodingTask> {
  const { code, index, isLast, objectKey } = init
  const plaintext = whole(init.plaintext)
  return {
    message: {
      type: 'encode',
      code: { k: code.k, n: code.n },
      index,
      isLast,
      plaintext,
      objectKey: objectKey && new Uint8Array(objectKey),
    },
    moved: [plaintext.buffer],
  }
}

export function decodeParcel(source: SegmentSource, objectKey: Uint8Array | undefined): Parcel<CodingTask> {
  const { shape, entry } = source
  const moved = new Set<ArrayBuffer>()
  const chunks = source.chunks.map((span) => {
    if (span === undefined) return undefined
    const { reference, offsetBytes, bytes } = span.content
    const own = whole(bytes)
    moved.add(own.buffer)
    return { reference: names(reference), offsetBytes, bytes: own }
  })
  return {
    message: {
      type: 'decode',
      shape,
      entry: { ...(entry.salt && { salt: entry.salt }), chunks: entry.chunks.map(names) },
      chunks,
      objectKey: objectKey && new Uint8Array(objectKey),
    },
    moved: [...moved],
  }
}

/** Does the task; a thread's whole work. */
export function answer(task: CodingTask): Parcel<CodingAnswer> {
  try {
    if (task.type === 'encode') {
      const segment = encodeSegment(task)
      // Chunks of a public segment are views into one buffer.
      const moved = [...new Set(segment.chunks.map(({ bytes }) => bytes.buffer))]
      if (!moved.includes(task.plaintext.buffer)) release(task.plaintext)
      return { message: { type: 'encoded', segment }, moved: moved.filter((b) => b instanceof ArrayBuffer) }
    }
    const chunks = task.chunks.map((content) => content && VerifiedSpan.fromContent(content))
    const pieces = decodeSegment({ ...task, chunks }, task.objectKey)
    const moved = [...new Set(pieces.map(({ buffer }) => buffer))].filter((b) => b instanceof ArrayBuffer)
    for (const content of task.chunks) {
      if (content !== undefined && !moved.some((b) => b === content.bytes.buffer)) release(content.bytes)
    }
    return { message: { type: 'decoded', pieces }, moved }
  } catch (error) {
    return { message: { type: 'failed', error: errorContent(error) }, moved: [] }
  }
}

/** An error as plain values: the structured clone of one of our own classes would be a bare `Error`. */
export interface ErrorContent extends Pick<Error, 'name' | 'message'> {
  readonly stack: string | undefined
  readonly cause: ErrorContent | undefined
  readonly subnet: Pick<SubnetError, 'code' | 'data' | 'retryable'> | undefined
}

export function errorContent(error: unknown): ErrorContent {
  if (!(error instanceof Error)) return errorContent(new Error(String(error)))
  const { name, message, stack, cause } = error
  const subnet = error instanceof SubnetError ? error : undefined
  return {
    name,
    message,
    stack,
    cause: cause === undefined ? undefined : errorContent(cause),
    subnet: subnet && { code: subnet.code, data: subnet.data, retryable: subnet.retryable },
  }
}

/** The error again, with the stack of the place where it was thrown. */
export function errorOf(content: ErrorContent): Error {
  const { name, message, stack, subnet } = content
  const options = content.cause === undefined ? {} : { cause: errorOf(content.cause) }
  const error = subnet
    ? new SubnetError(subnet.code, message, { ...options, data: subnet.data, retryable: subnet.retryable })
    : name === 'InvariantError'
      ? new InvariantError(message, options)
      : Object.assign(new Error(message, options), { name })
  if (stack !== undefined) error.stack = stack
  return error
}

/** The bytes as a buffer of their own: as they are if they have one, else a copy, for a part's buffer is not ours to give. */
function whole(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) return new Uint8Array(buffer)
  return new Uint8Array(bytes)
}

/** Without what else it may have, such as the chunk's bytes. */
function names({ digest, auditRoot, sizeBytes }: ChunkReference): ChunkReference {
  return { digest, auditRoot, sizeBytes }
}
