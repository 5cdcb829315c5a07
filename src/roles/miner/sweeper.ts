/** The sweeper forgets what nothing keeps any more: chunks and leases past their end, orders past their life. */
import type { Behavior } from '../../actor/behavior.js'
import type { Logger } from '../../base/log.js'
import type { Shard } from '../../shard/shard.js'

/** Rows forgotten in one synced step: a few milliseconds of the index. */
const ROWS_PER_STEP = 256

export type SweeperMessage =
  /** Time to look; also what its own timer says. */
  { readonly type: 'sweep' }

export interface SweeperComponents {
  readonly shards: { all(): Iterable<Shard> }
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly logger: Logger
}

export interface SweeperInit {
  readonly intervalMs: number
}

type PrivateMessage = { readonly type: 'swept' }

export function sweeper(components: SweeperComponents, init: SweeperInit): Behavior<SweeperMessage> {
  const behavior: Behavior<SweeperMessage | PrivateMessage, null> = {
    start: (context) => {
      context.after(init.intervalMs, { type: 'sweep' })
      return null
    },
    receive(_state, message, context) {
      if (message.type === 'swept') {
        context.after(init.intervalMs, { type: 'sweep' })
        return
      }
      context.task(
        (signal) => sweep(components, signal),
        () => ({ type: 'swept' }),
      )
    },
  }
  return behavior
}

/**
 * Step by step, so that what clients wait for comes in between. Resolves with the number of rows forgotten; rejects only
 * when aborted.
 */
export async function sweep(
  { shards, head, logger }: SweeperComponents,
  signal?: AbortSignal,
): Promise<number> {
  let forgotten = 0
  for (const shard of shards.all()) {
    try {
      for (let rows = ROWS_PER_STEP; rows === ROWS_PER_STEP; ) {
        signal?.throwIfAborted()
        rows = await shard.expire(head.block, ROWS_PER_STEP)
        forgotten += rows
      }
    } catch (error) {
      signal?.throwIfAborted()
      // What stays only takes room, in this shard alone: the next round tries again.
      logger.warn({ err: error }, 'could not forget what has expired')
    }
  }
  if (forgotten > 0) logger.info({ rows: forgotten }, 'forgot what has expired')
  return forgotten
}
