/**
 * What a group of mutations will change, before anything is written: the index as it will be, the bodies to append and
 * the body files' new counts. In memory only; dropping it undoes everything.
 */
import { invariant, SubnetError } from '../base/errors.js'
import { type BodyFileRow, encodeFileRow, fileKey, keyText, type Place } from './index-codec.js'
import type { IndexChange } from './level-index.js'

export interface IndexDraftInit {
  /** What the index holds under every key that a mutation of the group reads, by `keyText`. */
  readonly values: ReadonlyMap<string, Uint8Array | undefined>
  readonly files: ReadonlyMap<number, BodyFileRow>
  /** Where the first new body goes; the others follow it. */
  readonly place: Place
  /** What the disk can still take, bytes. */
  readonly freeBytes: number
}

export class IndexDraft {
  readonly #init: IndexDraftInit
  readonly #changes = new Map<string, IndexChange>()
  readonly #files = new Map<number, BodyFileRow>()
  readonly #bodies: Uint8Array[] = []
  #bodyBytes = 0

  constructor(init: IndexDraftInit) {
    this.#init = init
  }

  /** As the mutations before left it. Only keys that were asked for beforehand. */
  get(key: Uint8Array): Uint8Array | undefined {
    const text = keyText(key)
    const change = this.#changes.get(text)
    if (change !== undefined) return change.value
    invariant(this.#init.values.has(text), 'a mutation names every key it reads')
    return this.#init.values.get(text)
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#changes.set(keyText(key), { key, value })
  }

  delete(key: Uint8Array): void {
    this.#changes.set(keyText(key), { key, value: undefined })
  }

  /** Appends a body and says where. `NO_SPACE` unless `spareBytes` stay free behind it; nothing is changed then. */
  addBody(pieces: readonly Uint8Array[], sizeBytes: number, spareBytes: number): Place {
    if (this.#bodyBytes + sizeBytes + spareBytes > this.#init.freeBytes) throw diskFull(this.#init.freeBytes)
    const place = { file: this.#init.place.file, offset: this.#init.place.offset + this.#bodyBytes }
    for (const piece of pieces) this.#bodies.push(piece)
    this.#bodyBytes += sizeBytes
    const { liveBytes, liveChunks } = this.#file(place.file)
    this.#files.set(place.file, {
      lengthBytes: place.offset + sizeBytes,
      liveBytes: liveBytes + sizeBytes,
      liveChunks: liveChunks + 1,
    })
    return place
  }

  /** Counts a body as dead. */
  dropBody(file: number, sizeBytes: number): void {
    const { lengthBytes, liveBytes, liveChunks } = this.#file(file)
    invariant(liveBytes >= sizeBytes && liveChunks >= 1, 'a body file counts what it holds')
    this.#files.set(file, { lengthBytes, liveBytes: liveBytes - sizeBytes, liveChunks: liveChunks - 1 })
  }

  /** Pieces to write at the init's place, in order. */
  get bodies(): readonly Uint8Array[] {
    return this.#bodies
  }

  /** The counts that changed; a file with no live chunk may go. */
  get files(): ReadonlyMap<number, BodyFileRow> {
    return this.#files
  }

  /** Everything to write in one step, the files' counts included. */
  changes(): IndexChange[] {
    const counts = [...this.#files].map(([file, row]) => ({
      key: fileKey(file),
      value: row.liveChunks === 0 ? undefined : encodeFileRow(row),
    }))
    return [...this.#changes.values(), ...counts]
  }

  #file(file: number): BodyFileRow {
    const row = this.#files.get(file) ?? this.#init.files.get(file)
    return row ?? { lengthBytes: 0, liveBytes: 0, liveChunks: 0 }
  }
}

export function diskFull(freeBytes: number, cause?: unknown): SubnetError {
  return new SubnetError('NO_SPACE', 'the disk is full', { data: { freeBytes }, cause })
}
