/**
 * The miner's side of `store`. The order is checked before any body is read; a body is hashed while it comes in and
 * nothing of it counts unless digest, size and tree are what the header said; the answer leaves when it is durable.
 *
 * Next hop on the store path: roles/miner/keeper.ts.
 */
import { equals } from 'uint8arrays'
import { SubnetError } from '../../src/base/errors.js'
import { LeafHasher } from '../../src/crypto/merkle.js'
import type { NewChunk } from '../../src/shard/shard.js'
import type { FrameStream } from '../common/frames.js'
import type { WireDomain } from '../common/signed.js'
import { toFailure } from '../common/status.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { LeaseEntry, SignedLease } from '../lease/lease.js'
import type { Order } from '../order/order.js'
import { checkOrder } from '../order/order.js'
import type { StoreRequest } from './messages.js'
import {
  STORE,
  STORE_CREDIT_CHUNKS_MAX,
  STORE_IDLE_TIMEOUT_MS,
  storeOpenSchema,
  storeRequestSchema,
} from './messages.js'

/** Room set aside for a body that is about to come in. Exactly one of the two is called, once. */
export interface Reservation {
  /** Resolves when the chunk is durable. */
  keep(chunk: Omit<NewChunk, 'expiresBlock' | 'order'>): Promise<'stored' | 'present'>
  release(): void
}

export interface StoreHandler {
  /** Room under this order: `NO_SPACE`, `BUSY`, or `REFUSED` when the order is used up. */
  reserve(order: Order, sizeBytes: number): Promise<Reservation>
  /** Signs for chunks that are all held; `NOT_FOUND` names the first that is not. */
  lease(order: Order, request: LeaseRequest): Promise<SignedLease>
}

export interface LeaseRequest {
  readonly object: Uint8Array
  readonly entries: readonly LeaseEntry[]
  readonly endBlock: number
}

export interface StoreServerComponents extends PeerComponents {
  readonly authority: Authority
  readonly handler: StoreHandler
}

export interface StoreServerInit {
  readonly domain: WireDomain
  /** Our own hotkey. */
  readonly miner: Uint8Array
}

type ChunkHeader = Extract<StoreRequest, { type: 'chunk' }>

export function serveStore(components: StoreServerComponents, init: StoreServerInit): void {
  serve(components, STORE, ['client'], async (frames, session) => {
    const { order } = await frames.readMessage(storeOpenSchema, 'open')
    checkOrder(order, {
      domain: init.domain,
      authority: components.authority,
      verb: 'put',
      client: session.key,
      miner: init.miner,
    })
    await frames.writeMessage({ type: 'opened', creditChunks: STORE_CREDIT_CHUNKS_MAX })
    await new StoreExchange(frames, order, components.handler).run()
  })
}

/** One open stream: reads one body at a time while earlier ones are on their way to the disk. */
class StoreExchange {
  readonly #frames: FrameStream
  readonly #order: Order
  readonly #handler: StoreHandler
  readonly #keeping = new Set<Promise<void>>()
  /** Answers are written one after the other. */
  #writing: Promise<void> = Promise.resolve()

  constructor(frames: FrameStream, order: Order, handler: StoreHandler) {
    this.#frames = frames
    this.#order = order
    this.#handler = handler
  }

  async run(): Promise<void> {
    try {
      for (;;) {
        const request = await this.#frames.readOptional(storeRequestSchema, 'store request', {
          waitMs: STORE_IDLE_TIMEOUT_MS,
        })
        if (request === undefined) break
        if (request.type === 'chunk') await this.#receive(request)
        else await this.#lease(request)
      }
    } finally {
      await Promise.allSettled(this.#keeping)
      await this.#writing
    }
  }

  async #receive(header: ChunkHeader): Promise<void> {
    while (this.#keeping.size >= STORE_CREDIT_CHUNKS_MAX) await Promise.race(this.#keeping)
    let reservation: Reservation
    try {
      reservation = await this.#handler.reserve(this.#order, header.sizeBytes)
    } catch (error) {
      // The body is on its way already: it is read and dropped so that the stream stays in step.
      await this.#frames.readBody(header.sizeBytes, () => undefined)
      this.#answer({ type: 'refused', number: header.number, failure: toFailure(error) })
      return
    }
    const body: Uint8Array[] = []
    const hasher = new LeafHasher()
    try {
      await this.#frames.readBody(header.sizeBytes, (piece) => {
        hasher.update(piece)
        body.push(piece)
      })
    } catch (error) {
      reservation.release()
      throw error
    }
    const { digest, auditRoot, leafHashes } = hasher.finish()
    if (!equals(digest, header.digest) || !equals(auditRoot, header.auditRoot)) {
      reservation.release()
      throw new SubnetError('MISMATCH', `chunk ${header.number}: the body is not what its header says`)
    }
    const keeping = reservation
      .keep({ digest, auditRoot, leafHashes, sizeBytes: header.sizeBytes, body })
      .then((outcome) =>
        this.#answer({ type: 'kept', number: header.number, present: outcome === 'present' }),
      )
      .catch((error: unknown) =>
        this.#answer({ type: 'refused', number: header.number, failure: toFailure(error) }),
      )
      .finally(() => this.#keeping.delete(keeping))
    this.#keeping.add(keeping)
  }

  async #lease(request: LeaseRequest): Promise<void> {
    await Promise.allSettled(this.#keeping)
    const lease = await this.#handler.lease(this.#order, request)
    this.#answer({ type: 'leased', lease })
  }

  #answer(message: unknown): void {
    this.#writing = this.#writing
      .then(() => this.#frames.writeMessage(message))
      // Whoever cannot be answered is gone or stalls; the read loop ends with the same reason.
      .catch((error: unknown) =>
        this.#frames.duplex.abort(error instanceof Error ? error : new Error(String(error))),
      )
  }
}
