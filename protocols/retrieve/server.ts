/** The miner's side of `retrieve`: bodies in the order of the requests, never beyond the client's credit and receipts. */
import { childSignal } from '../../src/base/abort.js'
import type { Clock, Timer } from '../../src/base/clock.js'
import { invariant, SubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import { formatBytes, KIB, MIB } from '../../src/base/units.js'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { FrameStream } from '../common/frames.js'
import { slowestMs } from '../common/frames.js'
import type { WireDomain } from '../common/signed.js'
import { isTellable, toFailure } from '../common/status.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Order } from '../order/order.js'
import { checkOrder, checkOrderTime, OPEN_BYTES_MAX } from '../order/order.js'
import type { RetrieveRequest } from './messages.js'
import {
  RECEIPT_TIMEOUT_MS,
  RECEIPTS_PER_MIB_MAX,
  RETRIEVE,
  RETRIEVE_IDLE_TIMEOUT_MS,
  RETRIEVE_QUEUE_MAX,
  retrieveOpenSchema,
  retrieveRequestSchema,
} from './messages.js'
import type { Receipt } from './receipt.js'
import { checkReceipt, RECEIPT_GAP_BYTES_MAX } from './receipt.js'

/** Leaves of one chunk, ready to be sent. */
export interface ChunkRange {
  readonly sizeBytes: number
  readonly bytes: Uint8Array
  readonly proof: readonly Uint8Array[]
}

/** What was sent under one order and what of it its client has confirmed, as one stream sees it. */
export interface OrderAccount {
  /** Bytes that may be sent before the next receipt. */
  readonly roomBytes: number
  /** Counts bytes that are about to be sent. */
  send(bytes: number): void
  /** Keeps a receipt, whose signature is good, if it is the highest; `INVALID` when so much was never sent. */
  confirm(receipt: Receipt): void
  /** The stream is over. */
  close(): void
}

export interface AccountRequest {
  /** A receipt given earlier, whose signature is good: what it confirms was sent, though we may have forgotten it. */
  readonly receipt?: Receipt | undefined
  /** Called when a receipt, on whatever stream, has made room. */
  readonly onRoom: () => void
}

export interface RetrieveHandler {
  /** The account of an order, for one stream. `REFUSED` when too much of what was sent under it was never confirmed. */
  account(order: Order, request: AccountRequest): Promise<OrderAccount>
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

/**
 * Bodies read from disk that have not left, all streams together: whoever reads slowly holds one of them, and one who reads
 * fast holds it for milliseconds. With what `store` may have in flight it leaves a miner of 300 stalled peers below 512 MiB.
 */
export const BODIES_BYTES_MAX = 48 * CHUNK_SIZE
/** What may be left of a body whose write has resolved. */
const TAIL_BYTES_MAX = 256 * KIB
/** Streams that may wait for one: all that the connection limit allows. */
const BODIES_WAITING_MAX = 4_096

export function serveRetrieve(components: RetrieveServerComponents, init: RetrieveServerInit): void {
  const memory = new Semaphore({ permitsMax: BODIES_BYTES_MAX, waitersMax: BODIES_WAITING_MAX })
  serve(components, RETRIEVE, ['client', 'validator'], async (frames, session) => {
    const { authority, handler, clock } = components
    const { order, receipt } = await frames.readMessage(retrieveOpenSchema, 'open', {
      headerBytesMax: OPEN_BYTES_MAX,
    })
    if (order !== undefined) {
      checkOrder(order, {
        domain: init.domain,
        authority,
        verb: 'get',
        client: session.key,
        miner: init.miner,
      })
    }
    if (order === undefined) {
      if (receipt !== undefined) throw new SubnetError('INVALID', 'open: a receipt without an order')
      await frames.writeMessage({ type: 'opened' })
      const right = ofStranger(session.peerId, handler)
      await new RetrieveExchange({ frames, right, memory, clock }).run()
      return
    }
    const scheme = session.role === 'client' ? 'ed25519' : 'sr25519'
    const check = (each: Receipt) => checkReceipt(each, order, { domain: init.domain, scheme })
    if (receipt !== undefined) check(receipt)
    let exchange: RetrieveExchange | undefined
    const account = await handler.account(order, { receipt, onRoom: () => exchange?.wake() })
    try {
      await frames.writeMessage({ type: 'opened' })
      const right = ofOrder(order, authority, handler, { account, check })
      exchange = new RetrieveExchange({ frames, right, memory, clock })
      await exchange.run()
    } finally {
      account.close()
    }
  })
}

/** By what right a stream reads. */
interface Right {
  /** Throws once it has ended. */
  check(): void
  read(digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
  /** Called when the stream ends, with what was sent. */
  served(bytes: number): Promise<void>
  /** What must be confirmed; without an order nothing is. */
  readonly confirmed?: Confirmed
}

interface Confirmed {
  readonly account: OrderAccount
  /** Throws unless the receipt is the client's, for this order. */
  readonly check: (receipt: Receipt) => void
}

function ofOrder(
  order: Order,
  authority: Pick<Authority, 'block'>,
  handler: RetrieveHandler,
  confirmed: Confirmed,
): Right {
  return {
    confirmed,
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
  readonly clock: Clock
}

class RetrieveExchange {
  readonly #components: ExchangeComponents
  readonly #queue: GetRequest[] = []
  /** Aborted by the first failure of either half: it ends both. */
  readonly #scope = childSignal()
  #creditBytes = 0
  #sentBytes = 0
  #lastBodyBytes = 0
  /** Gives back the memory of the last body. */
  #letGo: () => void = () => undefined
  #draining: Promise<void> = Promise.resolve()
  #receipts = 0
  #receiptedBytes = 0
  /** Runs while only a receipt is missing. */
  #starving: Timer | undefined
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
    const writing = this.#writeBodies()
      .catch(abort)
      .finally(() => {
        this.#starving?.cancel()
        this.#letGo()
      })
    await this.#readRequests().catch(abort)
    this.#ended = true
    this.wake()
    await writing
    if (this.#sentBytes > 0) await right.served(this.#sentBytes)
    signal.throwIfAborted()
  }

  /** Looks again whether something may be sent. */
  wake(): void {
    this.#wake()
  }

  async #readRequests(): Promise<void> {
    const { frames, right } = this.#components
    for (;;) {
      const request = await frames.readOptional(retrieveRequestSchema, 'retrieve request', {
        // Silence is measured where we wait for the client: while bodies are on their way it owes us nothing.
        waitMs: Number.POSITIVE_INFINITY,
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
        if (request.receipt !== undefined) this.#confirm(request.receipt)
      }
      this.wake()
    }
  }

  #confirm(receipt: Receipt): void {
    const { confirmed } = this.#components.right
    if (confirmed === undefined) throw new SubnetError('INVALID', 'receipt: there is no order')
    if (receipt.bytes <= this.#receiptedBytes)
      throw new SubnetError('INVALID', 'receipt: it is not higher than the one before')
    this.#receipts += 1
    // A short stream has one at its end at least.
    if (this.#receipts > 1 + (RECEIPTS_PER_MIB_MAX * this.#sentBytes) / MIB)
      throw new SubnetError('INVALID', 'receipt: too many of them')
    confirmed.check(receipt)
    confirmed.account.confirm(receipt)
    this.#receiptedBytes = receipt.bytes
  }

  async #writeBodies(): Promise<void> {
    while (!this.#scope.signal.aborted) {
      const request = this.#queue[0]
      // Nothing is read that may not be sent at once: a body that waits for credit would be held for as long as the client likes.
      const isCredited = request !== undefined && this.#sentBytes + bytesMax(request) <= this.#creditBytes
      const isConfirmed = request !== undefined && bytesMax(request) <= this.#roomBytes
      this.#watchReceipts(isCredited && !isConfirmed)
      if (isCredited && isConfirmed) {
        await this.#serve(request)
        this.#queue.shift()
      } else {
        if (this.#ended) {
          if (isCredited) throw unconfirmed()
          await this.#draining
          return
        }
        await this.#awake()
      }
    }
  }

  get #roomBytes(): number {
    return this.#components.right.confirmed?.account.roomBytes ?? Number.POSITIVE_INFINITY
  }

  /** A client that takes and does not confirm is cut off, with time for a receipt that is on its way. */
  #watchReceipts(isMissing: boolean): void {
    if (isMissing) {
      this.#starving ??= this.#components.clock.after(RECEIPT_TIMEOUT_MS, () =>
        this.#scope.abort(unconfirmed()),
      )
    } else {
      this.#starving?.cancel()
      this.#starving = undefined
    }
  }

  async #serve(request: GetRequest): Promise<void> {
    const { memory } = this.#components
    const release = await memory.acquire(bytesMax(request), this.#scope)
    try {
      const range = await this.#read(request)
      if (range === undefined) {
        release()
        return
      }
      await this.#send(request, range)
      this.#hold(range.bytes.length, release)
    } catch (error) {
      release()
      throw error
    }
  }

  /** The end of a written body still waits in the stream: its memory is free when that has left, or the next is behind it. */
  #hold(lengthBytes: number, release: () => void): void {
    this.#letGo()
    const scope = childSignal(this.#scope.signal)
    this.#letGo = () => {
      release()
      scope.abort(new DOMException('nobody waits for it', 'AbortError'))
      scope[Symbol.dispose]()
    }
    this.#draining = this.#components.frames.drained(Math.min(lengthBytes, TAIL_BYTES_MAX), scope).then(
      () => release(),
      (error) => {
        if (!scope.signal.aborted) this.#scope.abort(error)
      },
    )
  }

  /** The range, or `undefined` after a refusal was sent. */
  async #read(request: GetRequest): Promise<ChunkRange | undefined> {
    const { frames, right } = this.#components
    const { number, digest, firstLeaf, leaves } = request
    try {
      return await right.read(digest, firstLeaf, leaves)
    } catch (error) {
      if (!isTellable(error)) throw error
      await frames.writeMessage({ type: 'refused', number, failure: toFailure(error) })
      return undefined
    }
  }

  async #send(request: GetRequest, { sizeBytes, bytes, proof }: ChunkRange): Promise<void> {
    const { frames } = this.#components
    const { length } = bytes
    invariant(length > 0 && length <= bytesMax(request), 'a handler reads what was asked for')
    this.#sentBytes += length
    this.#lastBodyBytes = length
    this.#components.right.confirmed?.account.send(length)
    const { number } = request
    await frames.writeMessage({ type: 'body', number, sizeBytes, lengthBytes: length, proof })
    await frames.writeBody(bytes)
  }

  async #awake(): Promise<void> {
    // What is written lies in buffers on the way for as long as a slow line takes: the client speaks when it has a body.
    const timeoutMs = RETRIEVE_IDLE_TIMEOUT_MS + slowestMs(this.#lastBodyBytes)
    const idle = this.#components.clock.after(timeoutMs, () => {
      this.#scope.abort(new SubnetError('TIMEOUT', `nothing was said for ${timeoutMs} ms`))
    })
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    idle.cancel()
  }
}

function unconfirmed(): SubnetError {
  const text = `${formatBytes(RECEIPT_GAP_BYTES_MAX)} were sent under the order without a receipt`
  return new SubnetError('REFUSED', text)
}

/** The most that the answer to a request can have. */
function bytesMax({ leaves }: GetRequest): number {
  return leaves === 0 ? CHUNK_SIZE : Math.min(CHUNK_SIZE, leaves * LEAF_BYTES)
}
