/**
 * One connection to a subtensor node, from open to closed: a `WsProvider` of one endpoint, with a deadline on every call.
 * It never reconnects: `node-connection.ts` opens the next one.
 */
import type { WsProvider } from '@polkadot/api'
import { type AbortOptions, deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { GuardedWebSocket, loadPolkadot } from './polkadot.js'

/** Calls that may wait for their answers. */
const CALLS_PENDING_MAX = 256

/** The node answered with a JSON-RPC error. */
export class RpcRefusal extends Error {
  override readonly name = 'RpcRefusal'
  readonly code: number
  /** What the node added, as text; may be empty. */
  readonly detail: string

  constructor(code: number, message: string, detail: string) {
    super(message)
    this.code = code
    this.detail = detail
  }

  /** The node, or the gate in front of it, has had enough of us. */
  get isRateLimit(): boolean {
    return this.code === 429 || this.code === -32_029 || /rate.?limit|too many requests/i.test(this.message)
  }
}

export interface NodeSocketComponents {
  readonly clock: Clock
}

export interface NodeSocketInit {
  readonly url: string
  /** For every call. */
  readonly callTimeoutMs: number
}

/** What the node pushes under a subscription, as @polkadot/api wants it named. */
export interface Subscription {
  /** The method that asks for it, and the one it is pushed under. */
  readonly method: string
  readonly push: string
}

export class NodeSocket {
  readonly url: string
  /** Resolves with the reason. */
  readonly closed: Promise<string>
  readonly #clock: Clock
  readonly #callTimeoutMs: number
  readonly #provider: WsProvider
  readonly #socket: GuardedWebSocket

  private constructor({ clock }: NodeSocketComponents, init: NodeSocketInit, provider: WsProvider) {
    this.url = init.url
    this.#clock = clock
    this.#callTimeoutMs = init.callTimeoutMs
    this.#provider = provider
    const socket = GuardedWebSocket.madeBy(() => provider.connect())
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        socket.endedBy ??= `closed with code ${code}`
        resolve(socket.endedBy)
      })
    })
    socket.on('error', (error) => {
      socket.endedBy ??= error.message
    })
  }

  /** Rejects with `CHAIN_UNAVAILABLE` when nothing answers, or with the signal's reason. */
  static async open(
    components: NodeSocketComponents,
    init: NodeSocketInit,
    options: AbortOptions = {},
  ): Promise<NodeSocket> {
    const { WsProvider } = await raceAbort(loadPolkadot(), options.signal)
    options.signal?.throwIfAborted()
    // No reconnecting of its own, and no answers from memory: those that nobody waits for are dropped with the rest.
    const provider = new WsProvider(init.url, false, {}, init.callTimeoutMs, 0)
    const socket = new NodeSocket(components, init, provider)
    const opened = new Promise<void>((resolve, reject) => {
      socket.#socket.once('open', resolve)
      void socket.closed.then((reason) => reject(unavailable(init.url, reason)))
    })
    try {
      await raceAbort(opened, options.signal)
      return socket
    } catch (error) {
      socket.terminate('given up')
      throw error
    }
  }

  /** The result as it came. Rejects with `RpcRefusal`, `CHAIN_UNAVAILABLE`, or the signal's reason. */
  call(method: string, params: readonly unknown[], options: AbortOptions = {}): Promise<unknown> {
    return this.#inTime(method, options, () => this.#provider.send<unknown>(method, [...params]))
  }

  /** `listener` gets what is pushed until the connection ends. Rejects as `call` does. */
  async subscribe(
    { method, push }: Subscription,
    listener: (result: unknown) => void,
    options: AbortOptions = {},
  ): Promise<void> {
    const heard = (error: Error | null, result: unknown) => {
      if (error === null) listener(result)
      else this.terminate(`its subscription failed: ${error.message}`)
    }
    await this.#inTime(method, options, () => this.#provider.subscribe(push, method, [], heard))
  }

  async #inTime(what: string, options: AbortOptions, ask: () => Promise<unknown>): Promise<unknown> {
    options.signal?.throwIfAborted()
    const endedBy = this.#socket.endedBy
    if (endedBy !== undefined) throw unavailable(this.url, endedBy)
    if (this.#provider.stats.active.requests >= CALLS_PENDING_MAX)
      throw new SubnetError('BUSY', `${CALLS_PENDING_MAX} calls wait for ${this.url}`)
    using scope = deadline(this.#clock, this.#callTimeoutMs, what, options.signal)
    try {
      return await raceAbort(ask(), scope.signal)
    } catch (error) {
      if (isRpcError(error)) throw refusal(error)
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      if (scope.signal.aborted && !ownDeadline) throw error
      const text = error instanceof Error ? error.message : String(error)
      // A node that lets one call wait for ever lets the next one wait too; one that answers nonsense is no better.
      this.terminate(ownDeadline ? `stalled: ${text}` : text)
      throw unavailable(this.url, ownDeadline ? text : (this.#socket.endedBy ?? text), error)
    }
  }

  /** Ends the connection at once; pending calls reject with `CHAIN_UNAVAILABLE`. */
  terminate(reason: string): void {
    this.#socket.end(reason)
  }
}

/** @polkadot/api's `RpcError`, which it does not export. */
interface RpcError extends Error {
  readonly code: number
  readonly data: unknown
}

function isRpcError(error: unknown): error is RpcError {
  return error instanceof Error && error.name === 'RpcError' && 'code' in error
}

/** Its message is the library's: the code, the node's own, and what the node added. */
function refusal({ code, message, data }: RpcError): RpcRefusal {
  const detail = typeof data === 'string' ? data : JSON.stringify(data ?? '')
  const [start, end] = [`${code}: `, `: ${detail}`]
  const text = message.startsWith(start) ? message.slice(start.length) : message
  return new RpcRefusal(code, text.endsWith(end) ? text.slice(0, -end.length) : text, detail)
}

function unavailable(url: string, text: string, cause?: unknown): SubnetError {
  return new SubnetError('CHAIN_UNAVAILABLE', `${url} does not answer: ${text}`, {
    cause,
    data: { endpoint: url },
  })
}
