/**
 * Where an object's chunks are, as the reader comes to them: asked of the validators, who know what is leased, page by
 * page; when none of them helps, searched in the DHT and among the miners (`search.ts`).
 */
import { HAVE_DIGESTS_MAX } from '../../protocols/have/messages.js'
import type { Authority } from '../../protocols/hello/attestation.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { Located } from '../../protocols/order/messages.js'
import { LOCATE_SEGMENTS_MAX } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { deadline, raceAbort } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import type { SegmentEntry } from '../redundancy/segment.js'
import type { Holder } from './holder.js'
import { type Attempt, firstOf } from './race.js'
import type { FoundMany, HolderSearch } from './search.js'

/** Validators asked at once. The right one is among the first, unless it is gone. */
const VALIDATORS_AT_ONCE = 5
/** Without an answer for so long, one more is asked: one that is gone must not keep the next from its turn. */
const NEXT_VALIDATOR_MS = 500
/** One validator's time to answer. */
const LOCATE_TIMEOUT_MS = 10_000
/** Time for all of them: enough to ask each of the 64 that a subnet has at most, though all were silent. */
const VALIDATORS_TIMEOUT_MS = 40_000
/** Without an answer for so long, a reader begins to search while it waits on. */
const SEARCH_AFTER_MS = 2_000
/** A reader that had to search goes on searching for this long before it asks the validators again. */
const SEARCHING_MS = 60_000
/** The last part of its orders' life in which a page is asked for anew. */
const STALE_PART = 1 / 4

export interface LocatorComponents {
  readonly orders: Pick<OrderClient, 'locate'>
  readonly clock: Clock
  /** Our newest head: orders end at a block. */
  readonly authority: Pick<Authority, 'block'>
  readonly search: Pick<HolderSearch, 'one' | 'many'>
}

/** A page of the ledger, and the block from which on its orders are too old to begin with. */
interface Page extends Located {
  readonly staleBlock: number
}

export class Locator {
  readonly #components: LocatorComponents
  readonly #object: Uint8Array
  readonly #validators: readonly KnownPeer[]
  readonly #pages = new Map<number, Promise<Page>>()
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
    const asking = this.#leased(0, options)
    const page = await this.#soon(asking, options)
    if (page !== undefined && !(page instanceof SubnetError)) return pick(page.holders, page.nodes[number])
    const searching = this.#components.search.one(digest, options)
    const holders = await this.#firstOf(
      [page ?? unanswered(), asking],
      (late) => pick(late.holders, late.nodes[number]),
      searching.then((found) => found.holders),
    )
    if (holders.length > 0) return holders
    const [failure, { tried }] = await Promise.all([asking, searching])
    const { code, message, cause, data } = failure instanceof SubnetError ? failure : unanswered()
    throw new SubnetError(code, `${message}; ${tried}`, { cause, data })
  }

  /** Holders of each chunk of a segment. `upcoming` has its entry and those of the next ones, as far as they are known. */
  async segment(
    index: number,
    upcoming: readonly SegmentEntry[],
    options: AbortOptions = {},
  ): Promise<readonly (readonly Holder[])[]> {
    const number = Math.floor(index / LOCATE_SEGMENTS_MAX)
    const asking = this.#leased(number, options)
    const page = await this.#soon(asking, options)
    // A reader goes forward: what is two pages behind is not needed again.
    this.#pages.delete(number - 2)
    if (page !== undefined && !(page instanceof SubnetError)) return chunksIn(page, index)
    const searching = this.#searchSegment(index, upcoming, options)
    return await this.#firstOf([page ?? unanswered(), asking], (late) => chunksIn(late, index), searching)
  }

  /**
   * Who holds these chunks by their own word, and by leases if they are those of a segment: for a reader whom what he
   * knew did not help.
   */
  async elsewhere(
    digests: readonly Uint8Array[],
    segment: number | undefined,
    options: AbortOptions = {},
  ): Promise<FoundMany> {
    const number = Math.floor((segment ?? 0) / LOCATE_SEGMENTS_MAX)
    const [page, found] = await Promise.all([
      segment === undefined ? undefined : this.#page(number, options).catch(unlessDefect),
      this.#components.search.many(digests, options),
    ])
    if (page === undefined || page instanceof SubnetError || segment === undefined) return found
    const leased = chunksIn(page, segment)
    const holders = found.holders.map((said, chunk) => [...(leased[chunk] ?? []), ...said])
    return { ...found, holders }
  }

  /** What a late page says, or what is found, whichever comes first and names anybody. */
  async #firstOf<T extends readonly unknown[]>(
    [why, asking]: readonly [SubnetError, Promise<Page | SubnetError>],
    of: (page: Page) => T,
    searching: Promise<T>,
  ): Promise<T> {
    let isLeased = false
    const late = asking.then((page) => {
      isLeased = !(page instanceof SubnetError)
      return page instanceof SubnetError ? undefined : of(page)
    })
    const found = searching.then((holders) => {
      if (holders.flat().length === 0) return undefined
      if (!isLeased) this.#searching ??= { failure: why, sinceMs: this.#components.clock.monotonicMs() }
      return holders
    })
    const either = [late.then((holders) => holders ?? found), found.then((holders) => holders ?? late)]
    return (await Promise.race(either)) ?? (await searching)
  }

  /** What comes within a reader's patience; what it comes to later is there for the next question. */
  async #soon(
    asking: Promise<Page | SubnetError>,
    options: AbortOptions,
  ): Promise<Page | SubnetError | undefined> {
    const { clock } = this.#components
    // Only an abort or a defect rejects, and whoever waits for it here is told.
    asking.catch(() => undefined)
    return await new Promise((resolve, reject) => {
      const patience = clock.after(SEARCH_AFTER_MS, () => resolve(undefined))
      raceAbort(asking, options.signal)
        .then(resolve, reject)
        .finally(() => patience.cancel())
    })
  }

  /** A page of the ledger, or why no validator gives one. */
  async #leased(number: number, options: AbortOptions): Promise<Page | SubnetError> {
    const { clock } = this.#components
    if (this.#searching !== undefined) {
      if (clock.monotonicMs() - this.#searching.sinceMs < SEARCHING_MS) return this.#searching.failure
      this.#searching = undefined
    }
    try {
      return await this.#page(number, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      return unlessDefect(error)
    }
  }

  /** As many segments at once as one question takes. */
  async #searchSegment(
    index: number,
    upcoming: readonly SegmentEntry[],
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
    const { holders } = await this.#components.search.many(digests, options)
    let first = 0
    for (const [offset, { chunks }] of batch.entries()) {
      this.#found.set(index + offset, holders.slice(first, first + chunks.length))
      first += chunks.length
    }
    return this.#found.get(index) ?? []
  }

  async #page(number: number, options: AbortOptions): Promise<Page> {
    const known = this.#pages.get(number)
    if (known !== undefined) {
      const page = await known
      if (this.#components.authority.block < page.staleBlock) return page
      if (this.#pages.get(number) === known) this.#pages.delete(number)
    }
    let asking = this.#pages.get(number)
    if (asking === undefined) {
      asking = this.#ask(number, options)
      this.#pages.set(number, asking)
      asking.then(
        // A validator answers after all: its orders permit more than strangers get.
        () => (this.#searching = undefined),
        () => this.#pages.delete(number),
      )
    }
    return await asking
  }

  async #ask(number: number, options: AbortOptions): Promise<Page> {
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
    const { clock } = this.#components
    const failures: unknown[] = []
    const attempts = this.#validators.map(
      (validator): Attempt<Page> =>
        async (signal) => {
          try {
            return await this.#askOne(validator, number, { signal })
          } catch (error) {
            if (!signal.aborted) failures.push(error)
            throw error
          }
        },
    )
    using scope = deadline(clock, VALIDATORS_TIMEOUT_MS, 'asking the validators', options.signal)
    const pacing = { clock, pace: { hedgeAfterMs: NEXT_VALIDATOR_MS }, atOnce: VALIDATORS_AT_ONCE }
    const [page] = await firstOf(attempts, 1, pacing, scope).catch((error: unknown) => {
      options.signal?.throwIfAborted()
      if (error !== scope.signal.reason) throw error
      return []
    })
    if (page !== undefined) return page
    throw this.#nobodyKnows(failures)
  }

  async #askOne(validator: KnownPeer, page: number, options: AbortOptions): Promise<Page> {
    const { clock, orders, authority } = this.#components
    using scope = deadline(clock, LOCATE_TIMEOUT_MS, 'locate', options.signal)
    const body = {
      object: this.#object,
      firstSegment: page * LOCATE_SEGMENTS_MAX,
      segments: LOCATE_SEGMENTS_MAX,
    }
    const { block } = authority
    const located = await orders.locate(validator, body, scope)
    this.#source ??= validator
    const ends = located.holders.map(({ order }) => order.expiresBlock - block)
    const lifeBlocks = ends.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...ends)
    return { ...located, staleBlock: block + lifeBlocks * (1 - STALE_PART) }
  }

  #nobodyKnows(failures: readonly unknown[]): SubnetError {
    if (this.#validators.length === 0)
      return new SubnetError('TOO_FEW_PEERS', 'no validator has published an address')
    const unknown = failures.filter((error) => isSubnetError(error, 'NOT_FOUND')).length
    const silent = this.#validators.length - unknown
    if (silent === 0) return new SubnetError('NOT_FOUND', `none of ${unknown} validators knows this object`)
    const text = `${unknown} validators do not know this object, ${silent} did not answer`
    return new SubnetError('DISCONNECTED', text, {
      cause: failures.find((error) => !isSubnetError(error, 'NOT_FOUND')),
    })
  }
}

/** Throws `NOT_FOUND` for a segment beyond the end. */
function chunksIn({ segments, holders }: Page, index: number): readonly (readonly Holder[])[] {
  const chunks = segments[index % LOCATE_SEGMENTS_MAX]
  if (chunks === undefined) throw new SubnetError('NOT_FOUND', `the validator does not know segment ${index}`)
  return chunks.map((positions) => pick(holders, positions))
}

function unlessDefect(error: unknown): SubnetError {
  if (!isSubnetError(error)) throw error
  return error
}

function unanswered(): SubnetError {
  return new SubnetError('TIMEOUT', `no validator has answered within ${SEARCH_AFTER_MS} ms`)
}

function pick(holders: readonly Holder[], positions: readonly number[] | undefined): readonly Holder[] {
  return (positions ?? []).flatMap((position) => holders[position] ?? [])
}
