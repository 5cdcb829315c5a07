/**
 * A subnet's parameters on a devchain: the real chain's defaults for a new subnet, its times scaled to the tempo, and what
 * the owner may change within which bounds (`pallet_admin_utils`). Who may is checked in `ownership.ts`.
 */
import type { Hyperparameters, OwnerParameter } from '../chain.js'
import { UIDS_MAX, VALIDATORS_MAX } from './genesis.js'
import type { Refusal } from './refusals.js'

/** All but the burn, which is state; and what the real chain has no getter for. */
export interface Parameters extends Omit<Hyperparameters, 'burnRao'> {
  readonly servingRateLimitBlocks: number
  /** The burn halves in so many. */
  readonly burnHalfLifeBlocks: number
  /** So many uids outside immunity stay safe from being pruned. */
  readonly minNonImmuneUids: number
}

export type ParameterOverrides = Partial<Omit<Parameters, 'tempo'>>

/** What a new subnet's burn starts from (`DefaultNeuronBurnCost`). */
export const FIRST_BURN_RAO = 1_000_000_000n

/** The real chain's tempo; its defaults in blocks are meant for it. */
const REAL_TEMPO = 360
const U16_MAX = 0xffff

/** `init_new_network` and the defaults of spec 425. */
export function defaultParameters(tempo: number): Parameters {
  const scaled = (blocks: number): number => scaledBlocks(blocks, tempo)
  return {
    tempo,
    kappa: 32_767,
    immunityPeriodBlocks: scaled(5_000),
    minAllowedWeights: 1,
    maxWeightsLimit: U16_MAX,
    activityCutoffBlocks: scaled(5_000),
    weightsVersion: 0n,
    weightsRateLimitBlocks: scaled(100),
    commitRevealEnabled: true,
    revealPeriodEpochs: 1,
    yuma3Enabled: true,
    liquidAlphaEnabled: false,
    alphaLow: 45_875,
    alphaHigh: 58_982,
    alphaSigmoidSteepness: 1_000,
    bondsMovingAverage: 900_000,
    bondsPenalty: U16_MAX,
    maxAllowedUids: UIDS_MAX,
    maxAllowedValidators: VALIDATORS_MAX,
    registrationAllowed: true,
    minBurnRao: 500_000n,
    maxBurnRao: 100_000_000_000n,
    stakeThresholdRao: 0n,
    servingRateLimitBlocks: scaled(50),
    burnHalfLifeBlocks: REAL_TEMPO,
    minNonImmuneUids: 10,
  }
}

/** What the real chain means for its own tempo. */
export function scaledBlocks(blocks: number, tempo: number): number {
  return Math.max(1, Math.round((blocks * tempo) / REAL_TEMPO))
}

/** Blocks at the end of an epoch in which the owner may change nothing (`AdminFreezeWindow`). */
export function freezeBlocks(tempo: number): number {
  return Math.floor((10 * tempo) / REAL_TEMPO)
}

/** Epochs between two changes of one parameter (`OwnerHyperparamRateLimit`). */
export const OWNER_RATE_LIMIT_EPOCHS = 2

/** Values as they come in an operation. */
export type ParameterValue = number | bigint | boolean

/** Why the owner may not set this; names and bounds of `pallet_admin_utils`. */
type Bounds = (value: never, parameters: Parameters) => Refusal | undefined

const u16 = (value: number): Refusal | undefined =>
  Number.isInteger(value) && value >= 0 && value <= U16_MAX ? undefined : 'ValueNotInBounds'
const flag = (value: boolean): Refusal | undefined =>
  typeof value === 'boolean' ? undefined : 'ValueNotInBounds'
/** What only the chain's root may change; a devchain has none, its genesis says it once. */
const rootOnly = (): Refusal => 'BadOrigin'
/** u16::MAX / 40 (`do_set_alpha_values`). */
const ALPHA_MIN = 1_638

const BOUNDS: { readonly [P in OwnerParameter]: Bounds } = {
  kappa: rootOnly,
  immunityPeriodBlocks: u16,
  minAllowedWeights: u16,
  maxWeightsLimit: rootOnly,
  activityCutoffBlocks: (value: number, { tempo }) =>
    u16(value) ?? (value < tempo ? 'ActivityCutoffTooLow' : undefined),
  weightsVersion: (value: bigint) =>
    typeof value === 'bigint' && value >= 0n && value < 2n ** 64n ? undefined : 'ValueNotInBounds',
  weightsRateLimitBlocks: rootOnly,
  commitRevealEnabled: flag,
  revealPeriodEpochs: (value: number) => {
    if (u16(value) !== undefined) return 'ValueNotInBounds'
    if (value > 100) return 'RevealPeriodTooLarge'
    return value < 1 ? 'RevealPeriodTooSmall' : undefined
  },
  yuma3Enabled: flag,
  liquidAlphaEnabled: flag,
  alphaLow: (value: number, { liquidAlphaEnabled, alphaHigh }) => {
    if (!liquidAlphaEnabled) return 'LiquidAlphaDisabled'
    return u16(value) ?? (value < ALPHA_MIN || value > alphaHigh ? 'AlphaLowOutOfRange' : undefined)
  },
  alphaHigh: (value: number, { liquidAlphaEnabled, alphaLow }) => {
    if (!liquidAlphaEnabled) return 'LiquidAlphaDisabled'
    if (u16(value) !== undefined) return 'ValueNotInBounds'
    if (value < ALPHA_MIN) return 'AlphaHighTooLow'
    return value < alphaLow ? 'AlphaLowOutOfRange' : undefined
  },
  alphaSigmoidSteepness: (value: number) => u16(value) ?? (value > 0x7fff ? 'ValueNotInBounds' : undefined),
  bondsMovingAverage: (value: number) => {
    if (!Number.isInteger(value) || value < 0) return 'ValueNotInBounds'
    return value > 975_000 ? 'BondsMovingAverageMaxReached' : undefined
  },
  bondsPenalty: u16,
  maxAllowedValidators: rootOnly,
  registrationAllowed: rootOnly,
  // Upper and lower bound of the runtime: 1 TAO and 0.1 TAO.
  minBurnRao: (value: bigint, { maxBurnRao }) =>
    typeof value === 'bigint' && value >= 0n && value < 1_000_000_000n && value < maxBurnRao
      ? undefined
      : 'ValueNotInBounds',
  maxBurnRao: (value: bigint, { minBurnRao }) =>
    typeof value === 'bigint' && value > 100_000_000n && value < 2n ** 64n && value > minBurnRao
      ? undefined
      : 'ValueNotInBounds',
}

export const OWNER_PARAMETERS = Object.keys(BOUNDS) as OwnerParameter[]

/** Parameters that are BigInt. */
export const RAO_PARAMETERS: ReadonlySet<string> = new Set(['weightsVersion', 'minBurnRao', 'maxBurnRao'])

export function boundsRefusal(
  name: OwnerParameter,
  value: ParameterValue,
  parameters: Parameters,
): Refusal | undefined {
  return BOUNDS[name](value as never, parameters)
}
