/**
 * Start of a miner process that holds many small chunks, from its fork until it serves, against one that holds none.
 * The start must not grow with what is held.
 *
 *   node dist/bench/start.js [chunks, default 20000]
 */
import '../src/base/platform.js'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { seededRandom, systemRandom } from '../src/base/random.js'
import { Devnet, type DevnetNode } from '../src/cli/devnet/devnet.js'
import { LeafHasher } from '../src/crypto/merkle.js'
import { createLevelShard } from '../src/shard/level-shard.js'
import { interleave, machine, median, peakMiB, type Sample, sample, table } from './measure.js'

const PAIRS = 5
const CHUNK_BYTES = 4096
/** Chunks put at once. */
const DEPTH = 512

const chunks = Number(process.argv[2] ?? 20_000)
const path = await mkdtemp(join(tmpdir(), 'subnet-bench-'))
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners: 2, validators: 1, capacity: '1GiB', port: 0 },
)
try {
  await devnet.start()
  const [full, empty] = devnet.miners
  const validator = devnet.validators[0]
  if (full === undefined || empty === undefined || validator === undefined) throw new Error('no devnet')
  await full.process.kill()
  await fill(join(path, 'dev', full.name, 'shards', validator.hotkey))
  const rss: number[] = []
  const { a, b } = await interleave(
    PAIRS,
    async () => {
      const one = await restart(full)
      rss.push(peakMiB(full.process.pid ?? 'self'))
      return one
    },
    () => restart(empty),
  )
  await devnet.settled(2)
  const heard = (await devnet.heard(validator)).find(({ hotkey }) => hotkey === full.hotkey)
  if (heard?.heldChunks !== chunks) throw new Error(`the miner holds ${heard?.heldChunks} chunks`)
  const row = (name: string, samples: readonly Sample[]) => [
    name,
    median(samples.map(({ seconds }) => seconds)).toFixed(2),
    median(samples.map(({ cpuSeconds }) => cpuSeconds)).toFixed(2),
  ]
  console.log(`${PAIRS} interleaved pairs, medians; ${machine()}`)
  console.log(
    table([
      ['start of a miner process, until it serves', 'seconds', 'CPU s'],
      row(`${chunks} chunks of ${CHUNK_BYTES} bytes held`, a),
      row('nothing held', b),
    ]),
  )
  console.log(`peak memory of the full one at that time: ${median(rss).toFixed(0)} MiB`)
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}

async function restart(node: DevnetNode): Promise<Sample> {
  await node.process.kill()
  const { seconds } = await sample(() => devnet.restart([node]))
  return { seconds, cpuSeconds: await cpuSecondsOf(node.process.pid) }
}

/** All that a process has used so far. */
async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The command's name, in parentheses, may hold blanks; utime and stime are fields 14 and 15 of 52, in ticks of 10 ms.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function fill(shardPath: string): Promise<void> {
  const shard = createLevelShard({ path: shardPath })
  await shard.start()
  const random = seededRandom('start')
  for (let first = 0; first < chunks; first += DEPTH) {
    const count = Math.min(DEPTH, chunks - first)
    await Promise.all(
      Array.from({ length: count }, async () => {
        const body = random.bytes(CHUNK_BYTES)
        const hasher = new LeafHasher()
        hasher.update(body)
        await shard.put({ ...hasher.finish(), sizeBytes: CHUNK_BYTES, expiresBlock: 1e9, body: [body] })
      }),
    )
  }
  await shard.stop()
}
