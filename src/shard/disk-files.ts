/**
 * What the shard asks of a file system, and the machine's own. Narrow, so that tests can lose unsynced data, fail any
 * operation and record their order. It knows nothing of chunks.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rm, statfs, unlink } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { SubnetError } from '../base/errors.js'
import { makeDirectory } from '../base/make-directory.js'

/** An open file. */
export interface DiskFile {
  /** Writes all pieces one after the other from `position` on. May have written a part when it rejects. */
  write(pieces: readonly Uint8Array[], position: number): Promise<void>
  /** Resolves when everything written before is on the disk, with what is needed to find it. */
  dataSync(): Promise<void>
  /** Bytes from `position` into `target`; fewer only at the end of the file. Returns how many. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Cuts the file to `lengthBytes`. */
  truncate(lengthBytes: number): Promise<void>
  sizeBytes(): Promise<number>
  close(): Promise<void>
}

/** A file system. Failures are those of `node:fs`, with their `code`. */
export interface DiskFiles {
  /** Makes the directory and those above it; an existing one is fine. The new names are durable when it resolves. */
  makeDir(path: string): Promise<void>
  /** Names in a directory, in no order. */
  list(path: string): Promise<string[]>
  /** `write` makes the file if it is not there; its name is durable only after `syncDir`. */
  open(path: string, mode: 'read' | 'write'): Promise<DiskFile>
  /** Resolves when the directory's names are on the disk. */
  syncDir(path: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Deletes a directory with everything in it, as far as it gets when it fails; none is fine. Durable when it resolves. */
  removeDir(path: string): Promise<void>
  /** Bytes this user may still write on the disk that holds `path`. */
  freeBytes(path: string): Promise<number>
}

/** The file system of this machine. */
export const nodeFiles: DiskFiles = {
  async makeDir(path) {
    const target = resolve(path)
    const first = await makeDirectory(target)
    if (first === undefined) return
    // Every directory that got a new name: the parents of those made, the lowest first.
    for (let made = target; made.length >= first.length; made = dirname(made)) {
      await nodeFiles.syncDir(dirname(made))
    }
  },
  list: (path) => readdir(path),
  async open(path, mode) {
    return new NodeFile(await open(path, mode === 'read' ? 'r' : constants.O_RDWR | constants.O_CREAT))
  },
  async syncDir(path) {
    const directory = await open(path, 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
  },
  unlink: (path) => unlink(path),
  async removeDir(path) {
    await rm(path, { recursive: true, force: true })
    await nodeFiles.syncDir(dirname(resolve(path)))
  },
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path)
    return bavail * bsize
  },
}

class NodeFile implements DiskFile {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(pieces: readonly Uint8Array[], position: number): Promise<void> {
    let rest = pieces.filter((piece) => piece.length > 0)
    let at = position
    while (rest.length > 0) {
      const { bytesWritten } = await this.#handle.writev(rest, at)
      if (bytesWritten === 0)
        throw new SubnetError('DISK', 'the disk takes no more bytes and gives no reason')
      at += bytesWritten
      rest = after(rest, bytesWritten)
    }
  }

  dataSync(): Promise<void> {
    return this.#handle.datasync()
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < target.length) {
      const { bytesRead } = await this.#handle.read(target, done, target.length - done, position + done)
      if (bytesRead === 0) break
      done += bytesRead
    }
    return done
  }

  truncate(lengthBytes: number): Promise<void> {
    return this.#handle.truncate(lengthBytes)
  }

  async sizeBytes(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** What is left of the pieces after their first `lengthBytes`. */
function after(pieces: readonly Uint8Array[], lengthBytes: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  let skip = lengthBytes
  for (const piece of pieces) {
    if (skip < piece.length) rest.push(piece.subarray(skip))
    skip = Math.max(0, skip - piece.length)
  }
  return rest
}
