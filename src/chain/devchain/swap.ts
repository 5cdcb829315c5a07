/**
 * A hotkey that gives its place to another one of the same owner, on every subnet: uid, permit, scores, weights and stake go over
 * (`swap/swap_hotkey.rs`, with no netuid). Its record does not: commitments belong to the account that made them.
 */
import { type Applied, type DevchainState, refuse } from './ledger.js'
import { scaledBlocks } from './parameters.js'
import { type Subnet, uidOf } from './subnet.js'

/** `KeySwapCost`: 0.1 TAO. */
export const SWAP_COST_RAO = 100_000_000n
/** `TxRateLimit`, for a tempo of 360. */
const RATE_LIMIT_BLOCKS = 1_000

export interface SwapHotkey {
  /** SS58. */
  readonly hotkey: string
  readonly newHotkey: string
}

export function swapHotkey(
  state: DevchainState,
  coldkey: string,
  { hotkey, newHotkey }: SwapHotkey,
  block: number,
): Applied {
  if (state.owners.get(hotkey) !== coldkey) return refuse(state, 'NonAssociatedColdKey')
  if (hotkey === newHotkey) return refuse(state, 'NewHotKeyIsSameWithOld')
  const before = state.swappedAt?.get(coldkey)
  const due = (before ?? 0) + scaledBlocks(RATE_LIMIT_BLOCKS, state.defaults.tempo) + 1
  if (before !== undefined && block < due) return refuse(state, 'HotKeySetTxRateLimitExceeded', due)
  const subnets = [...state.subnets.values()]
  if (subnets.some((subnet) => uidOf(subnet, newHotkey) !== undefined))
    return refuse(state, 'HotKeyAlreadyRegisteredInSubNet')
  const balance = state.balances.get(coldkey) ?? 0n
  if (balance < SWAP_COST_RAO) return refuse(state, 'NotEnoughBalanceToPaySwapHotKey')
  const owners = new Map(state.owners)
  owners.delete(hotkey)
  return {
    state: {
      ...state,
      subnets: new Map(subnets.map((subnet) => [subnet.netuid, swapped(subnet, hotkey, newHotkey)])),
      balances: new Map(state.balances).set(coldkey, balance - SWAP_COST_RAO),
      owners: owners.set(newHotkey, coldkey),
      recycledRao: state.recycledRao + SWAP_COST_RAO,
      swappedAt: new Map(state.swappedAt).set(coldkey, block),
    },
  }
}

function swapped(subnet: Subnet, hotkey: string, newHotkey: string): Subnet {
  const nothing = { endpoint: null, spaceEpoch: 0, spaceUsedBytes: 0 }
  const neurons = subnet.neurons.map((neuron) =>
    neuron.hotkey === hotkey ? { ...neuron, ...nothing, hotkey: newHotkey } : neuron,
  )
  const owner = subnet.owner?.hotkey === hotkey ? { ...subnet.owner, hotkey: newHotkey } : subnet.owner
  const stakes = new Map(subnet.stakes)
  const moved = stakes.get(hotkey)
  if (moved !== undefined) {
    // The new one may have stake of an earlier life.
    const of = new Map(stakes.get(newHotkey))
    for (const [coldkey, rao] of moved) of.set(coldkey, (of.get(coldkey) ?? 0n) + rao)
    stakes.delete(hotkey)
    stakes.set(newHotkey, of)
  }
  return { ...subnet, neurons, owner, stakes }
}
