/**
 * One running node per data directory. The lock is LevelDB's, held by the kernel for as long as the process lives: one
 * that was killed leaves nothing behind that somebody would have to remove.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import { SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'

/** `data.reason` of the `DATA_DIR` error for a directory that another node works in. */
export const IN_USE = 'InUse'

const NAME = 'in-use'

/** Makes the directory where it is absent. `start` rejects with `DATA_DIR`, or with `DISK` when it cannot be written. */
export function dataLock(path: string): Startable {
  let held: Level | undefined
  return {
    async start() {
      try {
        await mkdir(path, { recursive: true, mode: 0o700 })
        const lock = new Level(join(path, NAME))
        await lock.open()
        held = lock
      } catch (cause) {
        throw failure(path, cause)
      }
    },
    async stop() {
      await held?.close()
      held = undefined
    },
  }
}

function failure(path: string, cause: unknown): SubnetError {
  const { code } =
    cause instanceof Error && cause.cause !== undefined ? (cause.cause as { code?: string }) : {}
  if (code !== 'LEVEL_LOCKED')
    return new SubnetError('DISK', `cannot write the data directory ${path}`, { cause })
  const text = `${path} is in use by another node of this machine: end that one, or give this one another --node_name`
  return new SubnetError('DATA_DIR', text, { data: { path, reason: IN_USE } })
}
