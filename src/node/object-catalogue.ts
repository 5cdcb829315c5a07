/**
 * What this machine's client has put, as files: `<directory>/<when>-<address>.json`, one for each object. A convenience:
 * without it objects are as safe and as readable as before, for whoever has their capabilities. Its owner alone may read
 * it, for those are in it.
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { rewriteFile } from '../base/durable-file.js'
import { SubnetError, toSubnetError } from '../base/errors.js'
import { makeDirectory } from '../base/make-directory.js'
import { parseCapability } from '../redundancy/capability.js'
import { OBJECT_CLASSES } from '../redundancy/layout.js'
import { PROFILE_NAMES } from '../redundancy/profiles.js'

/** Characters of an id that people see; they may give any number from `ID_CHARS_MIN` on. */
export const SHORT_ID_CHARS = 12
const ID_CHARS_MIN = 4
/** Digits of a time in a file's name: names sort by time until the year 2286. */
const TIME_DIGITS = 13

const recordSchema = z.strictObject({
  version: z.literal(0),
  /** The object's address, 64 hex digits. */
  id: z.string().regex(/^[0-9a-f]{64}$/),
  name: z.string(),
  sizeBytes: z.number().int().min(0),
  profile: z.enum(PROFILE_NAMES),
  class: z.enum(OBJECT_CLASSES),
  /** The CID by which IPFS knows the object; public objects only. */
  fileCid: z.string().optional(),
  /** The owner's: with it the object can be read, renewed and released. */
  capability: z.string(),
  /** Unix time. */
  putAtMs: z.number().int().min(0),
  endBlock: z.number().int().min(0),
  /** When that block is expected, Unix time. */
  endsAtMs: z.number(),
  /** Genesis hash and netuid. */
  subnet: z.string(),
})

export type CatalogueRecord = Omit<z.infer<typeof recordSchema>, 'version'>

export class ObjectCatalogue {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Durable when it resolves. An object that is there already gets the new facts. Rejects with `DISK`. */
  async add(record: CatalogueRecord): Promise<void> {
    await makeDirectory(this.#directory, 0o700).catch((error: unknown) => {
      throw toSubnetError(error, 'DISK', `making ${this.#directory}`)
    })
    const name = `${String(record.putAtMs).padStart(TIME_DIGITS, '0')}-${record.id}.json`
    const earlier = await this.#names(record.id)
    await rewriteFile(join(this.#directory, name), `${JSON.stringify({ version: 0, ...record })}\n`)
    await this.#remove(earlier.filter((other) => other !== name))
  }

  /** The oldest first, read one by one as they are asked for. */
  async *records(): AsyncGenerator<CatalogueRecord> {
    for (const name of await this.#names('')) {
      const record = await this.#read(name)
      if (record !== undefined) yield record
    }
  }

  /** The object's lease ends later now. Nothing happens for one that is not listed. */
  async renew(capability: string, end: Pick<CatalogueRecord, 'endBlock' | 'endsAtMs'>): Promise<void> {
    const [name] = await this.#names(idOf(capability))
    const record = name === undefined ? undefined : await this.#read(name)
    if (record !== undefined) await this.add({ ...record, ...end })
  }

  /** Nothing happens for one that is not listed. */
  async remove(capability: string): Promise<void> {
    await this.#remove(await this.#names(idOf(capability)))
  }

  /**
   * The capability that `text` stands for, by subnet: itself, or that of the one object there with this name or an id that
   * begins so. Rejects with `INVALID` when it is nothing on any subnet; the function throws it when it is nothing on that
   * one, or stands for several.
   */
  async find(text: string): Promise<(subnet: string) => string> {
    if (text.startsWith('subnet:')) {
      parseCapability(text)
      return () => text
    }
    const found: CatalogueRecord[] = []
    const isId = new RegExp(`^[0-9a-f]{${ID_CHARS_MIN},64}$`).test(text)
    for await (const record of this.records()) {
      if (record.name === text || (isId && record.id.startsWith(text))) found.push(record)
    }
    if (found.length === 0) throw notListed(text)
    return (subnet) => theOneOf(found, text, subnet)
  }

  /** Names of the files, oldest first, of objects whose id begins so. */
  async #names(id: string): Promise<string[]> {
    const names = await readdir(this.#directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw toSubnetError(error, 'DISK', `reading ${this.#directory}`)
    })
    const pattern = new RegExp(`^\\d{${TIME_DIGITS}}-${id}[0-9a-f]*\\.json$`)
    return names.filter((name) => pattern.test(name)).sort()
  }

  async #read(name: string): Promise<CatalogueRecord | undefined> {
    const path = join(this.#directory, name)
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      // Removed meanwhile.
      if (error.code === 'ENOENT') return undefined
      throw toSubnetError(error, 'DISK', `reading ${path}`)
    })
    if (text === undefined) return undefined
    try {
      const { version: _, ...record } = recordSchema.parse(JSON.parse(text))
      return record
    } catch {
      // Of another version, or edited: not ours to list.
      return undefined
    }
  }

  async #remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const path = join(this.#directory, name)
      await rm(path, { force: true }).catch((error: unknown) => {
        throw toSubnetError(error, 'DISK', `removing ${path}`)
      })
    }
  }
}

function theOneOf(found: readonly CatalogueRecord[], text: string, subnet: string): string {
  const here = found.filter((record) => record.subnet === subnet)
  const [only, ...others] = here
  if (only === undefined) throw notListed(text, `; ${found.length} of another subnet match`)
  if (others.length === 0) return only.capability
  const ids = here.map(({ id }) => id.slice(0, SHORT_ID_CHARS))
  const meant = `"${text}" stands for ${here.length} objects: ${ids.join(', ')}`
  throw new SubnetError('INVALID', meant, { data: { ids } })
}

function notListed(text: string, hint = ''): SubnetError {
  const what = `"${text}" is no capability (subnet:…), and no listed object has this name or id`
  return new SubnetError('INVALID', `${what}${hint}; see \`ls\``)
}

/** An object's id in the catalogue. Throws `INVALID` for what is no capability. */
export function idOf(capability: string): string {
  return Buffer.from(parseCapability(capability).address).toString('hex')
}
