/**
 * Whether a disk works: a small file is written, synced, read back and deleted. What it reads comes from the system's
 * cache, so it shows a disk that is gone, full, read-only or hung, not one that rots: that is found by reading bodies.
 */
import { join } from 'node:path'
import { equals } from 'uint8arrays'
import { SubnetError, toSubnetError } from '../base/errors.js'
import type { DiskFiles } from './disk-files.js'

const NAME = 'disk-probe'
const PROBE_BYTES = 4096

/** Rejects with `DISK`. Never settles on a disk that hangs. One at a time for each directory. */
export async function probeDisk(files: DiskFiles, path: string, bytes: Uint8Array): Promise<void> {
  const name = join(path, NAME)
  try {
    const file = await files.open(name, 'write')
    const found = new Uint8Array(bytes.length)
    try {
      await file.write([bytes], 0)
      await file.dataSync()
      await file.read(found, 0)
    } finally {
      await file.close()
    }
    if (!equals(found, bytes)) throw new SubnetError('DISK', 'the disk gives back other bytes than it took')
    await files.unlink(name)
  } catch (error) {
    throw toSubnetError(error, 'DISK', 'the disk does not work')
  }
}

/** Other bytes each time, so that those of the last probe are not taken for new ones. */
export function probeBytes(random: { bytes(lengthBytes: number): Uint8Array }): Uint8Array {
  return random.bytes(PROBE_BYTES)
}
