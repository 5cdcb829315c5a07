/** The shard on disk, on a simulated disk, for tests of what a failing one may do to it. */
import assert from 'node:assert/strict'
import { createLevelShard } from '../../src/shard/level-shard.js'
import type { NewChunk, Shard } from '../../src/shard/shard.js'
import { SimDisk } from './sim-disk.js'
import { bodyOf } from './test-chunk.js'

export const SIM_SHARD_PATH = '/shard'
/** A few chunks fill a file. */
export const SIM_BODY_FILE_BYTES = 4_000

export function shardOn(disk: SimDisk): Shard {
  // Groups overlap as soon as anything waits.
  const init = { path: SIM_SHARD_PATH, bodyFileBytes: SIM_BODY_FILE_BYTES, overlapBytes: 1 }
  return createLevelShard(init, disk)
}

export async function startShard(): Promise<{ disk: SimDisk; shard: Shard }> {
  const disk = new SimDisk()
  const shard = shardOn(disk)
  await shard.start()
  return { disk, shard }
}

export async function checkBody(shard: Shard, chunk: NewChunk): Promise<void> {
  assert.deepEqual(await shard.read(chunk.digest, 0, chunk.sizeBytes), bodyOf(chunk))
}

export async function bytesOn(disk: SimDisk): Promise<number> {
  let bytes = 0
  for (const name of disk.names) bytes += await (await disk.files.open(name, 'read')).sizeBytes()
  return bytes
}
