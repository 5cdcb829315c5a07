/**
 * The `Chain` port over a devchain, wherever it runs. Reads are cached by block, so a block costs one metagraph and one
 * set of records however many ask; writes are signed here and come back only with their effect in a block.
 */
import { type AbortOptions, deadline, raceAbort, type ScopedSignal } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { invariant, isSubnetError, SubnetError } from '../../base/errors.js'
import { Semaphore } from '../../base/semaphore.js'
import { cryptoReady, type Signer, toSs58 } from '../../crypto/keys.js'
import type {
  BlockHead,
  Chain,
  ChainConstants,
  ChainRecord,
  Metagraph,
  Neuron,
  Registration,
} from '../chain.js'
import { encodeEndpoint } from '../record.js'
import type { DevchainApi, Result } from './api.js'
import { refusePublicGenesis } from './genesis.js'
import { type SignedOperation, signOperation } from './operation.js'
import { refusalOf, refused } from './refusals.js'
import type { Call } from './state.js'

/** Blocks an operation may wait for inclusion before it is void. */
const OPERATION_LIFETIME_BLOCKS = 16
/** On top of the operation's life: time for the answers around it. */
const EFFECT_GRACE_MS = 10_000
/** Signed anew so often when others use the same hotkey at the same time. */
const SIGNATURES_MAX = 5
const WRITES_WAITING_MAX = 64
const CACHED_BLOCKS_MAX = 8
const U64_MAX = 2n ** 64n - 1n

export interface DevchainAdapterComponents {
  readonly api: DevchainApi
  readonly clock: Clock
}

export class DevchainAdapter implements Chain {
  readonly #way: DevchainApi
  readonly #clock: Clock
  readonly #metagraphs = new Map<number, Promise<Metagraph>>()
  readonly #records = new Map<number, Promise<ReadonlyMap<string, ChainRecord>>>()
  /** By hotkey: its writes go one after the other, in nonce order. */
  readonly #turns = new Map<string, Semaphore>()
  readonly #writes = new Set<ScopedSignal>()
  #constants: ChainConstants | undefined
  #lastHeadBlock = 0
  #unsubscribe: (() => void) | undefined
  #stopped: SubnetError | undefined

  constructor(components: DevchainAdapterComponents) {
    this.#way = components.api
    this.#clock = components.clock
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
    this.#unsubscribe = this.#api.onHead((head) => this.#forgetOtherLife(head))
    try {
      await this.#api.start(options)
      const constants = await this.#api.call('constants', {}, options)
      refusePublicGenesis(constants.genesisHash)
      this.#constants = constants
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
    for (const write of this.#writes) write.abort(stopped)
    await this.#way.stop()
  }

  async head(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#api.head(options)
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    return this.#way.onHead(listener)
  }

  async metagraph(options: AbortOptions & { readonly at?: number } = {}): Promise<Metagraph> {
    const block = await this.#blockOr(options.at, options)
    return this.#cached('metagraph', this.#metagraphs, block, options)
  }

  async records(options: AbortOptions = {}): Promise<ReadonlyMap<string, ChainRecord>> {
    const block = await this.#blockOr(undefined, options)
    return this.#cached('records', this.#records, block, options)
  }

  async randomness(block: number, options: AbortOptions = {}): Promise<Uint8Array> {
    return this.#api.call('randomness', { block: await this.#blockOr(block, options) }, options)
  }

  async registerHotkey({ hotkey, coldkey }: Registration, options: AbortOptions = {}): Promise<number> {
    const address = toSs58(hotkey.publicKey)
    if ((await this.#neuron(address, options)) === undefined) await this.#register(hotkey, coldkey, options)
    const neuron = await this.#neuron(address, options)
    if (neuron === undefined) throw unavailable(`the registration of ${address} is gone from the chain`)
    if (neuron.coldkey !== coldkey) throw refused('NonAssociatedColdKey', { hotkey: address })
    return neuron.uid
  }

  async addStake(hotkey: Signer, amountRao: bigint, options: AbortOptions = {}): Promise<void> {
    if (amountRao < 0n || amountRao > U64_MAX)
      throw new SubnetError('INVALID', 'a stake is an unsigned 64-bit number')
    await this.#write(hotkey, { kind: 'addStake', amountRao }, options)
  }

  async commit(hotkey: Signer, record: ChainRecord, options: AbortOptions = {}): Promise<void> {
    await this.#write(hotkey, { kind: 'commit', endpoint: encodeEndpoint(record) }, options)
  }

  async #register(hotkey: Signer, coldkey: string, options: AbortOptions): Promise<void> {
    try {
      await this.#write(hotkey, { kind: 'register', coldkey }, options)
    } catch (error) {
      // Another process registered this hotkey in the meantime: that is what was asked for.
      if (refusalOf(error) !== 'HotKeyAlreadyRegisteredInSubNet') throw error
    }
  }

  async #neuron(address: string, options: AbortOptions): Promise<Neuron | undefined> {
    const { neurons } = await this.metagraph(options)
    return neurons.find((neuron) => neuron.hotkey === address)
  }

  /** Runs one operation to its effect, in the hotkey's turn and under a deadline. */
  async #write(hotkey: Signer, call: Call, options: AbortOptions): Promise<void> {
    const address = toSs58(hotkey.publicKey)
    let turn = this.#turns.get(address)
    if (turn === undefined) {
      turn = new Semaphore({ permitsMax: 1, waitersMax: WRITES_WAITING_MAX })
      this.#turns.set(address, turn)
    }
    await turn.run(() => this.#writeInTime(hotkey, address, call, options), options)
  }

  async #writeInTime(hotkey: Signer, address: string, call: Call, options: AbortOptions): Promise<void> {
    const timeoutMs = OPERATION_LIFETIME_BLOCKS * this.constants.blockMs + EFFECT_GRACE_MS
    using scope = deadline(this.#clock, timeoutMs, `${call.kind} of ${address}`, options.signal)
    this.#writes.add(scope)
    try {
      await this.#untilEffect(hotkey, address, call, scope.signal)
    } catch (error) {
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      throw ownDeadline ? unavailable(error.message, error) : error
    } finally {
      this.#writes.delete(scope)
    }
  }

  /**
   * Signs, then sends the same bytes at every block until the chain names their outcome: neither a lost answer nor a
   * lost connection makes the operation happen twice, or unnoticed.
   */
  async #untilEffect(hotkey: Signer, address: string, call: Call, signal: AbortSignal): Promise<void> {
    for (let signatures = 1; ; signatures += 1) {
      const nonce = await this.#api.call('nonce', { hotkey: address }, { signal })
      const head = await this.#api.head({ signal })
      const signed = signOperation(hotkey, {
        genesisHash: this.constants.genesisHash,
        nonce,
        expiresBlock: head.number + OPERATION_LIFETIME_BLOCKS,
        call,
      })
      const refusal = await this.#refusal(signed, signal)
      if (refusal === undefined) return
      const reason = refusalOf(refusal)
      const nonceTaken = reason === 'Stale' || reason === 'Future'
      if (!nonceTaken || signatures === SIGNATURES_MAX) throw refusal
    }
  }

  /** The chain's refusal, or `undefined` once the operation took effect. */
  async #refusal(signed: SignedOperation, signal: AbortSignal): Promise<SubnetError | undefined> {
    for (;;) {
      try {
        const outcome = await this.#api.call('submit', signed, { signal })
        if (outcome !== null) return outcome.refusal === null ? undefined : refused(outcome.refusal)
      } catch (error) {
        if (isSubnetError(error, 'CHAIN_REFUSED')) return error
        // Whether it arrived is not known. The next round asks again, until the deadline.
        if (!isSubnetError(error, 'CHAIN_UNAVAILABLE')) throw error
      }
      await this.#nextBlock(signal)
    }
  }

  /** Waits for a head, or for two blocks' time when none comes. */
  async #nextBlock(signal: AbortSignal): Promise<void> {
    let wake = (): void => undefined
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    const unsubscribe = this.#way.onHead(() => wake())
    const timer = this.#clock.after(2 * this.constants.blockMs, () => wake())
    try {
      await raceAbort(woken, signal)
    } finally {
      unsubscribe()
      timer.cancel()
    }
  }

  async #blockOr(at: number | undefined, options: AbortOptions): Promise<number> {
    if (at === undefined) return (await this.head(options)).number
    if (!Number.isSafeInteger(at) || at < 0) throw refused('UnknownBlock', { block: at })
    return at
  }

  #cached<M extends 'metagraph' | 'records'>(
    name: M,
    cache: Map<number, Promise<Result<M>>>,
    block: number,
    options: AbortOptions,
  ): Promise<Result<M>> {
    const known = cache.get(block)
    if (known !== undefined) return raceAbort(known, options.signal)
    // Without the caller's signal: others may wait for the same answer. The call has a deadline of its own.
    const asked: Promise<Result<M>> = this.#api.call(name, { block })
    cache.set(block, asked)
    asked.catch(() => {
      // Each waiter gets the failure; the next one asks again.
      if (cache.get(block) === asked) cache.delete(block)
    })
    for (const oldest of cache.keys()) {
      if (cache.size <= CACHED_BLOCKS_MAX) break
      cache.delete(oldest)
    }
    return raceAbort(asked, options.signal)
  }

  /** Heads that do not follow one another may come from a restarted chain, whose old blocks are other blocks. */
  #forgetOtherLife(head: BlockHead): void {
    if (head.number !== this.#lastHeadBlock + 1) {
      this.#metagraphs.clear()
      this.#records.clear()
    }
    this.#lastHeadBlock = head.number
  }
}

function unavailable(text: string, cause?: unknown): SubnetError {
  return new SubnetError('CHAIN_UNAVAILABLE', text, { cause })
}
