/**
 * A devchain's whole state: balances, who owns which hotkey, nonces, and the subnets. Values are never changed in place, so
 * a kept state is a snapshot. What may change it is in `state.ts` and the files of the rules.
 */
import { encode } from '@ipld/dag-cbor'
import { sha256 } from '../../crypto/hash.js'
import type { Parameters } from './parameters.js'
import type { Refusal, RefusalNote } from './refusals.js'
import type { DevchainNeuron, Subnet } from './subnet.js'

export interface DevchainState {
  /** Of the subnet that the genesis made. */
  readonly firstNetuid: number
  /** What a new subnet starts with. */
  readonly defaults: Parameters
  readonly subnets: ReadonlyMap<number, Subnet>
  /** Free balance by coldkey. */
  readonly balances: ReadonlyMap<string, bigint>
  /** Coldkey by hotkey, for ever. */
  readonly owners: ReadonlyMap<string, string>
  /** Next nonce by key; a key that the chain does not know has none and stays at 0. */
  readonly nonces: ReadonlyMap<string, number>
  readonly faucetRao: bigint
  /** Burned for registrations, and locked for subnets. */
  readonly recycledRao: bigint
  /** What the last subnet cost, and when; `null` before the first. */
  readonly lastLock: { readonly rao: bigint; readonly block: number } | null
  /** Block of its last swap by coldkey; absent before the first. */
  readonly swappedAt?: ReadonlyMap<string, number>
}

/** `state` is unchanged when refused, but for the nonce that a refusal inside a block spends. */
export interface Applied {
  readonly state: DevchainState
  readonly refusal?: RefusalNote
}

/** `block`: the first in which the same will do, where that is known. */
export function refuse(state: DevchainState, reason: Refusal, block?: number): Applied {
  return { state, refusal: block === undefined ? { reason } : { reason, block } }
}

export function subnetOf(state: DevchainState, netuid: number): Subnet | undefined {
  return state.subnets.get(netuid)
}

/** Of a subnet that is there. */
export function changeSubnet(state: DevchainState, netuid: number, change: Partial<Subnet>): DevchainState {
  const subnet = state.subnets.get(netuid)
  if (subnet === undefined) return state
  return { ...state, subnets: new Map(state.subnets).set(netuid, { ...subnet, ...change }) }
}

/** Neurons are the bulk of a state, and most stay what they were: each is hashed once. */
const NEURON_DIGESTS = new WeakMap<DevchainNeuron, Uint8Array>()

function neuronDigest(neuron: DevchainNeuron): Uint8Array {
  const known = NEURON_DIGESTS.get(neuron)
  if (known !== undefined) return known
  const digest = sha256(encode(neuron))
  NEURON_DIGESTS.set(neuron, digest)
  return digest
}

/** 32 bytes; equal states have equal roots, whatever way led to them. */
export function stateRoot(state: DevchainState): Uint8Array {
  const subnets = [...state.subnets.values()]
    .sort((a, b) => a.netuid - b.netuid)
    .map((subnet) => ({
      ...subnet,
      changedAt: Object.fromEntries(subnet.changedAt),
      neurons: subnet.neurons.map(neuronDigest),
      stakes: Object.fromEntries([...subnet.stakes].map(([hotkey, of]) => [hotkey, Object.fromEntries(of)])),
    }))
  const { balances, owners, nonces, swappedAt } = state
  const maps = {
    balances: Object.fromEntries(balances),
    owners: Object.fromEntries(owners),
    nonces: Object.fromEntries(nonces),
    ...(swappedAt === undefined ? {} : { swappedAt: Object.fromEntries(swappedAt) }),
  }
  return sha256(encode({ ...state, ...maps, subnets }))
}
