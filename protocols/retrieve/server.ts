/** The miner's side of `retrieve`: bodies in the order of the requests, never beyond the client's credit. */
import { childSignal } from '../../src/base/abort.js'
import { invariant, SubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { FrameStream } from '../common/frames.js'
import type { WireDomain } from '../common/signed.js'
import { isTellable, toFailure } from '../common/status.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Order } from '../order/order.js'
import { checkOrder, checkOrderTime, OPEN_BYTES_MAX } from '../order/order.js'
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
  /** As `read`, for a peer that shows no order; `BUSY` when its allowance is used up. */
  readWithoutOrder(peerId: string, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
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

/** Bodies read from disk and not sent yet, all streams together: whoever reads slowly holds one of them. */
const BODIES_BYTES_MAX = 256 * CHUNK_SIZE
/** Streams that may wait for one: all that the connection limit allows. */
const BODIES_WAITING_MAX = 4_096

export function serveRetrieve(components: RetrieveServerComponents, init: RetrieveServerInit): void {
  const memory = new Semaphore({ permitsMax: BODIES_BYTES_MAX, waitersMax: BODIES_WAITING_MAX })
  serve(components, RETRIEVE, ['client', 'validator'], async (frames, session) => {
    const { authority, handler } = components
    const { order } = await frames.readMessage(retrieveOpenSchema, 'open', { headerBytesMax: OPEN_BYTES_MAX })
    if (order !== undefined) {
      checkOrder(order, {
        domain: init.domain,
        authority,
        verb: 'get',
        client: session.key,
        miner: init.miner,
      })
    }
    await frames.writeMessage({ type: 'opened' })
    const right =
      order === undefined ? ofStranger(session.peerId, handler) : ofOrder(order, authority, handler)
    await new RetrieveExchange({ frames, right, memory }).run()
  })
}

/** By what right a stream reads. */
interface Right {
  /** Throws once it has ended. */
  check(): void
  read(digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
  /** Called when the stream ends, with what was sent. */
  served(bytes: number): Promise<void>
}

function ofOrder(order: Order, authority: Pick<Authority, 'block'>, handler: RetrieveHandler): Right {
  return {
    check: () => checkOrderTime(order, authority.block),
    read: (digest, firstLeaf, leaves) => handler.read(order, digest, firstLeaf, leaves),
    served: (bytes) => handler.served(order, bytes),
  }
}

function ofStranger(peerId: string, handler: RetrieveHandler): Right {
  return {
    check: () => undefined,
    read: (digest, firstLeaf, leaves) => handler.readWithoutOrder(peerId, digest, firstLeaf, leaves),
    // Taken from the allowance at each read; nothing is kept of it.
    served: async () => undefined,
  }
}

type GetRequest = Extract<RetrieveRequest, { type: 'get' }>

interface ExchangeComponents {
  readonly frames: FrameStream
  readonly right: Right
  readonly memory: Semaphore
}

class RetrieveExchange {
  readonly #components: ExchangeComponents
  readonly #queue: GetRequest[] = []
  /** Aborted by the first failure of either half: it ends both. */
  readonly #scope = childSignal()
  #creditBytes = 0
  /** Bytes of bodies read, and so sent or about to be. */
  #readBytes = 0
  #sentBytes = 0
  /** No more requests will come. */
  #ended = false
  #wake: () => void = () => undefined

  constructor(components: ExchangeComponents) {
    this.#components = components
  }

  /** Reading requests and writing bodies go on side by side. */
  async run(): Promise<void> {
    const { right } = this.#components
    const { signal, abort } = this.#scope
    const writing = this.#writeBodies().catch(abort)
    await this.#readRequests().catch(abort)
    this.#ended = true
    this.#wake()
    await writing
    if (this.#sentBytes > 0) await right.served(this.#sentBytes)
    signal.throwIfAborted()
  }

  async #readRequests(): Promise<void> {
    const { frames, right } = this.#components
    for (;;) {
      const request = await frames.readOptional(retrieveRequestSchema, 'retrieve request', {
        waitMs: RETRIEVE_IDLE_TIMEOUT_MS,
        signal: this.#scope.signal,
      })
      if (request === undefined) return
      if (request.type === 'get') {
        right.check()
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

  /** A body is read from the disk while the one before it goes out: neither waits for the other. */
  async #writeBodies(): Promise<void> {
    let sending: Promise<void> = Promise.resolve()
    try {
      while (!this.#scope.signal.aborted) {
        const request = this.#queue[0]
        // Nothing is read that may not be sent at once: a body that waits for credit would be held for as long as the client likes.
        if (request !== undefined && this.#readBytes + bytesMax(request) <= this.#creditBytes) {
          const answer = await this.#prepare(request)
          await sending
          this.#queue.shift()
          sending = answer()
          // It is awaited above or below, whatever happens; until then its failure must not count as unhandled.
          sending.catch(() => undefined)
        } else {
          if (this.#ended) return
          await this.#awake()
        }
      }
    } finally {
      await sending
    }
  }

  /** Reads what is asked for, and returns what sends it. */
  async #prepare(request: GetRequest): Promise<() => Promise<void>> {
    const release = await this.#components.memory.acquire(bytesMax(request), this.#scope)
    try {
      const range = await this.#read(request)
      if (range instanceof SubnetError) return () => this.#refuse(request, range).finally(release)
      this.#readBytes += range.bytes.length
      return () => this.#send(request, range).finally(release)
    } catch (error) {
      release()
      throw error
    }
  }

  /** The range, or why it is refused; throws what ends the stream. */
  async #read({ digest, firstLeaf, leaves }: GetRequest): Promise<ChunkRange | SubnetError> {
    try {
      return await this.#components.right.read(digest, firstLeaf, leaves)
    } catch (error) {
      if (!isTellable(error)) throw error
      return error
    }
  }

  async #refuse({ number }: GetRequest, error: SubnetError): Promise<void> {
    await this.#components.frames.writeMessage({ type: 'refused', number, failure: toFailure(error) })
  }

  async #send(request: GetRequest, { sizeBytes, bytes, proof }: ChunkRange): Promise<void> {
    const { frames } = this.#components
    const { length } = bytes
    invariant(length > 0 && length <= bytesMax(request), 'a handler reads what was asked for')
    this.#sentBytes += length
    const { number } = request
    await frames.writeMessage({ type: 'body', number, sizeBytes, lengthBytes: length, proof })
    await frames.writeBody(bytes)
  }

  async #awake(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }
}

/** The most that the answer to a request can have. */
function bytesMax({ leaves }: GetRequest): number {
  return leaves === 0 ? CHUNK_SIZE : Math.min(CHUNK_SIZE, leaves * LEAF_BYTES)
}
