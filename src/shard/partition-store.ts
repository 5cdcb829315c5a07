/**
 * A miner's partition on disk: one shard per validator under `shards/`, and in a small database of its own,
 * `partition/`, the plan in force with the journal of what is being deleted. It makes no plan (`partition.ts`). A plan
 * deletes nothing that somebody stored: what is held for a validator that is gone is served until it ends. Only a shard
 * that is empty by then is retired, in steps that the journal lets the next start finish. The lock of the data directory
 * is the node's.
 */
import { join } from 'node:path'
import { decode, encode } from '@ipld/dag-cbor'
import { z } from 'zod'
import type { AbortOptions } from '../base/abort.js'
import { SubnetError, toSubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import { fromSs58 } from '../crypto/keys.js'
import { type DiskFiles, nodeFiles } from './disk-files.js'
import { type IndexDb, type OpenIndex, openLevelIndex } from './level-index.js'
import { createLevelShard } from './level-shard.js'
import type { PartitionPlan } from './partition.js'
import type { Shard, ShardUsage } from './shard.js'

export interface PartitionStoreComponents {
  readonly logger: Logger
  /** Default: this machine's. */
  readonly files?: DiskFiles
  readonly openIndex?: OpenIndex
}

export interface PartitionStoreInit {
  /** The data directory; `shards/` and `partition/` in it are ours. */
  readonly path: string
}

export interface PartitionStore extends Startable {
  /** The plan in force; `undefined` before the first. */
  plan(): PartitionPlan | undefined
  /** Durable when it resolves. */
  setPlan(plan: PartitionPlan): Promise<void>
  /** Deletes those of these validators' shards that are empty; resolves with their names. `INVALID` if the plan has one. */
  retire(validators: readonly string[]): Promise<string[]>
  /** The shard of a validator (SS58), made if there is none. `INVALID` if that is no address. */
  open(validator: string): Promise<Shard>
  /** The same if it is open, as every shard on disk is after `start`, but for those that could not be read. */
  get(validator: string): Shard | undefined
  /** All open shards, of current validators and of former ones. */
  all(): Iterable<Shard>
  /** What every open shard holds, by validator. */
  usage(): ReadonlyMap<string, ShardUsage>
  /** Opens anew the shards that stopped writing after a failure. One that does not open is logged and tried next time. */
  reopenFailed(): Promise<void>
}

/**
 * `start` fails with `DATA_DIR` when the partition is in use or of another version and `DISK` when it cannot be read. A
 * single shard that does not open is logged and left out: the others are served.
 */
export function createPartitionStore(
  init: PartitionStoreInit,
  { logger, files = nodeFiles, openIndex = openLevelIndex }: PartitionStoreComponents,
): PartitionStore {
  return new LevelPartitionStore(init.path, { logger, files, openIndex })
}

/** Shards opened at the same time. */
const OPENED_TOGETHER = 4
const PLAN_KEY = new TextEncoder().encode('plan')
const PLAN_VERSION = 2

const planSchema = z.strictObject({
  budgetBytes: z.number(),
  shares: z.array(z.strictObject({ validator: z.string(), shareBytes: z.number(), drains: z.boolean() })),
})
const recordSchema = z.strictObject({
  version: z.number(),
  plan: planSchema.optional(),
  /** Shards whose deletion has begun. */
  retiring: z.array(z.string()),
})

class LevelPartitionStore implements PartitionStore {
  readonly #components: Required<PartitionStoreComponents>
  readonly #path: string
  readonly #shardsPath: string
  readonly #shards = new Map<string, Shard>()
  readonly #opening = new Map<string, Promise<Shard>>()
  /** Shards that were stopped to be opened anew, and did not open yet. */
  readonly #stopped = new Set<Shard>()
  #reopening: Promise<void> = Promise.resolve()
  #index: IndexDb | undefined
  #plan: PartitionPlan | undefined

  constructor(path: string, components: Required<PartitionStoreComponents>) {
    this.#path = path
    this.#shardsPath = join(path, 'shards')
    this.#components = components
  }

  async start(options: AbortOptions = {}): Promise<void> {
    const { files, openIndex } = this.#components
    try {
      await files.makeDir(this.#shardsPath)
      this.#index = await openIndex(join(this.#path, 'partition'))
      await files.syncDir(this.#path)
      await files.syncDir(this.#shardsPath)
      const stored = await this.#index.get(PLAN_KEY)
      const record = stored === undefined ? undefined : decodeRecord(stored)
      this.#plan = record?.plan
      await this.#delete(record?.retiring ?? [])
      await this.#openAll(await files.list(this.#shardsPath), options)
    } catch (error) {
      // The reason of the failed start is what the caller must see, not what the clean-up met.
      await this.stop().catch(() => undefined)
      options.signal?.throwIfAborted()
      throw toSubnetError(error, 'DISK', `the partition ${this.#path} does not open`)
    }
  }

  async stop(): Promise<void> {
    const index = this.#index
    this.#index = undefined
    await Promise.allSettled([...this.#opening.values(), this.#reopening])
    const shards = [...this.#shards.values()]
    this.#shards.clear()
    const results = await Promise.allSettled([...shards.map((shard) => shard.stop()), index?.close()])
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  plan(): PartitionPlan | undefined {
    return this.#plan
  }

  async setPlan(plan: PartitionPlan): Promise<void> {
    await this.#record(plan, [])
    this.#plan = plan
  }

  async retire(validators: readonly string[]): Promise<string[]> {
    const planned = this.#plan?.shares.some((share) => validators.includes(share.validator)) ?? false
    if (planned) throw new SubnetError('INVALID', 'the plan in force has a share for it')
    const retiring: string[] = []
    for (const validator of validators) if (await this.#closeEmpty(validator)) retiring.push(validator)
    if (retiring.length === 0) return []
    // From here on the next start goes on with it: what is half deleted must not be opened as a shard.
    await this.#record(this.#plan, retiring)
    await this.#delete(retiring)
    return retiring
  }

  async open(validator: string): Promise<Shard> {
    this.#running()
    const shard = this.#shards.get(validator)
    if (shard !== undefined) return shard
    // Throws `INVALID`: the address becomes a directory name.
    fromSs58(validator)
    const opening = this.#opening.get(validator) ?? this.#start(validator)
    this.#opening.set(validator, opening)
    try {
      return await opening
    } finally {
      this.#opening.delete(validator)
    }
  }

  get(validator: string): Shard | undefined {
    return this.#shards.get(validator)
  }

  all(): Iterable<Shard> {
    return this.#shards.values()
  }

  usage(): ReadonlyMap<string, ShardUsage> {
    return new Map([...this.#shards].map(([validator, shard]) => [validator, shard.usage()]))
  }

  reopenFailed(): Promise<void> {
    this.#reopening = this.#reopening.then(() => this.#reopenFailed())
    return this.#reopening
  }

  /** Never rejects. */
  async #reopenFailed(): Promise<void> {
    const { logger } = this.#components
    for (const [validator, shard] of this.#shards) {
      const failure = shard.failure()
      if (this.#index === undefined) return
      if (failure === undefined && !this.#stopped.has(shard)) continue
      try {
        this.#stopped.add(shard)
        await shard.stop()
        await shard.start()
        this.#stopped.delete(shard)
        logger.warn({ err: failure, validator }, 'a shard was opened anew after a failure')
      } catch (error) {
        logger.error({ err: error, validator }, 'a shard does not open anew: its chunks are not served')
      }
    }
  }

  /** Takes a shard out of service if it is empty, and only then. */
  async #closeEmpty(validator: string): Promise<boolean> {
    const shard = this.#shards.get(validator)
    if (shard === undefined || !(await shard.isEmpty())) return false
    this.#shards.delete(validator)
    await shard.stop()
    const { chunks, trashBytes, lostChunks } = shard.usage()
    if (chunks === 0 && trashBytes === 0 && lostChunks === 0) return true
    // Something that had begun came in at the last moment.
    await shard.start()
    this.#shards.set(validator, shard)
    return false
  }

  async #delete(retiring: readonly string[]): Promise<void> {
    if (retiring.length === 0) return
    for (const validator of retiring)
      await this.#components.files.removeDir(join(this.#shardsPath, validator))
    await this.#record(this.#plan, [])
  }

  async #record(plan: PartitionPlan | undefined, retiring: readonly string[]): Promise<void> {
    const value = encode({ version: PLAN_VERSION, ...(plan && { plan }), retiring })
    await this.#running().write([{ key: PLAN_KEY, value }])
  }

  async #start(validator: string): Promise<Shard> {
    const shard = createLevelShard({ path: join(this.#shardsPath, validator) }, this.#components)
    await shard.start()
    this.#shards.set(validator, shard)
    return shard
  }

  async #openAll(names: readonly string[], options: AbortOptions): Promise<void> {
    const waiting = [...names].sort()
    const openNext = async () => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        options.signal?.throwIfAborted()
        await this.open(name).catch((error: unknown) => {
          this.#components.logger.error(
            { err: error, validator: name },
            'a shard does not open: its chunks are not served',
          )
        })
      }
    }
    await Promise.all(Array.from({ length: OPENED_TOGETHER }, openNext))
  }

  #running(): IndexDb {
    if (this.#index === undefined) throw new SubnetError('STOPPED', 'the partition is not running')
    return this.#index
  }
}

function decodeRecord(bytes: Uint8Array): { plan?: PartitionPlan | undefined; retiring: string[] } {
  const parsed = recordSchema.safeParse(decode(bytes))
  if (!parsed.success) throw new SubnetError('DISK', 'the stored plan is none', { cause: parsed.error })
  const { version, plan, retiring } = parsed.data
  if (version !== PLAN_VERSION) {
    throw new SubnetError('DATA_DIR', `the plan has layout ${version}, this program ${PLAN_VERSION}`)
  }
  return { plan, retiring }
}
