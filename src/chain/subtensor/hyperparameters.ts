/** Hyperparameters by the runtime's own names: where each is read, and with which owner call it is set. */
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { Hyperparameters, OwnerParameter } from '../chain.js'
import { amount, count } from './json.js'
import { noSubnet } from './metagraph.js'
import { refusedBefore } from './refusals.js'
import type { RuntimeCall } from './runtime.js'
import { read, type StateAt } from './state-reader.js'

/** Storage items of `SubtensorModule`, all by netuid but the last. */
const ITEMS = {
  tempo: 'Tempo',
  kappa: 'Kappa',
  immunityPeriodBlocks: 'ImmunityPeriod',
  minAllowedWeights: 'MinAllowedWeights',
  maxWeightsLimit: 'MaxWeightsLimit',
  activityCutoffBlocks: 'ActivityCutoff',
  weightsVersion: 'WeightsVersionKey',
  weightsRateLimitBlocks: 'WeightsSetRateLimit',
  commitRevealEnabled: 'CommitRevealWeightsEnabled',
  revealPeriodEpochs: 'RevealPeriodEpochs',
  yuma3Enabled: 'Yuma3On',
  liquidAlphaEnabled: 'LiquidAlphaOn',
  alphaValues: 'AlphaValues',
  alphaSigmoidSteepness: 'AlphaSigmoidSteepness',
  bondsMovingAverage: 'BondsMovingAverage',
  bondsPenalty: 'BondsPenalty',
  maxAllowedUids: 'MaxAllowedUids',
  maxAllowedValidators: 'MaxAllowedValidators',
  registrationAllowed: 'NetworkRegistrationAllowed',
  burnRao: 'Burn',
  minBurnRao: 'MinBurn',
  maxBurnRao: 'MaxBurn',
  stakeThresholdRao: 'StakeThreshold',
  activityFactorMilli: 'ActivityCutoffFactorMilli',
  added: 'NetworksAdded',
} as const

const PLAIN: ReadonlySet<string> = new Set(['StakeThreshold'])
/** What the runtime does where it does not keep the item, yet or any more: no limit, no feature, the usual steepness. */
const NO_LIMIT = 0xffff
const STEEPNESS_DEFAULT = 1000

const schema = z.object({
  tempo: count,
  kappa: count,
  immunityPeriodBlocks: count,
  minAllowedWeights: count,
  maxWeightsLimit: count.default(NO_LIMIT),
  activityCutoffBlocks: count.optional(),
  weightsVersion: amount,
  weightsRateLimitBlocks: count,
  commitRevealEnabled: z.boolean(),
  revealPeriodEpochs: count,
  yuma3Enabled: z.boolean().default(false),
  liquidAlphaEnabled: z.boolean(),
  alphaValues: z.tuple([count, count]),
  alphaSigmoidSteepness: count.default(STEEPNESS_DEFAULT),
  bondsMovingAverage: count,
  bondsPenalty: count.default(NO_LIMIT),
  maxAllowedUids: count,
  maxAllowedValidators: count,
  registrationAllowed: z.boolean(),
  burnRao: amount,
  minBurnRao: amount,
  maxBurnRao: amount,
  stakeThresholdRao: amount.default(0n),
  activityFactorMilli: count.optional(),
  added: z.boolean(),
})

/** Rejects with `SubnetNotExists`. */
export async function readHyperparameters(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<Hyperparameters> {
  const names = Object.keys(ITEMS) as (keyof typeof ITEMS)[]
  const values = await state.values(
    names.map((name) => ['SubtensorModule', ITEMS[name], ...(PLAIN.has(ITEMS[name]) ? [] : [netuid])]),
    options,
  )
  const answer = Object.fromEntries(names.map((name, i) => [name, values[i]]))
  const { alphaValues, activityFactorMilli, activityCutoffBlocks, added, ...rest } = read(
    schema,
    answer,
    'hyperparameters',
  )
  if (!added) throw noSubnet(netuid)
  const [alphaLow, alphaHigh] = alphaValues
  // Newer runtimes keep the cutoff as a part of the tempo.
  const ofTempo = Math.floor(((activityFactorMilli ?? 0) * rest.tempo) / 1000)
  const cutoff = activityFactorMilli === undefined ? (activityCutoffBlocks ?? 0) : ofTempo
  return { ...rest, alphaLow, alphaHigh, activityCutoffBlocks: cutoff }
}

/** The owner's calls in `AdminUtils`, and what each names its value. Some the runtime leaves to the chain's root. */
const OWNER_CALLS: Readonly<Record<OwnerParameter, readonly [call: string, argument: string]>> = {
  kappa: ['sudo_set_kappa', 'kappa'],
  immunityPeriodBlocks: ['sudo_set_immunity_period', 'immunity_period'],
  minAllowedWeights: ['sudo_set_min_allowed_weights', 'min_allowed_weights'],
  maxWeightsLimit: ['sudo_set_max_weight_limit', 'max_weight_limit'],
  activityCutoffBlocks: ['sudo_set_activity_cutoff', 'activity_cutoff'],
  weightsVersion: ['sudo_set_weights_version_key', 'weights_version_key'],
  weightsRateLimitBlocks: ['sudo_set_weights_set_rate_limit', 'weights_set_rate_limit'],
  commitRevealEnabled: ['sudo_set_commit_reveal_weights_enabled', 'enabled'],
  revealPeriodEpochs: ['sudo_set_commit_reveal_weights_interval', 'interval'],
  yuma3Enabled: ['sudo_set_yuma3_enabled', 'enabled'],
  liquidAlphaEnabled: ['sudo_set_liquid_alpha_enabled', 'enabled'],
  alphaLow: ['sudo_set_alpha_values', 'alpha_low'],
  alphaHigh: ['sudo_set_alpha_values', 'alpha_high'],
  alphaSigmoidSteepness: ['sudo_set_alpha_sigmoid_steepness', 'steepness'],
  bondsMovingAverage: ['sudo_set_bonds_moving_average', 'bonds_moving_average'],
  bondsPenalty: ['sudo_set_bonds_penalty', 'bonds_penalty'],
  maxAllowedValidators: ['sudo_set_max_allowed_validators', 'max_allowed_validators'],
  registrationAllowed: ['sudo_set_network_registration_allowed', 'registration_allowed'],
  minBurnRao: ['sudo_set_min_burn', 'min_burn'],
  maxBurnRao: ['sudo_set_max_burn', 'max_burn'],
}

/** `now` fills in the partner of a value that is set in a pair. */
export function hyperparameterCall(
  netuid: number,
  name: OwnerParameter,
  value: Hyperparameters[OwnerParameter],
  now: Hyperparameters,
): RuntimeCall {
  const entry = Object.hasOwn(OWNER_CALLS, name) ? OWNER_CALLS[name] : undefined
  if (entry === undefined) throw refusedBefore('CallNotFound', `${name} is not the owner’s to set`)
  const [call, argument] = entry
  const pair = call === 'sudo_set_alpha_values' ? { alpha_low: now.alphaLow, alpha_high: now.alphaHigh } : {}
  return { pallet: 'AdminUtils', name: call, args: { netuid, ...pair, [argument]: value } }
}

/** The runtime's rate limit that a setting falls under, by its name in `utils/rate_limiting.rs`. */
const RATE_LIMITS: Readonly<Partial<Record<OwnerParameter, string>>> = {
  kappa: 'Kappa',
  immunityPeriodBlocks: 'ImmunityPeriod',
  minAllowedWeights: 'MinAllowedWeights',
  maxWeightsLimit: 'MaxWeightLimit',
  activityCutoffBlocks: 'ActivityCutoff',
  commitRevealEnabled: 'CommitRevealEnabled',
  revealPeriodEpochs: 'WeightCommitInterval',
  yuma3Enabled: 'Yuma3Enabled',
  liquidAlphaEnabled: 'LiquidAlphaEnabled',
  alphaLow: 'AlphaValues',
  alphaHigh: 'AlphaValues',
  alphaSigmoidSteepness: 'AlphaSigmoidSteepness',
  bondsMovingAverage: 'BondsMovingAverage',
  bondsPenalty: 'BondsPenalty',
  minBurnRao: 'MinBurn',
  maxBurnRao: 'MaxBurn',
}

/** For `permittedBlock`. */
export function rateLimitOf(name: OwnerParameter): { readonly parameter?: string } {
  const parameter = RATE_LIMITS[name]
  return parameter === undefined ? {} : { parameter }
}
