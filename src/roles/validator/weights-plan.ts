/**
 * Weights before they are sent: made from target shares and the subnet's own rules as of one block, with every
 * precondition that the chain will check, in the chain's order, and how far they are from what the others say.
 */
import type { AbortOptions } from '../../base/abort.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { formatDuration, formatTao } from '../../base/units.js'
import type { Chain, Hyperparameters, Metagraph, Neuron, Weights } from '../../chain/chain.js'
import { type Comparison, compareWithConsensus, type Shares, toWeights } from '../../incentive/weights.js'

/** What the validator wants, and what block it knew when it decided that. */
export interface WeightTarget {
  readonly shares: Shares
  readonly block: number
}

export interface WeightsPlan {
  readonly weights: Weights
  /** `commit` hides them now and reveals them `revealPeriodEpochs` later. */
  readonly method: 'set' | 'commit'
  /** Head, and the metagraph that the rules are of. */
  readonly block: number
  readonly uid: number
  /** Absent while nobody has set weights, so that there is no consensus to compare with. */
  readonly comparison?: Comparison
  readonly hyperparameters: Hyperparameters
}

/** A head that is older than so many block times is of a chain, or a node, that does not follow. */
export const LAG_BLOCKS_MAX = 10
/** Blocks of a local chain come so fast that a busy machine alone would be late. */
export const LAG_MS_MIN = 30_000

/** Reads only. Rejects with `CHAIN_REFUSED` naming the precondition, and the block from which it will hold if known. */
export async function planWeights(
  chain: Chain,
  target: WeightTarget,
  who: { readonly hotkey: string; readonly nowMs: number },
  options: AbortOptions = {},
): Promise<WeightsPlan> {
  const head = await chain.head(options)
  const metagraph = await chain.metagraph(options)
  const hyperparameters = await chain.hyperparameters(options)
  refuseStale(chain, target, { head: head.number, headMs: head.timestampMs, nowMs: who.nowMs, metagraph })
  const owner = (await chain.subnet(chain.constants.netuid, options))?.ownerHotkey
  const neuron = mayWeigh(metagraph, hyperparameters, who.hotkey, who.hotkey === owner)
  const { minAllowedWeights, maxWeightsLimit, weightsVersion, commitRevealEnabled } = hyperparameters
  const uids = metagraph.neurons.map(({ uid }) => uid)
  const rules = { uids, own: neuron.uid, minAllowedWeights, maxWeightsLimit }
  const vector = byRules(target.shares, rules)
  const consensus = new Map(metagraph.neurons.map(({ uid, consensus }) => [uid, consensus]))
  const comparison = compareWithConsensus(vector, consensus)
  return {
    weights: { ...vector, versionKey: weightsVersion },
    method: commitRevealEnabled ? 'commit' : 'set',
    block: head.number,
    uid: neuron.uid,
    hyperparameters,
    ...(comparison === undefined ? {} : { comparison }),
  }
}

interface Ages {
  readonly head: number
  readonly headMs: number
  readonly nowMs: number
  readonly metagraph: Metagraph
}

function refuseStale(chain: Chain, target: WeightTarget, { head, headMs, nowMs, metagraph }: Ages): void {
  const { blockMs, tempo } = chain.constants
  const lagMs = nowMs - headMs
  if (lagMs > Math.max(LAG_BLOCKS_MAX * blockMs, LAG_MS_MIN)) {
    const text = `the newest block, ${head}, is ${formatDuration(lagMs)} old: the chain stands still, its node does not follow, or this machine's clock is wrong`
    throw refused('ChainLag', text)
  }
  if (head - metagraph.block > LAG_BLOCKS_MAX) {
    throw refused('ChainLag', `the metagraph is of block ${metagraph.block}, the head is ${head}`)
  }
  const ageBlocks = head - target.block
  if (ageBlocks > tempo || ageBlocks < -LAG_BLOCKS_MAX) {
    const text = `the scores are of block ${target.block}, now is ${head}: more than an epoch of ${tempo} blocks apart`
    throw refused('StaleScores', text)
  }
}

/** What the chain checks of the one who sets, in its order (source: `do_set_weights`); the owner needs no stake or permit. */
function mayWeigh(metagraph: Metagraph, rules: Hyperparameters, hotkey: string, isOwner: boolean): Neuron {
  const { block, nextEpochBlock } = metagraph
  const neuron = metagraph.neurons.find((each) => each.hotkey === hotkey)
  if (neuron === undefined) {
    const text = `${hotkey} is not registered on subnet ${metagraph.netuid}: run "subnet-node register"`
    throw refused('HotKeyNotRegisteredInSubNet', text)
  }
  if (!isOwner && neuron.stakeRao < rules.stakeThresholdRao) {
    const text = `${hotkey} has a stake of ${formatTao(neuron.stakeRao)}, ${formatTao(rules.stakeThresholdRao)} are needed: run "subnet-node stake"`
    throw refused('NotEnoughStakeToSetWeights', text)
  }
  const allowedBlock = neuron.lastUpdateBlock + rules.weightsRateLimitBlocks
  // The call gets into the next block at the earliest.
  if (neuron.lastUpdateBlock > 0 && block + 1 < allowedBlock) {
    const text = `weights were set at block ${neuron.lastUpdateBlock} (registering counts) and may be set again from block ${allowedBlock} on, now is ${block}`
    throw refused('SettingWeightsTooFast', text, allowedBlock)
  }
  if (!isOwner && !neuron.validatorPermit) {
    const text = `${hotkey} has no validator permit: the chain gives them to those with the most stake at block ${nextEpochBlock}, now is ${block}`
    throw refused('NeuronNoValidatorPermit', text, nextEpochBlock)
  }
  return neuron
}

function byRules(...[shares, rules]: Parameters<typeof toWeights>): ReturnType<typeof toWeights> {
  try {
    return toWeights(shares, rules)
  } catch (error) {
    // A rule of the chain that these shares cannot keep is a refusal like the others.
    if (!isSubnetError(error, 'INVALID') || typeof error.data.reason !== 'string') throw error
    throw refused(error.data.reason, error.message)
  }
}

/** Before anything was sent. */
export function refused(reason: string, text: string, block?: number): SubnetError {
  const data = { kind: 'precondition', reason, ...(block === undefined ? {} : { block }) }
  return new SubnetError('CHAIN_REFUSED', text, { data })
}
