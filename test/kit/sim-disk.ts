/**
 * A disk in memory that keeps the promises a real one makes and no other: bytes are safe after `dataSync` of their
 * file, names after `syncDir` of their directory, the index after each write. A power cut takes the rest, or leaves
 * any part of it. Every operation is counted and logged, and any of them can be made to fail.
 */
import { compare } from 'uint8arrays'
import { SubnetError } from '../../src/base/errors.js'
import { type Random, randomFraction } from '../../src/base/random.js'
import type { DiskFile, DiskFiles } from '../../src/shard/disk-files.js'
import { keyText } from '../../src/shard/index-codec.js'
import type { IndexChange, IndexDb, OpenIndex } from '../../src/shard/level-index.js'

export type DiskOperation =
  | 'makeDir'
  | 'open'
  | 'write'
  | 'dataSync'
  | 'truncate'
  | 'syncDir'
  | 'unlink'
  | 'removeDir'
  | 'read'
  | 'index.write'

interface FileData {
  /** As the system shows it. */
  seen: Uint8Array
  /** As the platter has it. */
  safe: Uint8Array
}

type Index = Map<string, readonly [Uint8Array, Uint8Array]>

export class SimDisk {
  /** What was done, in order; tests add their own marks. */
  readonly log: string[] = []
  /** Called before every operation that changes something, and `read`; what it throws is the operation's failure. */
  onOperation: (operation: DiskOperation, path: string) => void = () => undefined
  /** What `dataSync` waits for: a disk that hangs. */
  beforeSync: () => Promise<void> = async () => undefined
  /** From this operation on there is no power. */
  cutAt = Number.POSITIVE_INFINITY
  /** An index write that the power cut hits is safe all the same; only its answer is lost. */
  losesOnlyAnswers = false
  capacityBytes = Number.POSITIVE_INFINITY
  #operations = 0
  #seenNames = new Map<string, FileData>()
  #safeNames = new Map<string, FileData>()
  #indexes = new Map<string, Index>()
  /** Directories and those above them; safe as soon as they are made. */
  #dirs = new Set<string>()

  get powerIsCut(): boolean {
    return this.#operations > this.cutAt
  }

  /** Names a reader sees, all directories. */
  get names(): string[] {
    return [...this.#seenNames.keys()].sort()
  }

  count(operation: DiskOperation): number {
    return this.log.filter((line) => line.startsWith(`${operation} `)).length
  }

  /** The disk after the power came back. Without `luck` nothing unsynced survived; with it, any part of it. */
  afterCut(luck?: Random): SimDisk {
    const disk = new SimDisk()
    disk.capacityBytes = this.capacityBytes
    const kept = new Map<FileData, FileData>()
    for (const name of new Set([...this.#safeNames.keys(), ...this.#seenNames.keys()])) {
      const file = (isLucky(luck) ? this.#seenNames : this.#safeNames).get(name)
      if (file === undefined) continue
      const bytes = kept.get(file)?.safe ?? survivor(file, luck)
      kept.set(file, { seen: bytes.slice(), safe: bytes })
      disk.#seenNames.set(name, { seen: bytes.slice(), safe: bytes })
    }
    disk.#safeNames = new Map(disk.#seenNames)
    disk.#indexes = this.#indexes
    disk.#dirs = this.#dirs
    return disk
  }

  readonly files: DiskFiles = {
    makeDir: async (path) => {
      this.#step('makeDir', path)
      this.#addDir(path)
    },
    list: async (path) =>
      [...this.names, ...this.#dirs]
        .filter((name) => parentOf(name) === path)
        .map((name) => name.slice(path.length + 1)),
    open: async (path, mode) => {
      if (mode === 'write') this.#step('open', path)
      let file = this.#seenNames.get(path)
      if (file === undefined && mode === 'read') throw systemError('ENOENT')
      file ??= { seen: new Uint8Array(0), safe: new Uint8Array(0) }
      this.#seenNames.set(path, file)
      return this.#file(path, file)
    },
    syncDir: async (path) => {
      this.#step('syncDir', path)
      for (const name of [...this.#safeNames.keys()])
        if (parentOf(name) === path) this.#safeNames.delete(name)
      for (const [name, file] of this.#seenNames) if (parentOf(name) === path) this.#safeNames.set(name, file)
    },
    unlink: async (path) => {
      this.#step('unlink', path)
      if (!this.#seenNames.delete(path)) throw systemError('ENOENT')
    },
    removeDir: async (path) => {
      const inside = (name: string) => name.startsWith(`${path}/`) || name === path
      try {
        this.#step('removeDir', path)
      } catch (error) {
        // Whatever stops it, a part is gone.
        const first = [...this.#indexes.keys(), ...this.#seenNames.keys()].find(inside)
        this.#indexes.delete(first ?? '')
        this.#seenNames.delete(first ?? '')
        this.#safeNames.delete(first ?? '')
        throw error
      }
      for (const names of [this.#indexes, this.#seenNames, this.#safeNames]) {
        for (const name of [...names.keys()]) if (inside(name)) names.delete(name)
      }
      this.#dirs.delete(path)
    },
    freeBytes: async () => this.capacityBytes - this.#usedBytes(),
  }

  readonly openIndex: OpenIndex = async (path) => {
    this.#addDir(path)
    const index: Index = this.#indexes.get(path) ?? new Map()
    this.#indexes.set(path, index)
    return this.#openIndex(path, index)
  }

  #step(operation: DiskOperation, path: string): void {
    this.#operations += 1
    if (this.powerIsCut) throw new Error('the power is cut')
    this.onOperation(operation, path)
    this.log.push(`${operation} ${path}`)
  }

  #addDir(path: string): void {
    for (let at = path; at !== ''; at = parentOf(at)) this.#dirs.add(at)
  }

  #usedBytes(): number {
    let bytes = 0
    for (const { seen } of this.#seenNames.values()) bytes += seen.length
    return bytes
  }

  #file(path: string, file: FileData): DiskFile {
    const writePieces = (pieces: readonly Uint8Array[], position: number) => {
      let at = position
      for (const piece of pieces) {
        const grownBytes = Math.max(0, at + piece.length - file.seen.length)
        if (this.#usedBytes() + grownBytes > this.capacityBytes) throw systemError('ENOSPC')
        file.seen = overwritten(file.seen, piece, at)
        at += piece.length
      }
    }
    return {
      write: async (pieces, position) => {
        try {
          this.#step('write', path)
        } catch (error) {
          // Whatever stops a write, a part of it has happened.
          if (pieces[0] !== undefined) writePieces([pieces[0]], position)
          throw error
        }
        writePieces(pieces, position)
      },
      dataSync: async () => {
        await this.beforeSync()
        this.#step('dataSync', path)
        file.safe = file.seen.slice()
      },
      read: async (target, position) => {
        this.#step('read', path)
        const bytes = file.seen.subarray(position, position + target.length)
        target.set(bytes)
        return bytes.length
      },
      truncate: async (lengthBytes) => {
        this.#step('truncate', path)
        file.seen = overwritten(file.seen.slice(0, lengthBytes), new Uint8Array(0), lengthBytes)
      },
      sizeBytes: async () => file.seen.length,
      close: async () => undefined,
    }
  }

  #openIndex(path: string, index: Index): IndexDb {
    let open = true
    const check = () => {
      if (!open) throw new SubnetError('STOPPED', 'the index is closed')
    }
    const get = async (key: Uint8Array) => {
      check()
      return index.get(keyText(key))?.[1].slice()
    }
    return {
      get,
      getMany: (keys) => Promise.all(keys.map(get)),
      write: async (changes) => {
        check()
        try {
          this.#step('index.write', path)
        } catch (cause) {
          if (this.losesOnlyAnswers && this.#operations === this.cutAt + 1) apply(index, changes)
          throw new SubnetError('DISK', 'the index failed', { cause })
        }
        apply(index, changes)
      },
      entries: async function* ({ from, before, limit = Number.POSITIVE_INFINITY }) {
        const rows = [...index.values()].filter(
          ([key]) => compare(from, key) <= 0 && compare(key, before) < 0,
        )
        for (const [key, value] of rows.sort(([a], [b]) => compare(a, b)).slice(0, limit)) {
          check()
          yield [key.slice(), value.slice()]
        }
      },
      close: async () => {
        open = false
      },
    }
  }
}

function apply(index: Index, changes: readonly IndexChange[]): void {
  for (const { key, value } of changes) {
    if (value === undefined) index.delete(keyText(key))
    else index.set(keyText(key), [Uint8Array.from(key), Uint8Array.from(value)])
  }
}

/** An error as `node:fs` makes them. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: simulated`), { code })
}

function isLucky(luck: Random | undefined): boolean {
  return luck !== undefined && randomFraction(luck) < 0.5
}

/** What is left of a file: the safe bytes, those seen, or the safe ones with the beginning of the new. */
function survivor({ seen, safe }: FileData, luck: Random | undefined): Uint8Array {
  if (!isLucky(luck)) return safe.slice()
  if (luck === undefined || isLucky(luck)) return seen.slice()
  return overwritten(safe, seen.subarray(0, Math.floor(seen.length * randomFraction(luck))), 0)
}

function overwritten(bytes: Uint8Array, piece: Uint8Array, position: number): Uint8Array {
  const result = new Uint8Array(Math.max(bytes.length, position + piece.length))
  result.set(bytes)
  result.set(piece, position)
  return result
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
