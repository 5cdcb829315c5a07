/**
 * How hotkeys get a uid on a devchain: paid for by a coldkey, or let in by the faucet; whom a full subnet prunes for it; and
 * what the burn costs (`subnets/registration.rs`).
 */
import { exponential } from '../../incentive/fixed.js'
import { type Applied, changeSubnet, type DevchainState, refuse, subnetOf } from './ledger.js'
import { type DevchainNeuron, newNeuron, ownerUidOf, type Subnet, uidOf } from './subnet.js'

export interface BurnedRegister {
  readonly netuid: number
  /** SS58. */
  readonly hotkey: string
  readonly limitRao: bigint
}

export function burnedRegister(
  state: DevchainState,
  coldkey: string,
  call: BurnedRegister,
  block: number,
): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (subnet.burnRao > call.limitRao) return refuse(state, 'RegistrationPriceLimitExceeded')
  if (!subnet.parameters.registrationAllowed) return refuse(state, 'SubNetRegistrationDisabled')
  if (uidOf(subnet, call.hotkey) !== undefined) return refuse(state, 'HotKeyAlreadyRegisteredInSubNet')
  const balance = state.balances.get(coldkey) ?? 0n
  if (balance < subnet.burnRao) return refuse(state, 'NotEnoughBalanceToStake')
  const entered = enter(state, subnet, { hotkey: call.hotkey, coldkey }, block)
  if (entered.refusal !== undefined) return entered
  const paid: DevchainState = {
    ...entered.state,
    balances: new Map(state.balances).set(coldkey, balance - subnet.burnRao),
    recycledRao: state.recycledRao + subnet.burnRao,
  }
  return { state: changeSubnet(paid, call.netuid, { burnRao: raisedBurn(subnet) }) }
}

/** The dev rule: the hotkey registers itself, at no cost. */
export function join(
  state: DevchainState,
  hotkey: string,
  call: { readonly netuid: number; readonly coldkey: string },
  block: number,
): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (uidOf(subnet, hotkey) !== undefined) return refuse(state, 'HotKeyAlreadyRegisteredInSubNet')
  return enter(state, subnet, { hotkey, coldkey: call.coldkey }, block)
}

/** Gives the hotkey a uid: the next, or that of whoever is pruned. */
function enter(
  state: DevchainState,
  subnet: Subnet,
  { hotkey, coldkey }: { readonly hotkey: string; readonly coldkey: string },
  block: number,
): Applied {
  if ((state.owners.get(hotkey) ?? coldkey) !== coldkey) return refuse(state, 'NonAssociatedColdKey')
  const neuron = newNeuron(hotkey, coldkey, block)
  const full = subnet.neurons.length >= subnet.parameters.maxAllowedUids
  const pruned = full ? uidToPrune(subnet, block) : undefined
  if (full && pruned === undefined) return refuse(state, 'NoNeuronIdAvailable')
  const neurons =
    pruned === undefined ? [...subnet.neurons, neuron] : replaced(subnet.neurons, pruned, neuron)
  const owned = state.owners.has(hotkey)
    ? state
    : { ...state, owners: new Map(state.owners).set(hotkey, coldkey) }
  return { state: changeSubnet(owned, subnet.netuid, { neurons }) }
}

/** The neuron at its uid, which nobody weighs any more. */
function replaced(
  neurons: readonly DevchainNeuron[],
  uid: number,
  neuron: DevchainNeuron,
): readonly DevchainNeuron[] {
  const forgotten = neurons.map((each) =>
    each.weights.some(([weighed, value]) => weighed === uid && value !== 0)
      ? { ...each, weights: each.weights.map(([of, value]) => [of, of === uid ? 0 : value] as const) }
      : each,
  )
  return forgotten.with(uid, neuron)
}

/**
 * Lowest emission, then earliest registration, then lowest uid: of those outside immunity while enough of them are left,
 * else of those in it; never the owner (`get_neuron_to_prune`).
 */
export function uidToPrune(subnet: Subnet, block: number): number | undefined {
  const { immunityPeriodBlocks, minNonImmuneUids } = subnet.parameters
  const owner = ownerUidOf(subnet)
  const candidates = subnet.neurons.flatMap((neuron, uid) => (uid === owner ? [] : [{ uid, neuron }]))
  const immune = ({ neuron }: { neuron: DevchainNeuron }) =>
    block - neuron.registeredAtBlock < immunityPeriodBlocks
  const free = candidates.filter((each) => !immune(each))
  const among = free.length > minNonImmuneUids ? free : candidates.filter(immune)
  among.sort((a, b) => {
    if (a.neuron.emissionRao !== b.neuron.emissionRao)
      return a.neuron.emissionRao < b.neuron.emissionRao ? -1 : 1
    return a.neuron.registeredAtBlock - b.neuron.registeredAtBlock || a.uid - b.uid
  })
  return among[0]?.uid
}

/** × 1.26 after each registration (`BurnIncreaseMult`). */
function raisedBurn({ burnRao, parameters }: Subnet): bigint {
  return clampBurn((burnRao * 126n) / 100n, parameters)
}

/** What a block takes off: the factor is 2^(−1/half-life) in 32 bits (`decay_factor_q32`). */
export function decayedBurn({ burnRao, parameters }: Subnet): bigint {
  const factor = Math.floor(exponential(-Math.LN2 / parameters.burnHalfLifeBlocks) * 2 ** 32)
  return clampBurn((burnRao * BigInt(factor)) >> 32n, parameters)
}

function clampBurn(rao: bigint, { minBurnRao, maxBurnRao }: Subnet['parameters']): bigint {
  if (rao < minBurnRao) return minBurnRao
  return rao > maxBurnRao ? maxBurnRao : rao
}
