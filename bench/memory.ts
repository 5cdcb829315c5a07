/**
 * Peak memory (VmHWM) of every process of a network while a client puts an object and gets it back, each on its own,
 * above what it was 10 s after the process had started: it must not depend on the size.
 *
 *   node dist/bench/memory.js [profile, default small] [MiB ..., default 1024 8192]
 *
 * The network lies under the temporary directory (TMPDIR), which needs room for all sizes times n/k, and is removed at
 * the end, also when interrupted.
 */
import '../src/base/platform.js'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { systemRandom } from '../src/base/random.js'
import { formatBytes, MIB } from '../src/base/units.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import { isProfileName, PROFILES } from '../src/redundancy/profiles.js'
import { machine, peakMiB, table } from './measure.js'
import type { ClientMessage, ClientTask, ClientTaskDone } from './memory-client.js'

const BASE_MS = 10_000
const PROGRESS_MS = 5_000
const CLIENT = fileURLToPath(new URL('memory-client.js', import.meta.url))

const [, , profileName = 'small', ...sizes] = process.argv
if (!isProfileName(profileName)) throw new Error(`"${profileName}" is no profile`)
const profile = PROFILES[profileName]
const sizesMiB = sizes.length === 0 ? [1024, 8192] : sizes.map(Number)
if (!sizesMiB.every((size) => Number.isInteger(size) && size > 0)) throw new Error('a size is MiB, from 1')
const storedMiB = (sizesMiB.reduce((sum, size) => sum + size, 0) * profile.n) / profile.k
const miners = Math.max(12, Math.ceil((profile.n * 6) / 5))
await requireDisk()

/** A process of which the peak is told: the value it had 10 s after its start. */
interface Watched {
  readonly name: string
  readonly pid: number
  readonly baseMiB: number
}

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)))
}
const path = await mkdtemp(join(tmpdir(), 'subnet-bench-'))
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners, validators: 1, capacity: `${Math.ceil((1.6 * storedMiB) / miners) + 512}MiB`, port: 0 },
)
let client: ChildProcess | undefined
try {
  await devnet.start(interrupted)
  await systemClock.sleep(BASE_MS, interrupted)
  const nodes = devnet.nodes.map(({ name, process }) => watched(name, process.pid ?? 0))
  const rows = [['', 'MiB/s', 'client', 'worst miner', 'validator']]
  for (const sizeMiB of sizesMiB) rows.push(...(await putAndGet(sizeMiB, nodes)))
  console.log(
    `${profileName} on ${miners} miners: MiB above the value after ${BASE_MS / 1000} s; ${machine()}\n${table(rows)}`,
  )
} finally {
  client?.kill('SIGKILL')
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}

async function requireDisk(): Promise<void> {
  const { bavail, bsize } = await statfs(tmpdir())
  const neededBytes = (1.1 * storedMiB + 1024) * MIB
  if (bavail * bsize >= neededBytes) return
  throw new Error(
    `${tmpdir()} has ${formatBytes(bavail * bsize)}, it takes ${formatBytes(neededBytes)}: set TMPDIR`,
  )
}

/** A fresh client's two rows. */
async function putAndGet(sizeMiB: number, nodes: readonly Watched[]): Promise<string[][]> {
  client = fork(CLIENT, [devnet.endpoint])
  await once(client, 'message', interrupted)
  await systemClock.sleep(BASE_MS, interrupted)
  const all = [watched('client', client.pid ?? 0), ...nodes]
  const put = await measured(
    client,
    { kind: 'put', sizeMiB, profile: profileName as typeof profile.name },
    all,
  )
  const get = await measured(client, { kind: 'get', sizeMiB, capability: put.done.text }, all)
  if (get.done.text !== put.done.sha256) throw new Error('other bytes came back')
  client.disconnect()
  return [put.row, get.row]
}

async function measured(
  client: ChildProcess,
  task: ClientTask,
  all: readonly Watched[],
): Promise<{ readonly done: ClientTaskDone; readonly row: string[] }> {
  // The peak begins anew (proc(5), clear_refs): put and get have one each.
  for (const { pid } of all) writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const grown = (name: string) =>
    Math.max(
      ...all.filter((one) => one.name.startsWith(name)).map(({ pid, baseMiB }) => peakMiB(pid) - baseMiB),
    ).toFixed(0)
  const { kind, sizeMiB } = task
  const done = await run(client, task, (doneMiB) => {
    process.stderr.write(
      `${kind} ${doneMiB.toFixed(0)} of ${sizeMiB} MiB, client at ${grown('client')} MiB\n`,
    )
  })
  const speed = (sizeMiB / done.seconds).toFixed(0)
  const row = [`${kind} of ${sizeMiB} MiB`, speed, grown('client'), grown('miner'), grown('validator')]
  process.stderr.write(`${table([row])}; ${machine()}\n`)
  return { done, row }
}

async function run(
  client: ChildProcess,
  task: ClientTask,
  onProgress: (doneMiB: number) => void,
): Promise<ClientTaskDone> {
  return await new Promise((resolve, reject) => {
    let toldMs = systemClock.monotonicMs()
    const onExit = (code: number | null) => reject(new Error(`the client ended with ${code}`))
    const onAbort = () => reject(interrupted.signal.reason)
    const onMessage = (message: ClientMessage) => {
      if ('doneMiB' in message) {
        if (systemClock.monotonicMs() - toldMs < PROGRESS_MS) return
        toldMs = systemClock.monotonicMs()
        onProgress(message.doneMiB)
        return
      }
      client.off('message', onMessage).off('exit', onExit)
      interrupted.signal.removeEventListener('abort', onAbort)
      resolve(message)
    }
    client.on('message', onMessage).once('exit', onExit)
    interrupted.signal.addEventListener('abort', onAbort, { once: true })
    if (interrupted.signal.aborted) onAbort()
    client.send(task)
  })
}

function watched(name: string, pid: number): Watched {
  return { name, pid, baseMiB: peakMiB(pid) }
}
