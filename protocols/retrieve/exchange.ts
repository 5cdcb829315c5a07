/**
 * One stream of `retrieve` as the miner serves it: bodies in the order of the requests, never beyond the client's credit
 * and receipts. Who may open one, and with what right, is `server.ts`.
 */
import { childSignal, type ScopedSignal } from '../../src/base/abort.js'
import type { Clock, Timer } from '../../src/base/clock.js'
import { invariant, SubnetError } from '../../src/base/errors.js'
import type { Semaphore } from '../../src/base/semaphore.js'
import { formatBytes, KIB, MIB } from '../../src/base/units.js'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { FrameStream } from '../common/frames.js'
import { slowestMs } from '../common/frames.js'
import { isTellable, toFailure } from '../common/status.js'
import type { RetrieveRequest } from './messages.js'
import {
  RECEIPT_TIMEOUT_MS,
  RECEIPTS_PER_MIB_MAX,
  RETRIEVE_IDLE_TIMEOUT_MS,
  RETRIEVE_QUEUE_MAX,
  retrieveRequestSchema,
} from './messages.js'
import type { Receipt } from './receipt.js'
import { RECEIPT_GAP_BYTES_MAX } from './receipt.js'

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

/**
 * Bodies read from disk that have not left, all streams together: whoever reads slowly holds one of them, and one who reads
 * fast holds it for milliseconds. With what `store` may have in flight it leaves a miner of 300 stalled peers below 512 MiB.
 */
export const BODIES_BYTES_MAX = 24 * CHUNK_SIZE
/** Why a wait for a body's end is broken off when the next body is behind it. One for all: its stack says nothing. */
const LET_GO = new DOMException('nobody waits for it', 'AbortError')
/** What may be left of a body whose write has resolved. */
const TAIL_BYTES_MAX = 256 * KIB
/** By what right a stream reads. */
export interface Right {
  /** Throws once it has ended. */
  check(): void
  read(digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
  /** Called when the stream ends, with what was sent. */
  served(bytes: number): Promise<void>
  /** What must be confirmed; without an order nothing is. */
  readonly confirmed?: Confirmed
}

export interface Confirmed {
  readonly account: OrderAccount
  /** Throws unless the receipt is the client's, for this order. */
  readonly check: (receipt: Receipt) => void
}

type GetRequest = Extract<RetrieveRequest, { type: 'get' }>

/** Of one request, with what gives its memory back. */
interface Body {
  readonly answer: ChunkRange | SubnetError
  readonly release: () => void
}

/** What of a written body has not left yet. */
interface Tail {
  readonly lengthBytes: number
  readonly release: () => void
  /** While somebody waits for it; `done` never rejects. */
  leaving?: { readonly scope: ScopedSignal; readonly done: Promise<void> }
}

interface ExchangeComponents {
  readonly frames: FrameStream
  readonly right: Right
  readonly memory: Semaphore
  readonly clock: Clock
}

export class RetrieveExchange {
  readonly #components: ExchangeComponents
  readonly #queue: GetRequest[] = []
  /** Aborted by the first failure of either half: it ends both. */
  readonly #scope = childSignal()
  #creditBytes = 0
  #sentBytes = 0
  #lastBodyBytes = 0
  /** The body written last, of which the end may still wait in the stream. */
  #tail: Tail | undefined
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

  /** A body is read from the disk while the one before it goes out: neither waits for the other. */
  async #writeBodies(): Promise<void> {
    let ahead: Promise<Body> | undefined
    try {
      while (!this.#scope.signal.aborted) {
        const request = this.#queue[0]
        const isCredited = request !== undefined && this.#isCredited(request)
        const isConfirmed = request !== undefined && bytesMax(request) <= this.#roomBytes
        this.#watchReceipts(isCredited && !isConfirmed)
        if (isCredited && isConfirmed) {
          const body = await (ahead ?? this.#fetch(request))
          this.#queue.shift()
          const sending = this.#deliver(request, body)
          ahead = this.#fetchAhead()
          await sending
        } else {
          if (this.#ended) {
            if (isCredited) throw unconfirmed()
            await this.#tailLeft()
            return
          }
          void this.#tailLeft()
          await this.#awake()
        }
      }
    } finally {
      // Never sent; if it could not be read either, what ended the stream came first.
      ahead?.then(({ release }) => release()).catch(() => undefined)
    }
  }

  /** Nothing is read that may not be sent at once: a body that waits for credit would be held for as long as the client likes. */
  #isCredited(request: GetRequest): boolean {
    return this.#sentBytes + bytesMax(request) <= this.#creditBytes
  }

  /** The next body, while the last one is being sent; not when memory is short, for a stalled reader would hold two. */
  #fetchAhead(): Promise<Body> | undefined {
    const [next] = this.#queue
    if (next === undefined || !this.#isCredited(next) || bytesMax(next) > this.#roomBytes) return undefined
    if (this.#components.memory.free < BODIES_BYTES_MAX / 2) return undefined
    const ahead = this.#fetch(next)
    // Awaited when it is its turn; until then its failure must not count as unhandled.
    ahead.catch(() => undefined)
    return ahead
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

  async #fetch(request: GetRequest): Promise<Body> {
    // Again: what waited for credit or a receipt may have waited for long.
    this.#components.right.check()
    const release = await this.#components.memory.acquire(bytesMax(request), this.#scope)
    try {
      return { answer: await this.#read(request), release }
    } catch (error) {
      release()
      throw error
    }
  }

  async #deliver(request: GetRequest, { answer, release }: Body): Promise<void> {
    try {
      if (answer instanceof SubnetError) {
        const failure = toFailure(answer)
        await this.#components.frames.writeMessage({ type: 'refused', number: request.number, failure })
        release()
      } else {
        await this.#send(request, answer)
        this.#hold(answer.bytes.length, release)
      }
    } catch (error) {
      release()
      throw error
    }
  }

  /** The end of a written body still waits in the stream: its memory is free when that has left, or the next is behind it. */
  #hold(lengthBytes: number, release: () => void): void {
    this.#letGo()
    this.#tail = { lengthBytes: Math.min(lengthBytes, TAIL_BYTES_MAX), release }
  }

  #letGo(): void {
    const tail = this.#tail
    this.#tail = undefined
    tail?.release()
    tail?.leaving?.scope.abort(LET_GO)
    tail?.leaving?.scope[Symbol.dispose]()
  }

  /** Waits for the tail to leave; only when no body is behind it. The stream of a client that does not take it ends. */
  async #tailLeft(): Promise<void> {
    const tail = this.#tail
    if (tail === undefined) return
    if (tail.leaving === undefined) {
      const scope = childSignal(this.#scope.signal)
      const done = this.#components.frames.drained(tail.lengthBytes, scope).then(tail.release, (error) => {
        if (!scope.signal.aborted) this.#scope.abort(error)
      })
      tail.leaving = { scope, done }
    }
    await tail.leaving.done
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

  async #send(request: GetRequest, { sizeBytes, bytes, proof }: ChunkRange): Promise<void> {
    const { frames } = this.#components
    const { length } = bytes
    invariant(length > 0 && length <= bytesMax(request), 'a handler reads what was asked for')
    this.#sentBytes += length
    this.#lastBodyBytes = length
    this.#components.right.confirmed?.account.send(length)
    const { number } = request
    await frames.writeMessageAndBody({ type: 'body', number, sizeBytes, lengthBytes: length, proof }, bytes)
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
