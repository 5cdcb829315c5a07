/**
 * Setting weights on a devchain, plainly or by commit and reveal: every check of the runtime, in its order
 * (`subnets/weights.rs`). What they lead to is `epoch-step.ts`.
 */
import { equals } from 'uint8arrays'
import { divide, fromU16 } from '../../incentive/fixed.js'
import type { Weights, WeightsReveal } from '../chain.js'
import { nextAnchoredEpochBlock } from '../epoch.js'
import { weightsCommitHash } from '../weights-commit.js'
import { type Applied, changeSubnet, type DevchainState, refuse, subnetOf } from './ledger.js'
import type { Refusal } from './refusals.js'
import {
  changeNeuron,
  neuronAt,
  ownerUidOf,
  type Row,
  type Subnet,
  stakeOf,
  uidOf,
  type WeightsCommit,
} from './subnet.js'

const U16_MAX = 65_535
/** Commits of one hotkey that may wait. */
const COMMITS_MAX = 10

type OnSubnet<T> = T & { readonly netuid: number }

export function setWeights(
  state: DevchainState,
  hotkey: string,
  call: OnSubnet<Weights>,
  block: number,
): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (!hasMinStake(subnet, hotkey)) return refuse(state, 'NotEnoughStakeToSetWeights')
  if (subnet.parameters.commitRevealEnabled) return refuse(state, 'CommitRevealEnabled')
  return store(state, subnet, hotkey, call, block)
}

export function commitWeights(
  state: DevchainState,
  hotkey: string,
  call: { readonly netuid: number; readonly hash: Uint8Array },
  block: number,
): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (!hasMinStake(subnet, hotkey)) return refuse(state, 'NotEnoughStakeToSetWeights')
  if (!subnet.parameters.commitRevealEnabled) return refuse(state, 'CommitRevealDisabled')
  const uid = uidOf(subnet, hotkey)
  if (uid === undefined) return refuse(state, 'HotKeyNotRegisteredInSubNet')
  const tooFast = rateLimit(subnet, uid, block)
  if (tooFast !== undefined) return refuse(state, 'CommittingWeightsTooFast', tooFast)
  const live = neuronAt(subnet, uid).commits.filter((commit) => !isExpired(subnet, commit))
  if (live.length >= COMMITS_MAX) return refuse(state, 'TooManyUnrevealedCommits')
  const commits = [...live, { hash: call.hash, epoch: subnet.epoch, block }]
  return { state: withNeuron(state, subnet, uid, { commits, lastUpdateBlock: block }) }
}

export function revealWeights(
  state: DevchainState,
  hotkey: string,
  call: OnSubnet<WeightsReveal>,
  block: number,
): Applied {
  const subnet = subnetOf(state, call.netuid)
  if (subnet === undefined) return refuse(state, 'SubnetNotExists')
  if (!hasMinStake(subnet, hotkey)) return refuse(state, 'NotEnoughStakeToSetWeights')
  if (!subnet.parameters.commitRevealEnabled) return refuse(state, 'CommitRevealDisabled')
  const uid = uidOf(subnet, hotkey)
  const commits = uid === undefined ? [] : neuronAt(subnet, uid).commits
  if (uid === undefined || commits.length === 0) return refuse(state, 'NoWeightsCommitFound')
  const hash = weightsCommitHash({ hotkey, netuid: call.netuid, reveal: call })
  const named = (commit: WeightsCommit): boolean => equals(commit.hash, hash)
  const live = commits.filter((commit) => !isExpired(subnet, commit))
  const place = live.findIndex(named)
  const commit = live[place]
  if (commit === undefined) {
    if (commits.some(named)) return refuse(state, 'ExpiredWeightCommit')
    return refuse(state, live.length === 0 ? 'NoWeightsCommitFound' : 'InvalidRevealCommitHashNotMatch')
  }
  const epochsLeft = commit.epoch + subnet.parameters.revealPeriodEpochs - subnet.epoch
  if (epochsLeft > 0) {
    const { tempo } = subnet.parameters
    const due = nextAnchoredEpochBlock(subnet.lastEpochBlock, tempo, block) + (epochsLeft - 1) * tempo
    return refuse(state, 'RevealTooEarly', due)
  }
  // Older commits than the one revealed are void.
  const opened = changeNeuron(subnet, uid, { commits: live.slice(place + 1) })
  const applied = store(state, opened, hotkey, call, block)
  return applied.refusal === undefined ? applied : { state, refusal: applied.refusal }
}

/** The reveal epoch has passed: it counts for nothing any more. */
export function isExpired(subnet: Pick<Subnet, 'epoch' | 'parameters'>, commit: WeightsCommit): boolean {
  return subnet.epoch > commit.epoch + subnet.parameters.revealPeriodEpochs
}

function store(
  state: DevchainState,
  subnet: Subnet,
  hotkey: string,
  weights: Weights,
  block: number,
): Applied {
  const { uids, values, versionKey } = weights
  const { parameters, neurons } = subnet
  if (uids.length !== values.length) return refuse(state, 'WeightVecNotEqualSize')
  if (uids.length > neurons.length) return refuse(state, 'UidsLengthExceedUidsInSubNet')
  const uid = uidOf(subnet, hotkey)
  if (uid === undefined) return refuse(state, 'HotKeyNotRegisteredInSubNet')
  if (versionKey < parameters.weightsVersion) return refuse(state, 'IncorrectWeightVersionKey')
  const tooFast = parameters.commitRevealEnabled ? undefined : rateLimit(subnet, uid, block)
  if (tooFast !== undefined) return refuse(state, 'SettingWeightsTooFast', tooFast)
  const own = uids.length === 1 && uids[0] === uid
  if (!own && uid !== ownerUidOf(subnet) && !neuronAt(subnet, uid).validatorPermit) {
    const due = nextAnchoredEpochBlock(subnet.lastEpochBlock, parameters.tempo, block)
    return refuse(state, 'NeuronNoValidatorPermit', due)
  }
  const malformed = contentRefusal(subnet, weights, own)
  if (malformed !== undefined) return refuse(state, malformed)
  const scaled = upscaled(values)
  const row = uids.map((of, i) => [of, scaled[i] ?? 0] as const).sort(([a], [b]) => a - b)
  const update = parameters.commitRevealEnabled ? {} : { lastUpdateBlock: block }
  return { state: withNeuron(state, subnet, uid, { weights: row, ...update }) }
}

function contentRefusal(subnet: Subnet, { uids, values }: Weights, own: boolean): Refusal | undefined {
  const { parameters, neurons } = subnet
  if (new Set(uids).size !== uids.length) return 'DuplicateUids'
  if (uids.some((uid) => uid >= neurons.length)) return 'UidVecContainInvalidOne'
  if (own) return undefined
  if (uids.length < Math.min(neurons.length, parameters.minAllowedWeights)) return 'WeightVecLengthIsLow'
  if (parameters.maxWeightsLimit === U16_MAX) return undefined
  const scaled = upscaled(values)
  const total = scaled.reduce((sum, value) => sum + value, 0)
  const largest = divide(Math.max(0, ...scaled), total)
  return largest > fromU16(parameters.maxWeightsLimit) ? 'MaxWeightExceeded' : undefined
}

/** Looked at before anything else, whoever asks: an extension of the runtime's, in the pool and in the block (`check_weights.rs`). */
function hasMinStake(subnet: Subnet, hotkey: string): boolean {
  const uid = uidOf(subnet, hotkey)
  if (uid !== undefined && uid === ownerUidOf(subnet)) return true
  return stakeOf(subnet, hotkey) >= subnet.parameters.stakeThresholdRao
}

/** The first block in which this uid may set or commit, if that has not come. */
function rateLimit(subnet: Subnet, uid: number, block: number): number | undefined {
  const { lastUpdateBlock } = neuronAt(subnet, uid)
  // Never updated, as the runtime reads a 0: a neuron of the genesis.
  if (lastUpdateBlock === 0) return undefined
  const due = lastUpdateBlock + subnet.parameters.weightsRateLimitBlocks
  return block >= due ? undefined : due
}

/** The largest becomes 65,535 (`vec_u16_max_upscale_to_u16`). */
export function upscaled(values: readonly number[]): readonly number[] {
  const max = Math.max(0, ...values)
  if (max === 0) return values
  // Above half, the runtime divides first and truncates.
  const factor = max > 32_768 ? divide(U16_MAX, max) / 2 ** 32 : U16_MAX / max
  return values.map((value) => Math.floor(value * factor + 0.5))
}

function withNeuron(
  state: DevchainState,
  subnet: Subnet,
  uid: number,
  change: {
    readonly weights?: Row
    readonly commits?: readonly WeightsCommit[]
    readonly lastUpdateBlock?: number
  },
): DevchainState {
  return changeSubnet(state, subnet.netuid, changeNeuron(subnet, uid, change))
}
