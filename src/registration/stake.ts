/** Staking from a coldkey to a hotkey: what gives a validator its permit and its weight. */
import type { AbortOptions } from '../base/abort.js'
import { formatTao } from '../base/units.js'
import type { Chain } from '../chain/chain.js'
import { type Signer, toSs58 } from '../crypto/keys.js'
import type { Intents } from './intents.js'
import { makePlan, type Plan, precondition } from './plan.js'
import { otherColdkey } from './register-hotkey.js'

export interface StakeRequest {
  /** SS58. */
  readonly hotkey: string
  readonly coldkey: string
  readonly amountRao: bigint
  /** Whoever asks has seen that an earlier stake without an answer did not arrive. */
  readonly again?: boolean
}

export interface StakePlan extends Plan {
  readonly request: StakeRequest
}

/** Reads only. Rejects with `CHAIN_REFUSED` naming the precondition that does not hold. */
export async function planStake(
  chain: Chain,
  request: StakeRequest,
  options: AbortOptions = {},
): Promise<StakePlan> {
  const { hotkey, coldkey, amountRao } = request
  const { netuid } = chain.constants
  const neuron = (await chain.metagraph(options)).neurons.find((each) => each.hotkey === hotkey)
  if (neuron === undefined) {
    const text = `${hotkey} is not registered on subnet ${netuid}: run "subnet-node register" first`
    throw precondition('HotKeyNotRegisteredInSubNet', text)
  }
  if ((await chain.subnet(netuid, options))?.started === false) {
    const text = `subnet ${netuid} is not started yet: its owner runs "subnet-node subnet start"`
    throw precondition('SubtokenDisabled', text)
  }
  const text = `stakes to ${hotkey} on subnet ${netuid}, which has a stake of ${formatTao(neuron.stakeRao)} now`
  const calls = [{ call: 'add_stake', text, costRao: amountRao }]
  return { ...(await makePlan(chain, coldkey, { calls, done: [] }, options)), request }
}

/** Stakes what the plan says, once: see `Intents`. */
export async function addStake(
  components: { readonly chain: Chain; readonly intents: Intents },
  plan: StakePlan,
  coldkey: Signer,
  options: AbortOptions = {},
): Promise<void> {
  const { chain, intents } = components
  const owner = toSs58(coldkey.publicKey)
  if (owner !== plan.coldkey) throw otherColdkey(owner, plan)
  const { hotkey, amountRao, again = false } = plan.request
  const send = () => chain.stake({ coldkey, hotkey, amountRao }, options)
  await intents.spend('add_stake', owner, send, { ...options, absent: again })
}
