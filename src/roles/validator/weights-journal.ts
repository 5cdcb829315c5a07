/**
 * What this validator has committed and not revealed yet. Written before the commit is sent: a salt that is lost is a
 * commit that can never be revealed. One file per chain, subnet and hotkey.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { replaceFile } from '../../base/durable-file.js'
import { SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'

const u16 = z.number().int().min(0).max(0xffff)
const block = z.number().int().nonnegative()

const pendingSchema = z.strictObject({
  uids: z.array(u16),
  values: z.array(u16),
  salt: z.array(u16),
  versionKey: z.codec(z.string().regex(/^\d+$/), z.bigint(), {
    decode: (text) => BigInt(text),
    encode: (value) => value.toString(),
  }),
  /** Head when the commit was sent. */
  sentBlock: block,
  /** Where it got into the chain; absent until that is known. */
  landed: z.strictObject({ block, epoch: block }).optional(),
})
const journalSchema = z.strictObject({ layout: z.literal(1), pending: z.array(pendingSchema) })

/** A commit that waits for its reveal. */
export type PendingReveal = z.infer<typeof pendingSchema>

export interface JournalInit {
  /** Directory; made when it is first needed. */
  readonly path: string
  readonly genesisHash: string
  readonly netuid: number
  /** SS58. */
  readonly hotkey: string
}

export class WeightsJournal {
  readonly #path: string
  readonly #random: Random

  constructor(init: JournalInit, components: { readonly random: Random }) {
    const { path, genesisHash, netuid, hotkey } = init
    this.#path = join(path, `weights-${genesisHash.slice(2, 18)}-${netuid}-${hotkey}.json`)
    this.#random = components.random
  }

  /** Oldest first. Rejects with `DATA_DIR` when the file is torn, `DISK` when it cannot be read. */
  async read(): Promise<readonly PendingReveal[]> {
    const text = await readFile(this.#path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') return undefined
      throw new SubnetError('DISK', `cannot read ${this.#path}`, { cause, data: { path: this.#path } })
    })
    if (text === undefined) return []
    try {
      return journalSchema.parse(JSON.parse(text)).pending
    } catch {
      // Without the cause, which may quote a salt.
      const why =
        'it holds the salts of weights that are committed: restore it, or move it away and lose those reveals'
      throw new SubnetError('DATA_DIR', `${this.#path} is torn; ${why}`, { data: { path: this.#path } })
    }
  }

  /** On the disk when it resolves. */
  async write(pending: readonly PendingReveal[]): Promise<void> {
    const journal = z.encode(journalSchema, { layout: 1, pending: [...pending] })
    await replaceFile(this.#path, `${JSON.stringify(journal)}\n`, this.#random)
  }
}
