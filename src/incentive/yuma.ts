/**
 * One epoch of Yuma consensus as the chain runs it, classic and Yuma3 with liquid alpha: from stakes, weights and bonds
 * to what each hotkey earns. Pure, deterministic on every machine, and step by step the arithmetic of the runtime
 * (`epoch/run_epoch.rs`, `epoch_mechanism`), so that the stored u16 are the chain's. What each step reads from a chain,
 * and what becomes of the shares, is the chain's business. Consensus and bonds are in files of their own.
 */
import { type BondParameters, nextBonds } from './bonds.js'
import { agree } from './consensus.js'
import { divide, fromU16, normalize, ONE, sum, toU16 } from './fixed.js'

/** [uid, u16], uids ascending, each once. */
export type SparseRow = ReadonlyArray<readonly [uid: number, value: number]>

/** One uid; its position in the list is the uid. */
export interface YumaNeuron {
  /** Stake weight, in rao. */
  readonly stakeRao: bigint
  readonly validatorPermit: boolean
  readonly lastUpdateBlock: number
  readonly registeredAtBlock: number
  readonly weights: SparseRow
  /** As the epoch before stored them. */
  readonly bonds: SparseRow
  /** With commit-reveal: of its live commits the oldest. */
  readonly oldestCommitBlock?: number
}

export interface YumaParameters extends BondParameters {
  readonly kappa: number
  readonly activityCutoffBlocks: number
  readonly maxAllowedValidators: number
  readonly stakeThresholdRao: bigint
}

export interface YumaInput {
  readonly block: number
  /** Bonds to whoever registered at or after this block are dropped: the block after the last epoch step. */
  readonly bondsSinceBlock: number
  readonly ownerUid?: number
  readonly neurons: readonly YumaNeuron[]
  readonly parameters: YumaParameters
}

/** What the chain stores of a uid; shares are u16 of 65,535. */
export interface YumaOutcome {
  readonly active: boolean
  readonly validatorPermit: boolean
  readonly consensus: number
  readonly incentive: number
  readonly dividends: number
  readonly validatorTrust: number
  readonly bonds: SparseRow
}

export interface YumaEpoch {
  readonly outcomes: readonly YumaOutcome[]
  /** Emission of `totalRao` by uid, truncated: what each earns as a miner, and as a validator. */
  emission(totalRao: bigint): {
    readonly minersRao: readonly bigint[]
    readonly validatorsRao: readonly bigint[]
  }
}

/** Runs one epoch. Any input with rows as described has an outcome: no stake, no weights and no uids included. */
export function yumaEpoch(input: YumaInput): YumaEpoch {
  const { neurons, parameters, ownerUid } = input
  const active = neurons.map((each) => each.lastUpdateBlock + parameters.activityCutoffBlocks >= input.block)
  const permitted = neurons.map((each, uid) => each.validatorPermit || uid === ownerUid)
  const stake = normalizedStake(input)
  const activeStake = stake.map((share, uid) => (active[uid] && permitted[uid] ? share : 0))
  normalize(activeStake)

  const agreement = agree({ ...input, permitted, activeStake, kappa: fromU16(parameters.kappa) })
  const incentive = agreement.ranks.slice()
  normalize(incentive)
  const { bonds, dividends } = nextBonds({ ...input, agreement, activeStake, incentive })

  const permits = topPermits(stake, parameters.maxAllowedValidators, ownerUid)
  const outcomes = neurons.map((_, uid) => ({
    active: active[uid] === true,
    validatorPermit: permits[uid] === true,
    consensus: toU16(agreement.consensus[uid] ?? 0),
    incentive: toU16(incentive[uid] ?? 0),
    dividends: toU16(dividends[uid] ?? 0),
    validatorTrust: toU16(agreement.trust[uid] ?? 0),
    // A uid that has lost its permit starts without bonds when it gets one again.
    bonds: permits[uid] === true ? (bonds[uid] ?? []) : [],
  }))
  const shares = emissionShares({ stake, activeStake, incentive, dividends })
  const emission = (totalRao: bigint) => ({
    minersRao: portions(shares.miners, totalRao),
    validatorsRao: portions(shares.validators, totalRao),
  })
  return { outcomes, emission }
}

/** Shares of all stake, those below the threshold at 0 but for the owner's. */
function normalizedStake({ neurons, parameters, ownerUid }: YumaInput): Float64Array {
  const counted = neurons.map(({ stakeRao }, uid) =>
    uid !== ownerUid && stakeRao < parameters.stakeThresholdRao ? 0n : stakeRao,
  )
  const total = counted.reduce((so, each) => so + each, 0n)
  const shares = new Float64Array(neurons.length)
  if (total === 0n) return shares
  counted.forEach((each, uid) => {
    shares[uid] = Number((each << 32n) / total)
  })
  return shares
}

/**
 * The `max` largest shares above zero. Of equal ones the higher uid wins, as in `is_topk_nonzero` of the runtime, which
 * sorts ascending, stably, and cuts from the front. The owner always has one.
 */
export function topPermits(stake: ArrayLike<number | bigint>, max: number, ownerUid?: number): boolean[] {
  const uids = Array.from(stake, (_, uid) => uid)
  const at = (uid: number): number | bigint => stake[uid] ?? 0
  const ascending = [...uids].sort((a, b) => (at(a) < at(b) ? -1 : at(a) > at(b) ? 1 : 0))
  const cut = new Set(ascending.slice(0, Math.max(0, uids.length - max)))
  return uids.map((uid) => uid === ownerUid || (at(uid) > 0 && !cut.has(uid)))
}

interface EmissionInput {
  readonly stake: Float64Array
  readonly activeStake: Float64Array
  readonly incentive: Float64Array
  readonly dividends: Float64Array
}

/** Of all that is emitted. Where nobody earns anything, validators share by stake: the active, or else everybody's. */
function emissionShares({ stake, activeStake, incentive, dividends }: EmissionInput) {
  const total = sum(incentive) + sum(dividends)
  if (total === 0) {
    const validators = sum(activeStake) === 0 ? stake : activeStake
    return { miners: incentive, validators }
  }
  const share = (value: number): number => divide(value, total)
  return { miners: incentive.map(share), validators: dividends.map(share) }
}

function portions(shares: Float64Array, totalRao: bigint): bigint[] {
  return Array.from(shares, (share) => (BigInt(share) * totalRao) / BigInt(ONE))
}
