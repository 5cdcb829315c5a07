/** How the ledger opens and reads a LevelDB: keys and values are bytes, a walk is paged and leaves nothing open. */
import { Level } from 'level'
import { SubnetError } from '../../base/errors.js'
import { KIB, MIB } from '../../base/units.js'

export type Database = Level<Uint8Array, Uint8Array>
export type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }
export type Row = [key: Uint8Array, value: Uint8Array]

/** Rows that are handled between two turns of the event loop. */
export const PAGE_ROWS = 256

/** 256 of these are open at once on a full subnet: about 1.5 MiB and 4 files each. */
const DATABASE_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  writeBufferSize: MIB,
  cacheSize: 256 * KIB,
  maxOpenFiles: 64,
} as const

/** Rejects with `DATA_DIR`. */
export async function openDatabase(path: string): Promise<Database> {
  const database: Database = new Level(path, DATABASE_OPTIONS)
  try {
    await database.open()
  } catch (cause) {
    throw new SubnetError('DATA_DIR', `cannot open the database ${path}: is another node using it?`, {
      cause,
    })
  }
  return database
}

/**
 * All rows whose keys are longer than `prefix` and begin with it, in order. Each page is a question of its own, answered
 * by another thread: a reader may take as long as it likes over one, and what is written meanwhile may be seen.
 */
export async function* pages(database: Database, prefix: Uint8Array): AsyncGenerator<readonly Row[]> {
  const lt = after(prefix)
  for (let gt = prefix; ; ) {
    const rows = await database.iterator({ gt, lt, limit: PAGE_ROWS }).all()
    const last = rows.at(-1)
    if (last === undefined) return
    yield rows
    gt = last[0]
  }
}

/** The first key after all that begin with `prefix`. */
export function after(prefix: Uint8Array): Uint8Array {
  const next = Uint8Array.from(prefix)
  for (let at = next.length - 1; at >= 0; at -= 1) {
    const byte = next[at] ?? 0
    if (byte < 0xff) {
      next[at] = byte + 1
      return next.subarray(0, at + 1)
    }
  }
  throw new RangeError('there is no key after these')
}
