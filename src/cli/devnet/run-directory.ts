/**
 * Where one run of a devnet keeps its nodes' data and logs. A devnet's chain ends with it, so its data is worthless
 * afterwards: a clean end removes it, and the next start removes what a killed run has left.
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SubnetError } from '../../base/errors.js'
import { makeDirectory } from '../../base/make-directory.js'

const PREFIX = 'devnet-'
const PID_FILE = 'pid'

/** Makes a fresh directory under `<root>/dev`. */
export async function createRunDirectory(root: string): Promise<string> {
  const parent = join(root, 'dev')
  try {
    await makeDirectory(parent, 0o700)
    const path = await mkdtemp(join(parent, PREFIX))
    await writeFile(join(path, PID_FILE), `${process.pid}\n`)
    return path
  } catch (cause) {
    throw new SubnetError('DISK', `cannot make a directory under ${parent}: give another --db_root_path`, {
      cause,
    })
  }
}

/** Removes run directories whose process is gone. Resolves with their number. */
export async function removeLeftovers(root: string): Promise<number> {
  const parent = join(root, 'dev')
  const names = await readdir(parent).catch(() => [])
  let removed = 0
  for (const name of names.filter((entry) => entry.startsWith(PREFIX))) {
    const path = join(parent, name)
    const pid = Number(await readFile(join(path, PID_FILE), 'utf8').catch(() => ''))
    // Without a pid it may be just being made by another run: it is left alone.
    if (!Number.isInteger(pid) || pid <= 0 || isAlive(pid)) continue
    await removeRunDirectory(path)
    removed += 1
  }
  return removed
}

export async function removeRunDirectory(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Makes the directory the user's: no later start takes it for a leftover. */
export async function keepRunDirectory(path: string): Promise<void> {
  await rm(join(path, PID_FILE), { force: true })
}
