/** A shard's index as sorted bytes: what is asked of LevelDB, and LevelDB itself. It knows no key and no row. */
import { Level } from 'level'
import { SubnetError } from '../base/errors.js'
import { KIB, MIB } from '../base/units.js'

/** A new value, or none to delete the key. */
export interface IndexChange {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

/** Keys from `from` on, before `before`, in byte order. */
export interface KeyRange {
  readonly from: Uint8Array
  readonly before: Uint8Array
  readonly limit?: number
}

/**
 * Everything rejects with `DISK` when the disk or the database fails and `STOPPED` after `close`.
 * What is handed out belongs to the caller.
 */
export interface IndexDb {
  get(key: Uint8Array): Promise<Uint8Array | undefined>
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>
  /** All changes or none, on the disk when it resolves. After a rejection it is not known which: open it anew. */
  write(changes: readonly IndexChange[]): Promise<void>
  /** A view as of the first step, whatever is written meanwhile. */
  entries(range: KeyRange): AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>
  close(): Promise<void>
}

/** Opens the index in a directory, made if absent. `DATA_DIR` when another process has it open. */
export type OpenIndex = (path: string) => Promise<IndexDb>

/**
 * A node may have 256 of these open: with these limits about 1.5 MiB and 4 files each. Keys and hashes do not compress.
 */
const LEVEL_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  compression: false,
  writeBufferSize: MIB,
  cacheSize: 256 * KIB,
  maxOpenFiles: 64,
} as const

export const openLevelIndex: OpenIndex = async (path) => {
  const level = new Level<Uint8Array, Uint8Array>(path, LEVEL_OPTIONS)
  await level.open().catch((cause: unknown) => {
    const locked = codesOf(cause).includes('LEVEL_LOCKED')
    throw locked
      ? new SubnetError('DATA_DIR', `${path} is in use by another process`, { cause })
      : new SubnetError('DISK', `the index ${path} does not open`, { cause })
  })
  return new LevelIndex(level)
}

class LevelIndex implements IndexDb {
  readonly #level: Level<Uint8Array, Uint8Array>

  constructor(level: Level<Uint8Array, Uint8Array>) {
    this.#level = level
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#level.get(key).catch(rethrow)
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#level.getMany([...keys]).catch(rethrow)
  }

  async write(changes: readonly IndexChange[]): Promise<void> {
    const operations = changes.map(({ key, value }) =>
      value === undefined ? { type: 'del' as const, key } : { type: 'put' as const, key, value },
    )
    await this.#level.batch(operations, { sync: true }).catch(rethrow)
  }

  async *entries(range: KeyRange): AsyncIterable<readonly [Uint8Array, Uint8Array]> {
    const iterator = this.#level.iterator({ gte: range.from, lt: range.before, limit: range.limit ?? -1 })
    try {
      yield* iterator
    } catch (error) {
      rethrow(error)
    }
  }

  close(): Promise<void> {
    return this.#level.close().catch(rethrow)
  }
}

function rethrow(cause: unknown): never {
  const codes = codesOf(cause)
  if (codes.includes('LEVEL_DATABASE_NOT_OPEN') || codes.includes('LEVEL_ITERATOR_NOT_OPEN')) {
    throw new SubnetError('STOPPED', 'the index is closed', { cause })
  }
  throw new SubnetError('DISK', 'the index failed', { cause })
}

/** `code` of an error and of its causes. */
function codesOf(error: unknown): unknown[] {
  const codes: unknown[] = []
  for (let at = error; at instanceof Error; at = at.cause) codes.push((at as { code?: unknown }).code)
  return codes
}
