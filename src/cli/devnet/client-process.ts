/** A client command in a process of its own, as a user would run it, with its JSON result and its progress. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { AbortOptions } from '../../base/abort.js'
import { invariant, SubnetError } from '../../base/errors.js'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))

export interface ClientRun extends AbortOptions {
  /** Command line after the program's name; `--json --progress json` are added. */
  readonly args: readonly string[]
  readonly onProgress?: (progress: { readonly doneBytes: number; readonly totalBytes?: number }) => void
}

export interface ClientResult {
  readonly pid: number
  readonly result: unknown
}

/** Rejects with `INTERNAL` and the command's own words when it does not exit with 0. */
export async function runClient({ args, signal, onProgress }: ClientRun): Promise<ClientResult> {
  signal?.throwIfAborted()
  const child = spawn(process.execPath, [MAIN, ...args, '--json', '--progress', 'json'], {
    // The channel carries nothing: when it closes, the command knows that we are gone.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  const { stdout, stderr } = child
  invariant(stdout !== null && stderr !== null, 'both are pipes')
  const end = () => child.kill('SIGTERM')
  signal?.addEventListener('abort', end, { once: true })
  const remarks: string[] = []
  createInterface({ input: stderr }).on('line', (line) => {
    const progress = progressOf(line)
    if (progress === undefined) remarks.push(line)
    else onProgress?.(progress)
  })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  try {
    const [output, code] = await Promise.all([text(stdout), exited])
    signal?.throwIfAborted()
    if (code !== 0) {
      throw new SubnetError(
        'INTERNAL',
        `subnet-node ${args[0]} ended with ${code}: ${remarks.slice(-5).join(' ')}`,
      )
    }
    return { pid: child.pid ?? 0, result: JSON.parse(output) }
  } finally {
    signal?.removeEventListener('abort', end)
  }
}

function progressOf(line: string): { doneBytes: number; totalBytes?: number } | undefined {
  if (!line.startsWith('{"progress":')) return undefined
  return (JSON.parse(line) as { progress: { doneBytes: number; totalBytes?: number } }).progress
}
