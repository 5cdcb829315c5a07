/**
 * Small files whose loss would hurt: keys, and what must be remembered before something is sent. Complete or absent at
 * any moment, on the disk before the call resolves, for their owner's eyes only.
 */
import { link, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { toString as bytesToText } from 'uint8arrays'
import { SubnetError } from './errors.js'
import { makeDirectory } from './make-directory.js'
import type { Random } from './random.js'

/** `data.reason` of the `CONFIG` that `writeNewFile` rejects with when the name is taken. */
export const FILE_EXISTS = 'exists'

/** Rejects with `CONFIG` (`data.reason` is `FILE_EXISTS`) when there is a file, whatever is in it; `DISK` otherwise. */
export async function writeNewFile(
  path: string,
  content: string | Uint8Array,
  random: Random,
): Promise<void> {
  try {
    // A hard link fails where the name exists; a rename would replace it.
    await place(path, content, { temporary: uniqueBeside(path, random), name: link })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(path, cause)
    const text = `${path} exists and is never replaced; restore it or move it away`
    throw new SubnetError('CONFIG', text, { cause, data: { path, reason: FILE_EXISTS } })
  }
}

/** Afterwards the file has this content; before, or when it rejects with `DISK`, what it had. */
export async function replaceFile(path: string, content: string | Uint8Array, random: Random): Promise<void> {
  try {
    await place(path, content, { temporary: uniqueBeside(path, random), name: rename })
  } catch (cause) {
    throw cannotWrite(path, cause)
  }
}

/**
 * As `replaceFile`, for a file that only this process writes, and often: its temporary file has always the same name, so
 * processes that were killed leave one and not many.
 */
export async function rewriteFile(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    // Not written to: it may be anybody's to read.
    await rm(temporary, { force: true })
    await place(path, content, { temporary, name: rename })
  } catch (cause) {
    throw cannotWrite(path, cause)
  }
}

function uniqueBeside(path: string, random: Random): string {
  return join(dirname(path), `.${basename(path)}.${bytesToText(random.bytes(8), 'base16')}.tmp`)
}

interface Placing {
  readonly temporary: string
  readonly name: (from: string, to: string) => Promise<void>
}

/** The complete, synced bytes get their name at once. */
async function place(
  path: string,
  content: string | Uint8Array,
  { temporary, name }: Placing,
): Promise<void> {
  const directory = dirname(path)
  await makeDirectory(directory, 0o700)
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
    await name(temporary, path)
  } finally {
    await rm(temporary, { force: true })
  }
  const parent = await open(directory, 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}

function cannotWrite(path: string, cause: unknown): SubnetError {
  return new SubnetError('DISK', `cannot write ${path}`, { cause, data: { path } })
}
