/**
 * Sends a validator's weights and never the same twice: plainly, or hidden and revealed in the one epoch in which the
 * chain takes the reveal, also by another process after a crash. What to send is `weights-plan.ts`; where the shares
 * come from is the target's affair. Timelocked commits are not made: see decision 24.
 */
import type { AbortOptions } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import type { Chain, Metagraph, Neuron } from '../../chain/chain.js'
import { IN_FLIGHT_BLOCKS } from '../../chain/in-flight.js'
import { weightsCommitHash } from '../../chain/weights-commit.js'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import { type PendingReveal, WeightsJournal } from './weights-journal.js'
import { planWeights, refused, type WeightsPlan, type WeightTarget } from './weights-plan.js'

export interface WeightSetterComponents {
  /** Started. */
  readonly chain: Chain
  readonly clock: Clock
  readonly random: Random
}

export interface WeightSetterInit {
  readonly hotkey: Signer
  /** Directory of the journals: the same for every process that sets weights with this hotkey. */
  readonly path: string
}

/** What became of a commit. `lost`: it can never be revealed, for the reason given. */
export interface RevealOutcome {
  readonly state: 'waiting' | 'revealed' | 'lost'
  /** Waiting: the first block whose epoch takes the reveal, as tempo is now; absent until the commit is in a block. */
  readonly fromBlock?: number
  readonly reason?: string
}

/** Enough that a hidden row cannot be guessed: 128 bits. */
const SALT_WORDS = 8

export class WeightSetter {
  readonly #components: WeightSetterComponents
  readonly #hotkey: Signer
  readonly #address: string
  readonly #journal: WeightsJournal

  constructor(components: WeightSetterComponents, init: WeightSetterInit) {
    const { genesisHash, netuid } = components.chain.constants
    this.#components = components
    this.#hotkey = init.hotkey
    this.#address = toSs58(init.hotkey.publicKey)
    this.#journal = new WeightsJournal(
      { path: init.path, genesisHash, netuid, hotkey: this.#address },
      components,
    )
  }

  /** See `planWeights`. Rejects with `EarlierCallPending`, too, while a commit may still be on its way. */
  async plan(target: WeightTarget, options: AbortOptions = {}): Promise<WeightsPlan> {
    const { chain, clock } = this.#components
    const plan = await planWeights(chain, target, { hotkey: this.#address, nowMs: clock.nowMs() }, options)
    const pending = await this.#journal.read()
    if (pending.some(({ landed }) => landed === undefined))
      await this.#journal.exclusively(() => this.#refuseWhilePending(plan, options), options)
    return plan
  }

  /** Resolves once they, or their commit, are in a block. Rejects with `BUSY` while another process is at it. */
  async send(plan: WeightsPlan, options: AbortOptions = {}): Promise<void> {
    const { chain } = this.#components
    if (plan.method === 'set') await chain.setWeights(this.#hotkey, plan.weights, options)
    else await this.#journal.exclusively(() => this.#commit(plan, options), options)
  }

  /** Reveals whatever may be revealed now; every commit that was open, oldest first, with what became of it. */
  async reveal(options: AbortOptions = {}): Promise<RevealOutcome[]> {
    // Most often there is nothing to take turns for.
    if ((await this.#journal.read()).length === 0) return []
    return await this.#journal.exclusively(() => this.#reveal(options), options)
  }

  async #reveal(options: AbortOptions): Promise<RevealOutcome[]> {
    const { chain } = this.#components
    const outcomes: RevealOutcome[] = []
    const open = await this.#journal.read()
    if (open.length === 0) return outcomes
    const metagraph = await chain.metagraph(options)
    const { revealPeriodEpochs, tempo } = await chain.hyperparameters(options)
    const kept: PendingReveal[] = []
    for (const [i, pending] of open.entries()) {
      const found = await this.#locate(pending, metagraph, options)
      const outcome = await this.#settle(found, metagraph, { revealPeriodEpochs, tempo }, options)
      outcomes.push(outcome)
      if (outcome.state === 'waiting') kept.push(found)
      // After each: a reveal that is in a block must not be tried again because the next one failed.
      await this.#journal.write([...kept, ...open.slice(i + 1)])
    }
    return outcomes
  }

  async #commit(plan: WeightsPlan, options: AbortOptions): Promise<void> {
    const { chain, random } = this.#components
    // Since the plan was made another process may have sent one.
    await this.#refuseWhilePending(plan, options)
    const bytes = random.bytes(2 * SALT_WORDS)
    const salt = Array.from(
      { length: SALT_WORDS },
      (_, i) => (bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0),
    )
    const { uids, values, versionKey } = plan.weights
    const updatedBlock = this.#neuron(await chain.metagraph(options))?.lastUpdateBlock ?? plan.block
    const pending = {
      uids: [...uids],
      values: [...values],
      versionKey,
      salt,
      sentBlock: plan.block,
      updatedBlock,
    }
    const before = await this.#journal.read()
    await this.#journal.write([...before, pending])
    const hash = weightsCommitHash({ hotkey: this.#address, netuid: chain.constants.netuid, reveal: pending })
    try {
      await chain.commitWeights(this.#hotkey, hash, options)
    } catch (error) {
      // Refused, it is in no block. After anything else it may be, and the salt stays.
      if (isSubnetError(error, 'CHAIN_REFUSED')) await this.#journal.write(before)
      throw error
    }
    const located = await this.#locate(pending, await chain.metagraph(options), options)
    await this.#journal.write([...before, located])
  }

  /**
   * With the block and epoch of the commit, once the chain shows it: committing counts as an update. An update that is older
   * than the block says that a reorganisation has put the commit into another one, perhaps of another epoch.
   */
  async #locate(found: PendingReveal, now: Metagraph, options: AbortOptions): Promise<PendingReveal> {
    const neuron = this.#neuron(now)
    const { landed, ...pending } = found
    // A node that lags behind, or a chain that is being made anew, says nothing yet of that block.
    if (landed !== undefined && (now.block < landed.block || (neuron?.lastUpdateBlock ?? 0) >= landed.block))
      return found
    if (neuron === undefined || neuron.lastUpdateBlock <= (pending.updatedBlock ?? pending.sentBlock))
      return pending
    const block = neuron.lastUpdateBlock
    try {
      const { epoch } = await this.#components.chain.metagraph({ ...options, at: block })
      return { ...pending, landed: { block, epoch } }
    } catch (error) {
      // A block the adapter no longer knows. What is tried too early is refused, and costs nothing.
      if (!isSubnetError(error, 'CHAIN_REFUSED')) throw error
      return { ...pending, landed: { block, epoch: Math.max(0, now.epoch - 1) } }
    }
  }

  #neuron({ neurons }: Metagraph): Neuron | undefined {
    return neurons.find(({ hotkey }) => hotkey === this.#address)
  }

  async #settle(
    pending: PendingReveal,
    { block, epoch, nextEpochBlock }: Metagraph,
    rules: { readonly revealPeriodEpochs: number; readonly tempo: number },
    options: AbortOptions,
  ): Promise<RevealOutcome> {
    const { landed, sentBlock } = pending
    if (landed === undefined) {
      if (block <= sentBlock + IN_FLIGHT_BLOCKS && block >= sentBlock) return { state: 'waiting' }
      return { state: 'lost', reason: 'the commit never got into a block' }
    }
    const dueEpoch = landed.epoch + rules.revealPeriodEpochs
    // Of the block that the call gets into, the next one.
    const callEpoch = nextEpochBlock <= block + 1 ? epoch + 1 : epoch
    if (callEpoch < dueEpoch) {
      return { state: 'waiting', fromBlock: nextEpochBlock + (dueEpoch - epoch - 1) * rules.tempo }
    }
    // One epoch later a reorganisation may still have moved it there: the chain knows, and a refusal costs nothing.
    const isLate = callEpoch > dueEpoch
    try {
      await this.#components.chain.revealWeights(this.#hotkey, pending, options)
      return { state: 'revealed' }
    } catch (error) {
      if (!isSubnetError(error, 'CHAIN_REFUSED')) throw error
      const reason = String(error.data.reason)
      // A pool has one code for too early and too late.
      if (reason === 'RevealTooEarly')
        return isLate ? { state: 'lost', reason: 'ExpiredWeightCommit' } : { state: 'waiting' }
      return { state: 'lost', reason }
    }
  }

  async #refuseWhilePending(plan: WeightsPlan, options: AbortOptions): Promise<void> {
    const pending = await this.#journal.read()
    if (pending.every(({ landed }) => landed !== undefined)) return
    const metagraph = await this.#components.chain.metagraph(options)
    const located = await Promise.all(pending.map((each) => this.#locate(each, metagraph, options)))
    await this.#journal.write(located)
    const open = located.find(({ landed }) => landed === undefined)
    const { block: head } = plan
    if (open === undefined || head > open.sentBlock + IN_FLIGHT_BLOCKS || head < open.sentBlock) return
    const block = open.sentBlock + IN_FLIGHT_BLOCKS + 1
    const text = `a commit sent at block ${open.sentBlock} got no answer and may still arrive before block ${block}, now is ${head}`
    throw refused('EarlierCallPending', text, block)
  }
}
