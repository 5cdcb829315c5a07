/**
 * The open `retrieve` streams of one download: one per miner, opened when first needed. A miner that fails is left alone
 * for a while, so that a dead one costs the download one attempt and not one per segment. One that is only busy is
 * asked again when it says, if that is soon; others are asked meanwhile, as `race.ts` says.
 */
import { busyMs } from '../../protocols/common/status.js'
import type { PeerComponents } from '../../protocols/hello/exchange.js'
import { RetrieveStream } from '../../protocols/retrieve/client.js'
import { OrderTally, type TallyComponents } from '../../protocols/retrieve/receipt.js'
import { type AbortOptions, childSignal, raceAbort } from '../base/abort.js'
import { isSubnetError, SubnetError, toSubnetError } from '../base/errors.js'
import { type Random, randomFraction } from '../base/random.js'
import { toSs58 } from '../crypto/keys.js'
import type { Holder } from './holder.js'
import { Pace } from './pace.js'
import { candidatePeer } from './store-pool.js'

/** A failed miner is tried again after this, if it is still needed; a busy one when it said. */
const RETRY_AFTER_MS = 15_000
/** Times a request is made again to a miner that says BUSY. */
const BUSY_RETRIES_MAX = 6
/** Longest pause before that; one that asks for more counts as failed until then. */
const BUSY_PAUSE_MAX_MS = 5_000

export interface RetrievePoolComponents extends PeerComponents, TallyComponents {
  readonly random: Random
}

/** A holder whose order lasts so many blocks longer than the one its stream was opened with gets a new stream. */
const LONGER_BLOCKS = 200

interface Opening {
  readonly stream: Promise<RetrieveStream>
  /** Block at which its order ends; 0 without one. */
  readonly expiresBlock: number
}

interface Failed {
  readonly error: Error
  readonly untilMs: number
}

export class RetrievePool {
  /** Of the requests that were answered. */
  readonly pace = new Pace()
  readonly #components: RetrievePoolComponents
  readonly #streams = new Map<string, Opening>()
  /** Streams of earlier orders, on which the last answers come. */
  readonly #retired: Promise<RetrieveStream>[] = []
  /** Streams that opened, for counting what waits at each. */
  readonly #open = new Map<string, RetrieveStream>()
  readonly #failed = new Map<string, Failed>()
  /** All that ever opened. */
  readonly #opened: RetrieveStream[] = []
  /** By serial: what was got under an order outlives the stream that it was got on. */
  readonly #tallies = new Map<string, OrderTally>()
  /** A stream serves every request of the download, so none of them may end its opening: only `close` does. */
  readonly #life = childSignal()
  #failures = 0

  constructor(components: RetrievePoolComponents) {
    this.#components = components
  }

  get peers(): number {
    return this.#open.size
  }

  /** Requests that failed at one miner and went to another. */
  get retries(): number {
    return this.#failures
  }

  /** Bytes of bodies that came, those that were not needed in the end included. */
  get fetchedBytes(): number {
    return this.#opened.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0)
  }

  /** Why a miner is left alone now, if it is. */
  failure(holder: Holder): Error | undefined {
    const failed = this.#failed.get(toSs58(holder.hotkey))
    const isLeftAlone = failed !== undefined && this.#components.clock.monotonicMs() < failed.untilMs
    return isLeftAlone ? failed.error : undefined
  }

  /** It has answered another question since it failed. */
  forgive(holder: Holder): void {
    this.#failed.delete(toSs58(holder.hotkey))
  }

  /** Our requests waiting at a miner: the fewer, the sooner it answers. */
  waiting(holder: Holder): number {
    return this.#open.get(toSs58(holder.hotkey))?.waiting ?? 0
  }

  /** Runs one request on the miner's stream; again after a short pause where the miner asks for one. */
  async request<T>(
    holder: Holder,
    ask: (stream: RetrieveStream) => Promise<T>,
    options: AbortOptions = {},
  ): Promise<T> {
    const failure = this.failure(holder)
    if (failure !== undefined) throw failure
    const { clock, random } = this.#components
    for (let attempt = 0; ; attempt += 1) {
      const startedMs = clock.monotonicMs()
      try {
        const answer = await ask(await raceAbort(this.#stream(holder), options.signal))
        this.pace.add(clock.monotonicMs() - startedMs)
        return answer
      } catch (error) {
        options.signal?.throwIfAborted()
        this.#failures += 1
        const pauseMs = busyMs(error)
        if (pauseMs === undefined || pauseMs > BUSY_PAUSE_MAX_MS || attempt >= BUSY_RETRIES_MAX) {
          // A chunk that one miner has not says nothing about the miner's other chunks.
          if (!isSubnetError(error, 'NOT_FOUND')) this.#giveUp(holder, error)
          throw error
        }
        // Never sooner than asked for, and not all at the same moment.
        const wishMs = pauseMs * (2 ** attempt + randomFraction(random))
        await clock.sleep(Math.min(Math.max(wishMs, pauseMs), BUSY_PAUSE_MAX_MS), options)
      }
    }
  }

  async close(reason?: Error): Promise<void> {
    this.#life.abort(reason ?? new SubnetError('STOPPED', 'the download is over'))
    const streams = await Promise.allSettled([
      ...this.#retired,
      ...[...this.#streams.values()].map(({ stream }) => stream),
    ])
    for (const result of streams) {
      if (result.status === 'rejected') continue
      if (reason !== undefined) result.value.abort(reason)
      // Everything wanted has arrived: how the other side takes the end does not matter.
      else await result.value.close().catch(() => undefined)
    }
  }

  /**
   * The miner's stream; a new one in place of one whose order is about to end, or that ended idle, which says nothing about
   * the miner.
   */
  #stream(holder: Holder): Promise<RetrieveStream> {
    const hotkey = toSs58(holder.hotkey)
    const known = this.#streams.get(hotkey)
    const expiresBlock = holder.order?.expiresBlock ?? 0
    const isOver = this.#open.get(hotkey)?.ended === true
    if (known !== undefined && !isOver && expiresBlock < known.expiresBlock + LONGER_BLOCKS)
      return known.stream
    if (known !== undefined && !isOver) this.#retired.push(known.stream)
    this.#open.delete(hotkey)
    const tally = this.#tally(holder)
    const stream = RetrieveStream.open(this.#components, candidatePeer(holder), tally, this.#life)
    this.#streams.set(hotkey, { stream, expiresBlock })
    const isCurrent = () => this.#streams.get(hotkey)?.stream === stream
    stream.then(
      (opened) => {
        this.#opened.push(opened)
        if (isCurrent()) this.#open.set(hotkey, opened)
      },
      // Whoever waits for the stream gets the reason, and the next one another stream.
      () => isCurrent() && this.#streams.delete(hotkey),
    )
    return stream
  }

  #tally({ order }: Holder): OrderTally | undefined {
    if (order === undefined) return undefined
    const serial = Buffer.from(order.serial).toString('hex')
    const tally = this.#tallies.get(serial) ?? new OrderTally(order, this.#components)
    this.#tallies.set(serial, tally)
    return tally
  }

  #giveUp(holder: Holder, error: unknown): void {
    const hotkey = toSs58(holder.hotkey)
    const failure = toSubnetError(error)
    const pauseMs = busyMs(error)
    const untilMs = this.#components.clock.monotonicMs() + (pauseMs ?? RETRY_AFTER_MS)
    this.#failed.set(hotkey, { error: failure, untilMs })
    // What others wait for on its stream may still come.
    if (pauseMs !== undefined) return
    this.#streams.delete(hotkey)
    this.#open.get(hotkey)?.abort(failure)
    this.#open.delete(hotkey)
  }
}
