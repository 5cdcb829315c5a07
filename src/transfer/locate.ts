/**
 * Where an object's chunks are, as the reader comes to them: asked of the validators, who know what is leased, page by
 * page; when none of them helps, searched in the DHT and among the miners (`search.ts`).
 */
import { HAVE_DIGESTS_MAX } from '../../protocols/have/messages.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { Located } from '../../protocols/order/messages.js'
import { LOCATE_SEGMENTS_MAX } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import type { SegmentEntry } from '../redundancy/segment.js'
import type { Holder } from './holder.js'
import type { HolderSearch } from './search.js'

/** Validators asked at once. The right one is among the first, unless it is gone. */
const VALIDATORS_AT_ONCE = 5
/** One validator's time to answer. */
const LOCATE_TIMEOUT_MS = 10_000
/** Time for all of them: after that the search is the better way. */
const VALIDATORS_TIMEOUT_MS = 20_000
/** A reader that had to search goes on searching for this long before it asks the validators again. */
const SEARCHING_MS = 60_000

export interface LocatorComponents {
  readonly orders: OrderClient
  readonly clock: Clock
  readonly search: Pick<HolderSearch, 'one' | 'many'>
}

export class Locator {
  readonly #components: LocatorComponents
  readonly #object: Uint8Array
  readonly #validators: readonly KnownPeer[]
  readonly #pages = new Map<number, Promise<Located>>()
  /** The validator that knew the object. */
  #source: KnownPeer | undefined
  /** Why the validators did not help, while a search did. */
  #searching: { readonly failure: SubnetError; readonly sinceMs: number } | undefined
  /** Segments that were searched ahead, by index: holders of each chunk. */
  readonly #found = new Map<number, readonly (readonly Holder[])[]>()

  /** `validators` in the order in which they should be asked. */
  constructor(components: LocatorComponents, object: Uint8Array, validators: readonly KnownPeer[]) {
    this.#components = components
    this.#object = object
    this.#validators = validators
  }

  /**
   * Holders of a manifest node, the root being 0. When nobody can be found: `NOT_FOUND` if every validator answered that
   * it does not know the object, else `DISCONNECTED`, or `TOO_FEW_PEERS` without any validator.
   */
  async node(number: number, digest: Uint8Array, options: AbortOptions = {}): Promise<readonly Holder[]> {
    const page = await this.#leased(0, options)
    if (!(page instanceof SubnetError)) return pick(page.holders, page.nodes[number])
    const { holders, tried } = await this.#components.search.one(digest, options)
    if (holders.length === 0) {
      throw new SubnetError(page.code, `${page.message}; ${tried}`, { cause: page.cause, data: page.data })
    }
    this.#keepSearching(page)
    return holders
  }

  /** Holders of each chunk of a segment. `upcoming` has its entry and those of the next ones, as far as they are known. */
  async segment(
    index: number,
    upcoming: readonly SegmentEntry[],
    options: AbortOptions = {},
  ): Promise<readonly (readonly Holder[])[]> {
    const pageNumber = Math.floor(index / LOCATE_SEGMENTS_MAX)
    const page = await this.#leased(pageNumber, options)
    if (page instanceof SubnetError) return await this.#searchSegment(index, upcoming, page, options)
    const chunks = page.segments[index - pageNumber * LOCATE_SEGMENTS_MAX]
    if (chunks === undefined)
      throw new SubnetError('NOT_FOUND', `the validator does not know segment ${index}`)
    // A reader goes forward: what is two pages behind is not needed again.
    this.#pages.delete(pageNumber - 2)
    return chunks.map((positions) => pick(page.holders, positions))
  }

  /** A page of the ledger, or why no validator gives one. */
  async #leased(number: number, options: AbortOptions): Promise<Located | SubnetError> {
    const { clock } = this.#components
    if (this.#searching !== undefined && clock.monotonicMs() - this.#searching.sinceMs < SEARCHING_MS) {
      return this.#searching.failure
    }
    try {
      return await this.#page(number, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error)) throw error
      return error
    }
  }

  #keepSearching(failure: SubnetError): void {
    if (this.#searching?.failure === failure) return
    this.#searching = { failure, sinceMs: this.#components.clock.monotonicMs() }
  }

  /** As many segments at once as one question takes. */
  async #searchSegment(
    index: number,
    upcoming: readonly SegmentEntry[],
    failure: SubnetError,
    options: AbortOptions,
  ): Promise<readonly (readonly Holder[])[]> {
    const known = this.#found.get(index)
    if (known !== undefined) return known
    // A reader goes forward.
    this.#found.clear()
    const digests: Uint8Array[] = []
    const batch: SegmentEntry[] = []
    for (const entry of upcoming) {
      if (digests.length + entry.chunks.length > HAVE_DIGESTS_MAX) break
      digests.push(...entry.chunks.map(({ digest }) => digest))
      batch.push(entry)
    }
    const holders = await this.#components.search.many(digests, options)
    this.#keepSearching(failure)
    let first = 0
    for (const [offset, { chunks }] of batch.entries()) {
      this.#found.set(index + offset, holders.slice(first, first + chunks.length))
      first += chunks.length
    }
    return this.#found.get(index) ?? []
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
    const startMs = this.#components.clock.monotonicMs()
    for (let first = 0; first < this.#validators.length; first += VALIDATORS_AT_ONCE) {
      const group = this.#validators.slice(first, first + VALIDATORS_AT_ONCE)
      try {
        return await Promise.any(group.map((validator) => this.#askOne(validator, number, options)))
      } catch (error) {
        options.signal?.throwIfAborted()
        failures.push(...(error instanceof AggregateError ? error.errors : [error]))
        if (this.#components.clock.monotonicMs() - startMs >= VALIDATORS_TIMEOUT_MS) break
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
