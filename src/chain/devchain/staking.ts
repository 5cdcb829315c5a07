/**
 * Balances and stake on a devchain. TAO becomes a subnet's alpha one to one: there is no pool to swap in. Coldkeys pay
 * from their balance (`staking/add_stake.rs`); the faucet pays for whoever asks, which is the dev rule.
 */
import { type Applied, changeSubnet, type DevchainState, refuse, subnetOf } from './ledger.js'
import { StakeBook, type Subnet } from './subnet.js'

/** The least that a coldkey may stake (`DefaultMinStake`). */
export const STAKE_RAO_MIN = 2_000_000n

export interface AddStake {
  readonly netuid: number
  /** SS58. */
  readonly hotkey: string
  readonly amountRao: bigint
}

export function stake(state: DevchainState, coldkey: string, call: AddStake): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (subnet.firstEmissionBlock === null) return refuse(state, 'SubtokenDisabled')
  if (call.amountRao < STAKE_RAO_MIN) return refuse(state, 'AmountTooLow')
  const balance = state.balances.get(coldkey) ?? 0n
  if (balance < call.amountRao) return refuse(state, 'NotEnoughBalanceToStake')
  if (!state.owners.has(call.hotkey)) return refuse(state, 'HotKeyAccountNotExists')
  const paid = { ...state, balances: new Map(state.balances).set(coldkey, balance - call.amountRao) }
  return { state: staked(paid, subnet, call.hotkey, coldkey, call.amountRao) }
}

/** The faucet stakes for the hotkey, in its owner's name. */
export function faucetStake(
  state: DevchainState,
  hotkey: string,
  { netuid, amountRao }: { readonly netuid: number; readonly amountRao: bigint },
): Applied {
  const subnet = subnetOf(state, netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  const coldkey = state.owners.get(hotkey)
  if (coldkey === undefined) return refuse(state, 'HotKeyAccountNotExists')
  if (amountRao <= 0n) return refuse(state, 'AmountTooLow')
  if (amountRao > state.faucetRao) return refuse(state, 'NotEnoughBalanceToStake')
  const paid = { ...state, faucetRao: state.faucetRao - amountRao }
  return { state: staked(paid, subnet, hotkey, coldkey, amountRao) }
}

export function faucetPay(
  state: DevchainState,
  coldkey: string,
  { amountRao }: { readonly amountRao: bigint },
): Applied {
  if (amountRao <= 0n) return refuse(state, 'AmountTooLow')
  if (amountRao > state.faucetRao) return refuse(state, 'NotEnoughBalanceToStake')
  const balance = (state.balances.get(coldkey) ?? 0n) + amountRao
  const balances = new Map(state.balances).set(coldkey, balance)
  return { state: { ...state, balances, faucetRao: state.faucetRao - amountRao } }
}

function staked(
  state: DevchainState,
  subnet: Subnet,
  hotkey: string,
  coldkey: string,
  rao: bigint,
): DevchainState {
  const book = new StakeBook(subnet.stakes)
  book.add(hotkey, coldkey, rao)
  const change = { stakes: book.stakes, stakedRao: subnet.stakedRao + rao }
  return changeSubnet(state, subnet.netuid, change)
}
