/**
 * What happens to a chunk in the index, as steps on a draft: held until a block, thrown into the trash, revived,
 * forgotten, lost. Here alone its rows are kept in step with each other and with its body file's counts. Which step is
 * due when is in the mutations.
 */
import {
  type ChunkRow,
  chunkKey,
  decodeChunkRow,
  decodeLoss,
  decodeLossCount,
  encodeChunkRow,
  encodeLoss,
  encodeLossCount,
  expiryKey,
  leavesKey,
  lossCountKey,
  lossKey,
  lossNumberKey,
  memberKey,
  trashKey,
} from './index-codec.js'
import type { IndexDraft } from './index-draft.js'

export const EMPTY = new Uint8Array(0)

/** What `chunkIn` and `trashIn` read. */
export function chunkKeys(digest: Uint8Array): Uint8Array[] {
  return [chunkKey(digest), trashKey(digest)]
}

/** What `listLoss` and `unlistLoss` read. */
export function lossKeys(digest: Uint8Array): Uint8Array[] {
  return [lossKey(digest), lossCountKey]
}

/** The row of a chunk that is held. */
export function chunkIn(draft: IndexDraft, digest: Uint8Array): ChunkRow | undefined {
  const value = draft.get(chunkKey(digest))
  return value === undefined ? undefined : decodeChunkRow(value)
}

/** The row of a chunk in the trash. */
export function trashIn(draft: IndexDraft, digest: Uint8Array): ChunkRow | undefined {
  const value = draft.get(trashKey(digest))
  return value === undefined ? undefined : decodeChunkRow(value)
}

/** Holds a chunk at least until a block: one that is held, or one in the trash. False if it is neither. */
export function holdUntil(draft: IndexDraft, digest: Uint8Array, expiresBlock: number): boolean {
  const held = chunkIn(draft, digest)
  if (held !== undefined) {
    if (expiresBlock > held.expiresBlock) {
      draft.delete(expiryKey({ block: held.expiresBlock, kind: 'chunk', id: digest }))
      setChunk(draft, digest, { ...held, expiresBlock })
    }
    return true
  }
  const trash = trashIn(draft, digest)
  if (trash === undefined) return false
  takeFromTrash(draft, digest, trash)
  draft.reviveBody(trash.file, trash.sizeBytes)
  setChunk(draft, digest, { ...trash, expiresBlock })
  return true
}

/** Holds a chunk no longer than until a block. Nothing happens to one that is not held. */
export function lowerExpiry(draft: IndexDraft, digest: Uint8Array, expiresBlock: number): void {
  const held = chunkIn(draft, digest)
  if (held === undefined || held.expiresBlock <= expiresBlock) return
  draft.delete(expiryKey({ block: held.expiresBlock, kind: 'chunk', id: digest }))
  setChunk(draft, digest, { ...held, expiresBlock })
}

/** Writes the row of a held chunk and its end. */
export function setChunk(draft: IndexDraft, digest: Uint8Array, row: ChunkRow): void {
  draft.set(chunkKey(digest), encodeChunkRow(row))
  draft.set(expiryKey({ block: row.expiresBlock, kind: 'chunk', id: digest }), EMPTY)
}

export function throwAway(draft: IndexDraft, digest: Uint8Array, row: ChunkRow, untilBlock: number): void {
  draft.delete(chunkKey(digest))
  draft.delete(expiryKey({ block: row.expiresBlock, kind: 'chunk', id: digest }))
  draft.trashBody(row.file, row.sizeBytes)
  draft.set(trashKey(digest), encodeChunkRow({ ...row, expiresBlock: untilBlock }))
  draft.set(expiryKey({ block: untilBlock, kind: 'trash', id: digest }), EMPTY)
}

export function forgetChunk(draft: IndexDraft, digest: Uint8Array, row: ChunkRow): void {
  draft.dropBody(row.file, row.sizeBytes)
  draft.delete(chunkKey(digest))
  draft.delete(leavesKey(digest))
  draft.delete(memberKey(row))
  draft.delete(expiryKey({ block: row.expiresBlock, kind: 'chunk', id: digest }))
}

export function forgetTrash(draft: IndexDraft, digest: Uint8Array, row: ChunkRow): void {
  takeFromTrash(draft, digest, row)
  draft.dropTrash(row.file, row.sizeBytes)
  draft.delete(leavesKey(digest))
  draft.delete(memberKey(row))
}

function takeFromTrash(draft: IndexDraft, digest: Uint8Array, row: ChunkRow): void {
  draft.delete(trashKey(digest))
  draft.delete(expiryKey({ block: row.expiresBlock, kind: 'trash', id: digest }))
}

/** Lists a chunk as lost until a block, or longer than it was. False if it was listed already. */
export function listLoss(draft: IndexDraft, digest: Uint8Array, untilBlock: number): boolean {
  const value = draft.get(lossKey(digest))
  const before = value === undefined ? undefined : decodeLoss(value)
  if (before !== undefined && before.untilBlock >= untilBlock) return false
  const { last, listed } = decodeLossCount(draft.get(lossCountKey))
  const number = before?.number ?? last + 1
  if (before === undefined) {
    draft.set(lossCountKey, encodeLossCount({ last: number, listed: listed + 1 }))
    draft.set(lossNumberKey(number), digest)
  } else {
    draft.delete(expiryKey({ block: before.untilBlock, kind: 'loss', id: digest }))
  }
  draft.set(lossKey(digest), encodeLoss({ number, untilBlock }))
  draft.set(expiryKey({ block: untilBlock, kind: 'loss', id: digest }), EMPTY)
  return before === undefined
}

/** The chunk came back, or nobody needs to know any more. */
export function unlistLoss(draft: IndexDraft, digest: Uint8Array): void {
  const value = draft.get(lossKey(digest))
  if (value === undefined) return
  const { number, untilBlock } = decodeLoss(value)
  const { last, listed } = decodeLossCount(draft.get(lossCountKey))
  draft.set(lossCountKey, encodeLossCount({ last, listed: listed - 1 }))
  draft.delete(lossKey(digest))
  draft.delete(lossNumberKey(number))
  draft.delete(expiryKey({ block: untilBlock, kind: 'loss', id: digest }))
}
