/**
 * Lease entries as one buffer: 76 bytes each, a tenth of what an entry takes as an array of its fields. For what keeps
 * all entries of an object for as long as a put or a commit lasts; messages have them as arrays (`lease.ts`).
 */
import { equals } from 'uint8arrays/equals'
import { DIGEST_BYTES } from '../../src/crypto/hash.js'
import { DAG_SEGMENT, type LeaseEntry } from './lease.js'

const SIZE_AT = 2 * DIGEST_BYTES
const SEGMENT_AT = SIZE_AT + 4
const INDEX_AT = SEGMENT_AT + 4
const ENTRY_BYTES = INDEX_AT + 4
/** Room in a list that nothing was added to. */
const FIRST_ENTRIES = 16

/** Major types of CBOR (RFC 8949, section 3.1). */
const [UNSIGNED, NEGATIVE, BYTES, ARRAY] = [0, 1, 2, 4]
const HEAD_BYTES_MAX = 5
/** An entry's own head, two byte strings and three numbers. */
const ENCODED_BYTES_MAX = 1 + 2 * (2 + DIGEST_BYTES) + 3 * HEAD_BYTES_MAX

/** Grows at its end only: what was read of it stays as it is. */
export class LeaseEntryList implements Iterable<LeaseEntry> {
  #bytes: Uint8Array
  #numbers: DataView
  #length = 0

  /** With room for so many entries; for one more it is doubled. */
  constructor(room = FIRST_ENTRIES) {
    this.#bytes = new Uint8Array(Math.max(1, room) * ENTRY_BYTES)
    this.#numbers = new DataView(this.#bytes.buffer)
  }

  static of(entries: Iterable<LeaseEntry> & { readonly length: number }): LeaseEntryList {
    const list = new LeaseEntryList(entries.length)
    for (const entry of entries) list.push(entry)
    return list
  }

  get length(): number {
    return this.#length
  }

  push([digest, auditRoot, sizeBytes, segment, index]: LeaseEntry): void {
    const at = this.#length * ENTRY_BYTES
    if (at === this.#bytes.length) this.#grow()
    this.#bytes.set(digest, at)
    this.#bytes.set(auditRoot, at + DIGEST_BYTES)
    this.#numbers.setUint32(at + SIZE_AT, sizeBytes)
    // Kept from zero on: 2^31, the largest, does not fit a signed number of 32 bits.
    this.#numbers.setUint32(at + SEGMENT_AT, segment - DAG_SEGMENT)
    this.#numbers.setUint32(at + INDEX_AT, index)
    this.#length += 1
  }

  /** Byte strings are views of the list: whoever keeps one keeps all of it. */
  at(position: number): LeaseEntry | undefined {
    if (position < 0 || position >= this.#length) return undefined
    const at = position * ENTRY_BYTES
    return [
      this.#bytes.subarray(at, at + DIGEST_BYTES),
      this.#bytes.subarray(at + DIGEST_BYTES, at + SIZE_AT),
      this.#numbers.getUint32(at + SIZE_AT),
      this.#numbers.getUint32(at + SEGMENT_AT) + DAG_SEGMENT,
      this.#numbers.getUint32(at + INDEX_AT),
    ]
  }

  /** As `at`, those that are there when it comes to them. */
  *[Symbol.iterator](): Generator<LeaseEntry> {
    for (let position = 0; position < this.#length; position += 1) yield this.at(position) as LeaseEntry
  }

  /** Whether the other has the same entries in the same order. */
  equals(other: LeaseEntryList): boolean {
    const bytes = (list: LeaseEntryList) => list.#bytes.subarray(0, list.#length * ENTRY_BYTES)
    return equals(bytes(this), bytes(other))
  }

  /** Digests of entries `first` up to and without `end`, as copies. */
  digests(first: number, end: number): Uint8Array[] {
    const count = Math.max(0, Math.min(end, this.#length) - first)
    return Array.from({ length: count }, (_, offset) => {
      const at = (first + offset) * ENTRY_BYTES
      return this.#bytes.slice(at, at + DIGEST_BYTES)
    })
  }

  /** The list in canonical dag-cbor, as `encodeMessage` writes an array of its entries, without making one. */
  encode(): Uint8Array {
    const target = new Uint8Array(HEAD_BYTES_MAX + this.#length * ENCODED_BYTES_MAX)
    let end = putHead(target, 0, ARRAY, this.#length)
    for (let position = 0; position < this.#length; position += 1) {
      const at = position * ENTRY_BYTES
      end = putHead(target, end, ARRAY, 5)
      for (const start of [at, at + DIGEST_BYTES]) {
        end = putHead(target, end, BYTES, DIGEST_BYTES)
        target.set(this.#bytes.subarray(start, start + DIGEST_BYTES), end)
        end += DIGEST_BYTES
      }
      end = putInteger(target, end, this.#numbers.getUint32(at + SIZE_AT))
      end = putInteger(target, end, this.#numbers.getUint32(at + SEGMENT_AT) + DAG_SEGMENT)
      end = putInteger(target, end, this.#numbers.getUint32(at + INDEX_AT))
    }
    return target.subarray(0, end)
  }

  #grow(): void {
    const grown = new Uint8Array(2 * this.#bytes.length)
    grown.set(this.#bytes)
    this.#bytes = grown
    this.#numbers = new DataView(grown.buffer)
  }
}

function putInteger(target: Uint8Array, at: number, value: number): number {
  return value < 0 ? putHead(target, at, NEGATIVE, -1 - value) : putHead(target, at, UNSIGNED, value)
}

/** The shortest form of a head with a number of 32 bits; returns where it ends. */
function putHead(target: Uint8Array, at: number, major: number, value: number): number {
  const first = major << 5
  if (value < 24) {
    target[at] = first | value
    return at + 1
  }
  const lengthBytes = value < 2 ** 8 ? 1 : value < 2 ** 16 ? 2 : 4
  target[at] = first | (24 + Math.log2(lengthBytes))
  for (let byte = 1; byte <= lengthBytes; byte += 1)
    target[at + byte] = Math.floor(value / 2 ** (8 * (lengthBytes - byte))) & 0xff
  return at + 1 + lengthBytes
}
