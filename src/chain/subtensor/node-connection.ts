/**
 * The one long-lived connection to a subtensor chain: whichever endpoint works, with its subscription to heads, checked
 * for genesis and freshness before it is used. It comes back by itself after any loss, on the next endpoint; calls wait
 * for it within their deadline. What the answers mean is for `state-reader.ts` and `submitter.ts`.
 */
import * as z from 'zod'
import { type AbortOptions, childSignal, deadline, raceAbort, type ScopedSignal } from '../../base/abort.js'
import type { Clock, Timer } from '../../base/clock.js'
import { invariant, isSubnetError, SubnetError, toSubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { type Random, randomFraction } from '../../base/random.js'
import type { BlockHead } from '../chain.js'
import { HeadTrack } from './head-track.js'
import { NodeSocket, RpcRefusal } from './node-socket.js'
import { refusedBefore } from './refusals.js'

export interface NodeConnectionComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface NodeConnectionInit {
  /** In order of preference; at least one. */
  readonly urls: readonly string[]
  /** `undefined`: that of the first endpoint that answers. */
  readonly genesisHash: string | undefined
  /** One attempt at one endpoint. */
  readonly attemptTimeoutMs?: number
  /** A call with all its attempts, waiting for a connection included. */
  readonly callTimeoutMs?: number
  /** `start` tries for so long. */
  readonly startTimeoutMs?: number
  /** After a round in which no endpoint worked; doubles up to the maximum, with jitter. */
  readonly retryMinMs?: number
  readonly retryMaxMs?: number
  /** A node whose newest block is older is not used. */
  readonly staleMs?: number
  /** A connection that brings no head for so long is given up. */
  readonly silentMs?: number
}

export const NODE_CONNECTION_DEFAULTS = {
  attemptTimeoutMs: 15_000,
  callTimeoutMs: 45_000,
  startTimeoutMs: 45_000,
  retryMinMs: 500,
  retryMaxMs: 30_000,
  /** Ten blocks of 12 s: a healthy chain skips one or two. */
  staleMs: 120_000,
  silentMs: 60_000,
} as const

/** Storage key of `Timestamp.Now` (twox128 of both names), the same on every Substrate chain: milliseconds, u64. */
const TIMESTAMP_NOW = '0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb'
const NEW_HEADS = { method: 'chain_subscribeNewHeads', push: 'chain_newHead' } as const

const hash = z.string().regex(/^0x[0-9a-f]{64}$/)
const header = z.object({ number: z.string().regex(/^0x[0-9a-f]+$/), parentHash: hash })
type Header = z.infer<typeof header>

export class NodeConnection {
  readonly #components: NodeConnectionComponents
  readonly #init: Required<NodeConnectionInit>
  readonly #track: HeadTrack
  /** By endpoint: why it was last given up. */
  readonly #failures = new Map<string, string>()
  readonly #otherChains = new Set<string>()
  readonly #waiting = new Set<(socket: NodeSocket) => void>()
  #life: ScopedSignal | undefined
  #running: Promise<void> | undefined
  #socket: NodeSocket | undefined
  #genesisHash: string | undefined
  #silence: Timer | undefined
  /** Why there is no point in trying again. */
  #fatal: SubnetError | undefined

  constructor(components: NodeConnectionComponents, init: NodeConnectionInit) {
    this.#components = components
    this.#init = { ...NODE_CONNECTION_DEFAULTS, ...init }
    this.#genesisHash = init.genesisHash
    this.#track = new HeadTrack({
      logger: components.logger,
      headAt: (number, options) => this.#headAt(this.#usable(), number, options),
    })
  }

  /** Of the chain this connection is bound to; known after `start`. */
  get genesisHash(): string {
    if (this.#genesisHash === undefined) throw this.#unavailable('connecting')
    return this.#genesisHash
  }

  /** The endpoint in use; another value after a failover. */
  get url(): string | undefined {
    return this.#socket?.url
  }

  /** Rejects with `CHAIN_UNAVAILABLE` when no endpoint answered in time, `CHAIN_REFUSED` when all are other chains. */
  async start(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    this.#life = childSignal()
    this.#fatal = undefined
    this.#running = this.#run(this.#life.signal)
    const { clock } = this.#components
    using scope = deadline(clock, this.#init.startTimeoutMs, 'connecting', options.signal)
    try {
      await this.#connected(scope.signal)
    } catch (error) {
      await this.stop()
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      throw ownDeadline ? this.#unavailable('the connection') : error
    }
  }

  async stop(): Promise<void> {
    this.#life?.abort(stopped())
    this.#socket?.terminate('stopped')
    this.#silence?.cancel()
    await this.#running
  }

  /** The newest head seen on this connection. */
  async head(options: AbortOptions = {}): Promise<BlockHead> {
    await this.#inTime('the head', options, (signal) => this.#connected(signal))
    invariant(this.#track.head, 'a connection is in use once its head is known')
    return this.#track.head
  }

  /** The newest block that cannot be undone, as the node in use knows it. */
  async finalizedHead(options: AbortOptions = {}): Promise<BlockHead> {
    return this.#inTime('the finalized head', options, async (signal) => {
      for (;;) {
        const socket = await this.#connected(signal)
        const found = hash.parse(await this.call('chain_getFinalizedHead', [], { signal }))
        const answer = await this.call('chain_getHeader', [found], { signal })
        // Between the two questions the connection may have moved to a node that has not seen that block.
        if (answer !== null) return this.#headAt(socket, Number(header.parse(answer).number), { signal })
      }
    })
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    return this.#track.onHead(listener)
  }

  /**
   * One question, on one endpoint after the other until it is answered. Rejects with `RpcRefusal` when a node refuses
   * it, `CHAIN_UNAVAILABLE` when none answers in time. With `once` the first endpoint's silence is the answer: what must
   * know whether somebody may have heard it asks so.
   */
  async call(
    method: string,
    params: readonly unknown[],
    options: AbortOptions & { readonly once?: boolean } = {},
  ): Promise<unknown> {
    return this.#inTime(method, options, async (signal) => {
      for (;;) {
        const socket = await this.#connected(signal)
        try {
          return await socket.call(method, params, { signal })
        } catch (error) {
          if (error instanceof RpcRefusal && error.isRateLimit) this.#giveUp(socket, 'it limits our rate')
          else if (!isSubnetError(error, 'CHAIN_UNAVAILABLE')) throw error
          this.#note(socket.url, toSubnetError(error).message)
          if (options.once === true) throw this.#unavailable(method)
          // Until the loop has taken it out of use, or the same socket would be asked again at once.
          await raceAbort(socket.closed, signal)
        }
      }
    })
  }

  async #inTime<T>(
    what: string,
    options: AbortOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    options.signal?.throwIfAborted()
    using scope = deadline(this.#components.clock, this.#init.callTimeoutMs, what, options.signal)
    try {
      return await work(scope.signal)
    } catch (error) {
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      throw ownDeadline ? this.#unavailable(what) : error
    }
  }

  #usable(): NodeSocket {
    if (this.#fatal !== undefined) throw this.#fatal
    this.#life?.signal.throwIfAborted()
    if (this.#socket === undefined) throw this.#unavailable('the connection')
    return this.#socket
  }

  /** The socket in use, or the next one. */
  async #connected(signal: AbortSignal): Promise<NodeSocket> {
    if (this.#fatal !== undefined) throw this.#fatal
    if (this.#life === undefined || this.#life.signal.aborted) throw stopped()
    if (this.#socket !== undefined) return this.#socket
    let wake: (socket: NodeSocket) => void = () => undefined
    const connected = new Promise<NodeSocket>((resolve) => {
      wake = resolve
    })
    this.#waiting.add(wake)
    const ended = this.#running?.then(() => Promise.reject(this.#fatal ?? stopped())) ?? connected
    try {
      return await raceAbort(Promise.race([connected, ended]), signal)
    } finally {
      this.#waiting.delete(wake)
    }
  }

  /** Keeps one connection until stopped, or until every endpoint turned out to be another chain. */
  async #run(signal: AbortSignal): Promise<void> {
    const { logger, clock, random } = this.#components
    let retryMs = this.#init.retryMinMs
    for (let turn = 0; !signal.aborted && this.#fatal === undefined; turn += 1) {
      const urls = this.#init.urls.filter((url) => !this.#otherChains.has(url))
      const url = urls[turn % urls.length]
      if (url === undefined) break
      try {
        const socket = await this.#connect(url, signal)
        logger.info({ endpoint: url, block: this.#track.head?.number }, 'connected to subtensor')
        retryMs = this.#init.retryMinMs
        const reason = await socket.closed
        if (!signal.aborted) {
          this.#note(url, reason)
          logger.warn({ endpoint: url, reason }, 'lost the subtensor node; trying the next endpoint')
        }
      } catch (error) {
        if (!signal.aborted) this.#note(url, toSubnetError(error).message)
        logger.debug({ err: error, endpoint: url }, 'cannot use this subtensor node')
      } finally {
        this.#socket = undefined
        this.#silence?.cancel()
      }
      if ((turn + 1) % urls.length !== 0) continue
      const jitterMs = (retryMs / 2) * (1 + randomFraction(random))
      // Only the end of this life interrupts the pause, and the loop sees that itself.
      await clock.sleep(jitterMs, { signal }).catch(() => undefined)
      retryMs = Math.min(2 * retryMs, this.#init.retryMaxMs)
    }
  }

  /** Opens, checks which chain it is and how fresh, subscribes. */
  async #connect(url: string, signal: AbortSignal): Promise<NodeSocket> {
    const { clock } = this.#components
    const { attemptTimeoutMs, staleMs } = this.#init
    using scope = deadline(clock, attemptTimeoutMs, `connecting to ${url}`, signal)
    const within = { signal: scope.signal }
    let pushed: (header: unknown) => void = () => undefined
    const socket = await NodeSocket.open({ clock }, { url, callTimeoutMs: attemptTimeoutMs }, within)
    try {
      this.#requireSameChain(url, hash.parse(await socket.call('chain_getBlockHash', [0], within)))
      const head = await this.#newestHead(socket, within)
      const ageMs = clock.nowMs() - head.timestampMs
      if (ageMs > staleMs) {
        const text = `its newest block ${head.number} is ${Math.round(ageMs / 1000)} s old: it is stuck or still syncing, or this machine's clock is wrong`
        throw new SubnetError('CHAIN_UNAVAILABLE', text)
      }
      await socket.subscribe(NEW_HEADS, (result) => pushed(result), within)
      signal.throwIfAborted()
      this.#socket = socket
      pushed = (result) => this.#hear(socket, result)
      await this.#track.see(head, within)
    } catch (error) {
      socket.terminate('given up')
      throw error
    }
    this.#watchSilence(socket)
    this.#failures.delete(url)
    for (const wake of this.#waiting) wake(socket)
    return socket
  }

  #requireSameChain(url: string, found: string): void {
    this.#genesisHash ??= found
    if (found === this.#genesisHash) return
    this.#otherChains.add(url)
    const text = `${url} is a node of another chain: its genesis is ${found}, expected ${this.#genesisHash}`
    const error = refusedBefore(
      'WrongGenesis',
      `${text}; check --subtensor.chain_endpoint and --subtensor.network`,
    )
    this.#components.logger.error({ endpoint: url, found, expected: this.#genesisHash }, 'wrong genesis')
    if (this.#otherChains.size === this.#init.urls.length) this.#fatal = error
    throw error
  }

  /** A header pushed by the node. */
  #hear(socket: NodeSocket, result: unknown): void {
    const parsed = header.safeParse(result)
    if (!parsed.success) {
      this.#giveUp(socket, 'it pushed a malformed header')
      return
    }
    this.#watchSilence(socket)
    void this.#follow(socket, parsed.data)
  }

  async #follow(socket: NodeSocket, { number, parentHash }: Header): Promise<void> {
    try {
      await this.#track.see(await this.#headAt(socket, Number(number)), {}, parentHash)
    } catch (error) {
      // The next head brings the rest; a connection that is gone has its own end.
      this.#components.logger.debug({ err: error, block: Number(number) }, 'could not follow a head')
    }
  }

  async #newestHead(socket: NodeSocket, options: AbortOptions): Promise<BlockHead> {
    const { number } = header.parse(await socket.call('chain_getHeader', [], options))
    return this.#headAt(socket, Number(number), options)
  }

  async #headAt(socket: NodeSocket, number: number, options: AbortOptions = {}): Promise<BlockHead> {
    const blockHash = hash.parse(await socket.call('chain_getBlockHash', [number], options))
    const now = z
      .string()
      .nullable()
      .parse(await socket.call('state_getStorage', [TIMESTAMP_NOW, blockHash], options))
    // Genesis has no time yet.
    const bytes = new DataView(
      Uint8Array.from(Buffer.from((now ?? '').slice(2).padEnd(16, '0'), 'hex')).buffer,
    )
    return { number, hash: blockHash, timestampMs: Number(bytes.getBigUint64(0, true)) }
  }

  /** A lost peer sends no end of connection, a stuck node no heads: silence is the only sign of both. */
  #watchSilence(socket: NodeSocket): void {
    const { silentMs } = this.#init
    this.#silence?.cancel()
    this.#silence = this.#components.clock.after(silentMs, () => {
      this.#giveUp(socket, `no new head for ${silentMs / 1000} s`)
    })
  }

  #giveUp(socket: NodeSocket, reason: string): void {
    this.#note(socket.url, reason)
    socket.terminate(reason)
  }

  #note(url: string, reason: string): void {
    this.#failures.set(url, reason)
  }

  #unavailable(what: string): SubnetError {
    const tried = this.#init.urls.map((url) => `${url} (${this.#failures.get(url) ?? 'no answer yet'})`)
    const text = `no subtensor node answered ${what}; tried ${tried.join(', ')}: check the network and --subtensor.chain_endpoint`
    return new SubnetError('CHAIN_UNAVAILABLE', text, { data: { endpoints: this.#init.urls } })
  }
}

function stopped(): SubnetError {
  return new SubnetError('STOPPED', 'the chain was stopped')
}
