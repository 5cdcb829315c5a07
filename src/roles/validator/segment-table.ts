/**
 * The chunks of an object while it is judged: what the manifest says of each, and who holds it. Two buffers and not some
 * objects a chunk: an object may have a million.
 */
import { LeaseEntryList } from '../../../protocols/lease/entry-list.js'
import type { ChunkReference } from '../../redundancy/chunk.js'
import type { SegmentHolders } from './ledger-rows.js'

const NOBODY = -1

export class SegmentTable implements Iterable<SegmentHolders> {
  /** All chunks in the order of their segments. */
  readonly #chunks = new LeaseEntryList()
  /** The number among all chunks of each segment's first, and of the one after the last. */
  readonly #firsts = [0]
  /** The first holder of each chunk: most have no other. */
  #first = new Int16Array(0)
  readonly #others = new Map<number, number[]>()

  /** Segments. */
  get length(): number {
    return this.#firsts.length - 1
  }

  /** Adds the next segment. All of them come before the first holder. */
  add(chunks: readonly ChunkReference[]): void {
    const segment = this.length
    for (const [index, { digest, auditRoot, sizeBytes }] of chunks.entries())
      this.#chunks.push([digest, auditRoot, sizeBytes, segment, index])
    this.#firsts.push(this.#chunks.length)
  }

  /** What the manifest says of a chunk; `undefined` for one that it does not name. The bytes are views. */
  reference(segment: number, index: number): ChunkReference | undefined {
    const entry = this.#chunks.at(this.#numberOf(segment, index))
    return entry && { digest: entry[0], auditRoot: entry[1], sizeBytes: entry[2] }
  }

  /** Counts a holder of a chunk that there is; once, however often it is said. */
  hold(segment: number, index: number, position: number): void {
    if (this.#first.length === 0) this.#first = new Int16Array(this.#chunks.length).fill(NOBODY)
    const chunk = this.#numberOf(segment, index)
    const first = this.#first[chunk]
    if (first === position) return
    if (first === NOBODY) {
      this.#first[chunk] = position
      return
    }
    const others = this.#others.get(chunk) ?? []
    if (!others.includes(position)) this.#others.set(chunk, [...others, position])
  }

  /** Holders of each segment's chunks, in the order in which they were said. */
  *[Symbol.iterator](): Generator<SegmentHolders> {
    for (let segment = 0; segment < this.length; segment += 1) {
      const start = this.#firsts[segment] ?? 0
      const end = this.#firsts[segment + 1] ?? start
      yield Array.from({ length: end - start }, (_, index) => this.#holdersOf(start + index))
    }
  }

  #holdersOf(chunk: number): number[] {
    const first = this.#first[chunk] ?? NOBODY
    return first === NOBODY ? [] : [first, ...(this.#others.get(chunk) ?? [])]
  }

  /** -1 for a chunk that there is not. */
  #numberOf(segment: number, index: number): number {
    const number = (this.#firsts[segment] ?? Number.POSITIVE_INFINITY) + index
    return number < (this.#firsts[segment + 1] ?? 0) ? number : -1
  }
}
