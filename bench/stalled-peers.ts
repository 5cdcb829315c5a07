/**
 * A miner in a process of its own, and peers in others that open every stream they may and then all stall: its peak memory
 * against the bound of 512 MiB for 300 of them.
 *
 *   node dist/bench/stalled-peers.js [peers, default 300]
 */
import '../src/base/platform.js'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { systemRandom } from '../src/base/random.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import { stallAll } from '../test/kit/stalled-miner.js'
import { machine, peakMiB, table } from './measure.js'

const BOUND_MIB = 512
/** After the last stream stands still: what is still on its way arrives, and the first deadlines have not passed. */
const SETTLE_MS = 10_000

const peers = Number(process.argv[2] ?? 300)
const path = await mkdtemp(join(tmpdir(), 'subnet-bench-'))
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners: 1, validators: 1, capacity: '1GiB', port: 0 },
)
try {
  await devnet.start()
  const pid = devnet.miners[0]?.process.pid ?? 0
  const idleMiB = peakMiB(pid)
  const startMs = systemClock.monotonicMs()
  await using stalled = await stallAll(devnet, peers)
  const seconds = (systemClock.monotonicMs() - startMs) / 1_000
  await systemClock.sleep(SETTLE_MS)
  const stalledMiB = peakMiB(pid)
  console.log(`${peers} peers, all stalled after ${seconds.toFixed(0)} s; ${machine()}`)
  console.log(
    table([
      ['', 'streams', 'peak MiB', 'bound'],
      ['miner, idle', '0', idleMiB.toFixed(0), ''],
      ['miner, all stall', String(stalled.streams), stalledMiB.toFixed(0), String(BOUND_MIB)],
    ]),
  )
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}
