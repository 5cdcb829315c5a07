/**
 * Any k of the n chunks of a segment, from whoever gives them soonest: data chunks first, then as `race.ts` says. Or a
 * part of one data chunk, from its own holder, else the same part of any k others. All is verified before it counts.
 */
import type { LeafRange } from '../../protocols/retrieve/client.js'
import type { AbortOptions } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import { toSs58 } from '../crypto/keys.js'
import { LEAF_BYTES } from '../crypto/merkle.js'
import type { VerifiedSpan } from '../redundancy/chunk.js'
import { type ChunkSpan, type SegmentShape, spanIn } from '../redundancy/layout.js'
import type { SegmentEntry } from '../redundancy/segment.js'
import type { Holder } from './holder.js'
import { firstOf } from './race.js'
import type { RetrievePool } from './retrieve-pool.js'

export interface FetchComponents {
  readonly pool: RetrievePool
  readonly clock: Clock
}

/** What is known of a segment before any of it is here. */
export interface SegmentPlace {
  readonly shape: SegmentShape
  readonly entry: SegmentEntry
  /** Holders of each chunk. */
  readonly holders: readonly (readonly Holder[])[]
}

/** Chunk i at place i, k of them. Rejects with `UNRECOVERABLE` when fewer than k can be had. */
export async function fetchSegment(
  place: SegmentPlace,
  components: FetchComponents,
  options: AbortOptions = {},
): Promise<(VerifiedSpan | undefined)[]> {
  const { pool, clock } = components
  const { k, n } = place.shape
  const attempts = preferred(place, pool).map((chunk) => async (signal: AbortSignal) => {
    return { chunk, span: await fetchChunk(place, chunk, pool, signal) }
  })
  const got = await firstOf(attempts, k, { clock, pace: pool.pace }, options)
  if (got.length < k) {
    const live = got.map(({ chunk }) => chunk)
    throw unrecoverable(place, live, pool)
  }
  const found = new Array<VerifiedSpan | undefined>(n).fill(undefined)
  for (const { chunk, span } of got) found[chunk] = span
  return found
}

/**
 * What it takes to open `span` of the place's segment: that part of its chunk, or (private only) of any k others. Rejects
 * with `UNRECOVERABLE` when neither can be had.
 */
export async function fetchSpan(
  place: SegmentPlace,
  span: ChunkSpan,
  { pool, clock }: FetchComponents,
  options: AbortOptions = {},
): Promise<(VerifiedSpan | undefined)[]> {
  const { k, n } = place.shape
  const partOf = async (chunk: number, signal: AbortSignal) => {
    const { offsetBytes, lengthBytes } = spanIn(span, chunk)
    const range = { firstLeaf: offsetBytes / LEAF_BYTES, leaves: Math.ceil(lengthBytes / LEAF_BYTES) }
    return { chunk, part: await fetchChunk(place, chunk, pool, signal, range) }
  }
  const pacing = { clock, pace: pool.pace }
  const own = async (signal: AbortSignal) => [await partOf(span.chunk, signal)]
  const others = async (signal: AbortSignal) => {
    // A short last data chunk may end before the span: it is known there without being asked for.
    const known = Array.from({ length: k }, (_, chunk) => chunk).filter(
      (chunk) => chunk !== span.chunk && spanIn(span, chunk).lengthBytes === 0,
    )
    const asked = preferred(place, pool).filter((chunk) => chunk !== span.chunk && !known.includes(chunk))
    const attempts = asked.map((chunk) => (inner: AbortSignal) => partOf(chunk, inner))
    const got = await firstOf(attempts, k - known.length, pacing, { signal })
    if (got.length + known.length < k) {
      const live = [...known, ...got.map(({ chunk }) => chunk)]
      throw unrecoverable(place, live, pool)
    }
    return got
  }
  const attempts = place.shape.class === 'private' ? [own, others] : [own]
  const [parts] = await firstOf(attempts, 1, pacing, options)
  if (parts === undefined) throw unrecoverable(place, [], pool)
  const found = new Array<VerifiedSpan | undefined>(n).fill(undefined)
  for (const { chunk, part } of parts) found[chunk] = part
  return found
}

/** Chunks with a holder worth asking, best first: data before parity, idle holders before busy ones. */
function preferred(place: SegmentPlace, pool: RetrievePool): number[] {
  const cost = (chunk: number): number => {
    const waiting = (place.holders[chunk] ?? []).map(
      (holder) => pool.waiting(holder) + (pool.failure(holder) ? 1_000 : 0),
    )
    const parity = chunk < place.shape.k ? 0 : 0.5
    return Math.min(...waiting) + parity
  }
  return [...place.entry.chunks.keys()]
    .filter((chunk) => (place.holders[chunk] ?? []).length > 0)
    .map((chunk) => ({ chunk, cost: cost(chunk) }))
    .sort((a, b) => a.cost - b.cost || a.chunk - b.chunk)
    .map(({ chunk }) => chunk)
}

/** The chunk, or leaves of it, from the first of its holders that gives it. */
async function fetchChunk(
  place: SegmentPlace,
  chunk: number,
  pool: RetrievePool,
  signal: AbortSignal,
  range?: LeafRange,
): Promise<VerifiedSpan> {
  const reference = place.entry.chunks[chunk]
  const holders = place.holders[chunk] ?? []
  if (reference === undefined) throw new SubnetError('NOT_FOUND', 'the manifest does not name this chunk')
  let failure: unknown = new SubnetError('NOT_FOUND', 'nobody holds this chunk')
  for (const holder of holders) {
    try {
      return await pool.request(holder, (stream) => stream.get(reference, range, { signal }), { signal })
    } catch (error) {
      signal.throwIfAborted()
      failure = error
    }
  }
  throw failure
}

/** The same segment with those who say that they hold it, where the leases do not name them. */
export function withFound(
  place: SegmentPlace,
  found: readonly (readonly Holder[])[],
  pool: RetrievePool,
): SegmentPlace {
  const holders = place.entry.chunks.map((_, chunk) => {
    const leased = place.holders[chunk] ?? []
    const others = found[chunk] ?? []
    // A holder that failed lately and answers now is worth another try.
    for (const holder of others) pool.forgive(holder)
    return [...leased, ...others.filter(({ peerId }) => !leased.some((known) => known.peerId === peerId))]
  })
  return { ...place, holders }
}

/** Says how many chunks live and at whom, so that somebody can look after those that are left. */
function unrecoverable(place: SegmentPlace, chunks: readonly number[], pool: RetrievePool): SubnetError {
  const { index, k } = place.shape
  const live = chunks.length
  const addressesOf = (holders: readonly Holder[]) => [
    ...new Set(holders.map((holder) => toSs58(holder.hotkey))),
  ]
  const isUp = (holder: Holder) => pool.failure(holder) === undefined
  const holders = addressesOf(chunks.flatMap((chunk) => (place.holders[chunk] ?? []).filter(isUp)))
  const asked = addressesOf(place.holders.flat()).length
  const unreachable = addressesOf(place.holders.flat().filter((holder) => !isUp(holder)))
  const at = holders.length === 0 ? '' : ` (at ${holders.join(', ')})`
  const text =
    `segment ${index}: ${live} chunks could be had${at}, ${k} are needed; ` +
    `${unreachable.length} of ${asked} holders failed`
  const data = { segment: index, live, needed: k, holders, asked, unreachable }
  return new SubnetError('UNRECOVERABLE', text, { data })
}
