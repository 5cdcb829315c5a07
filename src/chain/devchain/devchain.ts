/**
 * The authority of a devchain: makes a block on every tick of its clock from what waits in the pool, keeps it where it has
 * a store, and answers for the recent ones. The rules are in `state.ts`; how processes reach it, in `devchain-server.ts`
 * and `adapter.ts`.
 */
import { encode } from '@ipld/dag-cbor'
import { toString as bytesToText } from 'uint8arrays'
import type { Clock, Timer } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import { hmacSha256 } from '../../crypto/hash.js'
import { cryptoReady } from '../../crypto/keys.js'
import type { BlockHead, ChainConstants } from '../chain.js'
import { type Block, nextBlock } from './block.js'
import { DEVCHAIN_TAG, type GenesisSpec, genesisConstants } from './genesis.js'
import { type DevchainState, stateRoot } from './ledger.js'
import { Misbehaviour, type Misdeed } from './misbehaviour.js'
import { decodeOperation, operationId, type SignedOperation, verifyOperation } from './operation.js'
import { OperationPool } from './pool.js'
import { POOL_CODES, type RefusalNote, refused, refusedByPool } from './refusals.js'
import { admissionRefusal, applyOperation, genesisState, nonceOf, type Operation, onBlock } from './state.js'
import type { DevchainStore } from './store.js'
import type { Subnet } from './subnet.js'

/** Blocks whose state and outcomes can still be asked for. */
export const KNOWN_BLOCKS_MAX = 512
export const BLOCK_OPERATIONS_MAX = 1_024
/** A block is final once so many are on top of it: a reorg is never deeper. */
export const FINAL_AFTER_BLOCKS = 8

/** What became of an operation that is in a block. */
export interface OperationOutcome {
  readonly block: number
  /** Why it was refused; `null` when it took effect. */
  readonly refusal: RefusalNote | null
}

export interface DevchainComponents {
  readonly clock: Clock
  /** The secret behind every block's randomness comes from here. */
  readonly random: Random
  readonly logger: Logger
}

export interface DevchainInit {
  readonly genesis: GenesisSpec
  /** Where the chain outlives its process; without, it ends with it. */
  readonly store?: DevchainStore
  /** Others may misbehave it over WebSocket. */
  readonly remoteMisbehaviour?: boolean
}

export class Devchain implements Startable {
  readonly constants: ChainConstants
  readonly misbehaviour: Misbehaviour
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #store: DevchainStore | undefined
  readonly #remoteMisbehaviour: boolean
  readonly #pool = new OperationPool()
  readonly #blocks = new Map<number, Block>()
  readonly #outcomes = new Map<string, OperationOutcome>()
  readonly #listeners = new Set<(head: BlockHead) => void>()
  #secret: Uint8Array
  #newest: Block
  /** For each reorg the first block that was made anew. */
  #reorgs: readonly number[] = []
  /** The state in which the next block's operations will run, once somebody asked. */
  #preview: { readonly of: Block; readonly state: DevchainState } | undefined
  /** False while a stored chain has not been read. */
  #ready: boolean
  #timer: Timer | undefined

  /** Throws `CONFIG` when the genesis makes no sense. */
  constructor(components: DevchainComponents, init: DevchainInit) {
    this.constants = genesisConstants(init.genesis)
    this.misbehaviour = new Misbehaviour(components.random)
    this.#clock = components.clock
    this.#logger = components.logger
    this.#store = init.store
    this.#remoteMisbehaviour = init.remoteMisbehaviour === true
    this.#ready = init.store === undefined
    this.#secret = components.random.bytes(32)
    const state = genesisState(init.genesis)
    const head = { number: 0, hash: this.constants.genesisHash, timestampMs: 0 }
    this.#newest = { head, state, root: stateRoot(state), operations: [], refusals: [] }
    this.#blocks.set(0, this.#newest)
  }

  /** Starts the ticks; the first block comes after `blockMs`. Rejects with what the store rejects with. */
  async start(): Promise<void> {
    await cryptoReady()
    if (this.#store?.isOpen === false) await this.#restore(this.#store)
    const { genesisHash, blockMs, tempo } = this.constants
    this.#logger.info(
      { genesisHash, blockMs, tempo, block: this.#newest.head.number },
      'devchain makes blocks',
    )
    this.#scheduleTick(this.#clock.monotonicMs() + blockMs)
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#store?.close()
  }

  get head(): BlockHead {
    return this.#known.head
  }

  /** The newest head that no reorg drops, as far back as is known. */
  get finalizedHead(): BlockHead {
    const number = Math.max(0, this.#known.head.number - FINAL_AFTER_BLOCKS)
    const final = this.#blocks.get(number) ?? this.#blocks.values().next().value
    return (final ?? this.#newest).head
  }

  /** Hex of the hash over the whole state at the head. */
  get stateHash(): string {
    return `0x${bytesToText(this.#known.root, 'base16')}`
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** At a block, by default the head. Throws `CHAIN_REFUSED` `UnknownBlock` for one that is not known, or no longer. */
  state(block: number = this.head.number): DevchainState {
    const known = this.#known.head.number >= block ? this.#blocks.get(block) : undefined
    if (known === undefined) throw refused('UnknownBlock', { block })
    return known.state
  }

  /** As `state`; throws `SubnetNotExists` too. */
  subnet(netuid: number, block?: number): Subnet {
    const subnet = this.state(block).subnets.get(netuid)
    if (subnet === undefined) throw refused('SubnetNotExists', { kind: 'precondition', netuid })
    return subnet
  }

  /** 32 bytes, for any block up to the head; only who has the secret could know them earlier. */
  randomness(block: number): Uint8Array {
    if (block > this.head.number) throw refused('UnknownBlock', { block })
    const { genesisHash } = this.constants
    const reorgs = this.#reorgs.filter((first) => first <= block).length
    return hmacSha256(this.#secret, encode({ tag: `${DEVCHAIN_TAG}/randomness`, genesisHash, block, reorgs }))
  }

  /** The nonce for the key's next operation, counting those that wait. */
  nonce(key: string): number {
    return nonceOf(this.#known.state, key) + this.#pool.count(key)
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
    const ordered = this.misbehaviour.nextRefusal()
    if (ordered !== undefined) throw refusedByPool({ reason: ordered.reason }, ordered.code)
    const operation = decodeOperation(signed.body, this.constants.genesisHash)
    // What costs nothing is checked before the signature.
    const refusal = admissionRefusal(operation, this.nonce(operation.signer), this.head.number + 1)
    if (refusal !== undefined) throw refused(refusal)
    this.#pool.requireRoom(operation.signer)
    verifyOperation(operation, signed)
    this.#requirePoolRules(operation)
    this.#pool.add({ id, body: Uint8Array.from(signed.body), operation })
    return null
  }

  /** Throws `CONFIG` for a reorg of blocks that are final or not known. */
  misbehave(misdeed: Misdeed): void {
    this.#logger.warn({ ...misdeed }, 'the devchain misbehaves, as it was told')
    if (misdeed.kind === 'reorg') this.#reorganize(misdeed.depth)
    else this.misbehaviour.apply(misdeed)
  }

  /** As `misbehave`, for those who ask from elsewhere; throws `REFUSED` unless that was allowed at the start. */
  misbehaveRemotely(misdeed: Misdeed): null {
    if (!this.#remoteMisbehaviour)
      throw new SubnetError('REFUSED', 'this devchain was not started to misbehave')
    this.misbehave(misdeed)
    return null
  }

  get #known(): Block {
    if (!this.#ready) throw new SubnetError('CHAIN_UNAVAILABLE', 'the devchain is still reading its blocks')
    return this.#newest
  }

  /** What the real node's pool checks against the head; behind other operations of the same key it is for the block. */
  #requirePoolRules(operation: Operation): void {
    if (this.#pool.count(operation.signer) > 0) return
    const block = this.#newest.head.number + 1
    if (this.#preview?.of !== this.#newest)
      this.#preview = { of: this.#newest, state: onBlock(this.#newest.state, block) }
    const { refusal } = applyOperation(this.#preview.state, operation, block)
    const code = refusal && POOL_CODES[refusal.reason]
    if (refusal !== undefined && code !== undefined) throw refusedByPool(refusal, code)
  }

  async #restore(store: DevchainStore): Promise<void> {
    const { genesisHash } = this.constants
    const restored = await store.open({ genesisHash, genesis: this.#newest, secret: this.#secret })
    this.#secret = restored.secret
    this.#reorgs = restored.reorgs
    this.#blocks.clear()
    for (const [id, outcome] of restored.outcomes) this.#outcomes.set(id, outcome)
    for (const block of restored.blocks) this.#adopt(block)
    this.#ready = true
    const { number } = this.#newest.head
    if (number > 0) this.#logger.info({ block: number, stateHash: this.stateHash }, 'the devchain goes on')
  }

  #scheduleTick(dueMs: number): void {
    const { blockMs } = this.constants
    this.#timer = this.#clock.after(Math.max(0, dueMs - this.#clock.monotonicMs()), () => {
      const nowMs = this.#clock.monotonicMs()
      // Missed ticks do not pile up: after a pause longer than a block the rhythm starts anew.
      this.#scheduleTick((nowMs - dueMs > blockMs ? nowMs : dueMs) + blockMs)
      if (!this.misbehaviour.stalled) this.#makeBlock()
    })
  }

  #makeBlock(): void {
    const operations = this.#pool.take(BLOCK_OPERATIONS_MAX)
    const timestampMs = this.#clock.nowMs()
    const block = nextBlock(this.#newest, { operations, timestampMs, reorgs: this.#reorgs.length })
    try {
      // Before anybody hears of it: what was announced survives the process.
      this.#store?.append(block)
    } catch (error) {
      this.#pool.putBack(operations)
      this.#logger.error(
        { err: error, block: block.head.number },
        'the devchain cannot keep a block: trying again',
      )
      return
    }
    this.#adopt(block)
    this.#snapshotWhenDue()
    this.#announce(block.head)
  }

  #adopt(block: Block): void {
    const { number } = block.head
    this.#newest = block
    this.#blocks.set(number, block)
    block.operations.forEach(({ id }, i) => {
      this.#outcomes.set(id, { block: number, refusal: block.refusals[i] ?? null })
    })
    this.#blocks.delete(number - KNOWN_BLOCKS_MAX)
    // In the order of their blocks.
    for (const [id, outcome] of this.#outcomes) {
      if (outcome.block > number - KNOWN_BLOCKS_MAX) break
      this.#outcomes.delete(id)
    }
  }

  #snapshotWhenDue(): void {
    if (this.#store?.snapshotDue !== true) return
    try {
      this.#store.snapshot({ block: this.#newest, reorgs: this.#reorgs, outcomes: [...this.#outcomes] })
    } catch (error) {
      // The log has every block: the next block tries again.
      this.#logger.error({ err: error }, 'the devchain cannot write a snapshot')
    }
  }

  #reorganize(depth: number): void {
    const { number } = this.head
    const kept = this.#blocks.get(number - depth)
    if (depth < 1 || depth > FINAL_AFTER_BLOCKS || kept === undefined)
      throw new SubnetError(
        'CONFIG',
        `blocks that deep are final, or no longer known: at most ${FINAL_AFTER_BLOCKS}`,
      )
    const dropped = Array.from({ length: depth }, (_, i) => this.#blocks.get(number - depth + 1 + i))
    const operations = dropped.flatMap((block) => block?.operations ?? [])
    const reorgs = [...this.#reorgs, number - depth + 1]
    const outcomes = [...this.#outcomes].filter(([, { block }]) => block <= number - depth)
    // First: when the disk does not take it, nothing has happened.
    this.#store?.snapshot({ block: kept, reorgs, outcomes })
    for (const { id } of operations) this.#outcomes.delete(id)
    for (const block of dropped) this.#blocks.delete(block?.head.number ?? -1)
    this.#newest = kept
    this.#reorgs = reorgs
    this.#pool.putBack(operations)
    this.#makeBlock()
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
}
