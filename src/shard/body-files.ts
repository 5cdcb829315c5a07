/**
 * The bodies of a shard: append-only files of many chunks, numbered upwards. One group of chunks is one write and one
 * sync, which measured 1.5 to 3 times faster than a file per chunk. Which bytes count is
 * the index's word: whatever the index does not name is left over from a crash, and goes at the next start.
 */
import { join } from 'node:path'
import { SubnetError } from '../base/errors.js'
import type { DiskFile, DiskFiles } from './disk-files.js'
import type { BodyFileRow, Place } from './index-codec.js'
import { diskFull } from './index-draft.js'

const NAME = /^[0-9a-f]{8}$/

interface Tail {
  readonly number: number
  readonly file: DiskFile
  /** The directory is synced since the file got its name. */
  named: boolean
  /** Writes that are not synced yet: the last of them closes a file that is not the tail any more. */
  unsynced: number
}

export class BodyFiles {
  readonly #files: DiskFiles
  readonly #path: string
  #tail: Tail | undefined

  constructor(files: DiskFiles, path: string) {
    this.#files = files
    this.#path = path
  }

  /**
   * Deletes files that are not in `table` and what lies behind the end of the newest one: never acknowledged, or
   * already forgotten. Lists one directory and opens one file, however much is stored. Returns the file to append
   * to; a new one if the newest is shorter than it must be, so that its loss stays visible.
   */
  async recover(table: ReadonlyMap<number, BodyFileRow>): Promise<number> {
    const numbers = (await this.#files.list(this.#path)).filter((name) => NAME.test(name)).map(numberOf)
    for (const number of numbers) if (!table.has(number)) await this.#files.unlink(this.#pathOf(number))
    let newest = 0
    for (const number of table.keys()) newest = Math.max(newest, number)
    const row = table.get(newest)
    if (row === undefined || !numbers.includes(newest)) return newest + 1
    const file = await this.#files.open(this.#pathOf(newest), 'write')
    const sizeBytes = await file.sizeBytes()
    if (sizeBytes > row.lengthBytes) await file.truncate(row.lengthBytes)
    this.#tail = { number: newest, file, named: true, unsynced: 0 }
    return sizeBytes < row.lengthBytes ? newest + 1 : newest
  }

  /**
   * Writes the pieces from `place` on, and resolves with what makes them safe, and their file's name with them; it must
   * be called, and has ended before that of a later write begins. `NO_SPACE` when they do not fit: nothing was changed
   * that counts. `DISK` when anything else fails, in either half: what is on the disk is not known.
   */
  async append(place: Place, pieces: readonly Uint8Array[]): Promise<() => Promise<void>> {
    const tail = await this.#openTail(place.file).catch(rethrow)
    try {
      await tail.file.write(pieces, place.offset)
    } catch (error) {
      // Gives the part that was written back. If that fails too, the next group writes over it.
      await tail.file.truncate(place.offset).catch(() => undefined)
      rethrow(error)
    }
    tail.unsynced += 1
    return async () => {
      try {
        await tail.file.dataSync()
        if (!tail.named) await this.#files.syncDir(this.#path)
        tail.named = true
      } catch (cause) {
        throw new SubnetError('DISK', 'bodies could not be synced', { cause })
      } finally {
        tail.unsynced -= 1
        if (tail.unsynced === 0 && this.#tail !== tail) await tail.file.close()
      }
    }
  }

  /** Exactly `lengthBytes` from `place` on; `DISK` if they cannot be read. */
  async read(place: Place, lengthBytes: number): Promise<Uint8Array> {
    // Not zeroed first: a read that fills less of it than was asked for throws.
    const target = new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
    let readBytes: number
    try {
      // Opened per read: 45 µs more than a kept handle, and no bound on handles, no count of readers, is needed.
      const file = await this.#files.open(this.#pathOf(place.file), 'read')
      try {
        readBytes = await file.read(target, place.offset)
      } finally {
        await file.close()
      }
    } catch (cause) {
      throw new SubnetError('DISK', 'a body cannot be read', { cause })
    }
    if (readBytes < lengthBytes) throw new SubnetError('DISK', 'a body file is shorter than what it holds')
    return target
  }

  /** Deletes a file. */
  async remove(number: number): Promise<void> {
    if (this.#tail?.number === number) await this.close()
    await this.#files.unlink(this.#pathOf(number))
  }

  async close(): Promise<void> {
    const tail = this.#tail
    this.#tail = undefined
    if (tail?.unsynced === 0) await tail.file.close()
  }

  async #openTail(number: number): Promise<Tail> {
    if (this.#tail?.number === number) return this.#tail
    await this.close()
    const file = await this.#files.open(this.#pathOf(number), 'write')
    this.#tail = { number, file, named: false, unsynced: 0 }
    return this.#tail
  }

  #pathOf(number: number): string {
    return join(this.#path, number.toString(16).padStart(8, '0'))
  }
}

function numberOf(name: string): number {
  return Number.parseInt(name, 16)
}

function rethrow(cause: unknown): never {
  const code = (cause as { code?: unknown }).code
  if (code === 'ENOSPC' || code === 'EDQUOT') throw diskFull(0, cause)
  throw new SubnetError('DISK', 'bodies could not be written', { cause })
}
