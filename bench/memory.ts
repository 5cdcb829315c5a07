/**
 * Peak memory (VmHWM) of every process of a network while a client puts and gets objects of growing size, above what
 * it was 10 s after the process had started: it must not depend on the size.
 *
 *   node dist/bench/memory.js [profile, default small] [MiB ..., default 1024 8192]
 */
import '../src/base/platform.js'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { systemRandom } from '../src/base/random.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import { isProfileName, PROFILES } from '../src/redundancy/profiles.js'
import { machine, peakMiB, table } from './measure.js'
import type { ClientTask, ClientTaskDone } from './memory-client.js'

const BASE_MS = 10_000
const CLIENT = fileURLToPath(new URL('memory-client.js', import.meta.url))

const [, , profileName = 'small', ...sizes] = process.argv
if (!isProfileName(profileName)) throw new Error(`"${profileName}" is no profile`)
const profile = PROFILES[profileName]
const sizesMiB = sizes.length === 0 ? [1024, 8192] : sizes.map(Number)
const storedMiB = (sizesMiB.reduce((sum, size) => sum + size, 0) * profile.n) / profile.k
const miners = Math.max(12, Math.ceil((profile.n * 6) / 5))

const path = await mkdtemp(join(tmpdir(), 'subnet-bench-'))
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners, validators: 1, capacity: `${Math.ceil((1.6 * storedMiB) / miners) + 512}MiB`, port: 0 },
)
try {
  await devnet.start()
  await systemClock.sleep(BASE_MS)
  const nodes = devnet.nodes.map(({ name, process }) => ({ name, pid: process.pid ?? 0 }))
  const bases = new Map(nodes.map(({ name, pid }) => [name, peakMiB(pid)]))
  const rows = [['', 'put MiB/s', 'get MiB/s', 'client', 'worst miner', 'validator']]
  for (const sizeMiB of sizesMiB) {
    const client = fork(CLIENT, [devnet.endpoint])
    await once(client, 'message')
    await systemClock.sleep(BASE_MS)
    const baseMiB = peakMiB(client.pid ?? 0)
    const put = await run(client, { kind: 'put', sizeMiB, profile: profileName })
    const get = await run(client, { kind: 'get', capability: put.text })
    if (get.text !== put.sha256) throw new Error('other bytes came back')
    const grown = (role: string) =>
      Math.max(
        ...nodes
          .filter(({ name }) => name.startsWith(role))
          .map(({ name, pid }) => peakMiB(pid) - (bases.get(name) ?? 0)),
      ).toFixed(0)
    rows.push([
      `${sizeMiB} MiB`,
      (sizeMiB / put.seconds).toFixed(0),
      (sizeMiB / get.seconds).toFixed(0),
      (peakMiB(client.pid ?? 0) - baseMiB).toFixed(0),
      grown('miner'),
      grown('validator'),
    ])
    client.disconnect()
  }
  console.log(
    `${profileName} on ${miners} miners: MiB above the value after ${BASE_MS / 1000} s; ${machine()}\n${table(rows)}`,
  )
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}

async function run(client: ChildProcess, task: ClientTask): Promise<ClientTaskDone> {
  const ended = once(client, 'exit').then(([code]) => {
    throw new Error(`the client ended with ${code}`)
  })
  // Only the race reads it; the client's own end after the last task is no failure.
  ended.catch(() => undefined)
  client.send(task)
  const [done] = (await Promise.race([once(client, 'message'), ended])) as [ClientTaskDone]
  return done
}
