/**
 * The miner's side of `store`. The order is checked before any body is read; a body is hashed while it comes in and
 * nothing of it counts unless digest, size and tree are what the header said; the answer leaves when it is durable.
 *
 * Next hop on the store path: roles/miner/keeper.ts.
 */
import { equals } from 'uint8arrays'
import { childSignal } from '../../src/base/abort.js'
import { BufferPool } from '../../src/base/buffer-pool.js'
import { SubnetError } from '../../src/base/errors.js'
import { LeafHasher } from '../../src/crypto/merkle.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import type { NewChunk } from '../../src/shard/shard.js'
import type { FrameStream } from '../common/frames.js'
import type { WireDomain } from '../common/signed.js'
import { isTellable, toFailure } from '../common/status.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { LeaseEntry, SignedLease } from '../lease/lease.js'
import type { Order } from '../order/order.js'
import { checkOrder, checkOrderStands, OPEN_BYTES_MAX } from '../order/order.js'
import { toBits } from './bits.js'
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
  /** Resolves when the chunk is durable; its bytes are only lent until then. */
  keep(chunk: Omit<NewChunk, 'expiresBlock' | 'order'>): Promise<'stored' | 'present'>
  release(): void
}

export interface StoreHandler {
  /** Room under this order: `NO_SPACE`, `BUSY`, or `REFUSED` when the order is used up. */
  reserve(order: Order, sizeBytes: number): Promise<Reservation>
  /** For each digest whether it is held, and for long enough that this order's put can count on it. */
  have(order: Order, digests: readonly Uint8Array[]): Promise<readonly boolean[]>
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

/** Whole chunks' buffers kept between bodies: what a disk that keeps up has under way. */
const FREE_BUFFERS_MAX = 32

type ChunkHeader = Extract<StoreRequest, { type: 'chunk' }>

export function serveStore(components: StoreServerComponents, init: StoreServerInit): void {
  const buffers = new BufferPool({ sizeBytes: CHUNK_SIZE, freeMax: FREE_BUFFERS_MAX })
  serve(components, STORE, ['client'], async (frames, session) => {
    const { authority, handler } = components
    const { order } = await frames.readMessage(storeOpenSchema, 'open', { headerBytesMax: OPEN_BYTES_MAX })
    checkOrder(order, {
      domain: init.domain,
      authority,
      verb: 'put',
      client: session.key,
      miner: init.miner,
    })
    await frames.writeMessage({ type: 'opened', creditChunks: STORE_CREDIT_CHUNKS_MAX })
    await new StoreExchange({ frames, order, authority, handler, buffers }).run()
  })
}

interface ExchangeComponents {
  readonly frames: FrameStream
  readonly order: Order
  readonly authority: Authority
  readonly handler: StoreHandler
  readonly buffers: BufferPool
}

/** One open stream: reads one body at a time while earlier ones are on their way to the disk. */
class StoreExchange {
  readonly #frames: FrameStream
  readonly #order: Order
  readonly #authority: Authority
  readonly #handler: StoreHandler
  readonly #buffers: BufferPool
  /** Chunks until their answer is written: what a peer that reads no answers can make us remember. */
  readonly #keeping = new Set<Promise<void>>()
  /** Answers are written one after the other. */
  #writing: Promise<void> = Promise.resolve()
  /** Aborted by this node's own trouble with a chunk, which ends the stream. */
  readonly #scope = childSignal()

  constructor({ frames, order, authority, handler, buffers }: ExchangeComponents) {
    this.#frames = frames
    this.#order = order
    this.#authority = authority
    this.#handler = handler
    this.#buffers = buffers
  }

  async run(): Promise<void> {
    const { signal } = this.#scope
    try {
      for (;;) {
        const request = await this.#frames.readOptional(storeRequestSchema, 'store request', {
          waitMs: STORE_IDLE_TIMEOUT_MS,
          signal,
        })
        if (request === undefined) break
        checkOrderStands(this.#order, this.#authority)
        if (request.type === 'chunk') await this.#receive(request)
        else if (request.type === 'have') await this.#have(request.digests)
        else await this.#lease(request)
      }
    } finally {
      await Promise.all(this.#keeping)
    }
    signal.throwIfAborted()
  }

  async #receive(header: ChunkHeader): Promise<void> {
    while (this.#keeping.size >= STORE_CREDIT_CHUNKS_MAX) await Promise.race(this.#keeping)
    let reservation: Reservation
    try {
      reservation = await this.#handler.reserve(this.#order, header.sizeBytes)
    } catch (error) {
      if (!isTellable(error)) throw error
      // The body is on its way already: it is read and dropped so that the stream stays in step.
      await this.#frames.readBody(header.sizeBytes, () => undefined)
      await this.#refuse(header, error)
      return
    }
    // One buffer: kept as it arrives, a body of one-byte pieces would take a hundred times its size.
    const { sizeBytes } = header
    const body = sizeBytes === CHUNK_SIZE ? this.#buffers.take() : new Uint8Array(sizeBytes)
    const received = await this.#readBody(header, body).catch((error: unknown) => {
      this.#buffers.give(body)
      reservation.release()
      throw error
    })
    const keeping = this.#keep(header, reservation, received, body).finally(() =>
      this.#keeping.delete(keeping),
    )
    this.#keeping.add(keeping)
  }

  async #readBody(header: ChunkHeader, body: Uint8Array): Promise<Omit<NewChunk, 'expiresBlock' | 'order'>> {
    const { sizeBytes } = header
    const hasher = new LeafHasher()
    let filled = 0
    await this.#frames.readBody(sizeBytes, (piece) => {
      hasher.update(piece)
      body.set(piece, filled)
      filled += piece.length
    })
    const hashes = hasher.finish()
    if (!equals(hashes.digest, header.digest) || !equals(hashes.auditRoot, header.auditRoot)) {
      throw new SubnetError('MISMATCH', `chunk ${header.number}: the body is not what its header says`)
    }
    return { ...hashes, sizeBytes, body: [body] }
  }

  /** Never rejects: what goes wrong is told, or ends the stream. */
  async #keep(
    { number }: ChunkHeader,
    reservation: Reservation,
    chunk: Omit<NewChunk, 'expiresBlock' | 'order'>,
    body: Uint8Array,
  ): Promise<void> {
    try {
      const outcome = await reservation.keep(chunk)
      // Only now: after a failure the disk may still be at work on it, and would write another chunk's bytes.
      this.#buffers.give(body)
      await this.#answer({ type: 'kept', number, present: outcome === 'present' })
    } catch (error) {
      if (isTellable(error)) await this.#refuse({ number }, error)
      else this.#scope.abort(error)
    }
  }

  async #have(digests: readonly Uint8Array[]): Promise<void> {
    const held = await this.#handler.have(this.#order, digests)
    await this.#answer({ type: 'held', bits: toBits(held) })
  }

  async #lease(request: LeaseRequest): Promise<void> {
    await Promise.all(this.#keeping)
    this.#scope.signal.throwIfAborted()
    const lease = await this.#handler.lease(this.#order, request)
    await this.#answer({ type: 'leased', lease })
  }

  async #refuse({ number }: Pick<ChunkHeader, 'number'>, error: unknown): Promise<void> {
    await this.#answer({ type: 'refused', number, failure: toFailure(error) })
  }

  /** Never rejects: whoever cannot be answered is gone or stalls, and the read loop ends with the same reason. */
  #answer(message: unknown): Promise<void> {
    this.#writing = this.#writing
      .then(() => this.#frames.writeMessage(message))
      .catch((error: unknown) => this.#frames.abort(error))
    return this.#writing
  }
}
