/**
 * One process at a time in a directory: a running node in its data, or a command in what it must not do twice. The lock is LevelDB's, held by the kernel for as long as the process lives: one
 * that was killed leaves nothing behind that somebody would have to remove.
 */
import { join } from 'node:path'
import { Level } from 'level'
import { type ErrorCode, SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import { makeDirectory } from '../base/make-directory.js'

/** `data.reason` of the error for a directory that another process works in. */
export const IN_USE = 'InUse'

const NAME = 'in-use'

/** Why another one has to wait or go. */
export interface InUse {
  readonly code: Extract<ErrorCode, 'DATA_DIR' | 'BUSY'>
  /** What to do, for people. */
  readonly advice: string
}

const BY_A_NODE: InUse = {
  code: 'DATA_DIR',
  advice: 'is in use by another node of this machine: end that one, or give this one another --node_name',
}

/** Makes the directory where it is absent. `start` rejects as `inUse` says, or with `DISK` when it cannot be written. */
export function dataLock(path: string, inUse = BY_A_NODE): Startable {
  let held: Level | undefined
  return {
    async start() {
      await makeDirectory(path, 0o700).catch((cause: Error) => {
        const text = `cannot make the data directory ${path}: ${cause.message}: name another with --db_root_path, or let this user make it`
        throw new SubnetError('DISK', text, { cause, data: { path } })
      })
      try {
        const lock = new Level(join(path, NAME))
        await lock.open()
        held = lock
      } catch (cause) {
        throw failure(path, inUse, cause)
      }
    },
    async stop() {
      await held?.close()
      held = undefined
    },
  }
}

function failure(path: string, { code: busy, advice }: InUse, cause: unknown): SubnetError {
  const { code } =
    cause instanceof Error && cause.cause !== undefined ? (cause.cause as { code?: string }) : {}
  if (code !== 'LEVEL_LOCKED')
    return new SubnetError('DISK', `cannot write the data directory ${path}`, { cause })
  return new SubnetError(busy, `${path} ${advice}`, { data: { path, reason: IN_USE } })
}
