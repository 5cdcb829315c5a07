/**
 * The sweeper forgets what nothing keeps any more. Chunks past their end go to the trash, and from there when their time
 * is over, or earlier when there is more in all shards than the plan's budget; leases and orders past their life go.
 */
import type { Behavior } from '../../actor/behavior.js'
import { type PeriodicMessage, periodic } from '../../actor/periodic.js'
import type { Logger } from '../../base/log.js'
import type { PartitionPlan } from '../../shard/partition.js'
import type { Shard } from '../../shard/shard.js'

/** Rows forgotten in one synced step: a few milliseconds of the index. */
const ROWS_PER_STEP = 256

export interface SweeperComponents {
  readonly shards: { all(): Iterable<Shard>; plan(): PartitionPlan | undefined }
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly logger: Logger
}

export interface SweeperInit {
  readonly intervalMs: number
  /** Blocks that a chunk stays in the trash. */
  readonly trashBlocks: number
}

export function sweeper(components: SweeperComponents, init: SweeperInit): Behavior<PeriodicMessage> {
  const { intervalMs } = init
  return periodic({
    firstPauseMs: intervalMs,
    run: async (signal) => {
      await sweep(components, init, signal)
      return intervalMs
    },
    onFailure: () => intervalMs,
  })
}

/**
 * Step by step, so that what clients wait for comes in between. Resolves with the number of rows forgotten; rejects only
 * when aborted.
 */
export async function sweep(
  { shards, head, logger }: SweeperComponents,
  { trashBlocks }: Pick<SweeperInit, 'trashBlocks'>,
  signal?: AbortSignal,
): Promise<number> {
  let forgotten = 0
  for (const shard of shards.all()) {
    try {
      for (let rows = ROWS_PER_STEP; rows === ROWS_PER_STEP; ) {
        signal?.throwIfAborted()
        rows = await shard.expire(head.block, ROWS_PER_STEP, head.block + trashBlocks)
        forgotten += rows
      }
      forgotten += await shrinkTrash(shard, shard.usage().trashBytes - excessBytes(shards), signal)
    } catch (error) {
      signal?.throwIfAborted()
      // What stays only takes room, in this shard alone: the next round tries again.
      logger.warn({ err: error }, 'could not forget what has expired')
    }
  }
  if (forgotten > 0) logger.info({ rows: forgotten }, 'forgot what has expired')
  return forgotten
}

/** What all shards hold beyond the budget, trash included; negative as long as there is room. */
function excessBytes(shards: SweeperComponents['shards']): number {
  let heldBytes = 0
  for (const shard of shards.all()) heldBytes += shard.usage().bytes + shard.usage().trashBytes
  return heldBytes - (shards.plan()?.budgetBytes ?? Number.POSITIVE_INFINITY)
}

/** Drops trash until there is no more than this; resolves with the number of chunks dropped. */
export async function shrinkTrash(shard: Shard, bytesMax: number, signal?: AbortSignal): Promise<number> {
  let dropped = 0
  while (shard.usage().trashBytes > Math.max(0, bytesMax)) {
    signal?.throwIfAborted()
    const rows = await shard.shrinkTrash(Math.max(0, bytesMax), ROWS_PER_STEP)
    // Somebody else has revived or dropped it.
    if (rows === 0) break
    dropped += rows
  }
  return dropped
}
