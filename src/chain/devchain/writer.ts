/**
 * Writes to a devchain: signs an operation and brings it to its effect in a block, or to the chain's refusal. Neither a
 * lost answer nor a lost connection makes it happen twice, or unnoticed.
 */
import { type AbortOptions, deadline, raceAbort, type ScopedSignal } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { Semaphore } from '../../base/semaphore.js'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import type { ChainConstants } from '../chain.js'
import type { DevchainApi } from './api.js'
import { type SignedOperation, signOperation } from './operation.js'
import { refusalOf, refused } from './refusals.js'
import type { Call } from './state.js'

/** Blocks an operation may wait for inclusion before it is void. */
const OPERATION_LIFETIME_BLOCKS = 16
/** On top of the operation's life: time for the answers around it. */
const EFFECT_GRACE_MS = 10_000
/** Signed anew so often when others use the same key at the same time. */
const SIGNATURES_MAX = 5
const WRITES_WAITING_MAX = 64

export interface DevchainWriterComponents {
  readonly api: DevchainApi
  readonly clock: Clock
}

export class DevchainWriter {
  readonly #api: DevchainApi
  readonly #clock: Clock
  /** By key: its writes go one after the other, in nonce order. */
  readonly #turns = new Map<string, Semaphore>()
  readonly #writes = new Set<ScopedSignal>()
  #stopped: SubnetError | undefined

  constructor(components: DevchainWriterComponents) {
    this.#api = components.api
    this.#clock = components.clock
  }

  /** Takes writes, also after an `end`. */
  begin(): void {
    this.#stopped = undefined
  }

  /** Ends what is under way, and whatever comes, with this reason. */
  end(reason: SubnetError): void {
    this.#stopped = reason
    for (const write of this.#writes) write.abort(reason)
  }

  /** Runs one operation to its effect, in the key's turn and under a deadline. */
  async write(signer: Signer, call: Call, constants: ChainConstants, options: AbortOptions): Promise<void> {
    const address = toSs58(signer.publicKey)
    let turn = this.#turns.get(address)
    if (turn === undefined) {
      turn = new Semaphore({ permitsMax: 1, waitersMax: WRITES_WAITING_MAX })
      this.#turns.set(address, turn)
    }
    await turn.run(() => this.#writeInTime({ signer, address, call, constants }, options), options)
  }

  async #writeInTime(write: Write, options: AbortOptions): Promise<void> {
    if (this.#stopped !== undefined) throw this.#stopped
    const timeoutMs = OPERATION_LIFETIME_BLOCKS * write.constants.blockMs + EFFECT_GRACE_MS
    using scope = deadline(this.#clock, timeoutMs, `${write.call.kind} of ${write.address}`, options.signal)
    this.#writes.add(scope)
    try {
      await this.#untilEffect(write, scope.signal)
    } catch (error) {
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      throw ownDeadline ? new SubnetError('CHAIN_UNAVAILABLE', error.message, { cause: error }) : error
    } finally {
      this.#writes.delete(scope)
    }
  }

  /** Signs, then sends the same bytes at every block until the chain names their outcome. */
  async #untilEffect({ signer, address, call, constants }: Write, signal: AbortSignal): Promise<void> {
    for (let signatures = 1; ; signatures += 1) {
      const nonce = await this.#api.call('nonce', { key: address }, { signal })
      const head = await this.#api.head({ signal })
      const signed = signOperation(signer, {
        genesisHash: constants.genesisHash,
        nonce,
        expiresBlock: head.number + OPERATION_LIFETIME_BLOCKS,
        call,
      })
      const refusal = await this.#refusal(signed, constants.blockMs, signal)
      if (refusal === undefined) return
      const reason = refusalOf(refusal)
      const nonceTaken = reason === 'Stale' || reason === 'Future'
      if (!nonceTaken || signatures === SIGNATURES_MAX) throw refusal
    }
  }

  /** The chain's refusal, or `undefined` once the operation took effect. */
  async #refusal(
    signed: SignedOperation,
    blockMs: number,
    signal: AbortSignal,
  ): Promise<SubnetError | undefined> {
    for (;;) {
      try {
        const outcome = await this.#api.call('submit', signed, { signal })
        if (outcome?.refusal != null) return refused(outcome.refusal.reason, { ...outcome.refusal })
        if (outcome !== null) return undefined
      } catch (error) {
        if (isSubnetError(error, 'CHAIN_REFUSED')) return error
        // Whether it arrived is not known. The next round asks again, until the deadline.
        if (!isSubnetError(error, 'CHAIN_UNAVAILABLE')) throw error
      }
      await this.#nextBlock(blockMs, signal)
    }
  }

  /** Waits for a head, or for two blocks' time when none comes. */
  async #nextBlock(blockMs: number, signal: AbortSignal): Promise<void> {
    let wake = (): void => undefined
    const woken = new Promise<void>((resolve) => {
      wake = resolve
    })
    const unsubscribe = this.#api.onHead(() => wake())
    const timer = this.#clock.after(2 * blockMs, () => wake())
    try {
      await raceAbort(woken, signal)
    } finally {
      unsubscribe()
      timer.cancel()
    }
  }
}

interface Write {
  readonly signer: Signer
  readonly address: string
  readonly call: Call
  readonly constants: ChainConstants
}
