/** A disk that really is full: a small file system of its own, which only root may mount. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../src/base/errors.js'
import { KIB, MIB } from '../../src/base/units.js'
import { nodeFiles } from '../../src/shard/disk-files.js'
import { probeDisk } from '../../src/shard/disk-probe.js'
import { createLevelShard } from '../../src/shard/level-shard.js'
import type { NewChunk, Shard } from '../../src/shard/shard.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { bodyOf, testChunk, testId } from '../kit/test-chunk.js'

const ORDER = { serial: testId(16, 1), expiresBlock: 200 }
const RESERVE_BYTES = 4 * MIB

describe('LevelShard on a small file system', () => {
  let dir: TempDir
  let mountError = ''

  before(async () => {
    dir = await tempDir()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', dir.path], { stdio: 'pipe' })
    } catch (error) {
      mountError = String(error).split('\n').join(' ')
    }
  })

  after(async () => {
    if (mountError === '') execFileSync('umount', ['-l', dir.path])
    await dir[Symbol.asyncDispose]()
  })

  beforeEach(function () {
    if (mountError === '') return
    // Shown beside the title, which alone would not say why.
    if (this.currentTest !== undefined) this.currentTest.title += ` (cannot mount: ${mountError})`
    this.skip()
  })

  it('fills it up to the reserve, keeps serving, and loses nothing', async () => {
    const shard = createLevelShard({
      path: join(dir.path, 'shard'),
      reserveBytes: RESERVE_BYTES,
      bodyFileBytes: MIB,
    })
    await shard.start()
    const held = await fill(shard)
    assert.ok(held.length > 20, `${held.length} chunks`)
    await checkBodies(shard, held)

    // Somebody else takes the rest: no change is possible, nothing breaks.
    await writeUntilFull(join(dir.path, 'other'))
    await assert.rejects(shard.put(testChunk(9_999, 100)), isNoSpace)
    await assert.rejects(shard.addOrderUse(ORDER, 1), isNoSpace)
    await checkBodies(shard, held)
    await rm(join(dir.path, 'other'))

    for (const chunk of held.splice(0, held.length / 2)) await shard.remove(chunk.digest)
    await shard.addOrderUse(ORDER, 7)
    held.push(...(await fill(shard, 1_000)))
    await checkBodies(shard, held)
    await shard.stop()
    await shard.start()
    assert.equal(shard.usage().chunks, held.length)
    assert.equal(await shard.orderUse(ORDER.serial), 7)
    await checkBodies(shard, held)
    await shard.stop()
    await rm(join(dir.path, 'shard'), { recursive: true })
  })

  it('shows a probe that the disk is read-only or full, and that it works again', async () => {
    const remount = (mode: 'ro' | 'rw') =>
      execFileSync('mount', ['-o', `remount,${mode}`, dir.path], { stdio: 'pipe' })
    const probe = () => probeDisk(nodeFiles, dir.path, new Uint8Array(4096).fill(7))
    await probe()
    remount('ro')
    await assert.rejects(probe(), isDisk)
    remount('rw')
    await probe()
    await writeFile(join(dir.path, 'other'), new Uint8Array(16 * MIB))
    await assert.rejects(probe(), isDisk)
    await rm(join(dir.path, 'other'))
    await probe()
    assert.deepEqual(await readdir(dir.path), [])
  })

  it('trusts its index no more once that met a full disk', async () => {
    // LevelDB acknowledges what it writes behind a record torn by a full disk, and forgets it at the next start.
    const shard = createLevelShard({ path: join(dir.path, 'shard'), reserveBytes: 0 })
    await shard.start()
    const chunk = testChunk(1, 100)
    await shard.put(chunk)
    await writeUntilFull(join(dir.path, 'other'))
    const chargedBytes = await chargeUntilRefused(shard)
    await rm(join(dir.path, 'other'))
    await assert.rejects(shard.addOrderUse(ORDER, 1), isDisk)
    await checkBodies(shard, [chunk])
    await shard.stop()
    await shard.start()
    assert.equal(await shard.orderUse(ORDER.serial), chargedBytes)
    await shard.addOrderUse(ORDER, 1)
    await checkBodies(shard, [chunk])
    await shard.stop()
  })
})

/** Charges an order byte by byte; returns what was acknowledged before `DISK`. */
async function chargeUntilRefused(shard: Shard): Promise<number> {
  for (let chargedBytes = 0; ; chargedBytes += 1) {
    try {
      await shard.addOrderUse(ORDER, 1)
    } catch (error) {
      assert.ok(isDisk(error), String(error))
      return chargedBytes
    }
  }
}

/** Puts chunks until there is no room; returns those that were kept. */
async function fill(shard: Shard, firstSeed = 0): Promise<NewChunk[]> {
  const held: NewChunk[] = []
  for (let seed = firstSeed; ; seed += 4) {
    const chunks = [0, 1, 2, 3].map((n) => testChunk(seed + n, 200 * KIB))
    const results = await Promise.allSettled(chunks.map((chunk) => shard.put(chunk)))
    held.push(...chunks.filter((_, index) => results[index]?.status === 'fulfilled'))
    const refused = results.filter((result) => result.status === 'rejected')
    for (const { reason } of refused) assert.ok(isNoSpace(reason), String(reason))
    if (refused.length > 0) return held
  }
}

async function writeUntilFull(path: string): Promise<void> {
  await assert.rejects(writeFile(path, new Uint8Array(16 * MIB)), { code: 'ENOSPC' })
}

async function checkBodies(shard: Shard, chunks: readonly NewChunk[]): Promise<void> {
  for (const chunk of chunks) {
    assert.ok(Buffer.from(bodyOf(chunk)).equals(await shard.read(chunk.digest, 0, chunk.sizeBytes)))
  }
}

function isDisk(error: unknown): boolean {
  return isSubnetError(error, 'DISK')
}

function isNoSpace(error: unknown): boolean {
  return isSubnetError(error, 'NO_SPACE')
}
