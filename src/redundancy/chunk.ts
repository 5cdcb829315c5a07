/**
 * A chunk as the manifest names it, and the proof by type that bytes are the ones it names: what decodes takes only a
 * `VerifiedSpan`, and only the functions here make one: two that check bytes, and one for what such a span gave away.
 */
import { equals } from 'uint8arrays/equals'
import { invariant, SubnetError } from '../base/errors.js'
import { Sha256 } from '../crypto/hash.js'
import { LEAF_BYTES, LeafHasher, verifyRange } from '../crypto/merkle.js'

/** What a manifest says of a stored chunk. */
export interface ChunkReference {
  /** sha2-256 of the stored bytes, 32 bytes: the chunk's name everywhere. */
  readonly digest: Uint8Array
  /** Root of the tree over its 4 KiB leaves, 32 bytes. */
  readonly auditRoot: Uint8Array
  readonly sizeBytes: number
}

/** The reference of a chunk with these stored bytes. */
export function describeChunk(bytes: Uint8Array): ChunkReference {
  const hasher = new LeafHasher()
  hasher.update(bytes)
  const { digest, auditRoot } = hasher.finish()
  return { digest, auditRoot, sizeBytes: bytes.length }
}

/** A span as plain values: how it crosses to another thread of this process. */
export interface SpanContent {
  readonly reference: ChunkReference
  readonly offsetBytes: number
  readonly bytes: Uint8Array
}

export interface ChunkReceiver {
  /** The next bytes, which are copied. Throws `MISMATCH` beyond the chunk's size. */
  push(piece: Uint8Array): void
  /** Once, after the last piece. Throws `MISMATCH` if this is not the chunk. */
  finish(): VerifiedSpan
}

/** Stored bytes of one chunk, whole or some of its leaves, that were checked against its reference. */
export class VerifiedSpan {
  readonly #content: SpanContent

  private constructor(content: SpanContent) {
    this.#content = content
  }

  /** A span again from `content` of one. Anything else given here defeats the purpose of the class. */
  static fromContent(content: SpanContent): VerifiedSpan {
    return new VerifiedSpan(content)
  }

  get content(): SpanContent {
    return this.#content
  }

  /** A whole chunk that is yet to come, hashed as it does: its bytes are in the cache then, and half as dear. */
  static receive(reference: ChunkReference): ChunkReceiver {
    // Not zeroed first: `finish` has seen every byte filled.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(reference.sizeBytes).buffer)
    const hash = new Sha256()
    let filled = 0
    return {
      push(piece) {
        if (piece.length > bytes.length - filled) throw notTheChunk()
        bytes.set(piece, filled)
        hash.update(piece)
        filled += piece.length
      },
      finish() {
        if (filled !== bytes.length || !equals(hash.finish(), reference.digest)) throw notTheChunk()
        return new VerifiedSpan({ reference, offsetBytes: 0, bytes })
      },
    }
  }

  /** Leaves from `firstLeaf` on, with their proof. Throws `MISMATCH` if they do not lead to the audit root. */
  static leaves(
    reference: ChunkReference,
    firstLeaf: number,
    bytes: Uint8Array,
    proof: readonly Uint8Array[],
  ): VerifiedSpan {
    const { auditRoot: root, sizeBytes } = reference
    if (!verifyRange({ root, sizeBytes, firstLeaf, leaves: bytes, proof })) {
      throw new SubnetError('MISMATCH', 'the bytes are not those leaves of the chunk that the manifest names')
    }
    return new VerifiedSpan({ reference, offsetBytes: firstLeaf * LEAF_BYTES, bytes })
  }

  /** A view of these bytes of the chunk. Asking for another chunk's, or for bytes not in the span, is a defect. */
  read(reference: ChunkReference, offsetBytes: number, lengthBytes: number): Uint8Array {
    const { digest, auditRoot } = this.#content.reference
    invariant(
      equals(digest, reference.digest) && equals(auditRoot, reference.auditRoot),
      'the span was checked against this chunk',
    )
    const { bytes } = this.#content
    const start = offsetBytes - this.#content.offsetBytes
    invariant(start >= 0 && start + lengthBytes <= bytes.length, 'the span holds these bytes')
    return bytes.subarray(start, start + lengthBytes)
  }
}

function notTheChunk(): SubnetError {
  return new SubnetError('MISMATCH', 'the bytes are not the chunk that the manifest names')
}
