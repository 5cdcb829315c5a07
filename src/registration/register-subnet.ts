/**
 * A subnet of one's own: registering it locks what that costs now. A coldkey and hotkey that own one have it already; to
 * own another, use another hotkey. That is what makes it safe to ask again after an interruption.
 */
import type { AbortOptions } from '../base/abort.js'
import { formatTao } from '../base/units.js'
import type { Chain, SubnetInfo } from '../chain/chain.js'
import { type Signer, toSs58 } from '../crypto/keys.js'
import type { Intents } from './intents.js'
import { makePlan, type Plan, precondition } from './plan.js'
import { otherColdkey } from './register-hotkey.js'

export interface SubnetRequest {
  /** SS58; the hotkey becomes the owner's. */
  readonly hotkey: string
  readonly coldkey: string
  /** The most that may be locked; by default what it costs when the plan is made. */
  readonly maxCostRao?: bigint
}

export interface SubnetPlan extends Plan {
  readonly hotkey: string
  /** Of a subnet that is owned already. */
  readonly netuid?: number
  readonly limitRao: bigint
}

/** Reads only. Rejects with `CHAIN_REFUSED` naming the precondition that does not hold. */
export async function planSubnet(
  chain: Chain,
  request: SubnetRequest,
  options: AbortOptions = {},
): Promise<SubnetPlan> {
  const { hotkey, coldkey, maxCostRao } = request
  const owned = await ownedSubnet(chain, request, options)
  const costRao = await chain.subnetCostRao(options)
  const limitRao = maxCostRao ?? costRao
  if (owned !== undefined) {
    const done = [`subnet ${owned.netuid} is owned by ${coldkey} with the hotkey ${hotkey}`]
    const { netuid } = owned
    return { ...(await makePlan(chain, coldkey, { calls: [], done }, options)), hotkey, netuid, limitRao }
  }
  if (costRao > limitRao) throw tooDear(costRao, limitRao)
  const text = `registers a new subnet, owned by ${coldkey} with the hotkey ${hotkey}`
  const calls = [{ call: 'register_network', text, costRao }]
  return { ...(await makePlan(chain, coldkey, { calls, done: [] }, options)), hotkey, limitRao }
}

/**
 * Looks again, then registers unless that has happened meanwhile. The netuid. The call itself has no price limit, so the
 * price is looked at last; it rises only when somebody else registers a subnet in the same block.
 */
export async function registerSubnet(
  components: { readonly chain: Chain; readonly intents: Intents },
  plan: SubnetPlan,
  coldkey: Signer,
  options: AbortOptions = {},
): Promise<number> {
  const { chain, intents } = components
  const owner = toSs58(coldkey.publicKey)
  if (owner !== plan.coldkey) throw otherColdkey(owner, plan)
  const owned = await ownedSubnet(chain, plan, options)
  if (owned !== undefined) return owned.netuid
  const costRao = await chain.subnetCostRao(options)
  if (costRao > plan.limitRao) throw tooDear(costRao, plan.limitRao)
  const send = () => chain.registerSubnet({ coldkey, hotkey: plan.hotkey }, options)
  return await intents.spend('register_network', owner, send, { ...options, absent: true })
}

/** The first subnet that belongs to exactly this pair of keys. */
async function ownedSubnet(
  chain: Chain,
  { hotkey, coldkey }: Pick<SubnetRequest, 'hotkey' | 'coldkey'>,
  options: AbortOptions,
): Promise<SubnetInfo | undefined> {
  for (const netuid of await chain.subnets(options)) {
    const info = await chain.subnet(netuid, options)
    if (info?.ownerColdkey === coldkey && info.ownerHotkey === hotkey) return info
  }
  return undefined
}

function tooDear(costRao: bigint, limitRao: bigint): Error {
  const text = `a subnet costs ${formatTao(costRao)} now, more than ${formatTao(limitRao)}: allow more, or wait until it has fallen`
  return precondition('SubnetPriceLimitExceeded', text)
}
