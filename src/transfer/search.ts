/**
 * Holders found without any validator: those who announced a digest in the DHT, and the miners that the chain names,
 * asked with `have`. What a miner says of itself is a claim; whoever fetches from it verifies.
 */
import { askHave } from '../../protocols/have/client.js'
import type { PeerComponents } from '../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import { type AbortOptions, childSignal, deadline } from '../base/abort.js'
import type { Timer } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'
import { toSs58 } from '../crypto/keys.js'
import type { PeerAddress } from '../net/net.js'
import type { Holder } from './holder.js'

/** Miners that are asked: the whole of the largest subnet. */
export const SEARCH_MINERS_MAX = 256
/** Questions at once; each may begin with a dial. */
const MINERS_AT_ONCE = 32
/** One miner's time to answer, with dial and `hello`. */
const HAVE_TIMEOUT_MS = 5_000
/** A miner that did not answer is left out for this long. */
const SILENT_MS = 60_000
/**
 * What a walk through the DHT may take before everybody is asked as well: a client's first walk begins with an empty
 * routing table, and a walk goes on past dead nodes for long.
 */
const DHT_HEAD_START_MS = 1_000
/** Holders of one chunk that are enough, and how long after the first the others are waited for. */
const HOLDERS_ENOUGH = 3
const MORE_HOLDERS_MS = 250

/** Peers that announced a digest, as they are found; ends at the signal, or when the search does. */
export type FindProviders = (digest: Uint8Array, options: AbortOptions) => AsyncIterable<PeerAddress>

export interface HolderSearchComponents extends PeerComponents {
  readonly findProviders: FindProviders
  /** Where the chain says that miners are. */
  readonly miners: () => readonly KnownPeer[]
}

export interface Found {
  readonly holders: readonly Holder[]
  /** What was tried, for people: "the DHT names no miner, 3 of 14 miners answered and none has it". */
  readonly tried: string
}

export interface FoundMany {
  /** For each digest the miners that say they hold it, the quickest first. */
  readonly holders: readonly (readonly Holder[])[]
  /** Miners that the chain names, and how many of them answered. */
  readonly asked: number
  readonly answered: number
}

/** Why the last questions of a search are given up. */
const ENOUGH = new DOMException('enough holders have answered', 'AbortError')

export class HolderSearch {
  readonly #components: HolderSearchComponents
  /** When a miner last failed to answer, by hotkey. */
  readonly #silent = new Map<string, number>()

  constructor(components: HolderSearchComponents) {
    this.#components = components
  }

  /** Who has one chunk, such as a manifest node: announcers that confirm it, else anybody. */
  async one(digest: Uint8Array, options: AbortOptions = {}): Promise<Found> {
    const miners = this.#miners()
    const announcers = await this.#announcers(digest, miners, options)
    const announced = await this.#ask(announcers, [digest], options)
    const [confirmed = []] = announced.holders
    if (confirmed.length > 0) return { holders: confirmed, tried: 'the DHT' }
    const others = miners.filter((miner) => !announcers.includes(miner))
    const asked = await this.#ask(others, [digest], options, HOLDERS_ENOUGH)
    const answered = announced.answered + asked.answered
    const dht = announcers.length === 0 ? 'the DHT names no miner' : 'no miner that the DHT names has it'
    const tried = `${dht}, ${answered} of ${miners.length} miners answered and none has it`
    return { holders: asked.holders[0] ?? [], tried }
  }

  /** Who has each of at most `HAVE_DIGESTS_MAX` chunks. Every miner is asked, so the DHT could name nobody else. */
  async many(digests: readonly Uint8Array[], options: AbortOptions = {}): Promise<FoundMany> {
    const miners = this.#miners()
    return { ...(await this.#ask(miners, digests, options)), asked: miners.length }
  }

  #miners(): readonly KnownPeer[] {
    return this.#components.miners().slice(0, SEARCH_MINERS_MAX)
  }

  /** Peers that are no members are ignored: anybody may announce anything. */
  async #announcers(
    digest: Uint8Array,
    miners: readonly KnownPeer[],
    options: AbortOptions,
  ): Promise<readonly KnownPeer[]> {
    const { clock, findProviders } = this.#components
    using scope = deadline(clock, DHT_HEAD_START_MS, 'searching the DHT', options.signal)
    const announcers = new Set<KnownPeer>()
    try {
      for await (const { peerId } of findProviders(digest, scope)) {
        for (const miner of miners) if (miner.peerId === peerId) announcers.add(miner)
        if (announcers.size >= HOLDERS_ENOUGH) break
      }
    } catch (error) {
      // A DHT that fails leaves the other way.
      if (options.signal?.aborted !== true && !isSubnetError(error)) throw error
    }
    options.signal?.throwIfAborted()
    return [...announcers]
  }

  /** With `enough`, ends when the first digest has so many holders, or soon after it has the first of them. */
  async #ask(
    miners: readonly KnownPeer[],
    digests: readonly Uint8Array[],
    options: AbortOptions,
    enough = Number.POSITIVE_INFINITY,
  ): Promise<Pick<FoundMany, 'holders' | 'answered'>> {
    using scope = childSignal(options.signal)
    const holders: Holder[][] = digests.map(() => [])
    const answering = miners.filter((miner) => !this.#isSilent(miner))
    // Where nobody answers, it may be our own line that was slow.
    const queue = answering.length > 0 ? answering : [...miners]
    let answered = 0
    let patience: Timer | undefined
    const end = () => scope.abort(ENOUGH)
    const worker = async () => {
      for (let miner = queue.shift(); miner !== undefined; miner = queue.shift()) {
        const held = await this.#askOne(miner, digests, scope)
        if (held === undefined) continue
        answered += 1
        const { hotkey, peerId, addresses } = miner
        const holder = { hotkey, peerId, address: addresses[0] ?? '' }
        for (const [index, isHeld] of held.entries()) if (isHeld) holders[index]?.push(holder)
        const found = holders[0]?.length ?? 0
        if (found >= enough) end()
        else if (found > 0 && Number.isFinite(enough)) {
          patience ??= this.#components.clock.after(MORE_HOLDERS_MS, end)
        }
      }
    }
    const untilEnough = (error: unknown) => {
      if (error !== ENOUGH) throw error
    }
    try {
      await Promise.all(Array.from({ length: MINERS_AT_ONCE }, () => worker().catch(untilEnough)))
    } finally {
      patience?.cancel()
    }
    return { holders, answered }
  }

  /** `undefined` from a miner that does not answer. */
  async #askOne(
    miner: KnownPeer,
    digests: readonly Uint8Array[],
    options: AbortOptions,
  ): Promise<readonly boolean[] | undefined> {
    const { clock } = this.#components
    using scope = deadline(clock, HAVE_TIMEOUT_MS, `have of ${miner.peerId}`, options.signal)
    try {
      return await askHave(this.#components, miner, digests, scope)
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error)) throw error
      this.#silent.set(toSs58(miner.hotkey), clock.monotonicMs())
      return undefined
    }
  }

  #isSilent({ hotkey }: KnownPeer): boolean {
    const sinceMs = this.#silent.get(toSs58(hotkey))
    return sinceMs !== undefined && this.#components.clock.monotonicMs() - sinceMs < SILENT_MS
  }
}
