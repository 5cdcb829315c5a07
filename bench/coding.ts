/**
 * What threads for coding are worth to a client that puts and gets one object, with the whole subnet on this machine:
 * its speed, what the machine spends on it, and how long the client's event loop is blocked meanwhile.
 *
 *   node dist/bench/coding.js [MiB, default 128] [profile, default small] [miners, default 12]
 */
import '../src/base/platform.js'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { seededRandom, systemRandom } from '../src/base/random.js'
import { MIB } from '../src/base/units.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import { createClient, type SubnetClient } from '../src/node/client.js'
import { isProfileName } from '../src/redundancy/profiles.js'
import { machine, median, peakMiB, type Sample, sample, table } from './measure.js'

const ROUNDS = 5
/** 0 is the caller's own thread. */
const THREADS = [0, 1, 2]

interface Run extends Sample {
  /** The longest and the 99th percentile of the delays of the event loop, seconds. */
  readonly longestDelay: number
  readonly p99Delay: number
}

const mebibytes = Number(process.argv[2] ?? 128)
const profile = process.argv[3] ?? 'small'
const miners = Number(process.argv[4] ?? 12)
if (!isProfileName(profile)) throw new Error(`no profile is called ${profile}`)
const putOptions = { profile }
const piece = seededRandom('coding').bytes(MIB)
const path = await mkdtemp(join(process.cwd(), '.bench-'))
const stored = mebibytes * 4 * THREADS.length * (ROUNDS + 1)
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners, validators: 1, capacity: `${Math.ceil(stored / miners) + 1024}MiB`, port: 0 },
)
try {
  await devnet.start()
  const clients: SubnetClient[] = []
  for (const codingThreads of THREADS) {
    const client = createClient({ chain: devnet.endpoint, codingThreads })
    await client.start()
    clients.push(client)
  }
  const runs = clients.map(() => ({ put: [] as Run[], get: [] as Run[] }))
  // The first round warms up code, connections and threads, and does not count.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [i, client] of clients.entries()) {
      const { put, get } = await putAndGet(client)
      if (round > 0) {
        runs[i]?.put.push(put)
        runs[i]?.get.push(get)
      }
    }
  }
  console.log(
    `${mebibytes} MiB under ${profile}, ${miners} miners, ${ROUNDS} interleaved rounds, medians; ${machine()}`,
  )
  const rows = (['put', 'get'] as const).flatMap((what) =>
    THREADS.map((threads, i) => row(`${what}, ${nameOf(threads)}`, runs[i]?.[what] ?? [])),
  )
  console.log(table([['', 'MiB/s', 'CPU s/GiB all', 'loop delay p99 ms', 'longest ms'], ...rows]))
  console.log(`peak memory of the three clients together: ${peakMiB('self').toFixed(0)} MiB`)
  for (const client of clients) await client.stop()
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}

function nameOf(threads: number): string {
  return threads === 0 ? 'inline' : `threads ${threads}`
}

function row(name: string, runs: readonly Run[]): string[] {
  return [
    name,
    median(runs.map(({ seconds }) => mebibytes / seconds)).toFixed(0),
    median(runs.map(({ cpuSeconds }) => (cpuSeconds / mebibytes) * 1024)).toFixed(1),
    median(runs.map(({ p99Delay }) => p99Delay * 1e3)).toFixed(0),
    median(runs.map(({ longestDelay }) => longestDelay * 1e3)).toFixed(0),
  ]
}

async function putAndGet(client: SubnetClient): Promise<{ put: Run; get: Run }> {
  let capability = ''
  const put = await watched(async () => {
    capability = (await client.storage.put(data(), putOptions)).capability
  })
  const get = await watched(async () => {
    let bytes = 0
    const { data: pieces } = await client.storage.get(capability)
    for await (const { length } of pieces) bytes += length
    if (bytes !== mebibytes * MIB) throw new Error(`${bytes} bytes came back`)
  })
  return { put, get }
}

async function* data(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < mebibytes; i += 1) yield piece
}

async function watched(work: () => Promise<void>): Promise<Run> {
  const pids = devnet.nodes.map((node) => node.process.pid)
  const delays = monitorEventLoopDelay({ resolution: 5 })
  delays.enable()
  const taken = await sample(work, pids)
  delays.disable()
  return { ...taken, longestDelay: delays.max / 1e9, p99Delay: delays.percentile(99) / 1e9 }
}
