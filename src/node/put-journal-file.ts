/**
 * The journal of one put of one file, as a file: `<directory>/<id>.json`, where the id says which bytes are put where and
 * how. Its owner alone may read it, for it holds the object's key.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { rewriteFile } from '../base/durable-file.js'
import { toSubnetError } from '../base/errors.js'
import { makeDirectory } from '../base/make-directory.js'
import { sha256 } from '../crypto/hash.js'
import { OBJECT_CLASSES, type ObjectClass } from '../redundancy/layout.js'
import { PROFILE_NAMES, type ProfileName } from '../redundancy/profiles.js'
import type { PutJournal, PutRecord } from '../transfer/put-journal.js'

/** Nothing of a put that old is at the miners any more; the file goes when another put begins. */
const JOURNAL_LIFE_MS = 7 * 24 * 3_600_000

/** What must be the same for a put to be the same put. */
export interface JournalSource {
  /** Absolute. */
  readonly path: string
  readonly sizeBytes: number
  /** When the file was last changed, Unix time. */
  readonly modifiedMs: number
  readonly profile: ProfileName
  readonly class: ObjectClass
  /** The subnet, such as genesis hash and netuid. */
  readonly subnet: string
}

const hex = (bytes: number) =>
  z
    .string()
    .regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`))
    .transform((text) => Uint8Array.from(Buffer.from(text, 'hex')))
const count = z.number().int().min(0)

const reportSchema = z
  .strictObject({
    address: hex(32),
    class: z.enum(OBJECT_CLASSES),
    fileCid: z.string().optional(),
    sizeBytes: count,
    storedBytes: count,
    sentBytes: count,
    reusedBytes: count,
    segments: count,
    endBlock: count,
    weakestReceipts: count,
    fullReceipts: count,
    holders: z.array(
      z.strictObject({
        hotkey: z.string(),
        peerId: z.string(),
        chunks: count,
        bytes: count,
        holdsManifest: z.boolean(),
      }),
    ),
    retries: count,
    warning: z.string().optional(),
  })
  .transform(({ warning, fileCid, ...rest }) => ({
    ...rest,
    ...(warning === undefined ? {} : { warning }),
    ...(fileCid === undefined ? {} : { fileCid }),
  }))

const journalSchema = z.strictObject({
  version: z.literal(1),
  /** Who wrote it last. */
  pid: count,
  source: z.strictObject({ path: z.string(), sizeBytes: count, modifiedMs: z.number() }),
  class: z.enum(OBJECT_CLASSES),
  objectKey: hex(32),
  put: hex(16),
  validator: hex(32),
  profile: z.enum(PROFILE_NAMES),
  createdUnixSeconds: count,
  committing: reportSchema.optional(),
})

export class PutJournalFile implements PutJournal {
  readonly #directory: string
  readonly #source: JournalSource

  constructor(directory: string, source: JournalSource) {
    this.#directory = directory
    this.#source = source
  }

  get path(): string {
    const { path, sizeBytes, modifiedMs, profile, class: objectClass, subnet } = this.#source
    const name = JSON.stringify(['subnet-put/1', path, sizeBytes, modifiedMs, profile, objectClass, subnet])
    const id = Buffer.from(sha256(new TextEncoder().encode(name))).toString('hex')
    return join(this.#directory, `${id.slice(0, 32)}.json`)
  }

  /** Process id of another run that is at it now. */
  async usedBy(): Promise<number | undefined> {
    const pid = (await this.#read())?.pid
    return pid !== undefined && pid !== process.pid && isAlive(pid) ? pid : undefined
  }

  async load(): Promise<PutRecord | undefined> {
    const found = await this.#read()
    if (found === undefined) return undefined
    const { version: _, pid: __, source: ___, committing, ...record } = found
    return committing === undefined ? record : { ...record, committing }
  }

  async save({ committing, ...record }: PutRecord): Promise<void> {
    await makeDirectory(this.#directory, 0o700).catch((error: unknown) => {
      throw toSubnetError(error, 'DISK', `making ${this.#directory}`)
    })
    const { path, sizeBytes, modifiedMs } = this.#source
    const journal = {
      version: 1,
      pid: process.pid,
      source: { path, sizeBytes, modifiedMs },
      ...record,
      ...(committing === undefined ? {} : { committing }),
    }
    const text = JSON.stringify(journal, (_, value) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    )
    await rewriteFile(this.path, `${text}\n`)
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true }).catch((error: unknown) => {
      throw toSubnetError(error, 'DISK', `removing ${this.path}`)
    })
  }

  /** What is there and whole. What is not costs a put from its beginning, no more. */
  async #read(): Promise<z.infer<typeof journalSchema> | undefined> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw toSubnetError(error, 'DISK', `reading ${this.path}`)
    })
    if (text === undefined) return undefined
    try {
      return journalSchema.parse(JSON.parse(text))
    } catch {
      // Of another version, or edited: there is nothing to go on from.
      return undefined
    }
  }
}

/** Removes journals of puts that nobody can go on with. */
export async function pruneJournals(directory: string, nowMs: number): Promise<void> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw toSubnetError(error, 'DISK', `reading ${directory}`)
  })
  for (const name of names) {
    const path = join(directory, name)
    // Gone by now: another put was sooner.
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && nowMs - found.mtimeMs > JOURNAL_LIFE_MS) await rm(path, { force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
