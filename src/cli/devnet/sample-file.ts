/** The drill's file: the user's own, or bytes that a printed seed brings back. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { seededRandom } from '../../base/random.js'
import { MIB } from '../../base/units.js'

export interface SampleFile {
  readonly path: string
  readonly sizeBytes: number
  /** Hex. */
  readonly sha256: string
}

/** Writes `sizeBytes` that follow from the seed. */
export async function writeSample(path: string, seed: string, sizeBytes: number): Promise<SampleFile> {
  const random = seededRandom(seed)
  const file = await open(path, 'wx', 0o600)
  try {
    for (let left = sizeBytes; left > 0; left -= MIB) await file.writeFile(random.bytes(Math.min(left, MIB)))
  } finally {
    await file.close()
  }
  return await describeFile(path)
}

export async function describeFile(path: string): Promise<SampleFile> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: MIB })) hash.update(piece)
  return { path, sizeBytes: (await stat(path)).size, sha256: hash.digest('hex') }
}
