/**
 * The changes a shard knows, each as a pure step on a draft of the index: here the rows keep their meaning together
 * (an order its use, a lease its end; a chunk's own are in `chunk-steps.ts`). What writes the draft is `shard-writer.ts`.
 */
import { SubnetError } from '../base/errors.js'
import { KIB } from '../base/units.js'
import {
  chunkIn,
  chunkKeys,
  EMPTY,
  forgetChunk,
  forgetTrash,
  holdUntil,
  listLoss,
  lossKeys,
  lowerExpiry,
  setChunk,
  throwAway,
  trashIn,
  unlistLoss,
} from './chunk-steps.js'
import {
  chunkKey,
  decodeLease,
  decodeLoss,
  decodeOrderRow,
  type ExpiryEntry,
  encodeChunkRow,
  encodeLease,
  encodeOrderRow,
  expiryKey,
  leaseKey,
  leavesKey,
  lossKey,
  memberKey,
  orderKey,
  type Place,
  scrubKey,
  trashKey,
} from './index-codec.js'
import type { IndexDraft } from './index-draft.js'
import type { EndedChunks, LeaseRow, NewChunk, OrderUse } from './shard.js'

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
    keys: [
      ...chunkKeys(digest),
      ...lossKeys(digest),
      ...(order === undefined ? [] : [orderKey(order.serial)]),
    ],
    costBytes: sizeBytes + leafHashes.length + SMALL_COST_BYTES,
    body: 'new',
    apply(draft, spareBytes) {
      const present = holdUntil(draft, digest, expiresBlock)
      if (!present) {
        const place = draft.addBody(body, sizeBytes, spareBytes)
        setChunk(draft, digest, { auditRoot, sizeBytes, expiresBlock, ...place })
        draft.set(leavesKey(digest), leafHashes)
        draft.set(memberKey(place), digest)
        unlistLoss(draft, digest)
      }
      if (order !== undefined) charge(draft, order, sizeBytes)
      return present ? 'present' : 'stored'
    },
  }
}

export function removeChunk(digest: Uint8Array): Mutation<boolean> {
  return {
    keys: chunkKeys(digest),
    costBytes: SMALL_COST_BYTES,
    body: 'none',
    apply: (draft) => remove(draft, digest),
  }
}

/** Forgets a chunk, if it is still there, and lists it as lost. False if it was listed already. */
export function loseChunk(digest: Uint8Array, untilBlock: number): Mutation<boolean> {
  return {
    keys: [...chunkKeys(digest), ...lossKeys(digest)],
    costBytes: SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      remove(draft, digest)
      return listLoss(draft, digest, untilBlock)
    },
  }
}

/** Gives a chunk's body a new place, unless it is gone or was moved meanwhile. */
export function moveChunk(digest: Uint8Array, from: Place, body: Uint8Array): Mutation<void> {
  return {
    keys: chunkKeys(digest),
    costBytes: body.length + SMALL_COST_BYTES,
    body: 'moved',
    apply(draft, spareBytes) {
      const held = chunkIn(draft, digest)
      const row = held ?? trashIn(draft, digest)
      if (row === undefined || row.file !== from.file || row.offset !== from.offset) return
      const place = draft.addBody([body], body.length, spareBytes)
      if (held === undefined) {
        draft.trashBody(place.file, body.length)
        draft.dropTrash(from.file, body.length)
      } else {
        draft.dropBody(from.file, body.length)
      }
      draft.delete(memberKey(from))
      draft.set(memberKey(place), digest)
      draft.set((held === undefined ? trashKey : chunkKey)(digest), encodeChunkRow({ ...row, ...place }))
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

/** Says of each chunk whether it is held; raises the expiry of those that are. */
export function extendChunks(digests: readonly Uint8Array[], expiresBlock: number): Mutation<boolean[]> {
  return {
    keys: digests.flatMap(chunkKeys),
    costBytes: digests.length * 128 + SMALL_COST_BYTES,
    body: 'none',
    // What is in the trash is not held, and does not come back by being asked for.
    apply: (draft) =>
      digests.map((digest) => chunkIn(draft, digest) !== undefined && holdUntil(draft, digest, expiresBlock)),
  }
}

export function keepLease(lease: LeaseRow): Mutation<void> {
  const { object, bytes, endBlock, digests } = lease
  const forgetsBlock = lease.forgetsBlock ?? endBlock
  return {
    keys: [leaseKey(object), ...digests.flatMap(chunkKeys)],
    costBytes: bytes.length + digests.length * 128 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      for (const digest of digests) {
        if (chunkIn(draft, digest) === undefined && trashIn(draft, digest) === undefined) {
          throw new SubnetError('NOT_FOUND', 'the lease names a chunk that is not held')
        }
      }
      for (const digest of digests) holdUntil(draft, digest, endBlock)
      forgetLease(draft, object)
      draft.set(leaseKey(object), encodeLease({ endBlock, forgetsBlock, bytes }))
      draft.set(expiryKey({ block: forgetsBlock, kind: 'lease', id: object }), EMPTY)
    },
  }
}

export function endLease(
  object: Uint8Array,
  { trash, keep }: EndedChunks,
  trashUntilBlock: number,
): Mutation<boolean> {
  const digests = [...trash, ...keep.map(({ digest }) => digest)]
  return {
    keys: [leaseKey(object), ...digests.map(chunkKey)],
    costBytes: digests.length * 64 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      if (draft.get(leaseKey(object)) === undefined) return false
      forgetLease(draft, object)
      for (const digest of trash) {
        const held = chunkIn(draft, digest)
        if (held !== undefined) throwAway(draft, digest, held, trashUntilBlock)
      }
      for (const { digest, expiresBlock } of keep) lowerExpiry(draft, digest, expiresBlock)
      return true
    },
  }
}

/**
 * Forgets what the entries name, except what has got a later expiry since they were read; a chunk goes to the trash
 * where there is one. Returns how many.
 */
export function forgetExpired(entries: readonly ExpiryEntry[], trashUntilBlock?: number): Mutation<number> {
  return {
    keys: entries.flatMap((entry) => [rowKeyOf(entry), ...(entry.kind === 'loss' ? lossKeys(entry.id) : [])]),
    costBytes: entries.length * 64 + SMALL_COST_BYTES,
    body: 'none',
    apply(draft) {
      let forgotten = 0
      for (const entry of entries) if (forgetOne(draft, entry, trashUntilBlock)) forgotten += 1
      return forgotten
    },
  }
}

/** Remembers how far a scrub has come. */
export function markScrubbed(digest: Uint8Array): Mutation<void> {
  return {
    keys: [],
    costBytes: SMALL_COST_BYTES,
    body: 'none',
    apply: (draft) => draft.set(scrubKey, digest),
  }
}

function rowKeyOf(entry: ExpiryEntry): Uint8Array {
  switch (entry.kind) {
    case 'chunk':
      return chunkKey(entry.id)
    case 'trash':
      return trashKey(entry.id)
    case 'lease':
      return leaseKey(entry.id)
    case 'order':
      return orderKey(entry.id)
    case 'loss':
      return lossKey(entry.id)
  }
}

function forgetOne(
  draft: IndexDraft,
  { kind, block, id }: ExpiryEntry,
  trashUntilBlock: number | undefined,
): boolean {
  const value = draft.get(rowKeyOf({ kind, block, id }))
  if (value === undefined) return false
  switch (kind) {
    case 'chunk': {
      const row = chunkIn(draft, id)
      if (row?.expiresBlock !== block) return false
      if (trashUntilBlock === undefined) forgetChunk(draft, id, row)
      else throwAway(draft, id, row, trashUntilBlock)
      return true
    }
    case 'trash': {
      const row = trashIn(draft, id)
      if (row?.expiresBlock !== block) return false
      forgetTrash(draft, id, row)
      return true
    }
    case 'lease':
      if (decodeLease(value).forgetsBlock !== block) return false
      forgetLease(draft, id)
      return true
    case 'order': {
      const row = decodeOrderRow(value)
      if (orderExpiry(id, row.expiresBlock).block !== block) return false
      draft.delete(orderKey(id))
      draft.delete(expiryKey(orderExpiry(id, row.expiresBlock)))
      return true
    }
    case 'loss':
      if (decodeLoss(value).untilBlock !== block) return false
      unlistLoss(draft, id)
      return true
  }
}

function remove(draft: IndexDraft, digest: Uint8Array): boolean {
  const held = chunkIn(draft, digest)
  const trash = held === undefined ? trashIn(draft, digest) : undefined
  if (held !== undefined) forgetChunk(draft, digest, held)
  if (trash !== undefined) forgetTrash(draft, digest, trash)
  return held !== undefined
}

function forgetLease(draft: IndexDraft, object: Uint8Array): void {
  const value = draft.get(leaseKey(object))
  if (value === undefined) return
  draft.delete(leaseKey(object))
  draft.delete(expiryKey({ block: decodeLease(value).forgetsBlock, kind: 'lease', id: object }))
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
