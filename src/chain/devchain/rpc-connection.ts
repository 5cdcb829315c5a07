/**
 * One WebSocket to a devchain server, from open to closed: matches answers to calls, gives every call a deadline, and
 * ends itself when the server talks nonsense. Opening the next one is the client's business.
 */
import { WebSocket } from 'ws'
import { type AbortOptions, deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { BlockHead } from '../chain.js'
import { errorOf, REPLY_BYTES_MAX, replySchema, requestText } from './json-rpc.js'

/** Calls that may wait for their answers. */
const CALLS_PENDING_MAX = 256

export interface RpcConnectionComponents {
  readonly clock: Clock
  /** Gets the pushed heads, in order. */
  readonly onHead: (head: BlockHead) => void
}

export interface RpcConnectionInit {
  readonly url: string
  /** For every call. */
  readonly callTimeoutMs: number
}

interface PendingCall {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: SubnetError) => void
}

export class RpcConnection {
  readonly #socket: WebSocket
  readonly #components: RpcConnectionComponents
  readonly #init: RpcConnectionInit
  readonly #pending = new Map<number, PendingCall>()
  /** Resolves with the reason. */
  readonly closed: Promise<string>
  #endedBy: string | undefined
  #nextId = 1

  private constructor(socket: WebSocket, components: RpcConnectionComponents, init: RpcConnectionInit) {
    this.#socket = socket
    this.#components = components
    this.#init = init
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        const reason = this.#endedBy ?? `closed with code ${code}`
        this.#rejectAll(reason)
        resolve(reason)
      })
    })
    socket.on('error', (error) => {
      this.#endedBy ??= error.message
    })
    socket.on('message', (data, isBinary) => this.#receive(isBinary ? '' : data.toString()))
  }

  /** Rejects with `CHAIN_UNAVAILABLE` when no server answers, or with the signal's reason. */
  static async open(
    components: RpcConnectionComponents,
    init: RpcConnectionInit,
    options: AbortOptions = {},
  ): Promise<RpcConnection> {
    options.signal?.throwIfAborted()
    const socket = new WebSocket(init.url, { maxPayload: REPLY_BYTES_MAX, perMessageDeflate: false })
    const connection = new RpcConnection(socket, components, init)
    const opened = new Promise<void>((resolve, reject) => {
      socket.once('open', resolve)
      void connection.closed.then((reason) => reject(unavailable(`${init.url}: ${reason}`)))
    })
    try {
      await raceAbort(opened, options.signal)
      return connection
    } catch (error) {
      connection.terminate('given up')
      throw error
    }
  }

  /** The result as it came. Rejects with what the chain said, or `CHAIN_UNAVAILABLE`. */
  async call(method: string, params: unknown, options: AbortOptions = {}): Promise<unknown> {
    options.signal?.throwIfAborted()
    if (this.#endedBy !== undefined) throw unavailable(this.#endedBy)
    if (this.#pending.size >= CALLS_PENDING_MAX) throw unavailable('too many calls wait for the devchain')
    const id = this.#nextId
    this.#nextId += 1
    using scope = deadline(this.#components.clock, this.#init.callTimeoutMs, method, options.signal)
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
    })
    this.#socket.send(requestText(id, method, params))
    try {
      return await raceAbort(answered, scope.signal)
    } catch (error) {
      if (options.signal?.aborted === true || !isSubnetError(error, 'TIMEOUT')) throw error
      throw unavailable(error.message, error)
    } finally {
      this.#pending.delete(id)
    }
  }

  /** Ends the connection at once; pending calls reject with `CHAIN_UNAVAILABLE`. */
  terminate(reason: string): void {
    this.#endedBy ??= reason
    this.#rejectAll(this.#endedBy)
    this.#socket.terminate()
  }

  #receive(text: string): void {
    const reply = parseReply(text)
    if (reply === undefined) {
      this.terminate('the devchain sent something else than JSON-RPC')
    } else if ('method' in reply) {
      this.#components.onHead(reply.params)
    } else if (typeof reply.id === 'number') {
      // An answer whose call was given up has no reader left.
      const call = this.#pending.get(reply.id)
      if ('error' in reply) call?.reject(errorOf(reply.error))
      else call?.resolve(reply.result)
    }
  }

  #rejectAll(reason: string): void {
    for (const call of this.#pending.values()) call.reject(unavailable(reason))
    this.#pending.clear()
  }
}

function parseReply(text: string) {
  try {
    return replySchema.safeParse(JSON.parse(text)).data
  } catch {
    // Text that is no JSON: the caller ends the connection, and what exactly it was does not matter.
    return undefined
  }
}

export function unavailable(text: string, cause?: unknown): SubnetError {
  return new SubnetError(
    'CHAIN_UNAVAILABLE',
    `the devchain does not answer: ${text}; see that it runs and that --subtensor.chain_endpoint is its own, then try again`,
    { cause },
  )
}
