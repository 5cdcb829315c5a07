/** When a call that came too early will do: the runtime's own rules, read from the chain that refused it. */
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import { count } from './json.js'
import { readEpochClock } from './metagraph.js'
import { read, type StateAt, type StorageQuery } from './state-reader.js'

/** Who is refused where. */
export interface WaitSubject {
  readonly netuid: number
  /** SS58; of the calls a hotkey makes. */
  readonly hotkey?: string
  /** The runtime's `Hyperparameter` that was to be set. */
  readonly parameter?: string
}

type Rule = (state: StateAt, subject: WaitSubject, options: AbortOptions) => Promise<number | undefined>

/** By refusal. Sources: `subnets/{weights,serving,subnet}.rs`, `utils/{rate_limiting,misc}.rs` of the runtime. */
const RULES: Readonly<Record<string, Rule>> = {
  SettingWeightsTooFast: afterLastWeights,
  CommittingWeightsTooFast: afterLastWeights,
  ServingRateLimitExceeded: afterLastServe,
  NetworkTxRateLimitExceeded: (state, _, options) =>
    after(state, lastNetwork(state), [['SubtensorModule', 'NetworkRateLimit']], options),
  NeedWaitingMoreBlocksToStarCall: (state, { netuid }, options) =>
    after(
      state,
      ['SubtensorModule', 'NetworkRegisteredAt', netuid],
      [['SubtensorModule', 'StartCallDelay']],
      options,
    ),
  TxRateLimitExceeded: afterLastSetting,
  RevealTooEarly: afterCommit,
  NeuronNoValidatorPermit: nextEpoch,
  SpaceLimitExceeded: nextEpoch,
  AdminActionProhibitedDuringWeightsWindow: nextEpoch,
}

/** The first block in which the call will do, or `undefined` where waiting is no remedy or its end is not known. */
export async function permittedBlock(
  reason: string,
  state: StateAt,
  subject: WaitSubject,
  options: AbortOptions,
): Promise<number | undefined> {
  const rule = Object.hasOwn(RULES, reason) ? RULES[reason] : undefined
  return rule?.(state, subject, options)
}

/** Runtimes of 2025 keep it in an item of its own. */
function lastNetwork({ runtime }: StateAt): StorageQuery {
  const own = runtime.storage('SubtensorModule', 'NetworkLastRegistered') !== undefined
  return own
    ? ['SubtensorModule', 'NetworkLastRegistered']
    : ['SubtensorModule', 'LastRateLimitedBlock', { NetworkLastRegistered: null }]
}

/** Its calls come after the step: `on_initialize` does it. */
async function nextEpoch(state: StateAt, { netuid }: WaitSubject, options: AbortOptions): Promise<number> {
  return (await readEpochClock(state, netuid, options)).nextEpochBlock
}

/** `last` + the product of the limits; `undefined` when a part is not there. */
async function after(
  state: StateAt,
  last: StorageQuery,
  limits: readonly StorageQuery[],
  options: AbortOptions,
): Promise<number | undefined> {
  const [from, ...factors] =
    z.array(count).safeParse(await state.values([last, ...limits], options)).data ?? []
  return from === undefined ? undefined : from + factors.reduce((product, factor) => product * factor, 1)
}

async function afterLastWeights(
  state: StateAt,
  { netuid, hotkey }: WaitSubject,
  options: AbortOptions,
): Promise<number | undefined> {
  const [uid, updates, limit] = await state.values(
    [
      ['SubtensorModule', 'Uids', netuid, hotkey],
      ['SubtensorModule', 'LastUpdate', netuid],
      ['SubtensorModule', 'WeightsSetRateLimit', netuid],
    ],
    options,
  )
  const last = read(z.array(count), updates, 'SubtensorModule.LastUpdate')[
    read(count.nullish(), uid, 'SubtensorModule.Uids') ?? -1
  ]
  return last === undefined ? undefined : last + read(count, limit, 'SubtensorModule.WeightsSetRateLimit')
}

async function afterLastServe(
  state: StateAt,
  { netuid, hotkey }: WaitSubject,
  options: AbortOptions,
): Promise<number | undefined> {
  const [axon, limit] = await state.values(
    [
      ['SubtensorModule', 'Axons', netuid, hotkey],
      ['SubtensorModule', 'ServingRateLimit', netuid],
    ],
    options,
  )
  const last = z.object({ block: count }).nullish().safeParse(axon).data?.block
  return last === undefined ? undefined : last + read(count, limit, 'SubtensorModule.ServingRateLimit')
}

function afterLastSetting(
  state: StateAt,
  { netuid, parameter }: WaitSubject,
  options: AbortOptions,
): Promise<number | undefined> {
  if (parameter === undefined) return Promise.resolve(undefined)
  return after(
    state,
    ['SubtensorModule', 'LastRateLimitedBlock', { OwnerHyperparamUpdate: [netuid, parameter] }],
    [
      ['SubtensorModule', 'Tempo', netuid],
      ['SubtensorModule', 'OwnerHyperparamRateLimit'],
    ],
    options,
  )
}

/** The oldest commit's first block, where the runtime keeps it. */
async function afterCommit(
  state: StateAt,
  { netuid, hotkey }: WaitSubject,
  options: AbortOptions,
): Promise<number | undefined> {
  const commits = z.array(z.tuple([z.string(), count, count, count]))
  const query = ['SubtensorModule', 'WeightCommits', netuid, hotkey] as const
  const [oldest] = (await state.value(query, commits.nullish(), options)) ?? []
  const first = oldest?.[2]
  // Runtimes that count in epochs leave the blocks at zero.
  return first === undefined || first === 0 ? undefined : first
}
