/**
 * Placement: which miner gets which chunk, as a pure function, so that asking again gives the same answer and anyone
 * can check it. Weighted rendezvous hashing: each miner draws a number from a hash of (seed, segment, its id), and a
 * candidate that comes or goes changes little else. Who is a candidate, and its weight, is the validator's business.
 *
 *   hash = SHA-256(dag-cbor [tag, seed, segment, id])
 *   u    = (first 48 bits of hash + 1) / 2⁴⁸, in (0, 1]
 *   key  = −ln(u) / weight, lowest first (an exponential race: first place falls to each in proportion to its weight)
 *
 * V8 computes Math.log in software, so every node gets the same bits.
 */
import { encode } from '@ipld/dag-cbor'
import { invariant, SubnetError } from '../base/errors.js'
import { sha256 } from '../crypto/hash.js'

export interface Candidate {
  /** Hotkey; no two candidates share one. */
  readonly id: string
  /** The operator group: one failure may take all of it. */
  readonly group: string
  /** Share of chunks relative to the others', e.g. free bytes; a candidate with 0 gets none. */
  readonly weight: number
}

/** A candidate's place in the order. */
export interface Ranked {
  /** In the list of candidates. */
  readonly index: number
  /** 32 more bits of its hash: which chunk it takes. */
  readonly chunkDraw: number
}

export interface PlaceSegmentInit {
  /** 32 bytes, the same whenever this put is placed again: a hash over chain, validator and put. */
  readonly seed: Uint8Array
  readonly segment: number
  /** Chunks to place. */
  readonly n: number
  /** Most chunks one group may hold. */
  readonly cap: number
  readonly candidates: readonly Candidate[]
}

export interface Placement {
  /** For each chunk the holder's index in the candidates. */
  readonly holders: readonly number[]
  /**
   * Who takes a chunk in a holder's stead, in order of preference; at most n. Whichever of them do, the cap holds. Where
   * miners are few, holders with room for a second chunk are among them.
   */
  readonly spares: readonly number[]
}

const CHUNK_TAG = 'place-chunk/1'
const MANIFEST_TAG = 'place-manifest/1'

/** Candidates with a weight, best first; ties by id. */
export function rankMiners(seed: Uint8Array, segment: number, candidates: readonly Candidate[]): Ranked[] {
  return rank(CHUNK_TAG, seed, segment, candidates)
}

/**
 * A holder for each chunk of a segment: at most `cap` chunks per group, and one per miner as long as enough miners fit;
 * in a smaller network a miner holds more. Throws `TOO_FEW_PEERS` below ceil(n / cap) groups.
 */
export function placeSegment({ seed, segment, n, cap, candidates }: PlaceSegmentInit): Placement {
  invariant(n >= 1 && cap >= 1, 'there is a chunk to place, and a group may hold one')
  const order = rankMiners(seed, segment, candidates)
  const groupOf = (miner: Ranked): string => (candidates[miner.index] as Candidate).group
  requireGroups(new Set(order.map(groupOf)).size, Math.ceil(n / cap))
  const load = new Map<string, number>()
  const taken: Ranked[] = []
  // Each round gives every miner one chunk, groups at the cap aside. There is room for n, and spares as far as it goes.
  for (let before = -1; taken.length < 2 * n && taken.length > before; ) {
    before = taken.length
    for (const miner of order) {
      const held = load.get(groupOf(miner)) ?? 0
      if (held >= cap || taken.length === 2 * n) continue
      load.set(groupOf(miner), held + 1)
      taken.push(miner)
    }
  }
  return { holders: seatHolders(taken.slice(0, n)), spares: taken.slice(n).map((miner) => miner.index) }
}

export interface PlaceManifestInit {
  readonly seed: Uint8Array
  readonly copies: number
  readonly candidates: readonly Candidate[]
}

/**
 * Holders of a manifest's full copies: one per miner, no second one in a group before every group has one. Fewer
 * miners than copies hold one each, which is all they can do. Throws `TOO_FEW_PEERS` without any.
 */
export function placeManifest({ seed, copies, candidates }: PlaceManifestInit): Placement {
  invariant(copies >= 1, 'there is a copy to place')
  const order = rank(MANIFEST_TAG, seed, 0, candidates)
  requireGroups(order.length, 1)
  const seen = new Map<string, number>()
  // How many of its group come before a miner; sorting is stable, so the rank decides among equals.
  const rounds = order.map(({ index }) => {
    const { group } = candidates[index] as Candidate
    const round = seen.get(group) ?? 0
    seen.set(group, round + 1)
    return { index, round }
  })
  const indexes = rounds.sort((a, b) => a.round - b.round).map(({ index }) => index)
  return { holders: indexes.slice(0, copies), spares: indexes.slice(copies) }
}

function rank(tag: string, seed: Uint8Array, segment: number, candidates: readonly Candidate[]): Ranked[] {
  const ids = new Set(candidates.map(({ id }) => id))
  invariant(ids.size === candidates.length, 'no two candidates share an id')
  const entries = candidates.map(({ id, weight }, index) => {
    invariant(Number.isFinite(weight) && weight >= 0, 'a weight is a number from 0 on')
    const hash = sha256(encode([tag, seed, segment, id]))
    const view = new DataView(hash.buffer)
    const u = (view.getUint32(0) * 2 ** 16 + view.getUint16(4) + 1) / 2 ** 48
    return { index, id, chunkDraw: view.getUint32(6), key: -Math.log(u) / weight }
  })
  return entries
    .filter(({ index }) => (candidates[index] as Candidate).weight > 0)
    .sort((a, b) => a.key - b.key || (a.id < b.id ? -1 : 1))
    .map(({ index, chunkDraw }) => ({ index, chunkDraw }))
}

/**
 * Gives each chosen miner a chunk: the one its hash points at, or the next free one. Handing chunks out by rank would
 * move all of them when a miner near the top goes.
 */
function seatHolders(chosen: readonly Ranked[]): number[] {
  const n = chosen.length
  const holders = new Array<number | undefined>(n).fill(undefined)
  for (const { index, chunkDraw } of chosen) {
    let chunk = chunkDraw % n
    while (holders[chunk] !== undefined) chunk = (chunk + 1) % n
    holders[chunk] = index
  }
  return holders as number[]
}

function requireGroups(available: number, needed: number): void {
  if (available >= needed) return
  throw new SubnetError('TOO_FEW_PEERS', `${needed} operator groups are needed, ${available} are available`, {
    data: { needed, available },
  })
}
