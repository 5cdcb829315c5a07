/**
 * The `Chain` port over a devchain, wherever it runs. Reads of a block are cached, so a block costs one metagraph and one
 * set of records however many ask; writes are `writer.ts`.
 */
import { type AbortOptions, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { invariant, SubnetError } from '../../base/errors.js'
import { cryptoReady, type Signer, toSs58 } from '../../crypto/keys.js'
import type {
  Axon,
  BlockHead,
  Chain,
  ChainConstants,
  ChainRecord,
  Faucet,
  Hyperparameters,
  Metagraph,
  Neuron,
  OwnerParameter,
  Registration,
  SubnetIdentity,
  SubnetInfo,
  Weights,
  WeightsReveal,
} from '../chain.js'
import { ipToBytes } from '../ip.js'
import { encodeEndpoint } from '../record.js'
import type { DevchainApi, Result } from './api.js'
import { refusePublicGenesis } from './genesis.js'
import { refusalOf, refused } from './refusals.js'
import type { Call } from './state.js'
import type { SwapHotkey } from './swap.js'
import { DevchainWriter } from './writer.js'

const CACHED_BLOCKS_MAX = 8
const U64_MAX = 2n ** 64n - 1n

type Cached = 'metagraph' | 'records' | 'weights'

export interface DevchainAdapterComponents {
  readonly api: DevchainApi
  readonly clock: Clock
}

export interface DevchainAdapterInit {
  /** Default: the subnet that the devchain's genesis made. */
  readonly netuid?: number
}

export class DevchainAdapter implements Chain {
  readonly #way: DevchainApi
  readonly #writer: DevchainWriter
  readonly #netuid: number | undefined
  readonly #cache = new Map<string, Promise<Result<Cached>>>()
  readonly faucet: Faucet
  #constants: ChainConstants | undefined
  #lastHeadBlock = 0
  #unsubscribe: (() => void) | undefined
  #stopped: SubnetError | undefined

  constructor(components: DevchainAdapterComponents, init: DevchainAdapterInit = {}) {
    this.#way = components.api
    this.#writer = new DevchainWriter(components)
    this.#netuid = init.netuid
    this.faucet = {
      join: (registration, options = {}) => this.#join(registration, options),
      stake: async (hotkey, amountRao, options = {}) => {
        requireU64(amountRao)
        await this.#write(hotkey, { kind: 'faucetStake', netuid: this.constants.netuid, amountRao }, options)
      },
      pay: async (coldkey, amountRao, options = {}) => {
        requireU64(amountRao)
        await this.#write(coldkey, { kind: 'faucetPay', amountRao }, options)
      },
    }
  }

  /** Every question goes this way, so none is asked after `stop`. */
  get #api(): DevchainApi {
    if (this.#stopped !== undefined) throw this.#stopped
    return this.#way
  }

  get constants(): ChainConstants {
    invariant(this.#constants, 'the chain was not started')
    return this.#constants
  }

  async start(options: AbortOptions = {}): Promise<void> {
    await cryptoReady()
    this.#stopped = undefined
    this.#writer.begin()
    this.#unsubscribe = this.#api.onHead((head) => this.#forgetOtherLife(head))
    try {
      await this.#api.start(options)
      const constants = await this.#api.call('constants', {}, options)
      refusePublicGenesis(constants.genesisHash)
      this.#constants = await this.#ofOwnSubnet(constants, options)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    const stopped = new SubnetError('STOPPED', 'the chain was stopped')
    this.#stopped = stopped
    this.#writer.end(stopped)
    await this.#way.stop()
  }

  async head(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#api.head(options)
  }

  async finalizedHead(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#api.call('finalizedHead', {}, options)
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    return this.#way.onHead(listener)
  }

  async metagraph(options: AbortOptions & { readonly at?: number } = {}): Promise<Metagraph> {
    return this.#cached('metagraph', await this.#blockOr(options.at, options), options)
  }

  async records(options: AbortOptions = {}): Promise<ReadonlyMap<string, ChainRecord>> {
    return this.#cached('records', await this.#blockOr(undefined, options), options)
  }

  async weights(options: AbortOptions = {}): Promise<Result<'weights'>> {
    return this.#cached('weights', await this.#blockOr(undefined, options), options)
  }

  async hyperparameters(
    options: AbortOptions & { readonly at?: number; readonly netuid?: number } = {},
  ): Promise<Hyperparameters> {
    const block = await this.#blockOr(options.at, options)
    const netuid = options.netuid ?? this.constants.netuid
    return this.#api.call('hyperparameters', { netuid, block }, options)
  }

  async randomness(block: number, options: AbortOptions = {}): Promise<Uint8Array> {
    return this.#api.call('randomness', { block: await this.#blockOr(block, options) }, options)
  }

  async balanceRao(coldkey: string, options: AbortOptions = {}): Promise<bigint> {
    return this.#api.call('balance', { coldkey }, options)
  }

  async subnets(options: AbortOptions = {}): Promise<readonly number[]> {
    return this.#api.call('subnets', {}, options)
  }

  async subnet(netuid: number, options: AbortOptions = {}): Promise<SubnetInfo | undefined> {
    const info = await this.#api.call('subnet', { netuid }, options)
    return info === null ? undefined : { ...info, identity: info.identity ?? undefined }
  }

  async subnetCostRao(options: AbortOptions = {}): Promise<bigint> {
    return this.#api.call('subnetCost', {}, options)
  }

  async commit(hotkey: Signer, record: ChainRecord, options: AbortOptions = {}): Promise<void> {
    const endpoint = encodeEndpoint(record)
    await this.#write(hotkey, { kind: 'commit', netuid: this.constants.netuid, endpoint }, options)
  }

  async serve(hotkey: Signer, axon: Axon, options: AbortOptions = {}): Promise<void> {
    const { netuid } = this.constants
    await this.#write(hotkey, { kind: 'serve', netuid, ip: ipToBytes(axon.ip), port: axon.port }, options)
  }

  async setWeights(hotkey: Signer, weights: Weights, options: AbortOptions = {}): Promise<void> {
    const { uids, values, versionKey } = weights
    const { netuid } = this.constants
    await this.#write(hotkey, { kind: 'setWeights', netuid, uids, values, versionKey }, options)
  }

  async commitWeights(hotkey: Signer, hash: Uint8Array, options: AbortOptions = {}): Promise<void> {
    await this.#write(hotkey, { kind: 'commitWeights', netuid: this.constants.netuid, hash }, options)
  }

  async revealWeights(hotkey: Signer, reveal: WeightsReveal, options: AbortOptions = {}): Promise<void> {
    const { uids, values, salt, versionKey } = reveal
    const { netuid } = this.constants
    await this.#write(hotkey, { kind: 'revealWeights', netuid, uids, values, salt, versionKey }, options)
  }

  async burnedRegister(
    request: { readonly coldkey: Signer; readonly hotkey: string; readonly limitRao: bigint },
    options: AbortOptions = {},
  ): Promise<number> {
    const { coldkey, hotkey, limitRao } = request
    requireU64(limitRao)
    const { netuid } = this.constants
    await this.#write(coldkey, { kind: 'burnedRegister', netuid, hotkey, limitRao }, options)
    return (await this.#registered(hotkey, options)).uid
  }

  async stake(
    request: { readonly coldkey: Signer; readonly hotkey: string; readonly amountRao: bigint },
    options: AbortOptions = {},
  ): Promise<void> {
    const { coldkey, hotkey, amountRao } = request
    requireU64(amountRao)
    await this.#write(coldkey, { kind: 'stake', netuid: this.constants.netuid, hotkey, amountRao }, options)
  }

  async registerSubnet(
    { coldkey, hotkey }: { readonly coldkey: Signer; readonly hotkey: string },
    options: AbortOptions = {},
  ): Promise<number> {
    const before = new Set(await this.subnets(options))
    await this.#write(coldkey, { kind: 'registerSubnet', hotkey }, options)
    const owner = toSs58(coldkey.publicKey)
    for (const netuid of await this.subnets(options)) {
      if (before.has(netuid)) continue
      const info = await this.subnet(netuid, options)
      if (info?.ownerColdkey === owner && info.ownerHotkey === hotkey) return netuid
    }
    throw unavailable('the new subnet is gone from the chain')
  }

  async startSubnet(
    { coldkey, netuid }: { readonly coldkey: Signer; readonly netuid: number },
    options: AbortOptions = {},
  ): Promise<void> {
    await this.#write(coldkey, { kind: 'startSubnet', netuid }, options)
  }

  async setSubnetIdentity(
    request: { readonly coldkey: Signer; readonly netuid: number; readonly identity: SubnetIdentity },
    options: AbortOptions = {},
  ): Promise<void> {
    const { netuid, identity } = request
    await this.#write(request.coldkey, { kind: 'setIdentity', netuid, identity }, options)
  }

  async setHyperparameter<P extends OwnerParameter>(
    request: {
      readonly coldkey: Signer
      readonly netuid: number
      readonly name: P
      readonly value: Hyperparameters[P]
    },
    options: AbortOptions = {},
  ): Promise<void> {
    const { netuid, name, value } = request
    await this.#write(request.coldkey, { kind: 'setParameter', netuid, name, value }, options)
  }

  /** Beyond the port: nothing of ours swaps, but everything must bear that others do (`swap_hotkey`). */
  async swapHotkey(
    { coldkey, hotkey, newHotkey }: { readonly coldkey: Signer } & SwapHotkey,
    options: AbortOptions = {},
  ): Promise<void> {
    await this.#write(coldkey, { kind: 'swapHotkey', hotkey, newHotkey }, options)
  }

  async #join({ hotkey, coldkey }: Registration, options: AbortOptions): Promise<number> {
    const address = toSs58(hotkey.publicKey)
    if ((await this.#neuron(address, options)) === undefined) {
      const { netuid } = this.constants
      await this.#write(hotkey, { kind: 'join', netuid, coldkey }, options).catch((error: unknown) => {
        // Another process registered this hotkey in the meantime: that is what was asked for.
        if (refusalOf(error) !== 'HotKeyAlreadyRegisteredInSubNet') throw error
      })
    }
    const neuron = await this.#registered(address, options)
    if (neuron.coldkey !== coldkey) throw refused('NonAssociatedColdKey', { hotkey: address })
    return neuron.uid
  }

  async #write(signer: Signer, call: Call, options: AbortOptions): Promise<void> {
    if (this.#stopped !== undefined) throw this.#stopped
    await this.#writer.write(signer, call, this.constants, options)
  }

  async #ofOwnSubnet(constants: ChainConstants, options: AbortOptions): Promise<ChainConstants> {
    const netuid = this.#netuid ?? constants.netuid
    if (netuid === constants.netuid) return constants
    const netuids = await this.#api.call('subnets', {}, options)
    if (!netuids.includes(netuid)) {
      const text = `there is no subnet ${netuid} on this devchain, only ${netuids.join(', ')}: check --netuid`
      throw new SubnetError('CONFIG', text, { data: { reason: 'SubnetNotExists', netuid } })
    }
    const { number: block } = await this.#api.head(options)
    const { tempo } = await this.#api.call('hyperparameters', { netuid, block }, options)
    return { ...constants, netuid, tempo }
  }

  async #neuron(address: string, options: AbortOptions): Promise<Neuron | undefined> {
    const { neurons } = await this.metagraph(options)
    return neurons.find((neuron) => neuron.hotkey === address)
  }

  async #registered(address: string, options: AbortOptions): Promise<Neuron> {
    const neuron = await this.#neuron(address, options)
    if (neuron === undefined) throw unavailable(`the registration of ${address} is gone from the chain`)
    return neuron
  }

  async #blockOr(at: number | undefined, options: AbortOptions): Promise<number> {
    if (at === undefined) return (await this.head(options)).number
    if (!Number.isSafeInteger(at) || at < 0) throw refused('UnknownBlock', { block: at })
    return at
  }

  #cached<M extends Cached>(name: M, block: number, options: AbortOptions): Promise<Result<M>> {
    const key = `${name} ${block}`
    const known = this.#cache.get(key) as Promise<Result<M>> | undefined
    if (known !== undefined) return raceAbort(known, options.signal)
    // Without the caller's signal: others may wait for the same answer. The call has a deadline of its own.
    const asked: Promise<Result<M>> = this.#api.call(name, { netuid: this.constants.netuid, block })
    this.#cache.set(key, asked)
    asked.catch(() => {
      // Each waiter gets the failure; the next one asks again.
      if (this.#cache.get(key) === asked) this.#cache.delete(key)
    })
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= 3 * CACHED_BLOCKS_MAX) break
      this.#cache.delete(oldest)
    }
    return raceAbort(asked, options.signal)
  }

  /** Heads that do not follow one another may come from a reorg or a restarted chain, whose old blocks are other blocks. */
  #forgetOtherLife(head: BlockHead): void {
    if (head.number !== this.#lastHeadBlock + 1) this.#cache.clear()
    this.#lastHeadBlock = head.number
  }
}

function requireU64(rao: bigint): void {
  if (rao < 0n || rao > U64_MAX) throw new SubnetError('INVALID', 'an amount is an unsigned 64-bit number')
}

function unavailable(text: string): SubnetError {
  return new SubnetError('CHAIN_UNAVAILABLE', text)
}
