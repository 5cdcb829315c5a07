/**
 * What this validator has committed and not revealed yet. Written before the commit is sent: a salt that is lost is a
 * commit that can never be revealed. One file per chain, subnet and hotkey, whoever writes: a node and a command may both be
 * at work with one hotkey, and have it in turns.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { replaceFile } from '../../base/durable-file.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import { dataLock, IN_USE } from '../../shard/data-lock.js'

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
  /** When the hotkey had last updated its weights then: a later update is the commit's. */
  updatedBlock: block.optional(),
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

export interface JournalComponents {
  readonly clock: Clock
  readonly random: Random
}

/** How long a turn is waited for: a commit is in a block within two or three. */
const TURN_TIMEOUT_MS = 60_000
const TURN_POLL_MS = 250

const TURN_TAKEN = {
  code: 'BUSY',
  advice:
    'is in use: another process, a node or a command, sets weights with this hotkey now; try again when it has',
} as const

export class WeightsJournal {
  readonly #name: string
  readonly #components: JournalComponents

  constructor(init: JournalInit, components: JournalComponents) {
    const { path, genesisHash, netuid, hotkey } = init
    this.#name = join(path, `weights-${genesisHash.slice(2, 18)}-${netuid}-${hotkey}`)
    this.#components = components
  }

  /**
   * Runs `work` while nobody else, in this or another process, is at work with the journal. Rejects with `BUSY` when the turn
   * does not come within a minute.
   */
  async exclusively<T>(work: () => Promise<T>, options: AbortOptions = {}): Promise<T> {
    const { clock } = this.#components
    const endMs = clock.monotonicMs() + TURN_TIMEOUT_MS
    const lock = dataLock(`${this.#name}.lock`, TURN_TAKEN)
    for (;;) {
      options.signal?.throwIfAborted()
      try {
        await lock.start()
        break
      } catch (error) {
        const isTaken = isSubnetError(error, 'BUSY') && error.data.reason === IN_USE
        if (!isTaken || clock.monotonicMs() >= endMs) throw error
        await clock.sleep(TURN_POLL_MS, options)
      }
    }
    try {
      return await work()
    } finally {
      await lock.stop()
    }
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
    await replaceFile(this.#path, `${JSON.stringify(journal)}\n`, this.#components.random)
  }

  get #path(): string {
    return `${this.#name}.json`
  }
}
