/** The real command line in processes of its own, with a home directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { buffer, text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url))

export interface CliOptions {
  /** `HOME` of the process: nothing of the user's is read or written. */
  readonly home: string
  /** Given on stdin, which then ends; without it stdin is empty. */
  readonly input?: Uint8Array
  /** More variables. */
  readonly env?: Readonly<Record<string, string>>
}

export interface CliResult {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs a command to its end. */
export async function cli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const child = startCli(args, options)
  child.stdin?.end(options.input ?? new Uint8Array(0))
  const [stdout, stderr, code] = await Promise.all([
    child.stdout === null ? Buffer.alloc(0) : buffer(child.stdout),
    child.stderr === null ? '' : text(child.stderr),
    exitOf(child),
  ])
  return { code, stdout, stderr }
}

/** Starts a command; its three streams are pipes unless `stdout` is a file. */
export function startCli(
  args: readonly string[],
  options: Pick<CliOptions, 'home' | 'env'> & { readonly stdout?: number },
): ChildProcess {
  const env = { PATH: process.env.PATH ?? '', HOME: options.home, ...options.env }
  return spawn(process.execPath, [MAIN, ...args], { env, stdio: ['pipe', options.stdout ?? 'pipe', 'pipe'] })
}

/** Exit code, or `null` after a signal. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return child.exitCode
}

/** Its NDJSON on stdout, document after document. */
export async function* documents(child: ChildProcess): AsyncGenerator<Record<string, unknown>> {
  if (child.stdout === null) return
  for await (const line of createInterface({ input: child.stdout })) yield JSON.parse(line)
}

/** Whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    // ESRCH: nobody has this id. Another error would be another user's process, which ours are not.
    return false
  }
}
