/**
 * The `Chain` port over a subtensor node. Reads are cached by block hash, so a block costs one metagraph and one set of
 * records however many ask. Writes are signed here and come back only with their effect in a block; what costs is
 * checked before it is sent. Mechanism 0 of the subnet only; timelocked weight commits are not made.
 */
import { hexToU8a, u8aToHex } from '@polkadot/util'
import * as z from 'zod'
import type { AbortOptions } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { invariant, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import { cryptoReady, fromSs58, type Signer, toSs58 } from '../../crypto/keys.js'
import type {
  Axon,
  BlockHead,
  Chain,
  ChainConstants,
  ChainRecord,
  Hyperparameters,
  Metagraph,
  OwnerParameter,
  RegistryChain,
  SubnetInfo,
  Weights,
  WeightsReveal,
} from '../chain.js'
import { ipNumber } from './axon.js'
import { BlockCache } from './block-cache.js'
import { commitmentCall, readRecords } from './commitments.js'
import { hyperparameterCall, rateLimitOf, readHyperparameters } from './hyperparameters.js'
import { count } from './json.js'
import { noSubnet, readMetagraph } from './metagraph.js'
import { NodeConnection, type NodeConnectionInit } from './node-connection.js'
import { loadPolkadot } from './polkadot.js'
import { reasonOf, refusedBefore, withBlock } from './refusals.js'
import type { RuntimeCall } from './runtime.js'
import { type BlockRef, type StateAt, StateReader, type StateReaderComponents } from './state-reader.js'
import { type Inclusion, Submitter } from './submitter.js'
import { identityCall, readBalance, readSubnet, readSubnetCost, readSubnets, readWeights } from './subnet.js'
import { permittedBlock, type WaitSubject } from './waits.js'

/** Said of this program in `serve_axon`; explorers show it. */
const AXON_VERSION = 1
/** `serve_axon`'s `protocol`: TCP, as Bittensor writes it. */
const AXON_PROTOCOL = 4
/** Of networks whose runtime does not say how long a slot is. */
const BLOCK_MS_DEFAULT = 12_000

export interface SubtensorComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly loadRuntime?: StateReaderComponents['loadRuntime']
}

export interface SubtensorInit extends NodeConnectionInit {
  readonly netuid: number
}

export class SubtensorChain implements Chain {
  readonly faucet = undefined
  readonly #netuid: number
  readonly #connection: NodeConnection
  readonly #reader: StateReader
  readonly #submitter: Submitter
  readonly #metagraphs = new BlockCache<Metagraph>()
  readonly #records = new BlockCache<ReadonlyMap<string, ChainRecord>>()
  #constants: ChainConstants | undefined

  constructor(components: SubtensorComponents, init: SubtensorInit) {
    this.#netuid = init.netuid
    this.#connection = new NodeConnection(components, init)
    const { clock, logger, ...rest } = components
    this.#reader = new StateReader({ ...rest, connection: this.#connection })
    this.#submitter = new Submitter({ connection: this.#connection, reader: this.#reader, clock, logger })
  }

  get constants(): ChainConstants {
    invariant(this.#constants, 'the chain was not started')
    return this.#constants
  }

  /** Rejects with `CHAIN_UNAVAILABLE`, or `CHAIN_REFUSED` (`WrongGenesis`, `NotSubtensor`, `SubnetNotExists`). */
  async start(options: AbortOptions = {}): Promise<void> {
    // Before any deadline: a slow machine reads its disk for seconds here.
    await Promise.all([cryptoReady(), loadPolkadot()])
    await this.#connection.start(options)
    try {
      const state = await this.#reader.at(undefined, options)
      const { tempo } = await readHyperparameters(state, this.#netuid, options)
      const slotMs = count.safeParse(state.runtime.constant('Aura', 'SlotDuration')).data
      this.#constants = {
        genesisHash: this.#connection.genesisHash,
        netuid: this.#netuid,
        blockMs: slotMs ?? BLOCK_MS_DEFAULT,
        tempo,
      }
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  async stop(): Promise<void> {
    this.#submitter.stop(new SubnetError('STOPPED', 'the chain was stopped'))
    await this.#connection.stop()
  }

  async head(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#connection.head(options)
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    return this.#connection.onHead(listener)
  }

  async finalizedHead(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#connection.finalizedHead(options)
  }

  async metagraph(options: AbortOptions & { readonly at?: number } = {}): Promise<Metagraph> {
    const state = await this.#reader.at(options.at, options)
    return this.#metagraphs.get(state.block, options, () => readMetagraph(state, this.#netuid, {}))
  }

  async records(options: AbortOptions = {}): Promise<ReadonlyMap<string, ChainRecord>> {
    const state = await this.#reader.at(undefined, options)
    return this.#records.get(state.block, options, async () => {
      const [records, { neurons }] = await Promise.all([
        readRecords(state, this.#netuid, {}),
        this.#metagraphs.get(state.block, {}, () => readMetagraph(state, this.#netuid, {})),
      ])
      // Commitments outlive the registration of their hotkey.
      const registered = neurons.flatMap(({ hotkey }) => {
        const record = records.get(hotkey)
        return record === undefined ? [] : [[hotkey, record] as const]
      })
      return new Map(registered)
    })
  }

  async hyperparameters(
    options: AbortOptions & { readonly at?: number; readonly netuid?: number } = {},
  ): Promise<Hyperparameters> {
    const state = await this.#reader.at(options.at, options)
    return readHyperparameters(state, options.netuid ?? this.#netuid, options)
  }

  /** The block's own hash: nobody knew it before, and unlike drand pulses every node keeps it for ever. */
  async randomness(block: number, options: AbortOptions = {}): Promise<Uint8Array> {
    return hexToU8a((await this.#reader.blockAt(block, options)).hash)
  }

  async weights(
    options: AbortOptions = {},
  ): Promise<ReadonlyMap<number, ReadonlyArray<readonly [number, number]>>> {
    return readWeights(await this.#reader.at(undefined, options), this.#netuid, options)
  }

  async setWeights(hotkey: Signer, weights: Weights, options: AbortOptions = {}): Promise<void> {
    const { uids, values, versionKey } = weights
    const args = { netuid: this.#netuid, dests: uids, weights: values, version_key: versionKey }
    await this.#byHotkey(hotkey, subtensor('set_weights', args), options)
  }

  async commitWeights(hotkey: Signer, hash: Uint8Array, options: AbortOptions = {}): Promise<void> {
    if (hash.length !== 32) throw new SubnetError('INVALID', 'a weights commit is a hash of 32 bytes')
    const args = { netuid: this.#netuid, commit_hash: u8aToHex(hash) }
    await this.#byHotkey(hotkey, subtensor('commit_weights', args), options)
  }

  async revealWeights(hotkey: Signer, reveal: WeightsReveal, options: AbortOptions = {}): Promise<void> {
    const { uids, values, salt, versionKey } = reveal
    const args = { netuid: this.#netuid, uids, values, salt, version_key: versionKey }
    await this.#byHotkey(hotkey, subtensor('reveal_weights', args), options)
  }

  async serve(hotkey: Signer, axon: Axon, options: AbortOptions = {}): Promise<void> {
    const { ip, ipType } = ipNumber(axon)
    const args = {
      netuid: this.#netuid,
      version: AXON_VERSION,
      ip,
      port: axon.port,
      ip_type: ipType,
      protocol: AXON_PROTOCOL,
      placeholder1: 0,
      placeholder2: 0,
    }
    await this.#byHotkey(hotkey, subtensor('serve_axon', args), options)
  }

  async commit(hotkey: Signer, record: ChainRecord, options: AbortOptions = {}): Promise<void> {
    await this.#byHotkey(hotkey, commitmentCall(this.#netuid, record), options)
  }

  async balanceRao(coldkey: string, options: AbortOptions = {}): Promise<bigint> {
    fromSs58(coldkey)
    return readBalance(await this.#reader.at(undefined, options), coldkey, options)
  }

  async subnets(options: AbortOptions = {}): Promise<readonly number[]> {
    return readSubnets(await this.#reader.at(undefined, options), options)
  }

  async subnet(netuid: number, options: AbortOptions = {}): Promise<SubnetInfo | undefined> {
    return readSubnet(await this.#reader.at(undefined, options), netuid, options)
  }

  async subnetCostRao(options: AbortOptions = {}): Promise<bigint> {
    return readSubnetCost(await this.#reader.at(undefined, options), options)
  }

  async burnedRegister(
    { coldkey, hotkey, limitRao }: Parameters<RegistryChain['burnedRegister']>[0],
    options: AbortOptions = {},
  ): Promise<number> {
    fromSs58(hotkey)
    const netuid = this.#netuid
    const state = await this.#reader.at(undefined, options)
    const { burnRao, registrationAllowed } = await readHyperparameters(state, netuid, options)
    const uid = await state.value(['SubtensorModule', 'Uids', netuid, hotkey], count.nullish(), options)
    if (uid != null) throw refusedBefore('HotKeyAlreadyRegisteredInSubNet', `${hotkey} has uid ${uid}`)
    if (!registrationAllowed) throw refusedBefore('SubNetRegistrationDisabled', `subnet ${netuid}`)
    if (burnRao > limitRao) {
      const text = `registering costs ${burnRao} rao now, above the limit of ${limitRao}`
      throw refusedBefore('RegistrationPriceLimitExceeded', text)
    }
    await this.#requireBalance(state, coldkey, burnRao, options)
    // Runtimes before it let the price rise between here and the block.
    const limited = state.runtime.callFields('SubtensorModule', 'register_limit') !== undefined
    const call = limited
      ? subtensor('register_limit', { netuid, hotkey, limit_price: limitRao })
      : subtensor('burned_register', { netuid, hotkey })
    const { block } = await this.#submit(coldkey, call, { netuid, hotkey }, options)
    const after = await this.#reader.atBlock(block, options)
    return after.value(['SubtensorModule', 'Uids', netuid, hotkey], count, options)
  }

  async registerSubnet(
    { coldkey, hotkey }: Parameters<RegistryChain['registerSubnet']>[0],
    options: AbortOptions = {},
  ): Promise<number> {
    fromSs58(hotkey)
    const state = await this.#reader.at(undefined, options)
    await this.#requireBalance(
      state,
      coldkey,
      await readSubnetCost(state, options),
      options,
      'CannotAffordLockCost',
    )
    const subject = { netuid: this.#netuid }
    const wait = await permittedBlock('NetworkTxRateLimitExceeded', state, subject, options)
    requireBlock('NetworkTxRateLimitExceeded', state.block, wait)
    const call = subtensor('register_network', { hotkey })
    const { events } = await this.#submit(coldkey, call, subject, options)
    const added = events.find(({ pallet, name }) => pallet === 'subtensorModule' && name === 'NetworkAdded')
    return z.object({ 0: count }).parse(added?.fields)[0]
  }

  async startSubnet(
    { coldkey, netuid }: Parameters<RegistryChain['startSubnet']>[0],
    options: AbortOptions = {},
  ): Promise<void> {
    const state = await this.#reader.at(undefined, options)
    const subnet = await this.#owned(state, coldkey, netuid, options, 'BadOrigin')
    if (subnet.started)
      throw refusedBefore('FirstEmissionBlockNumberAlreadySet', `subnet ${netuid} was started`)
    requireBlock('NeedWaitingMoreBlocksToStarCall', state.block, subnet.startAllowedAtBlock)
    await this.#submit(coldkey, subtensor('start_call', { netuid }), { netuid }, options)
  }

  async setSubnetIdentity(
    { coldkey, netuid, identity }: Parameters<RegistryChain['setSubnetIdentity']>[0],
    options: AbortOptions = {},
  ): Promise<void> {
    const state = await this.#reader.at(undefined, options)
    await this.#owned(state, coldkey, netuid, options)
    await this.#submit(coldkey, await identityCall(state, netuid, identity, options), { netuid }, options)
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
    const { coldkey, netuid, name, value } = request
    const state = await this.#reader.at(undefined, options)
    await this.#owned(state, coldkey, netuid, options, 'BadOrigin')
    const now = await readHyperparameters(state, netuid, options)
    const call = hyperparameterCall(netuid, name, value, now)
    await this.#submit(coldkey, call, { netuid, ...rateLimitOf(name) }, options)
  }

  async stake(
    { coldkey, hotkey, amountRao }: Parameters<RegistryChain['stake']>[0],
    options: AbortOptions = {},
  ): Promise<void> {
    fromSs58(hotkey)
    const netuid = this.#netuid
    await this.#requireBalance(await this.#reader.at(undefined, options), coldkey, amountRao, options)
    const call = subtensor('add_stake', { hotkey, netuid, amount_staked: amountRao })
    await this.#submit(coldkey, call, { netuid, hotkey }, options)
  }

  /** A call that is free and that the hotkey itself makes. */
  async #byHotkey(hotkey: Signer, call: RuntimeCall, options: AbortOptions): Promise<void> {
    await this.#submit(hotkey, call, { netuid: this.#netuid, hotkey: toSs58(hotkey.publicKey) }, options)
  }

  /** To its effect; a refusal for coming too early says when it will do. */
  async #submit(
    signer: Signer,
    call: RuntimeCall,
    subject: WaitSubject,
    options: AbortOptions,
  ): Promise<Inclusion> {
    try {
      return await this.#submitter.submit(signer, call, this.constants.blockMs, options)
    } catch (error) {
      const reason = reasonOf(error)
      if (reason === undefined || !(error instanceof SubnetError)) throw error
      const block = await this.#permittedBlock(reason, subject, options)
      throw block === undefined ? error : withBlock(error, block)
    }
  }

  async #permittedBlock(
    reason: string,
    subject: WaitSubject,
    options: AbortOptions,
  ): Promise<number | undefined> {
    try {
      return await permittedBlock(reason, await this.#reader.at(undefined, options), subject, options)
    } catch {
      // The refusal is what the caller must see, with or without the block.
      return undefined
    }
  }

  /** `reason` is the runtime's own name for a stranger's attempt: it differs by call. */
  async #owned(
    state: StateAt,
    coldkey: Signer,
    netuid: number,
    options: AbortOptions,
    reason = 'NotSubnetOwner',
  ): Promise<SubnetInfo> {
    const subnet = await readSubnet(state, netuid, options)
    if (subnet === undefined) throw noSubnet(netuid)
    if (subnet.ownerColdkey === toSs58(coldkey.publicKey)) return subnet
    throw refusedBefore(reason, `subnet ${netuid} belongs to ${subnet.ownerColdkey}, not to this coldkey`)
  }

  async #requireBalance(
    state: StateAt,
    coldkey: Signer,
    neededRao: bigint,
    options: AbortOptions,
    reason = 'NotEnoughBalanceToStake',
  ): Promise<void> {
    const address = toSs58(coldkey.publicKey)
    const freeRao = await readBalance(state, address, options)
    if (freeRao >= neededRao) return
    const text = `${address} has ${freeRao} rao free, ${neededRao} are needed: nothing was sent`
    throw refusedBefore(reason, text)
  }
}

/** Throws when `block` has not come. */
function requireBlock(reason: string, { number }: BlockRef, block: number | undefined): void {
  // A call made now is in the next block at the earliest.
  if (block === undefined || number + 1 >= block) return
  throw refusedBefore(reason, `permitted from block ${block}, now is ${number}`, block)
}

function subtensor(name: string, args: Readonly<Record<string, unknown>>): RuntimeCall {
  return { pallet: 'SubtensorModule', name, args }
}
