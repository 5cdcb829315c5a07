/** Registering a hotkey on the chain's subnet by burning what that costs now. Registered already is done already. */
import type { AbortOptions } from '../base/abort.js'
import { formatTao } from '../base/units.js'
import type { Chain } from '../chain/chain.js'
import { type Signer, toSs58 } from '../crypto/keys.js'
import { makePlan, type Plan, precondition } from './plan.js'

export interface HotkeyRequest {
  /** SS58. */
  readonly hotkey: string
  readonly coldkey: string
  /** The most that registering may cost; by default what it costs when the plan is made. */
  readonly maxBurnRao?: bigint
}

export interface HotkeyPlan extends Plan {
  readonly hotkey: string
  /** Of a hotkey that is registered already. */
  readonly uid?: number
  /** Above this the chain is to refuse. */
  readonly limitRao: bigint
}

/** Reads only. Rejects with `CHAIN_REFUSED` naming the precondition that does not hold. */
export async function planHotkey(
  chain: Chain,
  request: HotkeyRequest,
  options: AbortOptions = {},
): Promise<HotkeyPlan> {
  const { hotkey, coldkey, maxBurnRao } = request
  const { netuid } = chain.constants
  const uid = await registeredUid(chain, request, options)
  const { burnRao, registrationAllowed } = await chain.hyperparameters(options)
  const limitRao = maxBurnRao ?? burnRao
  if (uid !== undefined) {
    const done = [`${hotkey} is registered on subnet ${netuid} with uid ${uid}`]
    return { ...(await makePlan(chain, coldkey, { calls: [], done }, options)), hotkey, uid, limitRao }
  }
  if (!registrationAllowed) {
    const text = `subnet ${netuid} takes no registrations now: its owner has switched them off`
    throw precondition('SubNetRegistrationDisabled', text)
  }
  if (burnRao > limitRao) {
    const text = `registering costs ${formatTao(burnRao)} now, more than the ${formatTao(limitRao)} of --max-burn: it falls with every block without a registration`
    throw precondition('RegistrationPriceLimitExceeded', text)
  }
  const text = `registers ${hotkey} on subnet ${netuid}, for at most ${formatTao(limitRao)}`
  const calls = [{ call: 'register_limit', text, costRao: burnRao }]
  return { ...(await makePlan(chain, coldkey, { calls, done: [] }, options)), hotkey, limitRao }
}

/** Looks again, then registers unless that has happened meanwhile. The uid. Nothing is burned above the plan's limit. */
export async function registerHotkey(
  chain: Chain,
  plan: HotkeyPlan,
  coldkey: Signer,
  options: AbortOptions = {},
): Promise<number> {
  const { hotkey, limitRao } = plan
  const owner = toSs58(coldkey.publicKey)
  if (owner !== plan.coldkey) throw otherColdkey(owner, plan)
  const uid = await registeredUid(chain, plan, options)
  return uid ?? (await chain.burnedRegister({ coldkey, hotkey, limitRao }, options))
}

async function registeredUid(
  chain: Chain,
  { hotkey, coldkey }: Pick<HotkeyRequest, 'hotkey' | 'coldkey'>,
  options: AbortOptions,
): Promise<number | undefined> {
  const { neurons } = await chain.metagraph(options)
  const neuron = neurons.find((each) => each.hotkey === hotkey)
  if (neuron === undefined || neuron.coldkey === coldkey) return neuron?.uid
  const text = `${hotkey} is registered already, by another coldkey (${neuron.coldkey}): make a new hotkey`
  throw precondition('NonAssociatedColdKey', text)
}

/** What was shown to the operator is not what this key would do. */
export function otherColdkey(owner: string, plan: Plan): Error {
  const text = `the coldkey that was unlocked is ${owner}, coldkeypub.txt says ${plan.coldkey}: they belong to different wallets`
  return precondition('NonAssociatedColdKey', text)
}
