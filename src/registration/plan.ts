/**
 * What a coldkey is about to do, before it does it: which calls, what each costs, and what is left. A plan is made from
 * the chain alone and spends nothing; an empty one says that everything is so already.
 */
import type { AbortOptions } from '../base/abort.js'
import { SubnetError } from '../base/errors.js'
import { formatTao } from '../base/units.js'
import type { Chain } from '../chain/chain.js'

/** One extrinsic. */
export interface PlannedCall {
  /** As the runtime names it, e.g. `burned_register`. */
  readonly call: string
  /** For people: what it changes. */
  readonly text: string
  /** What it takes from the balance, the chain's own fee not counted. */
  readonly costRao: bigint
}

export interface Plan {
  /** Block of what the plan is based on. */
  readonly block: number
  /** Who pays: SS58. */
  readonly coldkey: string
  readonly balanceRao: bigint
  /** In the order in which they will be sent; none when there is nothing to do. */
  readonly calls: readonly PlannedCall[]
  /** What needs no call, for people. */
  readonly done: readonly string[]
}

export function planCostRao(plan: Plan): bigint {
  return plan.calls.reduce((sum, { costRao }) => sum + costRao, 0n)
}

/** Joins calls into a plan; throws `CHAIN_REFUSED` (`NotEnoughBalance`) when the coldkey cannot pay for all of them. */
export async function makePlan(
  chain: Chain,
  coldkey: string,
  parts: Pick<Plan, 'calls' | 'done'>,
  options: AbortOptions,
): Promise<Plan> {
  const { number: block } = await chain.head(options)
  const plan = { ...parts, block, coldkey, balanceRao: await chain.balanceRao(coldkey, options) }
  const costRao = planCostRao(plan)
  if (costRao > plan.balanceRao) {
    const text = `${coldkey} has ${formatTao(plan.balanceRao)}, ${formatTao(costRao)} are needed: send it the rest`
    throw precondition('NotEnoughBalance', text)
  }
  return plan
}

/** A refusal before anything was sent. `block` is when the same will do, where that is known. */
export function precondition(reason: string, text: string, block?: number): SubnetError {
  const data = { kind: 'precondition', reason, ...(block === undefined ? {} : { block }) }
  return new SubnetError('CHAIN_REFUSED', text, { data })
}
