/** Where an object's chunks are, asked of the validators: pages of segments, fetched as the reader comes to them. */
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { Holder, Located } from '../../protocols/order/messages.js'
import { LOCATE_SEGMENTS_MAX } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'

/** Validators asked at once. The right one is among the first, unless it is gone. */
const VALIDATORS_AT_ONCE = 5
/** One validator's time to answer. */
const LOCATE_TIMEOUT_MS = 10_000

export interface LocatorComponents {
  readonly orders: OrderClient
  readonly clock: Clock
}

export class Locator {
  readonly #components: LocatorComponents
  readonly #object: Uint8Array
  readonly #validators: readonly KnownPeer[]
  readonly #pages = new Map<number, Promise<Located>>()
  /** The validator that knew the object. */
  #source: KnownPeer | undefined

  /** `validators` in the order in which they should be asked. */
  constructor(components: LocatorComponents, object: Uint8Array, validators: readonly KnownPeer[]) {
    this.#components = components
    this.#object = object
    this.#validators = validators
  }

  /** Holders of a manifest node, the root being 0. */
  async node(number: number, options: AbortOptions = {}): Promise<readonly Holder[]> {
    const page = await this.#page(0, options)
    return pick(page.holders, page.nodes[number])
  }

  /** Holders of each chunk of a segment, as leased. */
  async segment(index: number, options: AbortOptions = {}): Promise<readonly (readonly Holder[])[]> {
    const pageNumber = Math.floor(index / LOCATE_SEGMENTS_MAX)
    const page = await this.#page(pageNumber, options)
    const chunks = page.segments[index - pageNumber * LOCATE_SEGMENTS_MAX]
    if (chunks === undefined)
      throw new SubnetError('NOT_FOUND', `the validator does not know segment ${index}`)
    // A reader goes forward: what is two pages behind is not needed again.
    this.#pages.delete(pageNumber - 2)
    return chunks.map((positions) => pick(page.holders, positions))
  }

  #page(number: number, options: AbortOptions): Promise<Located> {
    let page = this.#pages.get(number)
    if (page === undefined) {
      page = this.#ask(number, options)
      this.#pages.set(number, page)
      page.catch(() => this.#pages.delete(number))
    }
    return page
  }

  async #ask(number: number, options: AbortOptions): Promise<Located> {
    const known = this.#source
    if (known !== undefined) {
      try {
        return await this.#askOne(known, number, options)
      } catch {
        // The validator that knew is gone or has forgotten: the others are asked as at the start.
        options.signal?.throwIfAborted()
        this.#source = undefined
      }
    }
    const failures: unknown[] = []
    for (let first = 0; first < this.#validators.length; first += VALIDATORS_AT_ONCE) {
      const group = this.#validators.slice(first, first + VALIDATORS_AT_ONCE)
      try {
        return await Promise.any(group.map((validator) => this.#askOne(validator, number, options)))
      } catch (error) {
        options.signal?.throwIfAborted()
        failures.push(...(error instanceof AggregateError ? error.errors : [error]))
      }
    }
    throw this.#nobodyKnows(failures)
  }

  async #askOne(validator: KnownPeer, page: number, options: AbortOptions): Promise<Located> {
    using scope = deadline(this.#components.clock, LOCATE_TIMEOUT_MS, 'locate', options.signal)
    const body = {
      object: this.#object,
      firstSegment: page * LOCATE_SEGMENTS_MAX,
      segments: LOCATE_SEGMENTS_MAX,
    }
    const located = await this.#components.orders.locate(validator, body, scope)
    this.#source ??= validator
    return located
  }

  #nobodyKnows(failures: readonly unknown[]): SubnetError {
    if (this.#validators.length === 0)
      return new SubnetError('TOO_FEW_PEERS', 'no validator has published an address')
    const unknown = failures.filter((error) => isSubnetError(error, 'NOT_FOUND')).length
    if (unknown === failures.length) {
      return new SubnetError('NOT_FOUND', `none of ${unknown} validators knows this object`)
    }
    const text = `${unknown} validators do not know this object, ${failures.length - unknown} did not answer`
    return new SubnetError('DISCONNECTED', text, {
      cause: failures.find((error) => !isSubnetError(error, 'NOT_FOUND')),
    })
  }
}

function pick(holders: readonly Holder[], positions: readonly number[] | undefined): readonly Holder[] {
  return (positions ?? []).flatMap((position) => holders[position] ?? [])
}
