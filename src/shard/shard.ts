/**
 * The `Shard` port: one validator's share of a miner's disk. Chunks by digest, what is needed to prove them, the
 * leases they are held under and what orders have used up. Implementations: LevelDB + files, memory. The conformance
 * suite runs against each.
 */
import type { AbortOptions } from '../base/abort.js'
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

/** What a chunk's expiry is lowered to. */
export type ChunkExpiry = Pick<ChunkInfo, 'digest' | 'expiresBlock'>

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
  /** What they take on the disk, with removed ones whose room is not given back yet: at most about twice `bytes`. */
  readonly diskBytes: number
}

/** A lease as the shard keeps it: its bytes belong to `protocols/lease`, the shard reads only what is beside them. */
export interface LeaseRow {
  /** Digest of the object's manifest, 32 bytes: the key. */
  readonly object: Uint8Array
  readonly bytes: Uint8Array
  readonly endBlock: number
  /** Digests the lease covers; their `expiresBlock` is raised to `endBlock` in the same step. */
  readonly digests: readonly Uint8Array[]
}

export interface Shard extends Startable {
  /**
   * Keeps a chunk. Resolves only when body and index are synced to disk; a crash at any earlier moment leaves nothing
   * that counts. `present` when the digest was already held (its expiry is raised if the new one is later, the order
   * still pays). Rejects with `NO_SPACE` when the disk is full, `BUSY` when it is too far behind, `DISK` after a failed
   * write or sync: then it is not known what is on the disk, and every later change is refused with `DISK` too until
   * the shard is stopped and started; reads go on. The body must stay as it is until `put` settles, so an abort counts
   * only until the write begins.
   */
  put(chunk: NewChunk, options?: AbortOptions): Promise<'stored' | 'present'>
  describe(digest: Uint8Array): Promise<ChunkInfo | undefined>
  /** 32 bytes per leaf, or `undefined` if the chunk is not held. */
  leafHashes(digest: Uint8Array): Promise<Uint8Array | undefined>
  /** Exactly these bytes of a held chunk, unverified. `NOT_FOUND`, `INVALID` outside of it, `DISK` if unreadable. */
  read(digest: Uint8Array, offset: number, lengthBytes: number, options?: AbortOptions): Promise<Uint8Array>
  /** Forgets a chunk, leased or not, and frees its bytes; false if it was not held. Synced. */
  remove(digest: Uint8Array): Promise<boolean>
  /**
   * Forgets what nothing keeps at `block`: chunks and leases that end there or earlier, orders that expired before it.
   * The oldest first, at most `limit` of them in one synced step; returns how many, so call again until 0.
   */
  expire(block: number, limit: number): Promise<number>
  /** Kept with the index, so it costs nothing to ask, also after a restart. */
  usage(): ShardUsage
  chunks(): AsyncIterable<ChunkInfo>

  /** Bytes an order has used so far; 0 for an unknown serial. Survives restarts. */
  orderUse(serial: Uint8Array): Promise<number>
  /** Adds to an order's use without storing (for reads). Durable when it resolves. */
  addOrderUse(order: OrderUse, bytes: number): Promise<void>

  /** Keeps or replaces the lease of an object, synced. `NOT_FOUND` if a digest it names is not held. */
  putLease(lease: LeaseRow): Promise<void>
  /**
   * Forgets the lease of an object and lowers the expiry of these chunks, in one synced step. Until when other leases cover
   * them is the caller's to know. Never raises an expiry; false if there was no such lease.
   */
  endLease(object: Uint8Array, chunks: readonly ChunkExpiry[]): Promise<boolean>
  lease(object: Uint8Array): Promise<Uint8Array | undefined>
  leases(): AsyncIterable<Uint8Array>
}
