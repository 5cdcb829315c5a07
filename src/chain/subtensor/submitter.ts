/**
 * Sends calls and comes back with what became of them, by looking into the blocks. An account's calls go one after the
 * other, so no two share a nonce. The same bytes are sent until their fate is known; new bytes are signed only when the
 * old ones can never be included: nothing happens twice, and no answer of a node is needed for that.
 */
import { u8aToHex } from '@polkadot/util'
import * as z from 'zod'
import { type AbortOptions, deadline, raceAbort, type ScopedSignal } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { Semaphore } from '../../base/semaphore.js'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import type { BlockHead } from '../chain.js'
import type { NodeConnection } from './node-connection.js'
import { RpcRefusal } from './node-socket.js'
import { reasonOf, refusedByPool, refusedInBlock } from './refusals.js'
import type { RuntimeCall, RuntimeEvent } from './runtime.js'
import type { BlockRef, StateReader } from './state-reader.js'
import { ERA_BLOCKS, signTransaction } from './transaction.js'

/** Signed anew so often when others use the same account at the same time, or the runtime is upgraded meanwhile. */
const SIGNATURES_MAX = 5
const CALLS_WAITING_MAX = 64
/** A transaction is born so far below the head at most, where finality lags or is absent. */
const BIRTH_DEPTH_MAX = 8
/** Blocks without it before the same bytes are sent again: pools lose transactions. */
const RESEND_BLOCKS = 2
/** On top of the blocks' time. */
const GRACE_MS = 60_000

const hash = z.string().regex(/^0x[0-9a-f]{64}$/)
const blockSchema = z.object({
  block: z.object({ header: z.object({ parentHash: hash }), extrinsics: z.array(z.string()) }),
})

export interface SubmitterComponents {
  readonly connection: NodeConnection
  readonly reader: StateReader
  readonly clock: Clock
  readonly logger: Logger
}

/** Where a call took effect, and what the chain reported of it. */
export interface Inclusion {
  readonly block: BlockRef
  readonly events: readonly RuntimeEvent[]
}

/** One signed transaction and what has been found out about it. */
interface Signed {
  readonly call: RuntimeCall
  readonly account: string
  readonly hex: string
  readonly nonce: number
  readonly specVersion: number
  readonly birth: BlockRef
  /** Blocks that do not hold it. */
  readonly seen: Set<string>
}

export class Submitter {
  readonly #components: SubmitterComponents
  /** By account. */
  readonly #turns = new Map<string, Semaphore>()
  readonly #writes = new Set<ScopedSignal>()

  constructor(components: SubmitterComponents) {
    this.#components = components
  }

  /** Ends what is on its way with `reason`; what was sent may still take effect. */
  stop(reason: SubnetError): void {
    for (const write of this.#writes) write.abort(reason)
  }

  /**
   * Resolves once the call took effect in a block. Rejects with `CHAIN_REFUSED` when it did not and will not, with
   * `CHAIN_UNAVAILABLE` when it was not included in time: its text says whether it still can be.
   */
  async submit(
    signer: Signer,
    call: RuntimeCall,
    blockMs: number,
    options: AbortOptions = {},
  ): Promise<Inclusion> {
    const account = toSs58(signer.publicKey)
    let turn = this.#turns.get(account)
    if (turn === undefined) {
      turn = new Semaphore({ permitsMax: 1, waitersMax: CALLS_WAITING_MAX })
      this.#turns.set(account, turn)
    }
    const timeoutMs = ERA_BLOCKS * blockMs + GRACE_MS
    const title = `${call.pallet}.${call.name} of ${account}`
    return turn.run(async () => {
      using scope = deadline(this.#components.clock, timeoutMs, title, options.signal)
      this.#writes.add(scope)
      try {
        return await this.#untilIncluded(signer, account, call, blockMs, scope.signal)
      } catch (error) {
        const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
        const text = `${title} was not seen in a block within ${Math.round(timeoutMs / 1000)} s; it may still be included, so look at the chain before it is sent again`
        throw ownDeadline
          ? new SubnetError('CHAIN_UNAVAILABLE', text, { retryable: false, cause: error })
          : error
      } finally {
        this.#writes.delete(scope)
      }
    }, options)
  }

  async #untilIncluded(
    signer: Signer,
    account: string,
    call: RuntimeCall,
    blockMs: number,
    signal: AbortSignal,
  ): Promise<Inclusion> {
    for (let signatures = 1; ; signatures += 1) {
      const signed = await this.#sign(signer, account, call, signal)
      const fate = await this.#fate(signed, blockMs, signal)
      if (!(fate instanceof SubnetError)) return fate
      if (!isVoid(fate) || signatures === SIGNATURES_MAX) throw fate
      const { logger } = this.#components
      logger.info({ account, call: call.name, reason: fate.message }, 'signing the call anew')
    }
  }

  async #sign(signer: Signer, account: string, call: RuntimeCall, signal: AbortSignal): Promise<Signed> {
    const { connection, reader } = this.#components
    const head = await connection.head({ signal })
    const { runtime } = await reader.atBlock(head, { signal })
    const birth = await this.#birth(head, signal)
    const nonce = z
      .number()
      .int()
      .parse(await connection.call('system_accountNextIndex', [account], { signal }))
    const { genesisHash } = connection
    const bytes = await signTransaction(signer, { runtime, call, nonce, genesisHash, birth })
    const { specVersion } = runtime.version
    return { call, account, hex: u8aToHex(bytes), nonce, specVersion, birth, seen: new Set([head.hash]) }
  }

  /** A block that stays: the newest final one, unless finality lags. */
  async #birth(head: BlockHead, signal: AbortSignal): Promise<BlockRef> {
    const finalized = await this.#components.connection.finalizedHead({ signal })
    if (finalized.number <= head.number && head.number - finalized.number <= BIRTH_DEPTH_MAX) return finalized
    const number = Math.max(0, head.number - BIRTH_DEPTH_MAX)
    return {
      number,
      hash: hash.parse(await this.#components.connection.call('chain_getBlockHash', [number], { signal })),
    }
  }

  /** Where it was included, the chain's refusal, or that it can never be included (`isVoid`). */
  async #fate(signed: Signed, blockMs: number, signal: AbortSignal): Promise<Inclusion | SubnetError> {
    const { connection } = this.#components
    let sentTo: string | undefined
    let sentAtBlock = 0
    let maybeInPool = false
    let refusal: SubnetError | undefined
    for (;;) {
      const head = await connection.head({ signal })
      const due = sentTo !== connection.url || head.number - sentAtBlock >= RESEND_BLOCKS
      if (due && !isOver(signed, head)) {
        const answer = await this.#send(signed, signal)
        refusal = answer instanceof SubnetError ? answer : undefined
        maybeInPool ||= refusal === undefined
        // Bytes that were perhaps not heard go out again with the next round, those that were only after a while.
        sentTo = answer === 'unknown' ? undefined : connection.url
        sentAtBlock = head.number
      }
      // The refusal of bytes that are included already says nothing: the blocks decide.
      const now = await connection.head({ signal })
      const found = await this.#find(signed, now, signal)
      if (found !== undefined && found !== 'absent') return found
      if (found === 'absent') {
        const hopeless = await this.#voidAt(signed, now, signal)
        if (hopeless !== undefined) return isVoid(hopeless) ? hopeless : (refusal ?? hopeless)
        // Another node's pool may still have them: then only the end of their era makes the refusal final.
        if (refusal !== undefined && !maybeInPool) return refusal
      }
      await this.#nextBlock(now, blockMs, signal)
    }
  }

  async #send(signed: Signed, signal: AbortSignal): Promise<SubnetError | 'heard' | 'unknown'> {
    try {
      await this.#components.connection.call('author_submitExtrinsic', [signed.hex], { signal, once: true })
      return 'heard'
    } catch (error) {
      if (error instanceof RpcRefusal) {
        const refusal = refusedByPool(error, signed.call.name)
        // Too late for its nonce or its era: that shows in the blocks as well, and better.
        return refusal === undefined || isLate(refusal) ? 'heard' : refusal
      }
      // Whether it arrived is not known; the blocks will tell, and the next round sends it again.
      if (isSubnetError(error, 'CHAIN_UNAVAILABLE')) return 'unknown'
      throw error
    }
  }

  /**
   * Looks through the blocks that were not looked at yet, from the head down to those that were, or its birth.
   * `undefined` when the node could not show them all.
   */
  async #find(
    signed: Signed,
    head: BlockRef,
    signal: AbortSignal,
  ): Promise<Inclusion | 'absent' | undefined> {
    const { connection } = this.#components
    const looked: string[] = []
    let block: BlockRef = head
    while (block.number > signed.birth.number && !signed.seen.has(block.hash)) {
      const answer = await connection.call('chain_getBlock', [block.hash], { signal })
      const found = blockSchema.nullable().parse(answer)?.block
      // This node does not have it (any more): the next head brings another way down.
      if (found === undefined) return undefined
      const index = found.extrinsics.indexOf(signed.hex)
      const parent = { number: block.number - 1, hash: found.header.parentHash }
      if (index >= 0) return this.#inclusion(signed, block, parent, index, signal)
      looked.push(block.hash)
      block = parent
    }
    for (const each of looked) signed.seen.add(each)
    return 'absent'
  }

  async #inclusion(
    signed: Signed,
    block: BlockRef,
    parent: BlockRef,
    index: number,
    signal: AbortSignal,
  ): Promise<Inclusion> {
    const { reader } = this.#components
    // Events were written by the runtime that ran the block: its parent's.
    const { runtime } = await reader.atBlock(parent, { signal })
    const state = await reader.atBlock(block, { signal })
    const bytes = (await state.bytes(['System', 'Events'], { signal })) ?? Uint8Array.of(0)
    const events = runtime.decodeEvents(bytes).filter(({ extrinsic }) => extrinsic === index)
    const failure = events.find(({ pallet, name }) => pallet === 'system' && name === 'ExtrinsicFailed')
    if (failure === undefined) return { block, events }
    throw refusedInBlock(
      String(failure.fields.dispatchError ?? failure.fields['0']),
      signed.call.name,
      block.number,
    )
  }

  /** Why it can never be included from `head` on: its era is over, its nonce is used, its runtime is gone. */
  async #voidAt(signed: Signed, head: BlockRef, signal: AbortSignal): Promise<SubnetError | undefined> {
    if (isOver(signed, head)) {
      const text = `${signed.call.name} of ${signed.account} did not enter a block before ${head.number} and is void: nothing was done, try again`
      return new SubnetError('CHAIN_UNAVAILABLE', text)
    }
    const state = await this.#components.reader.atBlock(head, { signal })
    if (state.runtime.version.specVersion !== signed.specVersion) return voided('the runtime was upgraded')
    const account = z.object({ nonce: z.number() })
    const { nonce } = await state.value(['System', 'Account', signed.account], account, { signal })
    return nonce > signed.nonce
      ? voided(`something else used nonce ${signed.nonce} of ${signed.account}`)
      : undefined
  }

  /** Waits for another head than `known`, or for two blocks' time when none comes. */
  async #nextBlock(known: BlockRef, blockMs: number, signal: AbortSignal): Promise<void> {
    const { connection, clock } = this.#components
    let wake = (): void => undefined
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    const unsubscribe = connection.onHead(() => wake())
    const timer = clock.after(2 * blockMs, () => wake())
    try {
      // It may have come while the blocks were looked through.
      if ((await connection.head({ signal })).hash === known.hash) await raceAbort(woken, signal)
    } finally {
      unsubscribe()
      timer.cancel()
    }
  }
}

/** No later block may include it. */
function isOver(signed: Signed, head: BlockRef): boolean {
  return head.number >= signed.birth.number + ERA_BLOCKS
}

function isLate(refusal: SubnetError | undefined): boolean {
  const reason = reasonOf(refusal)
  return reason === 'Stale' || reason === 'AncientBirthBlock'
}

const VOID = 'Void'

function voided(text: string): SubnetError {
  return new SubnetError('CHAIN_UNAVAILABLE', `${text} before the call was included`, {
    data: { reason: VOID },
  })
}

/** May be signed anew: the old bytes are worthless for ever. */
function isVoid(error: SubnetError): boolean {
  return error.data.reason === VOID
}
