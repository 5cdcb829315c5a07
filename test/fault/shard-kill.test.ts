/** `kill -9` of a process that stores: what it acknowledged is there, wherever it was. */
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { randomFraction, seededRandom } from '../../src/base/random.js'
import { sha256 } from '../../src/crypto/hash.js'
import { createLevelShard } from '../../src/shard/level-shard.js'
import type { Shard } from '../../src/shard/shard.js'
import { tempDir } from '../kit/temp-dir.js'
import { testChunk } from '../kit/test-chunk.js'
import { KILLED_SHARD, killedSize } from './killed-shard.js'

const KILLS = 5
const PROCESS = fileURLToPath(new URL('./shard-process.js', import.meta.url))

interface Report {
  readonly stored?: number
  readonly removing?: number
}

describe('LevelShard in a process that is killed', () => {
  it('has every chunk it acknowledged, killed again and again in the middle of its work', async () => {
    await using dir = await tempDir()
    const path = join(dir.path, 'shard')
    const random = seededRandom('kills')
    const stored = new Set<number>()
    const removing = new Set<number>()
    for (let kill = 0; kill < KILLS; kill += 1) {
      const lastAnswer = 1 + Math.floor(randomFraction(random) * 150)
      await runAndKill(path, { first: kill * 100_000, lastAnswer }, ({ stored: put, removing: gone }) => {
        if (put !== undefined) stored.add(put)
        if (gone !== undefined) removing.add(gone)
      })
      const shard = createLevelShard({ path, ...KILLED_SHARD })
      await shard.start()
      await checkShard(shard, stored, removing)
      await shard.stop()
      assert.equal(await bytesIn(join(path, 'bodies')), shard.usage().diskBytes)
    }
    assert.ok(stored.size > removing.size && removing.size > 20)
  })
})

async function runAndKill(
  path: string,
  { first, lastAnswer }: { first: number; lastAnswer: number },
  onReport: (report: Report) => void,
): Promise<void> {
  const child: ChildProcess = fork(PROCESS, [path, String(first)], { execArgv: [] })
  let answers = 0
  child.on('message', (report: Report) => {
    onReport(report)
    if (report.stored !== undefined) answers += 1
    if (answers === lastAnswer) child.kill('SIGKILL')
  })
  const [exitCode, signal] = await once(child, 'close')
  assert.equal(signal, 'SIGKILL', `the process ended by itself with ${exitCode}`)
}

async function checkShard(
  shard: Shard,
  stored: ReadonlySet<number>,
  removing: ReadonlySet<number>,
): Promise<void> {
  let bytes = 0
  let chunks = 0
  for await (const { digest, sizeBytes } of shard.chunks()) {
    chunks += 1
    bytes += sizeBytes
    assert.deepEqual(sha256(await shard.read(digest, 0, sizeBytes)), digest)
  }
  assert.equal(shard.usage().chunks, chunks)
  assert.equal(shard.usage().bytes, bytes)
  for (const seed of stored) {
    if (removing.has(seed)) continue
    assert.ok(
      await shard.describe(testChunk(seed, killedSize(seed)).digest),
      `chunk ${seed} was acknowledged`,
    )
  }
}

async function bytesIn(path: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(path)) bytes += (await stat(join(path, name))).size
  return bytes
}
