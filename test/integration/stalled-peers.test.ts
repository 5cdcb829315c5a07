/** What peers that stall cost a miner in a process of its own; `bench/stalled-peers.ts` does it with 300 of them. */
import '../../src/base/platform.js'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { Devnet } from '../../src/cli/devnet/devnet.js'
import { stallAll } from '../kit/stalled-miner.js'
import { tempDir } from '../kit/temp-dir.js'

const PEERS = 32
/**
 * All bodies together with what of them V8 has not collected yet, a MiB for each peer's connection and streams, and room for
 * the rest. Without the cap on `retrieve`'s bodies it measures 340.
 */
const GROWTH_MIB_MAX = 64 + 48 + PEERS + 64

describe('peers that stall', function () {
  this.timeout(120_000)

  it(`take no more memory than they all together may, ${PEERS} of them with all their streams`, async () => {
    await using directory = await tempDir()
    const devnet = new Devnet(
      { clock: systemClock, random: systemRandom, logger: silentLogger },
      { path: directory.path, miners: 1, validators: 1, capacity: '512MiB', port: 0 },
    )
    try {
      await devnet.start()
      const pid = devnet.miners[0]?.process.pid ?? assert.fail('there is no miner')
      const idleMiB = peakMiB(pid)
      await using stalled = await stallAll(devnet, PEERS)
      assert.ok(stalled.streams >= 4 * PEERS, `only ${stalled.streams} streams stall`)
      const grownMiB = peakMiB(pid) - idleMiB
      assert.ok(grownMiB <= GROWTH_MIB_MAX, `it grew by ${grownMiB.toFixed(0)} MiB`)
    } finally {
      await devnet.stop()
    }
  })
})

/** VmHWM: the most it ever had. */
function peakMiB(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Number(line?.[1] ?? Number.NaN) / 1024
}
