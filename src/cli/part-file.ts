/**
 * A file that is being read from the network: `FILE.part`, and beside it `FILE.part.json`, which says what it is a part
 * of and how much of it is on the disk. The bytes were verified when they came, so going on costs no second look.
 */
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { z } from 'zod'
import { rewriteFile } from '../base/durable-file.js'
import { SubnetError, toSubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import { sha256 } from '../crypto/hash.js'

/** Bytes that a crash may cost. */
const SYNC_BYTES = 32 * MIB

const sidecarSchema = z.strictObject({ content: z.string(), doneBytes: z.number().int().min(0) })

export class PartFile {
  readonly #path: string
  readonly #content: string
  readonly #file: FileHandle
  #doneBytes: number
  #syncedBytes: number

  private constructor(path: string, content: string, file: FileHandle, doneBytes: number) {
    this.#path = path
    this.#content = content
    this.#file = file
    this.#doneBytes = doneBytes
    this.#syncedBytes = doneBytes
  }

  /**
   * Goes on with what an earlier run left of the same content at this name, unless `anew`. `what` names the content, and
   * may be secret: only its hash is written. Rejects with `DISK`.
   */
  static async open(path: string, what: string, anew: boolean): Promise<PartFile> {
    // Said now, not when all of it has been read.
    if ((await stat(path).catch(() => undefined))?.isDirectory()) {
      throw new SubnetError('DISK', `${path} is a directory: give the name of a file`)
    }
    const content = Buffer.from(sha256(new TextEncoder().encode(`subnet-part/0 ${what}`))).toString('hex')
    const doneBytes = anew ? 0 : await readDone(path, content)
    try {
      const file = await open(`${path}.part`, doneBytes > 0 ? 'r+' : 'w')
      try {
        // Shorter than it says: somebody else was at it.
        const isThere = (await file.stat()).size >= doneBytes
        await file.truncate(isThere ? doneBytes : 0)
        return new PartFile(path, content, file, isThere ? doneBytes : 0)
      } catch (error) {
        await file.close()
        throw error
      }
    } catch (cause) {
      throw new SubnetError('DISK', `cannot write ${path}.part`, { cause })
    }
  }

  /** Bytes that need not be read again. */
  get doneBytes(): number {
    return this.#doneBytes
  }

  /** Forgets what is there beyond so many bytes. Rejects with `DISK`. */
  async shorten(doneBytes: number): Promise<void> {
    try {
      await this.#file.truncate(doneBytes)
      this.#doneBytes = doneBytes
      this.#syncedBytes = doneBytes
    } catch (cause) {
      throw new SubnetError('DISK', `cannot write ${this.path}`, { cause })
    }
  }

  /** Where it is until it is complete. */
  get path(): string {
    return `${this.#path}.part`
  }

  /** Writes the rest; then the file has its name, complete and synced. Otherwise what came is kept for the next run. */
  async fill(rest: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const bytes of rest) {
        await this.#write(bytes)
        if (this.#doneBytes - this.#syncedBytes >= SYNC_BYTES) await this.#sync()
      }
      await this.#file.sync()
      await this.#file.close()
      await rename(`${this.#path}.part`, this.#path)
      await rm(sidecarOf(this.#path), { force: true })
    } catch (error) {
      await this.abandon()
      throw toSubnetError(error, 'DISK', `writing ${this.#path}`)
    }
  }

  /** Leaves what is there to the next run, or nothing where there is nothing. */
  async abandon(): Promise<void> {
    try {
      if (this.#doneBytes > 0) await this.#sync()
    } catch {
      // Why nothing more can be written is known to the one who stops here; what was synced before still counts.
    }
    // Closed before: by a fill that failed after it.
    await this.#file.close().catch(() => undefined)
    if (this.#doneBytes === 0) {
      await rm(`${this.#path}.part`, { force: true })
      await rm(sidecarOf(this.#path), { force: true })
    }
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#doneBytes)
      at += bytesWritten
      this.#doneBytes += bytesWritten
    }
  }

  async #sync(): Promise<void> {
    const doneBytes = this.#doneBytes
    await this.#file.datasync()
    await rewriteFile(sidecarOf(this.#path), `${JSON.stringify({ content: this.#content, doneBytes })}\n`)
    this.#syncedBytes = doneBytes
  }
}

function sidecarOf(path: string): string {
  return `${path}.part.json`
}

async function readDone(path: string, content: string): Promise<number> {
  try {
    const sidecar = sidecarSchema.parse(JSON.parse(await readFile(sidecarOf(path), 'utf8')))
    return sidecar.content === content ? sidecar.doneBytes : 0
  } catch {
    // None, or torn, or of something else: the read begins at its beginning.
    return 0
  }
}
