/**
 * `kill -9` of a miner that stores, again and again on the same directory: what it acknowledged is there. The moments
 * are drawn from a seed; `SUBNET_TEST_KILLS=50` (`npm run test:long`) has all of them, without it a few that the normal run
 * has time for.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { silentLogger } from '../../src/base/log.js'
import { randomFraction, seededRandom } from '../../src/base/random.js'
import { sha256 } from '../../src/crypto/hash.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { createPartitionStore } from '../../src/shard/partition-store.js'
import type { Shard } from '../../src/shard/shard.js'
import { tempDir } from '../kit/temp-dir.js'
import { killedChunk, type MinerReport, OBJECT_CHUNKS, objectId, validatorAddress } from './killed-miner.js'

const KILLS = Number(process.env.SUBNET_TEST_KILLS ?? 5)
const PROCESS = fileURLToPath(new URL('./miner-process.js', import.meta.url))
/** Of one life. */
const ANSWERS_MAX = 60

/** What was said to be so. */
interface Said {
  readonly stored: Set<number>
  readonly leased: Set<number>
  readonly releasing: Set<number>
}

describe('a miner that is killed while it stores', () => {
  it('has every chunk and lease it acknowledged, byte for byte', async function () {
    this.timeout(KILLS * 10_000)
    await cryptoReady()
    await using dir = await tempDir()
    const random = seededRandom('miner kills')
    const said: Said = { stored: new Set(), leased: new Set(), releasing: new Set() }
    for (let kill = 0; kill < KILLS; kill += 1) {
      const answers = 1 + Math.floor(randomFraction(random) * ANSWERS_MAX)
      await runAndKill(dir.path, kill * 10_000, answers, said)
      // The last life's chunks each time; those of all lives at the end.
      await checkMiner(dir.path, said, kill === KILLS - 1 ? 0 : kill * 10_000)
    }
    assert.ok(said.stored.size > KILLS && said.leased.size > 0 && said.releasing.size > 0)
  })
})

async function runAndKill(path: string, first: number, answersMax: number, said: Said): Promise<void> {
  const child = fork(PROCESS, [path, String(first)], { execArgv: [] })
  let answers = 0
  child.on('message', (report: MinerReport) => {
    if ('leased' in report) said.leased.add(report.leased)
    if ('releasing' in report) said.releasing.add(report.releasing)
    if (!('stored' in report)) return
    said.stored.add(report.stored)
    answers += 1
    if (answers === answersMax) child.kill('SIGKILL')
  })
  const [exitCode, signal] = await once(child, 'close')
  assert.equal(signal, 'SIGKILL', `the process ended by itself with ${exitCode}`)
}

async function checkMiner(path: string, said: Said, firstObject: number): Promise<void> {
  const store = createPartitionStore({ path }, { logger: silentLogger })
  await store.start()
  const shard = store.get(validatorAddress())
  assert.ok(shard)
  for (const seed of said.stored) {
    const object = Math.floor(seed / OBJECT_CHUNKS)
    if (object < firstObject) continue
    await checkChunk(shard, object, seed % OBJECT_CHUNKS, said.releasing.has(object))
  }
  for (const object of said.leased) {
    if (object < firstObject || said.releasing.has(object)) continue
    assert.ok(await shard.lease(objectId(object)), `the lease of object ${object} was acknowledged`)
  }
  let bytes = 0
  for await (const { sizeBytes } of shard.chunks()) bytes += sizeBytes
  assert.equal(shard.usage().bytes, bytes)
  await store.stop()
}

/** A released one may be in the trash by now, and is held otherwise. */
async function checkChunk(shard: Shard, object: number, index: number, releasing: boolean): Promise<void> {
  const { digest, sizeBytes } = killedChunk(object, index)
  if (releasing && (await shard.trashed(digest)) !== undefined) return
  assert.ok(await shard.describe(digest), `chunk ${index} of object ${object} was acknowledged`)
  assert.deepEqual(sha256(await shard.read(digest, 0, sizeBytes)), digest)
}
