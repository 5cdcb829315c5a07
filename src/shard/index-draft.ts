/**
 * What a group of mutations will change, before anything is written: the index as it will be, the bodies to append and
 * the body files' new counts. In memory only; dropping it undoes everything.
 */
import { invariant, SubnetError } from '../base/errors.js'
import {
  type BodyFileRow,
  EMPTY_FILE,
  encodeFileRow,
  fileKey,
  isDead,
  keyText,
  type Place,
} from './index-codec.js'
import type { IndexChange } from './level-index.js'

export interface IndexDraftInit {
  /** What the index holds under every key that a mutation of the group reads, by `keyText`. */
  readonly values: ReadonlyMap<string, Uint8Array | undefined>
  readonly files: { get(file: number): BodyFileRow | undefined }
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

  /** What it changes a key to, if it does. */
  change(keyText: string): IndexChange | undefined {
    return this.#changes.get(keyText)
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
    this.#change(place.file, { lengthBytes: sizeBytes, liveBytes: sizeBytes, liveChunks: 1 })
    return place
  }

  /** Counts a held body as dead. */
  dropBody(file: number, sizeBytes: number): void {
    this.#change(file, { liveBytes: -sizeBytes, liveChunks: -1 })
  }

  /** Counts a held body as trash. */
  trashBody(file: number, sizeBytes: number): void {
    this.#change(file, { liveBytes: -sizeBytes, liveChunks: -1, trashBytes: sizeBytes, trashChunks: 1 })
  }

  /** Counts a body in the trash as held. */
  reviveBody(file: number, sizeBytes: number): void {
    this.#change(file, { liveBytes: sizeBytes, liveChunks: 1, trashBytes: -sizeBytes, trashChunks: -1 })
  }

  /** Counts a body in the trash as dead. */
  dropTrash(file: number, sizeBytes: number): void {
    this.#change(file, { trashBytes: -sizeBytes, trashChunks: -1 })
  }

  /** Pieces to write at the init's place, in order. */
  get bodies(): readonly Uint8Array[] {
    return this.#bodies
  }

  /** The counts that changed; a file in which nothing counts may go. */
  get files(): ReadonlyMap<number, BodyFileRow> {
    return this.#files
  }

  /** Everything to write in one step, the files' counts included. */
  changes(): IndexChange[] {
    const counts = [...this.#files].map(([file, row]) => ({
      key: fileKey(file),
      value: isDead(row) ? undefined : encodeFileRow(row),
    }))
    return [...this.#changes.values(), ...counts]
  }

  #change(file: number, by: Partial<BodyFileRow>): void {
    const row = this.#files.get(file) ?? this.#init.files.get(file) ?? EMPTY_FILE
    const next = {
      lengthBytes: row.lengthBytes + (by.lengthBytes ?? 0),
      liveBytes: row.liveBytes + (by.liveBytes ?? 0),
      liveChunks: row.liveChunks + (by.liveChunks ?? 0),
      trashBytes: row.trashBytes + (by.trashBytes ?? 0),
      trashChunks: row.trashChunks + (by.trashChunks ?? 0),
    }
    invariant(
      Object.values(next).every((value) => value >= 0),
      'a body file counts what it holds',
    )
    this.#files.set(file, next)
  }
}

export function diskFull(freeBytes: number, cause?: unknown): SubnetError {
  return new SubnetError('NO_SPACE', 'the disk is full', { data: { freeBytes }, cause })
}
