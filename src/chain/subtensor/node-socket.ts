/**
 * One WebSocket to a subtensor node, from open to closed: JSON-RPC 2.0 with a deadline on every call, and what the node
 * pushes. It never reconnects and subscribes to nothing by itself: `node-connection.ts` does, with the next socket.
 */
import { WebSocket } from 'ws'
import * as z from 'zod'
import { type AbortOptions, deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'

/** Calls that may wait for their answers. */
const CALLS_PENDING_MAX = 256
/** Metadata in hex is 1 MiB, a full block a few; more is a defect or an attack. */
const REPLY_BYTES_MAX = 64 * 2 ** 20

const replySchema = z.union([
  z.object({
    id: z.number(),
    error: z.object({ code: z.number(), message: z.string(), data: z.unknown().optional() }),
  }),
  z.object({ id: z.number(), result: z.unknown() }),
  z.object({ method: z.string(), params: z.object({ result: z.unknown() }) }),
])

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
  /** Gets what the node pushes: the method's name and the result. */
  readonly onPush: (method: string, result: unknown) => void
}

export interface NodeSocketInit {
  readonly url: string
  /** For every call. */
  readonly callTimeoutMs: number
}

interface PendingCall {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

export class NodeSocket {
  readonly url: string
  /** Resolves with the reason. */
  readonly closed: Promise<string>
  readonly #socket: WebSocket
  readonly #components: NodeSocketComponents
  readonly #callTimeoutMs: number
  readonly #pending = new Map<number, PendingCall>()
  #endedBy: string | undefined
  #nextId = 1

  private constructor(components: NodeSocketComponents, init: NodeSocketInit) {
    this.url = init.url
    this.#components = components
    this.#callTimeoutMs = init.callTimeoutMs
    const socket = new WebSocket(init.url, { maxPayload: REPLY_BYTES_MAX, perMessageDeflate: false })
    this.#socket = socket
    this.closed = new Promise((resolve) => {
      socket.on('close', (code) => {
        this.#endedBy ??= `closed with code ${code}`
        this.#rejectAll(this.#endedBy)
        resolve(this.#endedBy)
      })
    })
    socket.on('error', (error) => {
      this.#endedBy ??= error.message
    })
    socket.on('message', (data, isBinary) => this.#receive(isBinary ? '' : data.toString()))
  }

  /** Rejects with `CHAIN_UNAVAILABLE` when nothing answers, or with the signal's reason. */
  static async open(
    components: NodeSocketComponents,
    init: NodeSocketInit,
    options: AbortOptions = {},
  ): Promise<NodeSocket> {
    options.signal?.throwIfAborted()
    const socket = new NodeSocket(components, init)
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
  async call(method: string, params: readonly unknown[], options: AbortOptions = {}): Promise<unknown> {
    options.signal?.throwIfAborted()
    if (this.#endedBy !== undefined) throw unavailable(this.url, this.#endedBy)
    if (this.#pending.size >= CALLS_PENDING_MAX)
      throw new SubnetError('BUSY', `${CALLS_PENDING_MAX} calls wait for ${this.url}`)
    const id = this.#nextId
    this.#nextId += 1
    using scope = deadline(this.#components.clock, this.#callTimeoutMs, method, options.signal)
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
    })
    this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))
    try {
      return await raceAbort(answered, scope.signal)
    } catch (error) {
      const ownDeadline = options.signal?.aborted !== true && isSubnetError(error, 'TIMEOUT')
      if (!ownDeadline) throw error
      // A node that lets one call wait for ever lets the next one wait too.
      this.terminate(`stalled: ${error.message}`)
      throw unavailable(this.url, error.message, error)
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
    if (reply === undefined) this.terminate('sent something else than JSON-RPC')
    else if ('method' in reply) this.#components.onPush(reply.method, reply.params.result)
    else {
      // An answer whose call was given up has no reader left.
      const call = this.#pending.get(reply.id)
      if (!('error' in reply)) call?.resolve(reply.result)
      else {
        const { code, message, data } = reply.error
        const detail = typeof data === 'string' ? data : JSON.stringify(data ?? '')
        call?.reject(new RpcRefusal(code, message, detail))
      }
    }
  }

  #rejectAll(reason: string): void {
    for (const call of this.#pending.values()) call.reject(unavailable(this.url, reason))
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

function unavailable(url: string, text: string, cause?: unknown): SubnetError {
  return new SubnetError('CHAIN_UNAVAILABLE', `${url} does not answer: ${text}`, {
    cause,
    data: { endpoint: url },
  })
}
