/**
 * Keeps a validator's weights fresh for as long as it runs: at every head it reveals what is due, and once an epoch sends
 * what the target wants. How they are sent is `weight-setter.ts`; what a refusal names as its block is waited for.
 */
import { type AbortOptions, childSignal, type ScopedSignal } from '../../base/abort.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { Chain } from '../../chain/chain.js'
import type { WeightSetter } from './weight-setter.js'
import type { WeightTarget } from './weights-plan.js'

/** What the validator wants now; `undefined` while its knowledge is incomplete: then the weights stay as they are. */
export type WeightProvider = (options: AbortOptions) => Promise<WeightTarget | undefined>

export interface WeightRoundsComponents {
  /** Started. */
  readonly chain: Chain
  readonly setter: WeightSetter
  readonly target: WeightProvider
  readonly logger: Logger
}

/** No refusal names a block further ahead than this. */
const FAR_BLOCKS = 100_000

export class WeightRounds implements Startable {
  readonly #components: WeightRoundsComponents
  #life: ScopedSignal | undefined
  #round: Promise<void> | undefined
  #unsubscribe: (() => void) | undefined
  #sentEpoch = -1
  #notBeforeBlock = 0
  #told: string | undefined

  constructor(components: WeightRoundsComponents) {
    this.#components = components
  }

  async start(): Promise<void> {
    this.#life = childSignal()
    const { signal } = this.#life
    this.#unsubscribe = this.#components.chain.onHead((head) => {
      // A head that comes during a round is answered by the next one.
      if (this.#round !== undefined) return
      this.#round = this.#run(head.number, signal).finally(() => {
        this.#round = undefined
      })
    })
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#life?.abort(new SubnetError('STOPPED', 'the validator was stopped'))
    await this.#round
  }

  async #run(block: number, signal: AbortSignal): Promise<void> {
    const { logger, setter } = this.#components
    try {
      for (const { state, reason } of await setter.reveal({ signal })) {
        if (state === 'revealed') logger.info({ block }, 'weights revealed')
        else if (state === 'lost') logger.error({ block, reason }, 'hidden weights can never be revealed')
      }
      // A chain that began anew is below any block that was named before.
      if (block >= this.#notBeforeBlock - 1 || block < this.#notBeforeBlock - FAR_BLOCKS)
        await this.#send(signal)
      this.#told = undefined
    } catch (error) {
      if (signal.aborted) return
      if (isSubnetError(error, 'CHAIN_REFUSED') && typeof error.data.block === 'number')
        this.#notBeforeBlock = error.data.block
      // The next head tries again; the same reason is said once.
      const text = isSubnetError(error, 'CHAIN_REFUSED') ? String(error.data.reason) : String(error)
      if (text !== this.#told) logger.warn({ err: error, block }, 'weights are not set now')
      this.#told = text
    }
  }

  async #send(signal: AbortSignal): Promise<void> {
    const { chain, setter, target, logger } = this.#components
    const { epoch } = await chain.metagraph({ signal })
    if (epoch === this.#sentEpoch) return
    const wanted = await target({ signal })
    if (wanted === undefined) return
    const plan = await setter.plan(wanted, { signal })
    const expectedVtrust = plan.comparison?.expectedVtrust
    logger.info({ block: plan.block, method: plan.method, expectedVtrust }, 'setting weights')
    await setter.send(plan, { signal })
    this.#sentEpoch = epoch
  }
}
