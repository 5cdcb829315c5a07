/**
 * The authority of a devchain: makes a block on every tick of its clock from what waits in the pool, and answers for
 * the recent ones. The rules are in `state.ts`; how processes reach it, in `devchain-server.ts` and `adapter.ts`.
 */
import { encode } from '@ipld/dag-cbor'
import { toString as bytesToText } from 'uint8arrays'
import type { Clock, Timer } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import { hmacSha256, sha256 } from '../../crypto/hash.js'
import { cryptoReady } from '../../crypto/keys.js'
import type { BlockHead, ChainConstants, ChainRecord, Metagraph } from '../chain.js'
import { DEVCHAIN_TAG, type GenesisSpec, genesisConstants } from './genesis.js'
import { decodeOperation, operationId, type SignedOperation, verifyOperation } from './operation.js'
import { OperationPool } from './pool.js'
import { type Refusal, refused } from './refusals.js'
import {
  admissionRefusal,
  applyOperation,
  type DevchainState,
  genesisState,
  metagraphOf,
  nonceOf,
  onBlock,
  recordsOf,
  stateRoot,
} from './state.js'

/** Blocks whose state and outcomes can still be asked for. */
export const KNOWN_BLOCKS_MAX = 512
export const BLOCK_OPERATIONS_MAX = 1_024

/** What became of an operation that is in a block. */
export interface OperationOutcome {
  readonly block: number
  /** The chain's name for its refusal; `null` when it took effect. */
  readonly refusal: Refusal | null
}

export interface DevchainComponents {
  readonly clock: Clock
  /** The secret behind every block's randomness comes from here. */
  readonly random: Random
  readonly logger: Logger
}

export interface DevchainInit {
  readonly genesis: GenesisSpec
}

interface KnownBlock {
  readonly state: DevchainState
  readonly operationIds: readonly string[]
}

export class Devchain implements Startable {
  readonly constants: ChainConstants
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #secret: Uint8Array
  readonly #pool = new OperationPool()
  readonly #known = new Map<number, KnownBlock>()
  readonly #outcomes = new Map<string, OperationOutcome>()
  readonly #listeners = new Set<(head: BlockHead) => void>()
  #state: DevchainState
  #root: Uint8Array
  #head: BlockHead
  #timer: Timer | undefined

  /** Throws `CONFIG` when the genesis makes no sense. */
  constructor(components: DevchainComponents, init: DevchainInit) {
    this.constants = genesisConstants(init.genesis)
    this.#clock = components.clock
    this.#logger = components.logger
    this.#secret = components.random.bytes(32)
    this.#state = genesisState(init.genesis)
    this.#root = stateRoot(this.#state)
    this.#head = { number: 0, hash: this.constants.genesisHash }
    this.#known.set(0, { state: this.#state, operationIds: [] })
  }

  /** Starts the ticks; the first block comes after `blockMs`. */
  async start(): Promise<void> {
    await cryptoReady()
    const { genesisHash, blockMs, tempo } = this.constants
    this.#logger.info({ genesisHash, blockMs, tempo }, 'devchain makes blocks')
    this.#scheduleTick(this.#clock.monotonicMs() + blockMs)
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  get head(): BlockHead {
    return this.#head
  }

  /** Hex of the hash over the whole state at the head. */
  get stateHash(): string {
    return `0x${bytesToText(this.#root, 'base16')}`
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Throws `CHAIN_REFUSED` `UnknownBlock` for a block that is not known, or no longer. */
  metagraph(block: number): Metagraph {
    return metagraphOf(this.#stateAt(block), block)
  }

  /** As `metagraph`. */
  records(block: number): ReadonlyMap<string, ChainRecord> {
    return recordsOf(this.#stateAt(block))
  }

  /** 32 bytes, for any block up to the head; only who has the secret could know them earlier. */
  randomness(block: number): Uint8Array {
    if (block > this.#head.number) throw refused('UnknownBlock', { block })
    const { genesisHash } = this.constants
    return hmacSha256(this.#secret, encode({ tag: `${DEVCHAIN_TAG}/randomness`, genesisHash, block }))
  }

  /** The nonce for the hotkey's next operation, counting those that wait. */
  nonce(hotkey: string): number {
    return nonceOf(this.#state, hotkey) + this.#pool.count(hotkey)
  }

  /**
   * Takes an operation into the pool and says what became of it: `null` while it waits. Sending the same one again is
   * harmless and asks for its outcome. Throws `INVALID` or `CHAIN_REFUSED`.
   */
  submit(signed: SignedOperation): OperationOutcome | null {
    if (this.#timer === undefined) throw new SubnetError('CHAIN_UNAVAILABLE', 'the devchain makes no blocks')
    const id = operationId(signed.body)
    const outcome = this.#outcomes.get(id)
    if (outcome !== undefined) return outcome
    if (this.#pool.has(id)) return null
    const operation = decodeOperation(signed.body, this.constants.genesisHash)
    // What costs nothing is checked before the signature.
    const refusal = admissionRefusal(operation, this.nonce(operation.hotkey), this.#head.number + 1)
    if (refusal !== undefined) throw refused(refusal)
    this.#pool.requireRoom(operation.hotkey)
    verifyOperation(operation, signed)
    this.#pool.add({ id, operation })
    return null
  }

  #scheduleTick(dueMs: number): void {
    const { blockMs } = this.constants
    this.#timer = this.#clock.after(Math.max(0, dueMs - this.#clock.monotonicMs()), () => {
      const nowMs = this.#clock.monotonicMs()
      // Missed ticks do not pile up: after a pause longer than a block the rhythm starts anew.
      this.#scheduleTick((nowMs - dueMs > blockMs ? nowMs : dueMs) + blockMs)
      this.#makeBlock()
    })
  }

  #makeBlock(): void {
    const number = this.#head.number + 1
    const before = this.#state
    let state = onBlock(before, number)
    const pooled = this.#pool.take(BLOCK_OPERATIONS_MAX)
    const refusals: (Refusal | null)[] = []
    for (const { operation } of pooled) {
      const applied = applyOperation(state, operation, number)
      state = applied.state
      refusals.push(applied.refusal ?? null)
    }
    if (state !== before) this.#root = stateRoot(state)
    this.#state = state
    const operationIds = pooled.map(({ id }) => id)
    operationIds.forEach((id, i) => {
      this.#outcomes.set(id, { block: number, refusal: refusals[i] ?? null })
    })
    this.#known.set(number, { state, operationIds })
    this.#forgetBlock(number - KNOWN_BLOCKS_MAX)
    this.#head = { number, hash: this.#blockHash(number, operationIds) }
    this.#announce(this.#head)
  }

  #blockHash(number: number, operations: readonly string[]): string {
    const header = {
      tag: `${DEVCHAIN_TAG}/block`,
      parent: this.#head.hash,
      number,
      operations,
      stateRoot: this.#root,
    }
    return `0x${bytesToText(sha256(encode(header)), 'base16')}`
  }

  #forgetBlock(number: number): void {
    for (const id of this.#known.get(number)?.operationIds ?? []) this.#outcomes.delete(id)
    this.#known.delete(number)
  }

  #announce(head: BlockHead): void {
    for (const listener of this.#listeners) {
      try {
        listener(head)
      } catch (error) {
        // A listener's failure is its own; the chain and the other listeners go on.
        this.#logger.error({ err: error, block: head.number }, 'a listener for new heads failed')
      }
    }
  }

  #stateAt(block: number): DevchainState {
    const known = this.#known.get(block)
    if (known === undefined) throw refused('UnknownBlock', { block })
    return known.state
  }
}
