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
    await place(path, content, random, link)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cannotWrite(path, cause)
    const text = `${path} exists and is never replaced; restore it or move it away`
    throw new SubnetError('CONFIG', text, { cause, data: { path, reason: FILE_EXISTS } })
  }
}

/** Afterwards the file has this content; before, or when it rejects with `DISK`, what it had. */
export async function replaceFile(path: string, content: string | Uint8Array, random: Random): Promise<void> {
  try {
    await place(path, content, random, rename)
  } catch (cause) {
    throw cannotWrite(path, cause)
  }
}

/** The complete, synced bytes get their name at once. */
async function place(
  path: string,
  content: string | Uint8Array,
  random: Random,
  name: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${basename(path)}.${bytesToText(random.bytes(8), 'base16')}.tmp`)
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
