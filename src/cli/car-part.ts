/** What there is of a CAR file that is being read from the network: its whole blocks. The bytes were verified when they came. */
import { createReadStream } from 'node:fs'
import { CarIndexer } from '@ipld/car'
import * as raw from 'multiformats/codecs/raw'
import { isSubnetError, toSubnetError } from '../base/errors.js'
import type { CarStart } from '../transfer/car.js'

export interface CarPart extends CarStart {
  /** Where the last whole block ends. */
  readonly doneBytes: number
}

/** Of the first so many bytes of a file; `undefined` where not even a header is whole. Rejects with `DISK`. */
export async function readCarPart(path: string, sizeBytes: number): Promise<CarPart | undefined> {
  if (sizeBytes === 0) return undefined
  const nodes = new Set<string>()
  let part: CarPart | undefined
  const stream = createReadStream(path, { end: sizeBytes - 1 })
  try {
    for await (const { cid, offset, length } of await CarIndexer.fromIterable(stream)) {
      // The index skips bodies: of the last block some may be missing.
      if (offset + length > sizeBytes) break
      if (cid.code !== raw.code) nodes.add(cid.toString())
      const leaves = (part?.leaves ?? 0) + (cid.code === raw.code ? 1 : 0)
      part = { doneBytes: offset + length, leaves, nodes }
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall !== undefined || isSubnetError(error))
      throw toSubnetError(error, 'DISK', `reading ${path}`)
    // The file ends within a header or a CID: what was whole before it counts.
  } finally {
    stream.destroy()
  }
  return part
}
