/** Creating, starting and setting up a subnet on a devchain, by the coldkey that owns it (`subnets/subnet.rs`, admin-utils). */
import { fromString } from 'uint8arrays'
import type { OwnerParameter, SubnetIdentity } from '../chain.js'
import { nextAnchoredEpochBlock } from '../epoch.js'
import { type Applied, changeSubnet, type DevchainState, refuse, subnetOf } from './ledger.js'
import {
  boundsRefusal,
  FIRST_BURN_RAO,
  freezeBlocks,
  OWNER_RATE_LIMIT_EPOCHS,
  type ParameterValue,
} from './parameters.js'
import { newNeuron, type Subnet } from './subnet.js'

/** `NetworkMinLockCost`, and subnets at most. */
export const SUBNET_COST_RAO_MIN = 1_000_000_000_000n
export const SUBNETS_MAX = 128
/** What the last subnet cost doubles, and comes down to nothing over so many epochs (14 days of 7,200 blocks). */
const COST_REDUCTION_EPOCHS = 280n

/** Bytes of each text (`is_valid_subnet_identity`). */
const IDENTITY_BYTES_MAX: { readonly [K in keyof SubnetIdentity]: number } = {
  name: 256,
  repository: 1_024,
  contact: 1_024,
  url: 1_024,
  description: 1_024,
}

/** What `registerSubnet` locks at this block (`get_network_lock_cost`). */
export function subnetCostRao(state: DevchainState, block: number): bigint {
  const { lastLock } = state
  if (lastLock === null) return SUBNET_COST_RAO_MIN
  const interval = COST_REDUCTION_EPOCHS * BigInt(state.defaults.tempo)
  const cost = 2n * lastLock.rao - (lastLock.rao / interval) * BigInt(block - lastLock.block)
  return cost < SUBNET_COST_RAO_MIN ? SUBNET_COST_RAO_MIN : cost
}

export function registerSubnet(
  state: DevchainState,
  coldkey: string,
  { hotkey }: { readonly hotkey: string },
  block: number,
): Applied {
  if ((state.owners.get(hotkey) ?? coldkey) !== coldkey) return refuse(state, 'NonAssociatedColdKey')
  if (state.subnets.size >= SUBNETS_MAX) return refuse(state, 'SubnetLimitReached')
  const cost = subnetCostRao(state, block)
  const balance = state.balances.get(coldkey) ?? 0n
  if (balance < cost) return refuse(state, 'CannotAffordLockCost')
  const netuid = freeNetuid(state)
  const subnet: Subnet = {
    netuid,
    owner: { coldkey, hotkey },
    registeredAtBlock: block,
    firstEmissionBlock: null,
    identity: null,
    parameters: state.defaults,
    changedAt: new Map(),
    burnRao: FIRST_BURN_RAO,
    epoch: 0,
    // Subnets of one block do not all step in one block (`init_new_network`).
    lastEpochBlock: Math.max(0, block - (netuid % state.defaults.tempo)),
    lastStepBlock: null,
    neurons: [newNeuron(hotkey, coldkey, block)],
    stakes: new Map(),
    stakedRao: 0n,
    emittedRao: 0n,
  }
  return {
    state: {
      ...state,
      subnets: new Map(state.subnets).set(netuid, subnet),
      balances: new Map(state.balances).set(coldkey, balance - cost),
      owners: new Map(state.owners).set(hotkey, coldkey),
      recycledRao: state.recycledRao + cost,
      lastLock: { rao: cost, block },
    },
  }
}

/** The lowest that is free (`get_next_netuid`); 0 is the root's. */
function freeNetuid(state: DevchainState): number {
  let netuid = 1
  while (state.subnets.has(netuid)) netuid += 1
  return netuid
}

/** The first block in which its owner may start a subnet: an epoch after it was made. */
export function startAllowedAtBlock({ registeredAtBlock, parameters }: Subnet): number {
  return registeredAtBlock + parameters.tempo
}

export function startSubnet(
  state: DevchainState,
  coldkey: string,
  { netuid }: { readonly netuid: number },
  block: number,
): Applied {
  const subnet = subnetOf(state, netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (subnet.owner?.coldkey !== coldkey) return refuse(state, 'BadOrigin')
  if (subnet.firstEmissionBlock !== null) return refuse(state, 'FirstEmissionBlockNumberAlreadySet')
  const due = startAllowedAtBlock(subnet)
  if (block < due) return refuse(state, 'NeedWaitingMoreBlocksToStarCall', due)
  return { state: changeSubnet(state, netuid, { firstEmissionBlock: block + 1 }) }
}

export function setIdentity(
  state: DevchainState,
  coldkey: string,
  { netuid, identity }: { readonly netuid: number; readonly identity: SubnetIdentity },
): Applied {
  const subnet = subnetOf(state, netuid)
  if (subnet?.owner?.coldkey !== coldkey) return refuse(state, 'NotSubnetOwner')
  for (const [name, bytesMax] of Object.entries(IDENTITY_BYTES_MAX)) {
    const text = identity[name as keyof SubnetIdentity]
    if (fromString(text).length > bytesMax) return refuse(state, 'InvalidIdentity')
  }
  return { state: changeSubnet(state, netuid, { identity }) }
}

export interface SetParameter {
  readonly netuid: number
  readonly name: OwnerParameter
  readonly value: ParameterValue
}

export function setParameter(
  state: DevchainState,
  coldkey: string,
  { netuid, name, value }: SetParameter,
  block: number,
): Applied {
  const subnet = subnetOf(state, netuid)
  if (subnet?.owner?.coldkey !== coldkey) return refuse(state, 'BadOrigin')
  const { parameters, changedAt, lastEpochBlock } = subnet
  const bounds = boundsRefusal(name, value, parameters)
  // What the owner may never change is refused before anything that passes with time.
  if (bounds === 'BadOrigin') return refuse(state, bounds)
  const before = changedAt.get(name)
  const due = (before ?? 0) + OWNER_RATE_LIMIT_EPOCHS * parameters.tempo
  if (before !== undefined && block < due) return refuse(state, 'TxRateLimitExceeded', due)
  const epochBlock = nextAnchoredEpochBlock(lastEpochBlock, parameters.tempo, block)
  if (epochBlock - block < freezeBlocks(parameters.tempo)) {
    return refuse(state, 'AdminActionProhibitedDuringWeightsWindow', epochBlock)
  }
  if (bounds !== undefined) return refuse(state, bounds)
  const change = {
    parameters: { ...parameters, [name]: value },
    changedAt: new Map(changedAt).set(name, block),
  }
  return { state: changeSubnet(state, netuid, change) }
}
