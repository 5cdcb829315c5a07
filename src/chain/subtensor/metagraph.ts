/**
 * The subnet at one block. `SubnetInfoRuntimeApi.get_metagraph` answers almost all of it in one question; a runtime
 * without it is read from storage, where stake is the hotkey's own (alpha, and root by its weight) without child keys.
 */
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { Metagraph, Neuron } from '../chain.js'
import { modularEpoch, nextAnchoredEpochBlock, nextModularEpochBlock } from '../epoch.js'
import { axonOf } from './axon.js'
import { address, amount, count } from './json.js'
import { refusedBefore } from './refusals.js'
import { read, type StateAt } from './state-reader.js'

const axonSchema = z.object({ ip: amount, port: count, ipType: count })

/** Columns, each by uid. What newer runtimes dropped (rank, trust, pruning score) is not asked for. */
const columnsSchema = z.object({
  hotkeys: z.array(address),
  coldkeys: z.array(address),
  axons: z.array(axonSchema),
  active: z.array(z.boolean()),
  validatorPermit: z.array(z.boolean()),
  lastUpdate: z.array(count),
  emission: z.array(amount),
  dividends: z.array(count),
  incentives: z.array(count),
  consensus: z.array(count),
  blockAtRegistration: z.array(count),
  totalStake: z.array(amount),
})
type Columns = z.infer<typeof columnsSchema>

/** When epochs step, by whichever rule the runtime follows. */
export interface EpochClock {
  readonly epoch: number
  readonly nextEpochBlock: number
}

/** Rejects with `SubnetNotExists`. */
export async function readMetagraph(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<Metagraph> {
  const [answer, validatorTrust, clock] = await Promise.all([
    state.api('SubnetInfoRuntimeApi', 'get_metagraph', [netuid], options),
    state.value(['SubtensorModule', 'ValidatorTrust', netuid], z.array(count).optional(), options),
    readEpochClock(state, netuid, options),
  ])
  if (answer === null) throw noSubnet(netuid)
  const columns =
    answer === undefined
      ? await columnsFromStorage(state, netuid, options)
      : read(columnsSchema, answer, 'SubnetInfoRuntimeApi.get_metagraph')
  return {
    netuid,
    block: state.block.number,
    ...clock,
    neurons: columns.hotkeys.map((_, uid) => neuron(columns, validatorTrust ?? [], uid)),
  }
}

export async function readEpochClock(
  state: StateAt,
  netuid: number,
  options: AbortOptions,
): Promise<EpochClock> {
  const items = ['NetworksAdded', 'Tempo', 'LastEpochBlock', 'SubnetEpochIndex', 'PendingEpochAt']
  const answers = await state.values(
    items.map((item) => ['SubtensorModule', item, netuid]),
    options,
  )
  const [added, tempoValue, anchor, index, pending] = answers
  if (added === false) throw noSubnet(netuid)
  const block = state.block.number
  // A subnet with tempo 0 steps never; its clock still counts.
  const tempo = Math.max(1, read(count, tempoValue, 'SubtensorModule.Tempo'))
  if (anchor === undefined || index === undefined) {
    return {
      epoch: modularEpoch(netuid, tempo, block),
      nextEpochBlock: nextModularEpochBlock(netuid, tempo, block),
    }
  }
  const next = nextAnchoredEpochBlock(read(count, anchor, 'SubtensorModule.LastEpochBlock'), tempo, block)
  const ordered = read(count.optional(), pending, 'SubtensorModule.PendingEpochAt') ?? 0
  return {
    epoch: read(count, index, 'SubtensorModule.SubnetEpochIndex'),
    nextEpochBlock: ordered > block ? Math.min(ordered, next) : next,
  }
}

export function noSubnet(netuid: number) {
  return refusedBefore('SubnetNotExists', `there is no subnet ${netuid} on this chain: SubnetNotExists`)
}

/** Columns are as long as the subnet had neurons when each was last written: what is missing counts as nothing. */
function neuron(columns: Columns, validatorTrust: readonly number[], uid: number): Neuron {
  const { ip, ipType, port } = columns.axons[uid] ?? { ip: 0n, ipType: 4, port: 0 }
  const axon = axonOf(ip, ipType, port)
  return {
    uid,
    hotkey: columns.hotkeys[uid] ?? '',
    coldkey: columns.coldkeys[uid] ?? '',
    stakeRao: columns.totalStake[uid] ?? 0n,
    validatorPermit: columns.validatorPermit[uid] ?? false,
    registeredAtBlock: columns.blockAtRegistration[uid] ?? 0,
    lastUpdateBlock: columns.lastUpdate[uid] ?? 0,
    active: columns.active[uid] ?? false,
    consensus: columns.consensus[uid] ?? 0,
    incentive: columns.incentives[uid] ?? 0,
    dividends: columns.dividends[uid] ?? 0,
    validatorTrust: validatorTrust[uid] ?? 0,
    emissionRao: columns.emission[uid] ?? 0n,
    ...(axon === undefined ? {} : { axon }),
  }
}

/** Two rounds: who there is, then what each has. */
async function columnsFromStorage(state: StateAt, netuid: number, options: AbortOptions): Promise<Columns> {
  const perUid = [
    'Active',
    'ValidatorPermit',
    'LastUpdate',
    'Emission',
    'Dividends',
    'Incentive',
    'Consensus',
  ]
  const [keys, vectors] = await Promise.all([
    state.entries(['SubtensorModule', 'Keys', netuid], options),
    state.values(
      [...perUid.map((item) => ['SubtensorModule', item, netuid] as const), ['SubtensorModule', 'TaoWeight']],
      options,
    ),
  ])
  const hotkeys: string[] = []
  for (const entry of keys)
    hotkeys[read(count, entry.keys[1], 'SubtensorModule.Keys')] = read(
      address,
      entry.value,
      'SubtensorModule.Keys',
    )
  const each = (item: string, args: (hotkey: string, uid: number) => readonly unknown[]) =>
    state.values(
      hotkeys.map((hotkey, uid) => ['SubtensorModule', item, ...args(hotkey, uid)] as const),
      options,
    )
  const [owners, axons, registered, alpha, root] = await Promise.all([
    each('Owner', (hotkey) => [hotkey]),
    each('Axons', (hotkey) => [netuid, hotkey]),
    each('BlockAtRegistration', (_, uid) => [netuid, uid]),
    each('TotalHotkeyAlpha', (hotkey) => [hotkey, netuid]),
    each('TotalHotkeyAlpha', (hotkey) => [hotkey, 0]),
  ])
  const [active, validatorPermit, lastUpdate, emission, dividends, incentives, consensus, weight] = vectors
  const taoWeight = read(amount.nullish(), weight, 'SubtensorModule.TaoWeight') ?? 0n
  const stakes = (values: unknown[]) =>
    read(
      z.array(amount.nullish().transform((value) => value ?? 0n)),
      values,
      'SubtensorModule.TotalHotkeyAlpha',
    )
  const rootStakes = stakes(root)
  const nobody = { ip: 0, port: 0, ipType: 4 }
  return read(
    columnsSchema,
    {
      hotkeys,
      coldkeys: owners,
      axons: axons.map((axon) => axon ?? nobody),
      active,
      validatorPermit,
      lastUpdate,
      emission,
      dividends,
      incentives,
      consensus,
      blockAtRegistration: registered,
      totalStake: stakes(alpha).map((own, uid) =>
        toJson(own + (((rootStakes[uid] ?? 0n) * taoWeight) >> 64n)),
      ),
    },
    'SubtensorModule storage',
  )
}

function toJson(value: bigint): string {
  return `0x${value.toString(16)}`
}
