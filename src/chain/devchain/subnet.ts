/**
 * One subnet's part of a devchain's state, and how it is read and changed: neurons by uid, stakes by hotkey. Values are
 * never changed in place. The rules are in the files of their subjects.
 */
import { invariant } from '../../base/errors.js'
import type { OwnerParameter, SubnetIdentity } from '../chain.js'
import type { Parameters } from './parameters.js'

/** [uid, u16], uids ascending. */
export type Row = ReadonlyArray<readonly [uid: number, value: number]>

/** Weights that were committed and not revealed. */
export interface WeightsCommit {
  readonly hash: Uint8Array
  readonly epoch: number
  readonly block: number
}

/** One uid; its position in `Subnet.neurons` is the uid. */
export interface DevchainNeuron {
  readonly hotkey: string
  readonly coldkey: string
  readonly validatorPermit: boolean
  readonly registeredAtBlock: number
  /** Bytes of the committed record, see `record.ts`; `null` before the first. */
  readonly endpoint: Uint8Array | null
  /** Commitment bytes used in `spaceEpoch`; an older epoch counts as none. */
  readonly spaceEpoch: number
  readonly spaceUsedBytes: number
  /** As bytes, see `ip.ts`; `null` before the first `serve`. */
  readonly axon: { readonly ip: Uint8Array; readonly port: number; readonly block: number } | null
  readonly lastUpdateBlock: number
  readonly active: boolean
  readonly consensus: number
  readonly incentive: number
  readonly dividends: number
  readonly validatorTrust: number
  readonly emissionRao: bigint
  readonly weights: Row
  readonly bonds: Row
  /** Oldest first. */
  readonly commits: readonly WeightsCommit[]
}

/** By hotkey and the coldkey that staked. A hotkey keeps its stake when it is pruned. */
export type Stakes = ReadonlyMap<string, ReadonlyMap<string, bigint>>

export interface Subnet {
  readonly netuid: number
  /** `null` for the one that the genesis made without an owner. */
  readonly owner: { readonly coldkey: string; readonly hotkey: string } | null
  readonly registeredAtBlock: number
  /** `null` until it is started. */
  readonly firstEmissionBlock: number | null
  readonly identity: SubnetIdentity | null
  readonly parameters: Parameters
  /** By owner's parameter, the block of its last change. */
  readonly changedAt: ReadonlyMap<OwnerParameter, number>
  readonly burnRao: bigint
  readonly epoch: number
  readonly lastEpochBlock: number
  /** `null` before the first epoch step. */
  readonly lastStepBlock: number | null
  readonly neurons: readonly DevchainNeuron[]
  readonly stakes: Stakes
  /** TAO that was staked: turned into alpha one to one. */
  readonly stakedRao: bigint
  /** Alpha made by emission and not burned. */
  readonly emittedRao: bigint
}

export function newNeuron(hotkey: string, coldkey: string, block: number): DevchainNeuron {
  return {
    hotkey,
    coldkey,
    validatorPermit: false,
    registeredAtBlock: block,
    endpoint: null,
    spaceEpoch: 0,
    spaceUsedBytes: 0,
    axon: null,
    lastUpdateBlock: block,
    active: true,
    consensus: 0,
    incentive: 0,
    dividends: 0,
    validatorTrust: 0,
    emissionRao: 0n,
    weights: [],
    bonds: [],
    commits: [],
  }
}

export function uidOf(subnet: Subnet, hotkey: string): number | undefined {
  const uid = subnet.neurons.findIndex((neuron) => neuron.hotkey === hotkey)
  return uid === -1 ? undefined : uid
}

export function ownerUidOf(subnet: Subnet): number | undefined {
  return subnet.owner === null ? undefined : uidOf(subnet, subnet.owner.hotkey)
}

export function neuronAt(subnet: Subnet, uid: number): DevchainNeuron {
  const neuron = subnet.neurons[uid]
  invariant(neuron, `uid ${uid} is not registered`)
  return neuron
}

export function changeNeuron(subnet: Subnet, uid: number, change: Partial<DevchainNeuron>): Subnet {
  return { ...subnet, neurons: subnet.neurons.with(uid, { ...neuronAt(subnet, uid), ...change }) }
}

export function stakeOf(subnet: Subnet, hotkey: string): bigint {
  let total = 0n
  for (const rao of subnet.stakes.get(hotkey)?.values() ?? []) total += rao
  return total
}

/** Stakes that may be changed: a copy, for many changes at once. */
export class StakeBook {
  readonly #stakes: Map<string, ReadonlyMap<string, bigint>>

  constructor(stakes: Stakes) {
    this.#stakes = new Map(stakes)
  }

  get stakes(): Stakes {
    return this.#stakes
  }

  add(hotkey: string, coldkey: string, rao: bigint): void {
    if (rao === 0n) return
    const of = new Map(this.#stakes.get(hotkey))
    this.#stakes.set(hotkey, of.set(coldkey, (of.get(coldkey) ?? 0n) + rao))
  }

  /** By share of those who staked for the hotkey; what truncation leaves, or all when nobody did, goes to `coldkey`. */
  addByShare(hotkey: string, coldkey: string, rao: bigint): void {
    const nominators = [...(this.#stakes.get(hotkey) ?? [])]
    const total = nominators.reduce((sum, [, each]) => sum + each, 0n)
    let left = rao
    for (const [nominator, each] of nominators) {
      const share = total === 0n ? 0n : (rao * each) / total
      this.add(hotkey, nominator, share)
      left -= share
    }
    this.add(hotkey, coldkey, left)
  }
}
