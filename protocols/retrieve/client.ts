/** The client's side of `retrieve`: one stream to one miner; what comes back is verified before anybody sees it. */
import { equals } from 'uint8arrays'
import type { AbortOptions } from '../../src/base/abort.js'
import { raceAbort } from '../../src/base/abort.js'
import type { Clock, Timer } from '../../src/base/clock.js'
import { SubnetError, toSubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import { endOfTurn } from '../../src/base/turn.js'
import { sha256 } from '../../src/crypto/hash.js'
import { LEAF_BYTES } from '../../src/crypto/merkle.js'
import type { ChunkReference } from '../../src/redundancy/chunk.js'
import { VerifiedSpan } from '../../src/redundancy/chunk.js'
import type { FrameStream } from '../common/frames.js'
import { unlessFailure } from '../common/frames.js'
import { fromFailure } from '../common/status.js'
import type { PeerComponents } from '../hello/exchange.js'
import { openFrames } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import type { RetrieveAnswer } from './messages.js'
import {
  RETRIEVE,
  RETRIEVE_CREDIT_BYTES,
  RETRIEVE_IDLE_TIMEOUT_MS,
  RETRIEVE_QUEUE_MAX,
  retrieveAnswerSchema,
  retrieveOpenedSchema,
} from './messages.js'
import type { OrderTally } from './receipt.js'
import { RECEIPT_STEP_BYTES } from './receipt.js'

/** After this long a body is answered with new credit whatever is left of the old. */
const SILENCE_MS = RETRIEVE_IDLE_TIMEOUT_MS / 4

export interface LeafRange {
  readonly firstLeaf: number
  readonly leaves: number
}

type BodyHeader = Extract<RetrieveAnswer, { type: 'body' }>

/** A body on its way in. */
interface Body<T> {
  readonly push: (piece: Uint8Array) => void
  /** Verifies it; throws `MISMATCH`. */
  readonly finish: (proof: readonly Uint8Array[]) => T
}

/** What a request takes for its answer. */
interface Wanted<T> {
  /** The length the body must have, given what its header says of the chunk; throws if that is another chunk. */
  readonly expect: (header: BodyHeader) => number
  /** Called when the body begins to come. */
  readonly receive: (lengthBytes: number) => Body<T>
}

interface Pending {
  readonly expect: (header: BodyHeader) => number
  /** What takes the body, and hands it on when it is whole. */
  readonly receive: (lengthBytes: number) => Body<void>
  readonly reject: (error: unknown) => void
}

export class RetrieveStream {
  readonly peer: KnownPeer
  readonly #frames: FrameStream
  readonly #tally: OrderTally | undefined
  readonly #clock: Clock
  readonly #slots = new Semaphore({ permitsMax: RETRIEVE_QUEUE_MAX, waitersMax: 65_536 })
  readonly #pending = new Map<number, Pending>()
  /** Messages that leave together at the end of the turn: each packet of ours costs both ends as much as 16 KiB of a body. */
  #outbox: unknown[] = []
  #sending: Promise<void> | undefined
  #next = 0
  #consumedBytes = 0
  /** Credit so far. */
  #givenBytes = RETRIEVE_CREDIT_BYTES
  #spokeMs = 0
  /** A body is being read: while its bytes come, none is missing. */
  #receiving = false
  #silence: Timer | undefined
  #failure: SubnetError | undefined

  private constructor(peer: KnownPeer, frames: FrameStream, tally: OrderTally | undefined, clock: Clock) {
    this.peer = peer
    this.#frames = frames
    this.#tally = tally
    this.#clock = clock
  }

  /** Opens the stream, presents the order of `tally`, if there is one, and gives the first credit. */
  static async open(
    components: PeerComponents,
    peer: KnownPeer,
    tally: OrderTally | undefined,
    options: AbortOptions = {},
  ): Promise<RetrieveStream> {
    const frames = await openFrames(components, RETRIEVE, peer, options)
    try {
      // Of everything got so far: the miner may have been restarted and have forgotten the last of it.
      const receipt = tally?.sign(1) ?? tally?.newest
      const right =
        tally === undefined ? {} : { order: tally.order, ...(receipt === undefined ? {} : { receipt }) }
      await frames.writeMessage({ type: 'open', ...right }, options)
      unlessFailure(await frames.readMessage(retrieveOpenedSchema, 'opened', options), peer.peerId)
      const stream = new RetrieveStream(peer, frames, tally, components.clock)
      await frames.writeMessage({ type: 'credit', bytes: RETRIEVE_CREDIT_BYTES }, options)
      void stream.#readAnswers()
      return stream
    } catch (error) {
      frames.abort(error)
      throw error
    }
  }

  /** Nothing more can be asked of it. */
  get ended(): boolean {
    return this.#failure !== undefined
  }

  /** Bytes of all bodies that came, verified or not, whether somebody still waited for them or not. */
  get receivedBytes(): number {
    return this.#consumedBytes
  }

  /** Requests sent and not answered yet: how busy this holder is with us. */
  get waiting(): number {
    return this.#pending.size
  }

  /**
   * A chunk, or whole leaves of it, verified. Rejects with `NOT_FOUND` when the miner has it not; a body that does not
   * verify is `MISMATCH` and ends the stream.
   */
  async get(reference: ChunkReference, range?: LeafRange, options: AbortOptions = {}): Promise<VerifiedSpan> {
    const wanted: Wanted<VerifiedSpan> = {
      expect: ({ sizeBytes }) => {
        if (sizeBytes !== reference.sizeBytes) {
          throw new SubnetError('MISMATCH', `${this.peer.peerId} has another chunk under this digest`)
        }
        return rangeBytes(sizeBytes, range)
      },
      receive: (lengthBytes) =>
        range === undefined
          ? VerifiedSpan.receive(reference)
          : wholeBody(lengthBytes, (bytes, proof) =>
              VerifiedSpan.leaves(reference, range.firstLeaf, bytes, proof),
            ),
    }
    return await this.#request(reference.digest, range, wanted, options)
  }

  /** A whole chunk of which only the digest is known, such as a manifest's root. */
  async getWhole(digest: Uint8Array, options: AbortOptions = {}): Promise<Uint8Array> {
    const wanted: Wanted<Uint8Array> = {
      expect: ({ sizeBytes }) => sizeBytes,
      receive: (lengthBytes) =>
        wholeBody(lengthBytes, (bytes) => {
          if (equals(sha256(bytes), digest)) return bytes
          throw new SubnetError('MISMATCH', 'the bytes are not what was asked for')
        }),
    }
    return await this.#request(digest, undefined, wanted, options)
  }

  /** Confirms what came and says that nothing more will be asked. */
  async close(options: AbortOptions = {}): Promise<void> {
    this.#giveCredit(1)
    await raceAbort(this.#sending ?? Promise.resolve(), options.signal)
    await this.#frames.end(options)
  }

  abort(reason: Error): void {
    this.#end(toSubnetError(reason, 'STOPPED'))
  }

  async #request<T>(
    digest: Uint8Array,
    range: LeafRange | undefined,
    { expect, receive }: Wanted<T>,
    options: AbortOptions,
  ): Promise<T> {
    const release = await this.#slots.acquire(1, options)
    const answer = new Promise<T>((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      const pending: Pending = {
        expect,
        receive: (lengthBytes) => {
          const { push, finish } = receive(lengthBytes)
          return { push, finish: (proof) => resolve(finish(proof)) }
        },
        reject,
      }
      const number = this.#next
      this.#next += 1
      const { firstLeaf, leaves } = range ?? { firstLeaf: 0, leaves: 0 }
      this.#pending.set(number, pending)
      if (this.#silence === undefined) this.#listen()
      this.#send({ type: 'get', number, digest, firstLeaf, leaves })
    })
    // Given back with the answer, also when nobody waits for that any more: it still stands in the miner's queue.
    return await raceAbort(answer.finally(release), options.signal)
  }

  /** A write that fails ends the stream. */
  #send(message: unknown): void {
    this.#outbox.push(message)
    this.#sending ??= this.#empty().catch((error: unknown) => this.#end(toSubnetError(error, 'DISCONNECTED')))
  }

  async #empty(): Promise<void> {
    try {
      await endOfTurn()
      while (this.#outbox.length > 0) await this.#frames.writeMessages(this.#outbox.splice(0))
    } finally {
      this.#sending = undefined
    }
  }

  async #readAnswers(): Promise<void> {
    try {
      for (;;) {
        const answer = await this.#frames.readOptional(retrieveAnswerSchema, 'retrieve answer', {
          // Silence is measured by #listen: there is none while nothing is asked.
          waitMs: Number.POSITIVE_INFINITY,
        })
        if (answer === undefined)
          throw new SubnetError('DISCONNECTED', `${this.peer.peerId} ended the stream`)
        await this.#receive(unlessFailure(answer, this.peer.peerId))
        this.#listen()
      }
    } catch (error) {
      this.#end(toSubnetError(error, 'DISCONNECTED'))
    }
  }

  async #receive(answer: Exclude<RetrieveAnswer, { type: 'failure' }>): Promise<void> {
    const pending = this.#pending.get(answer.number)
    if (pending === undefined)
      throw new SubnetError('INVALID', `an answer to request ${answer.number}, never sent`)
    if (answer.type === 'refused') {
      this.#pending.delete(answer.number)
      pending.reject(fromFailure(answer.failure, this.peer.peerId))
      return
    }
    const lengthBytes = pending.expect(answer)
    if (answer.lengthBytes !== lengthBytes) {
      throw new SubnetError(
        'MISMATCH',
        `${this.peer.peerId} sends ${answer.lengthBytes} bytes for ${lengthBytes}`,
      )
    }
    this.#receiving = true
    this.#listen()
    const body = pending.receive(lengthBytes)
    await this.#frames.readBody(lengthBytes, body.push)
    this.#receiving = false
    body.finish(answer.proof)
    this.#pending.delete(answer.number)
    this.#consumedBytes += lengthBytes
    this.#tally?.add(lengthBytes)
    if (this.#mustSpeak) this.#giveCredit(RECEIPT_STEP_BYTES)
  }

  /**
   * Not at every body: half of the credit is more than any request needs, and each word of ours is a packet. But on a slow
   * line at every one, for the miner waits for no more than that.
   */
  get #mustSpeak(): boolean {
    const usedBytes = this.#consumedBytes + RETRIEVE_CREDIT_BYTES - this.#givenBytes
    if (usedBytes >= RETRIEVE_CREDIT_BYTES / 2) return true
    if ((this.#tally?.unconfirmedBytes ?? 0) >= RECEIPT_STEP_BYTES) return true
    return this.#clock.monotonicMs() - this.#spokeMs >= SILENCE_MS
  }

  /** Receipts leave in the order in which they are signed. */
  #giveCredit(receiptStepBytes: number): void {
    const receipt = this.#tally?.sign(receiptStepBytes)
    const bytes = this.#consumedBytes + RETRIEVE_CREDIT_BYTES
    this.#givenBytes = bytes
    this.#spokeMs = this.#clock.monotonicMs()
    this.#send({ type: 'credit', bytes, ...(receipt === undefined ? {} : { receipt }) })
  }

  /** Measures the miner's silence anew: only while it owes an answer and none is coming in. */
  #listen(): void {
    this.#silence?.cancel()
    this.#silence = undefined
    if (this.#failure !== undefined || this.#pending.size === 0 || this.#receiving) return
    this.#silence = this.#clock.after(RETRIEVE_IDLE_TIMEOUT_MS, () => {
      const text = `${this.peer.peerId} has not answered for ${RETRIEVE_IDLE_TIMEOUT_MS} ms`
      this.#end(new SubnetError('TIMEOUT', text))
    })
  }

  /** The stream is over for everybody who waits on it. */
  #end(reason: SubnetError): void {
    this.#failure ??= reason
    this.#silence?.cancel()
    for (const pending of this.#pending.values()) pending.reject(this.#failure)
    this.#pending.clear()
    this.#frames.abort(this.#failure)
  }
}

/** A body that is verified when it is whole. */
function wholeBody<T>(
  lengthBytes: number,
  verify: (bytes: Uint8Array, proof: readonly Uint8Array[]) => T,
): Body<T> {
  const bytes = new Uint8Array(lengthBytes)
  let filled = 0
  return {
    push(piece) {
      bytes.set(piece, filled)
      filled += piece.length
    },
    finish: (proof) => verify(bytes, proof),
  }
}

function rangeBytes(sizeBytes: number, range: LeafRange | undefined): number {
  if (range === undefined) return sizeBytes
  const start = range.firstLeaf * LEAF_BYTES
  return Math.min(sizeBytes, start + range.leaves * LEAF_BYTES) - start
}
