/**
 * Orders end after some hours, an upload of any size may take longer: when half of their life is over, the validator is
 * asked for new ones. What the miners keep until a lease covers it ends with the order too, so they are told to keep it
 * as long as the new one.
 */
import type { Authority } from '../../protocols/hello/attestation.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { PlaceBody, Placed } from '../../protocols/order/messages.js'
import { STORE_HAVE_MAX } from '../../protocols/store/messages.js'
import { type AbortOptions, childSignal, deadline } from '../base/abort.js'
import type { Clock, Timer } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'
import type { Spread } from './spread.js'
import type { StorePool } from './store-pool.js'

/** Between two looks at the newest block: short of half an order's life, also on a devchain. */
const LOOK_MS = 5_000
/** Time for the validator to answer. */
const PLACE_TIMEOUT_MS = 15_000
/** Time for a miner to say what it holds of one batch. */
const HAVE_TIMEOUT_MS = 30_000

export interface OrderRenewalComponents {
  readonly orders: Pick<OrderClient, 'place'>
  readonly clock: Clock
  /** Our newest head. */
  readonly authority: Pick<Authority, 'block'>
  readonly pool: Pick<StorePool, 'renew' | 'have'>
  readonly spread: Pick<Spread, 'entries' | 'drop'>
}

export interface OrderRenewalInit {
  readonly validator: KnownPeer
  /** Asked again with the same name, the validator places the object as before. */
  readonly request: PlaceBody
  readonly placed: Placed
  /** The orders ended and the validator gives no others: the upload cannot go on. */
  readonly onLost: (error: unknown) => void
}

export class OrderRenewal implements Disposable {
  readonly #components: OrderRenewalComponents
  readonly #init: OrderRenewalInit
  readonly #life = childSignal()
  #timer: Timer
  #placedBlock: number
  #expiresBlock: number

  constructor(components: OrderRenewalComponents, init: OrderRenewalInit) {
    this.#components = components
    this.#init = init
    this.#placedBlock = components.authority.block
    this.#expiresBlock = firstEnd(init.placed)
    this.#timer = this.#next()
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
    this.#life.abort(new DOMException('the upload is over', 'AbortError'))
  }

  #next(): Timer {
    return this.#components.clock.after(LOOK_MS, () => {
      this.#look().then(
        () => {
          if (!this.#life.signal.aborted) this.#timer = this.#next()
        },
        (error: unknown) => {
          if (!this.#life.signal.aborted) this.#init.onLost(error)
        },
      )
    })
  }

  async #look(): Promise<void> {
    const { block } = this.#components.authority
    if (block < (this.#placedBlock + this.#expiresBlock) / 2) return
    try {
      await this.#renew()
    } catch (error) {
      this.#life.signal.throwIfAborted()
      // The next look asks again, as long as the orders last.
      if (!isSubnetError(error) || this.#components.authority.block > this.#expiresBlock) throw error
    }
  }

  async #renew(): Promise<void> {
    const { orders, authority, clock, pool, spread } = this.#components
    const { validator, request } = this.#init
    using scope = deadline(clock, PLACE_TIMEOUT_MS, 'renewing the orders', this.#life.signal)
    const { block } = authority
    const placed = await orders.place(validator, { ...request, continues: true }, scope)
    pool.renew(placed.candidates)
    this.#placedBlock = block
    this.#expiresBlock = firstEnd(placed)
    await Promise.all([...spread.entries.keys()].map((candidate) => this.#keep(candidate, this.#life)))
  }

  /** What a candidate no longer holds is not asked of its lease. */
  async #keep(candidate: number, options: AbortOptions): Promise<void> {
    const { pool, spread, clock } = this.#components
    // What is dropped meanwhile leaves this list as it is; what is added has the new order.
    const entries = spread.entries[candidate]
    const count = entries?.length ?? 0
    for (let first = 0; first < count; first += STORE_HAVE_MAX) {
      const batch = entries?.digests(first, Math.min(count, first + STORE_HAVE_MAX)) ?? []
      using scope = deadline(clock, HAVE_TIMEOUT_MS, 'keeping chunks for longer', options.signal)
      try {
        const held = await pool.have(candidate, batch, scope)
        spread.drop(
          candidate,
          batch.filter((_, index) => held[index] === false),
        )
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!isSubnetError(error)) throw error
        // It is asked again at the next renewal; what it lets go until then its lease will not have.
        return
      }
    }
  }
}

function firstEnd({ candidates }: Placed): number {
  return Math.min(...candidates.map(({ order }) => order.expiresBlock))
}
