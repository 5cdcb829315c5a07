/**
 * A `Chain` in memory that does what it is told in a block of its own and counts what it was asked: for tests of what stands above the
 * port, where the devchain's own rules are not the subject. Its fields are the chain; a test changes them as it likes.
 */
import { SubnetError } from '../../src/base/errors.js'
import type {
  BlockHead,
  Chain,
  Hyperparameters,
  Metagraph,
  Neuron,
  RefusalData,
  SubnetInfo,
  Weights,
  WeightsReveal,
} from '../../src/chain/chain.js'
import { nextAnchoredEpochBlock } from '../../src/chain/epoch.js'
import { weightsCommitHash } from '../../src/chain/weights-commit.js'
import { type Signer, toSs58 } from '../../src/crypto/keys.js'
import { hex } from './vectors.js'

const U16_MAX = 65_535
const TEMPO = 10
const BLOCK_MS = 1_000

/** Rules that limit nothing. */
export const HYPERPARAMETERS: Hyperparameters = {
  tempo: TEMPO,
  kappa: 32_767,
  immunityPeriodBlocks: 100,
  minAllowedWeights: 1,
  maxWeightsLimit: U16_MAX,
  activityCutoffBlocks: 1_000,
  weightsVersion: 0n,
  weightsRateLimitBlocks: 0,
  commitRevealEnabled: false,
  revealPeriodEpochs: 1,
  yuma3Enabled: true,
  liquidAlphaEnabled: false,
  alphaLow: 0,
  alphaHigh: U16_MAX,
  alphaSigmoidSteepness: 1_000,
  bondsMovingAverage: 900_000,
  bondsPenalty: U16_MAX,
  maxAllowedUids: 256,
  maxAllowedValidators: 64,
  registrationAllowed: true,
  burnRao: 1_000_000_000n,
  minBurnRao: 500_000n,
  maxBurnRao: 100_000_000_000n,
  stakeThresholdRao: 0n,
}

/** A refusal as adapters make it. */
export function refusal(data: RefusalData): SubnetError {
  return new SubnetError('CHAIN_REFUSED', data.reason, { data })
}

export class FakeChain implements Chain {
  readonly constants = { genesisHash: `0x${'0f'.repeat(32)}`, netuid: 7, blockMs: BLOCK_MS, tempo: TEMPO }
  readonly faucet = undefined
  block = 100
  timestampMs = 0
  neurons: Neuron[] = []
  params: Hyperparameters = HYPERPARAMETERS
  readonly balances = new Map<string, bigint>()
  readonly infos = new Map<number, SubnetInfo>()
  subnetCost = 10_000_000_000n
  readonly rows = new Map<number, ReadonlyArray<readonly [number, number]>>()
  /** Live commits by hash in hex; the epoch of each. */
  readonly commits = new Map<string, number>()
  /** Names of calls that changed something, in order. */
  readonly sent: string[] = []
  /** Called at every sending, before or after it has its effect; what it throws is thrown. */
  before: (call: string) => void = () => undefined
  after: (call: string) => void = () => undefined
  readonly #listeners = new Set<(head: BlockHead) => void>()

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  /** Makes blocks up to this one. */
  advanceTo(block: number): void {
    while (this.block < block) {
      this.block += 1
      this.timestampMs += BLOCK_MS
      for (const listener of this.#listeners) listener(this.#head())
    }
  }

  join(hotkey: string, coldkey: string, more: Partial<Neuron> = {}): void {
    this.neurons.push({
      uid: this.neurons.length,
      hotkey,
      coldkey,
      stakeRao: 0n,
      validatorPermit: false,
      registeredAtBlock: this.block,
      lastUpdateBlock: 0,
      active: true,
      consensus: 0,
      incentive: 0,
      dividends: 0,
      validatorTrust: 0,
      emissionRao: 0n,
      ...more,
    })
  }

  own(netuid: number, owner: { readonly coldkey: string; readonly hotkey: string }): void {
    this.infos.set(netuid, {
      netuid,
      ownerColdkey: owner.coldkey,
      ownerHotkey: owner.hotkey,
      registeredAtBlock: this.block,
      started: false,
      startAllowedAtBlock: this.block + 20,
      identity: undefined,
    })
  }

  head = async () => this.#head()
  finalizedHead = async () => this.#head()
  onHead(listener: (head: BlockHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async metagraph({ at = this.block } = {}): Promise<Metagraph> {
    const { neurons } = this
    const nextEpochBlock = nextAnchoredEpochBlock(0, TEMPO, at)
    return { netuid: this.constants.netuid, block: at, epoch: this.#epoch(at), nextEpochBlock, neurons }
  }

  randomness = async () => new Uint8Array(32)
  records = async () => new Map()
  hyperparameters = async () => this.params
  balanceRao = async (coldkey: string) => this.balances.get(coldkey) ?? 0n
  subnets = async () => [...this.infos.keys()].sort((a, b) => a - b)
  subnet = async (netuid: number) => this.infos.get(netuid)
  subnetCostRao = async () => this.subnetCost
  weights = async () => this.rows

  async burnedRegister(request: { coldkey: Signer; hotkey: string; limitRao: bigint }): Promise<number> {
    const { hotkey, limitRao } = request
    const coldkey = toSs58(request.coldkey.publicKey)
    return this.#send('burnedRegister', () => {
      if (this.neurons.some((each) => each.hotkey === hotkey))
        throw refusal({ kind: 'dispatch', reason: 'HotKeyAlreadyRegisteredInSubNet' })
      if (this.params.burnRao > limitRao)
        throw refusal({ kind: 'dispatch', reason: 'RegistrationPriceLimitExceeded' })
      this.#pay(coldkey, this.params.burnRao)
      this.join(hotkey, coldkey)
      return this.neurons.length - 1
    })
  }

  async registerSubnet(request: { coldkey: Signer; hotkey: string }): Promise<number> {
    const coldkey = toSs58(request.coldkey.publicKey)
    return this.#send('registerSubnet', () => {
      this.#pay(coldkey, this.subnetCost)
      const netuid = this.infos.size + 1
      this.own(netuid, { coldkey, hotkey: request.hotkey })
      return netuid
    })
  }

  async startSubnet({ netuid }: { netuid: number }): Promise<void> {
    this.#send('startSubnet', () => this.#change(netuid, { started: true }))
  }

  async setSubnetIdentity(request: Parameters<Chain['setSubnetIdentity']>[0]): Promise<void> {
    this.#send('setSubnetIdentity', () => this.#change(request.netuid, { identity: request.identity }))
  }

  async setHyperparameter(request: { name: string; value: unknown }): Promise<void> {
    this.#send(`set ${request.name}`, () => {
      this.params = { ...this.params, [request.name]: request.value }
    })
  }

  async stake(request: { coldkey: Signer; hotkey: string; amountRao: bigint }): Promise<void> {
    this.#send('stake', () => {
      this.#pay(toSs58(request.coldkey.publicKey), request.amountRao)
      const stakeRao = (this.#neuron(request.hotkey)?.stakeRao ?? 0n) + request.amountRao
      this.update(request.hotkey, { stakeRao })
    })
  }

  async setWeights(hotkey: Signer, weights: Weights): Promise<void> {
    this.#send('setWeights', () => this.#setRow(hotkey, weights))
  }

  async commitWeights(hotkey: Signer, hash: Uint8Array): Promise<void> {
    this.#send('commitWeights', () => {
      this.commits.set(hex(hash), this.#epoch(this.block))
      this.update(toSs58(hotkey.publicKey), { lastUpdateBlock: this.block })
    })
  }

  async revealWeights(signer: Signer, reveal: WeightsReveal): Promise<void> {
    this.#send('revealWeights', () => {
      const hotkey = toSs58(signer.publicKey)
      const hash = hex(weightsCommitHash({ hotkey, netuid: this.constants.netuid, reveal }))
      const epoch = this.commits.get(hash)
      if (epoch === undefined) throw refusal({ kind: 'dispatch', reason: 'NoWeightsCommitFound' })
      if (this.#epoch(this.block) !== epoch + this.params.revealPeriodEpochs)
        throw refusal({ kind: 'dispatch', reason: 'RevealTooEarly' })
      this.commits.delete(hash)
      this.#setRow(signer, reveal)
    })
  }

  serve = async () => this.#unused()
  commit = async () => this.#unused()

  /** Changes what the chain says of a hotkey. */
  update(hotkey: string, change: Partial<Neuron>): void {
    this.neurons = this.neurons.map((each) => (each.hotkey === hotkey ? { ...each, ...change } : each))
  }

  #send<T>(call: string, effect: () => T): T {
    this.before(call)
    this.advanceTo(this.block + 1)
    const result = effect()
    this.sent.push(call)
    this.after(call)
    return result
  }

  #setRow(signer: Signer, { uids, values }: Weights): void {
    const uid = this.#neuron(toSs58(signer.publicKey))?.uid ?? -1
    this.rows.set(
      uid,
      uids.map((to, i) => [to, values[i] ?? 0]),
    )
    this.update(toSs58(signer.publicKey), { lastUpdateBlock: this.block })
  }

  #pay(coldkey: string, amountRao: bigint): void {
    const balance = this.balances.get(coldkey) ?? 0n
    if (balance < amountRao) throw refusal({ kind: 'dispatch', reason: 'NotEnoughBalanceToStake' })
    this.balances.set(coldkey, balance - amountRao)
  }

  #change(netuid: number, change: Partial<SubnetInfo>): void {
    const info = this.infos.get(netuid)
    if (info === undefined) throw refusal({ kind: 'dispatch', reason: 'SubnetNotExists' })
    this.infos.set(netuid, { ...info, ...change })
  }

  #neuron(hotkey: string): Neuron | undefined {
    return this.neurons.find((each) => each.hotkey === hotkey)
  }

  #epoch(block: number): number {
    return Math.floor(block / TEMPO)
  }

  #head(): BlockHead {
    return { number: this.block, hash: `0x${this.block}`, timestampMs: this.timestampMs }
  }

  #unused(): never {
    throw new Error('no test of this chain needs that')
  }
}
