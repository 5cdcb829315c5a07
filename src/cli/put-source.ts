/** What `put` reads: a file, which must stay as it is while it is read, or standard input, which comes once. */
import { open, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { SubnetError, toSubnetError } from '../base/errors.js'
import { release } from '../base/release.js'
import { MIB } from '../base/units.js'
import type { PutSource } from '../roles/client/put.js'

const READ_BYTES = MIB

/** An open source; what is known of a file is absent for standard input. */
export interface Source {
  readonly stream: Readable
  readonly sizeBytes?: number
  readonly modifiedMs?: number
  readonly inode?: number
}

/** Opened at once, so that what cannot be read is said before anybody is asked for room. */
export async function openSource(file: string): Promise<Source> {
  if (file === '-') return { stream: process.stdin }
  const handle = await open(file).catch((cause: NodeJS.ErrnoException) => {
    const code = cause.code === 'ENOENT' ? 'NOT_FOUND' : 'DISK'
    throw new SubnetError(code, `cannot read ${file}`, { cause })
  })
  const found = await handle.stat()
  if (found.isFile()) {
    const stream = handle.createReadStream({ highWaterMark: READ_BYTES })
    return { stream, sizeBytes: found.size, modifiedMs: found.mtimeMs, inode: found.ino }
  }
  await handle.close()
  throw new SubnetError('INVALID', `${file} is not a file; pipe it in and give - to store a stream`)
}

/**
 * Its bytes. A file is read from its beginning as often as it takes; standard input comes once. Fails with `DISK` when the
 * file was written to meanwhile: nobody wants half of one state and half of another kept.
 */
export function bytesOf(file: string, source: Source): PutSource {
  if (source.sizeBytes === undefined) return read(source.stream, file)
  let opened: Source | undefined = source
  return async function* () {
    const current = opened ?? (await openSource(file))
    opened = undefined
    let readBytes = 0
    try {
      for await (const bytes of read(current.stream, file)) {
        readBytes += bytes.length
        yield bytes
      }
      await refuseChanged(file, current, readBytes)
    } finally {
      current.stream.destroy()
    }
  }
}

async function* read(stream: Readable, file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of stream) {
      yield bytes
      // A put has copied it by now.
      release(bytes)
    }
  } catch (error) {
    throw toSubnetError(error, 'DISK', `reading ${file}`)
  }
}

async function refuseChanged(file: string, source: Source, readBytes: number): Promise<void> {
  // Removed or replaced since: what was read is whole.
  const now = await stat(file).catch(() => undefined)
  const isTouched = now?.ino === source.inode && now?.mtimeMs !== source.modifiedMs
  if (readBytes === source.sizeBytes && !isTouched) return
  const text = `${file} changed while it was read: nothing was stored. Put it again, or a copy of it`
  throw new SubnetError('DISK', text)
}
