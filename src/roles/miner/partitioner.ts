/**
 * The partitioner divides the miner's budget among the validators that hold a permit: at start, when they change, and
 * every interval. It opens a shard for each, writes the plan down, where the keeper reads it, and retires what is empty.
 */
import type { Behavior } from '../../actor/behavior.js'
import type { Logger } from '../../base/log.js'
import { formatBytes } from '../../base/units.js'
import { type DiskFiles, nodeFiles } from '../../shard/disk-files.js'
import {
  budgetBytes,
  type PartitionPlan,
  planPartition,
  type StakedValidator,
} from '../../shard/partition.js'
import type { PartitionStore } from '../../shard/partition-store.js'

export type PartitionerMessage =
  /** Look again: validators or free space may have changed. */
  { readonly type: 'replan' }

export interface PartitionerComponents {
  readonly store: PartitionStore
  readonly validators: () => readonly StakedValidator[]
  /** Default: this machine's. */
  readonly files?: Pick<DiskFiles, 'freeBytes'>
  readonly logger: Logger
}

export interface PartitionerInit {
  /** The data directory, whose file system is asked for free space. */
  readonly path: string
  readonly threshold: number
  readonly capacityBytes?: number | undefined
  readonly intervalMs: number
}

/** Makes and applies one plan. */
export async function replan(
  components: PartitionerComponents,
  init: PartitionerInit,
): Promise<PartitionPlan> {
  const { store, validators, files = nodeFiles, logger } = components
  const usage = [...store.usage()]
  const heldBytes = new Map(usage.map(([validator, { bytes }]) => [validator, bytes]))
  const freeBytes = await files.freeBytes(init.path)
  const previous = store.plan()
  const plan = planPartition({
    budgetBytes: budgetBytes({
      threshold: init.threshold,
      freeBytes,
      ownBytes: usage.reduce((sum, [, { diskBytes }]) => sum + diskBytes, 0),
      capacityBytes: init.capacityBytes,
    }),
    validators: validators(),
    leasedBytes: heldBytes,
    previous,
  })
  for (const { validator } of plan.shares) {
    await store.open(validator).catch((error: unknown) => {
      // One shard that does not open takes nothing new; that is no reason to leave the others without a plan.
      logger.error({ err: error, validator }, 'a shard does not open: nothing can be stored in it')
    })
  }
  if (plan !== previous) {
    await store.setPlan(plan)
    const budget = formatBytes(plan.budgetBytes)
    logger.info({ budget, validators: plan.shares.length }, 'a new partition plan is in force')
  }
  const planned = new Set(plan.shares.map(({ validator }) => validator))
  const retired = await store.retire([...store.usage().keys()].filter((name) => !planned.has(name)))
  if (retired.length > 0)
    logger.info({ validators: retired }, 'deleted the empty shards of former validators')
  return plan
}

type PrivateMessage = { readonly type: 'planned' }

export function partitioner(
  components: PartitionerComponents,
  init: PartitionerInit,
): Behavior<PartitionerMessage> {
  const behavior: Behavior<PartitionerMessage | PrivateMessage, { cancelNext: () => void }> = {
    start: (context) => ({ cancelNext: context.after(init.intervalMs, { type: 'replan' }).cancel }),
    receive(state, message, context) {
      if (message.type === 'planned') {
        state.cancelNext = context.after(init.intervalMs, { type: 'replan' }).cancel
        return
      }
      state.cancelNext()
      context.task(
        () => replan(components, init),
        (outcome) => {
          // The old plan stays in force; the next interval tries again.
          if (!outcome.ok)
            components.logger.error({ err: outcome.error }, 'no new partition plan could be made')
          return { type: 'planned' }
        },
      )
    },
  }
  return behavior
}
