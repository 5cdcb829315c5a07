/**
 * The changes a shard knows, each as a pure step on a draft of the index: here the rows keep their meaning together
 * (a chunk has its leaves, its place and its expiry; an order its use). What writes the draft is `shard-writer.ts`.
 */
import { SubnetError } from '../base/errors.js'
import { KIB } from '../base/units.js'
import {
  type ChunkRow,
  chunkKey,
  decodeChunkRow,
  decodeLease,
  decodeOrderRow,
  type ExpiryEntry,
  encodeChunkRow,
  encodeLease,
  encodeOrderRow,
  expiryKey,
  leaseKey,
  leavesKey,
  memberKey,
  orderKey,
  type Place,
} from './index-codec.js'
import type { IndexDraft } from './index-draft.js'
import type { ChunkExpiry, LeaseRow, NewChunk, OrderUse } from './shard.js'

/** One change. `apply` leaves the draft as it was when it throws. */
export interface Mutation<T> {
  /** What `apply` reads. */
  readonly keys: readonly Uint8Array[]
  /** Memory it holds until it is committed, bytes. */
  readonly costBytes: number
  readonly body: 'new' | 'moved' | 'none'
  /** `spareBytes`: what a body must leave free on the disk. */
  apply(draft: IndexDraft, spareBytes: number): T
}

/** What a mutation without a body is taken to cost. */
const SMALL_COST_BYTES = 4 * KIB

export function putChunk(chunk: NewChunk): Mutation<'stored' | 'present'> {
  const { digest, auditRoot, sizeBytes, expiresBlock, leafHashes, body, order } = chunk
  return {
    keys: [chunkKey(digest), ...(order === undefined ? [] : [orderKey(order.serial)])],
    costBytes: sizeBytes + leafHashes.length + SMALL_COST_BYTES,
    body: 'new',
    apply(draft, spareBytes) {
      const held = chunkIn(draft, digest)
      if (held === undefined) {
        const place = draft.addBody(body, sizeBytes, spareBytes)
        draft.set(chunkKey(digest), encodeChunkRow({ auditRoot, sizeBytes, expiresBlock, ...place }))
        draft.set(leavesKey(digest), leafHashes)
        draft.set(memberKey(place), digest)
        draft.set(expiryKey({ block: expiresBlock, kind: 'chunk', id: digest }), EMPTY)
      } else {
        raiseExpiry(draft, digest, held, expiresBlock)
      }
      if (order !== undefined) charge(draft, order, sizeBytes)
      return held === undefined ? 'stored' : 'present'
    },
  }
}

export function removeChunk(digest: Uint8Array): Mutation<boolean> {
  return {
    keys: [chunkKey(digest)],
    costBytes: SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      const held = chunkIn(draft, digest)
      if (held === undefined) return false
      forgetChunk(draft, digest, held)
      return true
    },
  }
}

/** Gives a chunk's body a new place, unless it is gone or was moved meanwhile. */
export function moveChunk(digest: Uint8Array, from: Place, body: Uint8Array): Mutation<void> {
  return {
    keys: [chunkKey(digest)],
    costBytes: body.length + SMALL_COST_BYTES,
    body: 'moved',
    apply(draft, spareBytes) {
      const held = chunkIn(draft, digest)
      if (held === undefined || held.file !== from.file || held.offset !== from.offset) return
      const place = draft.addBody([body], body.length, spareBytes)
      draft.dropBody(from.file, body.length)
      draft.delete(memberKey(from))
      draft.set(memberKey(place), digest)
      draft.set(chunkKey(digest), encodeChunkRow({ ...held, ...place }))
    },
  }
}

export function useOrder(order: OrderUse, bytes: number): Mutation<void> {
  return {
    keys: [orderKey(order.serial)],
    costBytes: SMALL_COST_BYTES,
    body: 'none',
    apply: (draft) => charge(draft, order, bytes),
  }
}

export function keepLease(lease: LeaseRow): Mutation<void> {
  const { object, bytes, endBlock, digests } = lease
  return {
    keys: [leaseKey(object), ...digests.map(chunkKey)],
    costBytes: bytes.length + digests.length * 64 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      for (const digest of digests) {
        if (chunkIn(draft, digest) === undefined) {
          throw new SubnetError('NOT_FOUND', 'the lease names a chunk that is not held')
        }
      }
      for (const digest of digests) {
        const held = chunkIn(draft, digest)
        if (held !== undefined) raiseExpiry(draft, digest, held, endBlock)
      }
      forgetLease(draft, object)
      draft.set(leaseKey(object), encodeLease({ endBlock, bytes }))
      draft.set(expiryKey({ block: endBlock, kind: 'lease', id: object }), EMPTY)
    },
  }
}

export function endLease(object: Uint8Array, chunks: readonly ChunkExpiry[]): Mutation<boolean> {
  return {
    keys: [leaseKey(object), ...chunks.map(({ digest }) => chunkKey(digest))],
    costBytes: chunks.length * 64 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      if (draft.get(leaseKey(object)) === undefined) return false
      forgetLease(draft, object)
      for (const { digest, expiresBlock } of chunks) {
        const held = chunkIn(draft, digest)
        if (held !== undefined && held.expiresBlock > expiresBlock)
          setExpiry(draft, digest, held, expiresBlock)
      }
      return true
    },
  }
}

/** Forgets what the entries name, except what has got a later expiry since they were read. Returns how many. */
export function forgetExpired(entries: readonly ExpiryEntry[]): Mutation<number> {
  return {
    keys: entries.map(rowKeyOf),
    costBytes: entries.length * 64 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      let forgotten = 0
      for (const entry of entries) if (forgetOne(draft, entry)) forgotten += 1
      return forgotten
    },
  }
}

const EMPTY = new Uint8Array(0)

function rowKeyOf(entry: ExpiryEntry): Uint8Array {
  switch (entry.kind) {
    case 'chunk':
      return chunkKey(entry.id)
    case 'lease':
      return leaseKey(entry.id)
    case 'order':
      return orderKey(entry.id)
  }
}

function forgetOne(draft: IndexDraft, { kind, block, id }: ExpiryEntry): boolean {
  const value = draft.get(rowKeyOf({ kind, block, id }))
  if (value === undefined) return false
  switch (kind) {
    case 'chunk': {
      const row = decodeChunkRow(value)
      if (row.expiresBlock !== block) return false
      forgetChunk(draft, id, row)
      return true
    }
    case 'lease':
      if (decodeLease(value).endBlock !== block) return false
      forgetLease(draft, id)
      return true
    case 'order': {
      const row = decodeOrderRow(value)
      if (orderExpiry(id, row.expiresBlock).block !== block) return false
      draft.delete(orderKey(id))
      draft.delete(expiryKey(orderExpiry(id, row.expiresBlock)))
      return true
    }
  }
}

function chunkIn(draft: IndexDraft, digest: Uint8Array): ChunkRow | undefined {
  const value = draft.get(chunkKey(digest))
  return value === undefined ? undefined : decodeChunkRow(value)
}

function forgetChunk(draft: IndexDraft, digest: Uint8Array, row: ChunkRow): void {
  draft.dropBody(row.file, row.sizeBytes)
  draft.delete(chunkKey(digest))
  draft.delete(leavesKey(digest))
  draft.delete(memberKey(row))
  draft.delete(expiryKey({ block: row.expiresBlock, kind: 'chunk', id: digest }))
}

function raiseExpiry(draft: IndexDraft, digest: Uint8Array, row: ChunkRow, expiresBlock: number): void {
  if (expiresBlock > row.expiresBlock) setExpiry(draft, digest, row, expiresBlock)
}

function setExpiry(draft: IndexDraft, digest: Uint8Array, row: ChunkRow, expiresBlock: number): void {
  draft.delete(expiryKey({ block: row.expiresBlock, kind: 'chunk', id: digest }))
  draft.set(chunkKey(digest), encodeChunkRow({ ...row, expiresBlock }))
  draft.set(expiryKey({ block: expiresBlock, kind: 'chunk', id: digest }), EMPTY)
}

function forgetLease(draft: IndexDraft, object: Uint8Array): void {
  const value = draft.get(leaseKey(object))
  if (value === undefined) return
  draft.delete(leaseKey(object))
  draft.delete(expiryKey({ block: decodeLease(value).endBlock, kind: 'lease', id: object }))
}

function charge(draft: IndexDraft, order: OrderUse, bytes: number): void {
  const { serial } = order
  const value = draft.get(orderKey(serial))
  const before = value === undefined ? { usedBytes: 0, expiresBlock: 0 } : decodeOrderRow(value)
  const expiresBlock = Math.max(before.expiresBlock, order.expiresBlock)
  if (value !== undefined) draft.delete(expiryKey(orderExpiry(serial, before.expiresBlock)))
  draft.set(orderKey(serial), encodeOrderRow({ usedBytes: before.usedBytes + bytes, expiresBlock }))
  draft.set(expiryKey(orderExpiry(serial, expiresBlock)), EMPTY)
}

/** An order is refused only after its last block, so its record goes one block later. */
function orderExpiry(serial: Uint8Array, expiresBlock: number): ExpiryEntry {
  return { block: expiresBlock + 1, kind: 'order', id: serial }
}
