/**
 * A node's first neighbours, from the chain records alone: the DHT has no other bootstrap. Keeps a few connections to
 * members chosen by chance; all other connections are the roles' business.
 */
import { childSignal } from '../base/abort.js'
import type { Clock, Timer } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import { type Random, randomFraction } from '../base/random.js'
import type { SubnetView } from '../chain/subnet-view.js'
import type { Net, PeerAddress } from '../net/net.js'

/** Connections that are kept. A DHT walk needs a first step that lives, not many. */
const NEIGHBOURS = 6
/** Members tried in one round: many may be gone. */
const ATTEMPTS_MAX = 16
/** Between two rounds with all neighbours there, and with some missing. */
const ROUND_MS = 60_000
const ROUND_MISSING_MS = 10_000

export interface NeighboursComponents {
  readonly net: Pick<Net, 'peerId' | 'connect'>
  readonly view: Pick<SubnetView, 'members'>
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export class Neighbours implements Startable {
  readonly #components: NeighboursComponents
  readonly #kept = new Set<string>()
  readonly #life = childSignal()
  #timer: Timer | undefined
  #round: Promise<void> | undefined

  constructor(components: NeighboursComponents) {
    this.#components = components
  }

  /** Waits for nobody: a node serves also while it is alone. */
  async start(): Promise<void> {
    this.#next()
  }

  async stop(): Promise<void> {
    this.#life.abort(new DOMException('the node stops', 'AbortError'))
    this.#timer?.cancel()
    await this.#round
  }

  /** Connects to as many as are missing, within one round's attempts; resolves with how many there are then. */
  async meet(): Promise<number> {
    this.#round ??= this.#meet().finally(() => {
      this.#round = undefined
    })
    await this.#round
    return this.#kept.size
  }

  #next(): void {
    void this.meet().then((count) => {
      if (this.#life.signal.aborted) return
      const delayMs = count < NEIGHBOURS ? ROUND_MISSING_MS : ROUND_MS
      this.#timer = this.#components.clock.after(delayMs, () => this.#next(), { background: true })
    })
  }

  /** Never rejects. */
  async #meet(): Promise<void> {
    const others = this.#others()
    const kept = [...this.#kept]
    this.#kept.clear()
    // Who moved or left the subnet is no neighbour any more; to one that is still connected this costs nothing.
    await Promise.all(kept.flatMap((peerId) => others.get(peerId) ?? []).map((peer) => this.#connect(peer)))
    const untried = [...others.values()].filter(({ peerId }) => !kept.includes(peerId))
    for (let tried = 0; tried < ATTEMPTS_MAX && untried.length > 0; ) {
      const missing = Math.min(NEIGHBOURS - this.#kept.size, ATTEMPTS_MAX - tried)
      if (missing <= 0 || this.#life.signal.aborted) return
      const chosen = Array.from({ length: missing }, () => this.#draw(untried)).flat()
      tried += chosen.length
      await Promise.all(chosen.map((peer) => this.#connect(peer)))
    }
  }

  async #connect(peer: PeerAddress): Promise<void> {
    try {
      await this.#components.net.connect(peer, this.#life)
      this.#kept.add(peer.peerId)
    } catch (error) {
      // Gone, or not there yet: another one is tried, and this one again in a later round.
      const expected = this.#life.signal.aborted || isSubnetError(error)
      const { logger } = this.#components
      logger[expected ? 'debug' : 'error']({ err: error, peer: peer.peerId }, 'a neighbour cannot be reached')
    }
  }

  /** Members with an address, ourselves left out. */
  #others(): Map<string, PeerAddress> {
    const { net, view } = this.#components
    const endpoints = view.members().flatMap(({ endpoint }) => endpoint ?? [])
    return new Map(
      endpoints.filter(({ peerId }) => peerId !== net.peerId).map((endpoint) => [endpoint.peerId, endpoint]),
    )
  }

  /** Takes one out by chance; none when none is left. */
  #draw(untried: PeerAddress[]): PeerAddress[] {
    return untried.splice(Math.floor(randomFraction(this.#components.random) * untried.length), 1)
  }
}
