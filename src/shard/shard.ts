/**
 * The `Shard` port: one validator's share of a miner's disk. Chunks by digest, what is needed to prove them, the
 * leases they are held under and what orders have used up. Implementations: LevelDB + files, memory. The conformance
 * suite runs against each.
 */
import type { AbortOptions } from '../base/abort.js'
import type { SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'

/** What the index knows of a chunk. */
export interface ChunkInfo {
  /** sha2-256 of the body, 32 bytes. */
  readonly digest: Uint8Array
  /** Root of the tree over its 4 KiB leaves, 32 bytes. */
  readonly auditRoot: Uint8Array
  readonly sizeBytes: number
  /** Block at which nothing keeps it any more: the order's expiry until a lease covers it, then the lease's end. */
  readonly expiresBlock: number
}

/** What becomes of the chunks of a lease that ends; each is named once. */
export interface EndedChunks {
  /** Nothing else keeps them: they go to the trash. */
  readonly trash: readonly Uint8Array[]
  /** Other leases keep them, until the end of the last of these. */
  readonly keep: readonly Pick<ChunkInfo, 'digest' | 'expiresBlock'>[]
}

/** A verified chunk about to be kept. */
export interface NewChunk extends ChunkInfo {
  /** Hash of every leaf in order, 32 bytes each. */
  readonly leafHashes: Uint8Array
  /** The body in pieces, `sizeBytes` in all. The shard does not change them and keeps none after `put`. */
  readonly body: readonly Uint8Array[]
  /** The order that pays for it: its use grows by `sizeBytes` in the same step that makes the chunk durable. */
  readonly order?: OrderUse
}

export interface OrderUse {
  /** Serial of the order, 16 bytes. */
  readonly serial: Uint8Array
  /** After this block the record may be forgotten: the order itself is refused by then. */
  readonly expiresBlock: number
}

export interface ShardUsage {
  readonly chunks: number
  /** Sum of the bodies' sizes. */
  readonly bytes: number
  /** Bodies in the trash: room that is given to new chunks when it is needed. */
  readonly trashBytes: number
  /** What they take on the disk, with removed ones whose room is not given back yet: at most about twice the others. */
  readonly diskBytes: number
  /** Chunks that were found unreadable or wrong and are listed as lost. */
  readonly lostChunks: number
}

/** A chunk that the shard promised to hold and does not. */
export interface Loss {
  /** Losses of a shard are numbered upwards from 1. */
  readonly number: number
  /** 32 bytes. */
  readonly digest: Uint8Array
}

/** A lease as the shard keeps it: its bytes belong to `protocols/lease`, the shard reads only what is beside them. */
export interface LeaseRow {
  /** Digest of the object's manifest, 32 bytes: the key. */
  readonly object: Uint8Array
  readonly bytes: Uint8Array
  readonly endBlock: number
  /** Until then a lease that has ended can be renewed, with what is in the trash; `endBlock` by default. */
  readonly forgetsBlock?: number
  /** Digests the lease covers; their `expiresBlock` is raised to `endBlock` in the same step. */
  readonly digests: readonly Uint8Array[]
}

/** A chunk that was held when it was looked up. */
export interface HeldChunk {
  readonly info: ChunkInfo
  /**
   * Exactly these bytes of it, unverified. `INVALID` outside of it, `DISK` if unreadable, `NOT_FOUND` when it was dropped
   * meanwhile and its bytes with it.
   */
  read(offset: number, lengthBytes: number, options?: AbortOptions): Promise<Uint8Array>
}

/**
 * A chunk is held, in the trash, or neither. Trash is what nothing keeps any more and is kept all the same for a while:
 * only `put`, `putLease`, `trashed` and `usage` know of it, to everything else it is not held. Put or leased anew it is
 * held again, without a byte written.
 */
export interface Shard extends Startable {
  /**
   * Keeps a chunk. Resolves only when body and index are synced to disk; a crash at any earlier moment leaves nothing
   * that counts. `present` when the body was on disk already (its expiry is raised if the new one is later, the order
   * still pays). Rejects with `NO_SPACE` when the disk is full, `BUSY` when it is too far behind, `DISK` after a failed
   * write or sync: then it is not known what is on the disk, and every later change is refused with `DISK` too until
   * the shard is stopped and started; reads go on. The body must stay as it is until `put` settles, so an abort counts
   * only until the write begins.
   */
  put(chunk: NewChunk, options?: AbortOptions): Promise<'stored' | 'present'>
  /**
   * For each digest whether its chunk is held; those that are stay until `expiresBlock` at least. Nothing is written
   * where all stay so long already; else synced, in one step.
   */
  extend(digests: readonly Uint8Array[], expiresBlock: number): Promise<boolean[]>
  describe(digest: Uint8Array): Promise<ChunkInfo | undefined>
  /** As `describe`, for one who will read it: looked up once for both. */
  find(digest: Uint8Array): Promise<HeldChunk | undefined>
  /** A chunk in the trash; its `expiresBlock` is the block at which it is dropped. */
  trashed(digest: Uint8Array): Promise<ChunkInfo | undefined>
  /** 32 bytes per leaf, or `undefined` if the chunk is not held. */
  leafHashes(digest: Uint8Array): Promise<Uint8Array | undefined>
  /** As `find` and `read` of what is found; `NOT_FOUND` if nothing is. */
  read(digest: Uint8Array, offset: number, lengthBytes: number, options?: AbortOptions): Promise<Uint8Array>
  /** Forgets a chunk, leased or in the trash, and frees its bytes; false if it was not held. Synced. */
  remove(digest: Uint8Array): Promise<boolean>
  /**
   * Forgets what nothing keeps at `block`: chunks that end there or earlier, which go to the trash until
   * `trashUntilBlock` or, without one, for good; trash, leases, losses and orders whose time is over. At most `limit`
   * of them in one synced step, the oldest first, trash last; returns how many, so call again until 0.
   */
  expire(block: number, limit: number, trashUntilBlock?: number): Promise<number>
  /** Drops trash, the oldest first, until there is no more than this. At most `limit` chunks in one synced step. */
  shrinkTrash(bytesMax: number, limit: number): Promise<number>
  /** Kept with the index, so it costs nothing to ask, also after a restart. */
  usage(): ShardUsage
  /** What is held, by digest; with `after` only what comes behind it. */
  chunks(after?: Uint8Array): AsyncIterable<ChunkInfo>

  /**
   * Forgets a chunk that cannot be read, or is not what its digest says, and lists it as lost until a block. It need
   * not be held. Put again, it is no longer lost. False if it was listed already. Synced.
   */
  lose(digest: Uint8Array, untilBlock: number): Promise<boolean>
  /** Listed losses with a higher number, the oldest first, and the highest number there ever was (0: none). */
  losses(
    afterNumber: number,
    limit: number,
  ): Promise<{ readonly last: number; readonly losses: readonly Loss[] }>
  /** Where the last scrub stopped; `undefined` before the first. */
  scrubbed(): Promise<Uint8Array | undefined>
  /** Remembers it; synced. */
  markScrubbed(digest: Uint8Array): Promise<void>

  /** Bytes an order has used so far; 0 for an unknown serial. Survives restarts. */
  orderUse(serial: Uint8Array): Promise<number>
  /** Adds to an order's use without storing (for reads). Durable when it resolves. */
  addOrderUse(order: OrderUse, bytes: number): Promise<void>

  /** Keeps or replaces the lease of an object, synced. `NOT_FOUND` if a digest it names is not on the disk. */
  putLease(lease: LeaseRow): Promise<void>
  /**
   * Forgets the lease of an object, throws what it alone named into the trash until a block, and lowers the expiry of what
   * other leases still cover, in one synced step. Which is which is the caller's to know. Never raises an expiry; false if
   * there was no such lease.
   */
  endLease(object: Uint8Array, chunks: EndedChunks, trashUntilBlock: number): Promise<boolean>
  lease(object: Uint8Array): Promise<Uint8Array | undefined>
  leases(): AsyncIterable<Uint8Array>

  /** Why it writes no more, until it is stopped and started; `undefined` as long as it does. */
  failure(): SubnetError | undefined
  /** Nothing is in it that anybody could miss: no chunk, trash, lease, loss, nor order that may still be used. */
  isEmpty(): Promise<boolean>
}
