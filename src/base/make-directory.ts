/** Whether there is something, and a directory with those above it, made one by one. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * As `mkdir` of `node:fs` with `recursive`, which goes round in circles for ever, at full load, where a directory exists
 * and takes no other, such as `/proc`. Resolves with the highest directory that was made, if any; fails as `node:fs` does.
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<string | undefined> {
  const missing: string[] = []
  for (let at = resolve(path); !(await pathExists(at)); at = dirname(at)) missing.unshift(at)
  // A file in the way is told as such.
  if (missing.length === 0 && !(await stat(path)).isDirectory()) await mkdir(path, { mode })
  let first: string | undefined
  for (const each of missing) {
    try {
      await mkdir(each, { mode })
      first ??= each
    } catch (error) {
      // Somebody else was sooner; if that is no directory, the next one fails.
      if (codeOf(error) !== 'EEXIST' || !(await stat(each)).isDirectory()) throw error
    }
  }
  return first
}

/** False when nothing has the name; fails as `node:fs` does when nobody can say. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
