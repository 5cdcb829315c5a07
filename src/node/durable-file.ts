/** Small files that are complete or absent, whenever the process or the machine stops. */
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { toSubnetError } from '../base/errors.js'

/** Replaces a file; only its owner may read it. Synced when it resolves. Rejects with `DISK`. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    // The new name counts when the directory is on the disk.
    const directory = await open(dirname(path))
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  } catch (error) {
    throw toSubnetError(error, 'DISK', `writing ${path}`)
  }
}
