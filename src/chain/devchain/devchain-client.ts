/**
 * A devchain in another process: one long-lived connection that comes back by itself, with its subscription to heads,
 * after any loss. While it is down every call rejects at once. `adapter.ts` makes it a `Chain`.
 */
import * as z from 'zod'
import { type AbortOptions, childSignal, deadline, raceAbort, type ScopedSignal } from '../../base/abort.js'
import type { Clock, Timer } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { type Random, randomFraction } from '../../base/random.js'
import type { BlockHead, ChainConstants } from '../chain.js'
import { blockHead, type DevchainApi, METHODS, type MethodName, type Params, type Result } from './api.js'
import { SUBSCRIBE_HEADS } from './json-rpc.js'
import { RpcConnection, unavailable } from './rpc-connection.js'

export interface DevchainClientComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface DevchainClientInit {
  /** `host:port`. */
  readonly authority: string
  /** For opening a connection, and for every call. */
  readonly callTimeoutMs?: number
  /** `start` tries again for so long: nodes and devchain may come up in any order. */
  readonly startTimeoutMs?: number
  /** Between attempts; doubles up to the maximum, with jitter. */
  readonly retryMinMs?: number
  readonly retryMaxMs?: number
}

export const DEVCHAIN_CLIENT_DEFAULTS = {
  callTimeoutMs: 10_000,
  startTimeoutMs: 30_000,
  retryMinMs: 250,
  retryMaxMs: 5_000,
} as const

/** A remembered head is the head for so many blocks; later the server is asked. */
const HEAD_FRESH_BLOCKS = 2
/** A connection without a head for so many blocks, and this long, is given up. */
const SILENT_BLOCKS_MAX = 5
const SILENT_MS_MIN = 10_000
/** What has come by then is read within this. */
const HEARING_MS = 100

export class DevchainClient implements DevchainApi {
  readonly #clock: Clock
  readonly #random: Random
  readonly #logger: Logger
  readonly #init: Required<DevchainClientInit>
  readonly #listeners = new Set<(head: BlockHead) => void>()
  #life: ScopedSignal | undefined
  #running: Promise<void> | undefined
  /** Present while there is one to the chain that `start` found. */
  #connection: RpcConnection | undefined
  #constants: ChainConstants | undefined
  #head: { readonly head: BlockHead; readonly seenMs: number } | undefined
  #silence: Timer | undefined
  /** Why there is no point in trying again. */
  #fatal: SubnetError | undefined

  constructor(components: DevchainClientComponents, init: DevchainClientInit) {
    this.#clock = components.clock
    this.#random = components.random
    this.#logger = components.logger
    this.#init = { ...DEVCHAIN_CLIENT_DEFAULTS, ...init }
  }

  /** Rejects with `CHAIN_UNAVAILABLE` when no devchain answered in time. */
  async start(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    const life = childSignal()
    this.#life = life
    const connected = new Promise<void>((resolve, reject) => {
      this.#running = this.#run(life.signal, resolve).then(() => {
        reject(this.#fatal ?? new SubnetError('STOPPED', 'the devchain client was stopped'))
      })
    })
    using scope = deadline(this.#clock, this.#init.startTimeoutMs, this.#init.authority, options.signal)
    try {
      await raceAbort(connected, scope.signal)
    } catch (error) {
      await this.stop()
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      const text = `nothing at ${this.#init.authority} within ${this.#init.startTimeoutMs / 1000} s; is it running?`
      throw ownDeadline ? unavailable(text, error) : error
    }
  }

  async stop(): Promise<void> {
    this.#life?.abort(new SubnetError('STOPPED', 'the devchain client was stopped'))
    this.#connection?.terminate('the devchain client was stopped')
    await this.#running
  }

  async head(options: AbortOptions = {}): Promise<BlockHead> {
    const connection = this.#usable()
    const last = this.#head
    const freshMs = HEAD_FRESH_BLOCKS * (this.#constants?.blockMs ?? 0)
    if (last !== undefined && this.#clock.monotonicMs() - last.seenMs <= freshMs) return last.head
    return this.#ask(connection, 'head', {}, options)
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async call<M extends MethodName>(
    name: M,
    params: Params<M>,
    options: AbortOptions = {},
  ): Promise<Result<M>> {
    return this.#ask(this.#usable(), name, params, options)
  }

  #usable(): RpcConnection {
    if (this.#fatal !== undefined) throw this.#fatal
    this.#life?.signal.throwIfAborted()
    if (this.#connection === undefined) throw unavailable(`no connection to ${this.#init.authority}`)
    return this.#connection
  }

  async #ask<M extends MethodName>(
    connection: RpcConnection,
    name: M,
    params: Params<M>,
    options: AbortOptions,
  ): Promise<Result<M>> {
    const method = METHODS[name]
    const answer = await connection.call(name, z.encode(method.params, params), options)
    return decodeAnswer(connection, method.result, answer)
  }

  /** Keeps a connection until the client stops or the chain turns out to be another one. */
  async #run(signal: AbortSignal, onConnected: () => void): Promise<void> {
    const { authority, retryMinMs } = this.#init
    let retryMs = retryMinMs
    let lost = false
    while (!signal.aborted) {
      try {
        const connection = await this.#connect(signal)
        onConnected()
        if (lost) this.#logger.info({ authority, block: this.#head?.head.number }, 'the devchain is back')
        retryMs = retryMinMs
        const reason = await connection.closed
        lost = true
        if (!signal.aborted) {
          const text =
            'lost the devchain: its process has ended or hangs; trying until one answers there again'
          this.#logger.warn({ reason, authority }, text)
        }
      } catch (error) {
        if (isSubnetError(error, 'CHAIN_REFUSED')) {
          this.#fatal = error
          this.#logger.error({ err: error }, 'this is not the devchain we were connected to')
          return
        }
        this.#logger.debug({ err: error, retryMs }, 'could not reach the devchain')
      } finally {
        this.#connection = undefined
        this.#silence?.cancel()
        // Kept only to recognise it: after a reconnect the head may be another one.
        if (this.#head !== undefined) this.#head = { head: this.#head.head, seenMs: Number.NEGATIVE_INFINITY }
      }
      const jitterMs = (retryMs / 2) * (1 + randomFraction(this.#random))
      // Only the end of the client's life interrupts the pause, and the loop sees that itself.
      await this.#clock.sleep(jitterMs, { signal }).catch(() => undefined)
      retryMs = Math.min(2 * retryMs, this.#init.retryMaxMs)
    }
  }

  /** Opens, checks whose chain it is, subscribes. Throws `CHAIN_REFUSED` when the genesis has changed. */
  async #connect(signal: AbortSignal): Promise<RpcConnection> {
    const { callTimeoutMs, authority } = this.#init
    let heard = false
    const onHead = (head: BlockHead) => {
      heard = true
      this.#hear(head)
    }
    using scope = deadline(this.#clock, callTimeoutMs, `connecting to ${authority}`, signal)
    const components = { clock: this.#clock, onHead }
    const connection = await RpcConnection.open(
      components,
      { url: `ws://${authority}`, callTimeoutMs },
      { signal: scope.signal },
    )
    try {
      const constants = await this.#ask(connection, 'constants', {}, { signal: scope.signal })
      this.#requireSameChain(constants)
      this.#constants = constants
      this.#connection = connection
      const answer = await connection.call(SUBSCRIBE_HEADS, {}, { signal: scope.signal })
      const head = decodeAnswer(connection, blockHead, answer)
      // A newer head may have overtaken the answer.
      if (!heard) this.#hear(head)
    } catch (error) {
      connection.terminate('given up')
      throw error
    }
    return connection
  }

  #requireSameChain({ genesisHash }: ChainConstants): void {
    const before = this.#constants?.genesisHash ?? genesisHash
    if (before === genesisHash) return
    throw new SubnetError('CHAIN_REFUSED', `${this.#init.authority} now runs another chain`, {
      data: { reason: 'GenesisChanged', before, genesisHash },
    })
  }

  #hear(head: BlockHead): void {
    this.#watchSilence()
    const known = this.#head?.head.hash === head.hash
    this.#head = { head, seenMs: this.#clock.monotonicMs() }
    if (known) return
    for (const listener of this.#listeners) {
      try {
        listener(head)
      } catch (error) {
        // A listener's failure is its own; the connection and the other listeners go on.
        this.#logger.error({ err: error, block: head.number }, 'a listener for new heads failed')
      }
    }
  }

  /** A lost peer sends no end of connection: heads that stay away are the only sign. */
  #watchSilence(): void {
    this.#silence?.cancel()
    const silentMs = Math.max(SILENT_BLOCKS_MAX * (this.#constants?.blockMs ?? 0), SILENT_MS_MIN)
    const end = () => this.#connection?.terminate(`no head for ${silentMs} ms`)
    this.#silence = this.#clock.after(silentMs, () => {
      // If it was we who were busy so long, as with a key that is unlocked, the heads lie in the socket and come now.
      this.#silence = this.#clock.after(HEARING_MS, end)
    })
  }
}

function decodeAnswer<T>(connection: RpcConnection, schema: z.ZodType<T>, answer: unknown): T {
  const decoded = schema.safeDecode(answer)
  if (decoded.success) return decoded.data
  connection.terminate('the devchain sent a malformed answer')
  throw unavailable('the devchain sent a malformed answer', decoded.error)
}
