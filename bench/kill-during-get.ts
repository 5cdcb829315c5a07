/**
 * A file between processes with n − k holders killed half-way through the get: a devnet of real processes, a put, a get
 * during which the holders of most bytes get SIGKILL, and the sha-256 of what came back. Exits with 1 if it differs.
 *
 *   node dist/bench/kill-during-get.js [MiB = 256] [kill = n − k] [profile = small] [miners = 14]
 */
import '../src/base/platform.js'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { systemRandom } from '../src/base/random.js'
import { formatBytes, MIB } from '../src/base/units.js'
import { runClient } from '../src/cli/devnet/client-process.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import { describeFile, writeSample } from '../src/cli/devnet/sample-file.js'
import { isProfileName, PROFILES } from '../src/redundancy/profiles.js'
import { machine } from './measure.js'

interface Stored {
  readonly capability: string
  readonly storedBytes: number
  readonly holders: readonly { readonly hotkey: string; readonly bytes: number }[]
}

interface Read {
  readonly readBytes: number
  readonly fetchedBytes: number
  readonly retries: number
}

const [mib = '256', killWord, name = 'small', minersWord = '14'] = process.argv.slice(2)
if (!isProfileName(name)) throw new Error(`${name} is no profile`)
const { k, n } = PROFILES[name]
const kill = Number(killWord ?? n - k)
const miners = Number(minersWord)
const sizeBytes = Number(mib) * MIB
const path = await mkdtemp(join(tmpdir(), 'subnet-kill-'))
const capacity = `${Math.ceil((4 * sizeBytes * n) / k / miners / MIB) + 64}MiB`
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners, validators: 3, capacity, port: 0 },
)
try {
  console.log(machine())
  await devnet.start()
  const file = await writeSample(join(path, 'in.bin'), 'kill-during-get', sizeBytes)
  const chain = ['--subtensor.chain_endpoint', devnet.endpoint, '--db_root_path', path]
  const putMs = performance.now()
  const { result } = await runClient({ args: ['put', file.path, '--profile', name, ...chain] })
  const stored = result as Stored
  const putSeconds = (performance.now() - putMs) / 1000
  console.log(`put   ${formatBytes(sizeBytes)} as ${name} in ${putSeconds.toFixed(1)} s, ${miners} miners`)
  const victims = [...stored.holders]
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, kill)
    .flatMap(({ hotkey }) => devnet.miners.find((miner) => miner.hotkey === hotkey) ?? [])
  const output = join(path, 'out.bin')
  let killedAt: number | undefined
  const getMs = performance.now()
  const read = await runClient({
    args: ['get', stored.capability, '-o', output, ...chain],
    onProgress: ({ doneBytes }) => {
      if (killedAt !== undefined || doneBytes < sizeBytes / 2) return
      killedAt = doneBytes / sizeBytes
      for (const { process: node } of victims) void node.kill()
    },
  })
  const getSeconds = (performance.now() - getMs) / 1000
  const { fetchedBytes, retries } = read.result as Read
  const back = await describeFile(output)
  const share = `${Math.round((killedAt ?? Number.NaN) * 100)} %`
  console.log(`kill  ${victims.length} holders of ${stored.holders.length}, SIGKILL at ${share} of the get`)
  console.log(`get   ${getSeconds.toFixed(1)} s, ${formatBytes(fetchedBytes)} fetched, ${retries} retries`)
  // A sealed frame of 65,536 bytes has 65,520 of the file: the least that must come.
  const leastBytes = (sizeBytes * 65_536) / 65_520
  const wasted = Math.max(0, fetchedBytes - leastBytes)
  console.log(`waste ${formatBytes(Math.round(wasted))} (${((100 * wasted) / sizeBytes).toFixed(2)} %)`)
  console.log(`sha   ${back.sha256} ${back.sha256 === file.sha256 ? 'is the same' : `IS NOT ${file.sha256}`}`)
  if (back.sha256 !== file.sha256) process.exitCode = 1
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}
