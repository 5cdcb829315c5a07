/** The miner's side of `retrieve`: bodies in the order of the requests, never beyond the client's credit. */
import { invariant, isSubnetError, SubnetError } from '../../src/base/errors.js'
import type { FrameStream } from '../common/frames.js'
import type { WireDomain } from '../common/signed.js'
import { toFailure } from '../common/status.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Order } from '../order/order.js'
import { checkOrder } from '../order/order.js'
import type { RetrieveRequest } from './messages.js'
import {
  RETRIEVE,
  RETRIEVE_IDLE_TIMEOUT_MS,
  RETRIEVE_QUEUE_MAX,
  retrieveOpenSchema,
  retrieveRequestSchema,
} from './messages.js'

/** Leaves of one chunk, ready to be sent. */
export interface ChunkRange {
  readonly sizeBytes: number
  readonly bytes: Uint8Array
  readonly proof: readonly Uint8Array[]
}

export interface RetrieveHandler {
  /** `NOT_FOUND` if the chunk is not held, `REFUSED` when the order is used up, `INVALID` for leaves it has not. */
  read(order: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
  /** Called when the stream ends, with what was sent under the order. */
  served(order: Order, bytes: number): Promise<void>
}

export interface RetrieveServerComponents extends PeerComponents {
  readonly authority: Authority
  readonly handler: RetrieveHandler
}

export interface RetrieveServerInit {
  readonly domain: WireDomain
  /** Our own hotkey. */
  readonly miner: Uint8Array
}

export function serveRetrieve(components: RetrieveServerComponents, init: RetrieveServerInit): void {
  serve(components, RETRIEVE, ['client', 'validator'], async (frames, session) => {
    const { order } = await frames.readMessage(retrieveOpenSchema, 'open')
    checkOrder(order, {
      domain: init.domain,
      authority: components.authority,
      verb: 'get',
      client: session.key,
      miner: init.miner,
    })
    await frames.writeMessage({ type: 'opened' })
    await new RetrieveExchange(frames, order, components.handler).run()
  })
}

type GetRequest = Extract<RetrieveRequest, { type: 'get' }>

class RetrieveExchange {
  readonly #frames: FrameStream
  readonly #order: Order
  readonly #handler: RetrieveHandler
  readonly #queue: GetRequest[] = []
  #creditBytes = 0
  #sentBytes = 0
  /** No more requests will come. */
  #ended = false
  /** Why the writing half stopped, if it did. */
  #failure: unknown
  #wake: () => void = () => undefined

  constructor(frames: FrameStream, order: Order, handler: RetrieveHandler) {
    this.#frames = frames
    this.#order = order
    this.#handler = handler
  }

  /** Reading requests and writing bodies go on side by side; the first failure of either ends both. */
  async run(): Promise<void> {
    const writing = this.#writeBodies().catch((error: unknown) => {
      this.#failure = error
      this.#frames.duplex.abort(error instanceof Error ? error : new Error(String(error)))
    })
    try {
      await this.#readRequests()
    } catch (error) {
      this.#failure ??= error
    } finally {
      this.#ended = true
      this.#wake()
      await writing
      if (this.#sentBytes > 0) await this.#handler.served(this.#order, this.#sentBytes)
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  async #readRequests(): Promise<void> {
    for (;;) {
      const request = await this.#frames.readOptional(retrieveRequestSchema, 'retrieve request', {
        waitMs: RETRIEVE_IDLE_TIMEOUT_MS,
      })
      if (request === undefined) return
      if (request.type === 'get') {
        if (this.#queue.length >= RETRIEVE_QUEUE_MAX)
          throw new SubnetError('INVALID', 'too many requests wait')
        this.#queue.push(request)
      } else {
        if (request.bytes < this.#creditBytes) throw new SubnetError('INVALID', 'credit is never taken back')
        this.#creditBytes = request.bytes
      }
      this.#wake()
    }
  }

  async #writeBodies(): Promise<void> {
    for (;;) {
      const request = this.#queue[0]
      if (request === undefined) {
        if (this.#ended || this.#failure !== undefined) return
        await this.#awake()
        continue
      }
      const range = await this.#read(request)
      if (range !== undefined) {
        while (this.#sentBytes + range.bytes.length > this.#creditBytes) {
          if (this.#ended) return
          await this.#awake()
        }
        await this.#send(request, range)
      }
      this.#queue.shift()
    }
  }

  /** The range, or `undefined` after a refusal was sent. */
  async #read(request: GetRequest): Promise<ChunkRange | undefined> {
    try {
      return await this.#handler.read(this.#order, request.digest, request.firstLeaf, request.leaves)
    } catch (error) {
      if (!isSubnetError(error)) throw error
      await this.#frames.writeMessage({ type: 'refused', number: request.number, failure: toFailure(error) })
      return undefined
    }
  }

  async #send(request: GetRequest, range: ChunkRange): Promise<void> {
    invariant(range.bytes.length > 0, 'a range of a chunk is never empty')
    this.#sentBytes += range.bytes.length
    await this.#frames.writeMessage({
      type: 'body',
      number: request.number,
      sizeBytes: range.sizeBytes,
      lengthBytes: range.bytes.length,
      proof: range.proof,
    })
    await this.#frames.writeBody(range.bytes)
  }

  async #awake(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }
}
