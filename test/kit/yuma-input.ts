/** Inputs of a Yuma epoch for tests: everybody registered at block 0, active, and set weights after that. */
import type { SparseRow, YumaInput, YumaNeuron, YumaParameters } from '../../src/incentive/yuma.js'

export const YUMA_PARAMETERS: YumaParameters = {
  kappa: 32_767,
  activityCutoffBlocks: 5_000,
  maxAllowedValidators: 64,
  stakeThresholdRao: 0n,
  yuma3Enabled: false,
  liquidAlphaEnabled: false,
  alphaLow: 45_875,
  alphaHigh: 58_982,
  alphaSigmoidSteepness: 1_000,
  bondsMovingAverage: 900_000,
  bondsPenalty: 65_535,
}

export interface YumaCase {
  readonly stake: readonly number[]
  readonly permits: readonly number[]
  /** By uid; absent rows are empty. */
  readonly weights: Readonly<Record<number, SparseRow>>
  readonly bonds?: readonly SparseRow[]
  readonly parameters?: Partial<YumaParameters>
}

export function yumaInput({ stake, permits, weights, bonds, parameters }: YumaCase): YumaInput {
  const neurons: YumaNeuron[] = stake.map((each, uid) => ({
    stakeRao: BigInt(Math.round(each * 1e9)),
    validatorPermit: permits.includes(uid),
    lastUpdateBlock: 1,
    registeredAtBlock: 0,
    weights: weights[uid] ?? [],
    bonds: bonds?.[uid] ?? [],
  }))
  return { block: 2, bondsSinceBlock: 1, neurons, parameters: { ...YUMA_PARAMETERS, ...parameters } }
}
