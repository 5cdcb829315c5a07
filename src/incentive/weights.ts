/**
 * From shares to the weights a chain takes, and how they stand against what the others say. Integers only, so that equal
 * shares give equal weights on every validator. It knows no chain: the rules are arguments.
 */
import { SubnetError } from '../base/errors.js'

const U16_MAX = 65_535

/** By uid, non-negative, of any scale: only their proportions count. */
export type Shares = ReadonlyMap<number, bigint>

export interface WeightRules {
  /** Registered uids, ascending. */
  readonly uids: readonly number[]
  /** Uid of the one who sets: it is never filled up with. */
  readonly own: number
  readonly minAllowedWeights: number
  /** Largest part of the sum that one weight may be, as u16 of 65,535. */
  readonly maxWeightsLimit: number
}

/** Equal lengths, uids ascending, values u16. */
export interface WeightVector {
  readonly uids: readonly number[]
  readonly values: readonly number[]
}

/** `data.reason` is the chain's own name of the rule that the shares cannot keep. */
function impossible(reason: string, text: string): SubnetError {
  return new SubnetError('INVALID', text, { data: { reason } })
}

/**
 * Shares as u16 with the largest at 65,535, none above its part of the sum, filled up with zeros to the least number
 * (source: `check_length`, `max_weight_limited` of the runtime's `subnets/weights.rs`). Throws `INVALID`, with the
 * chain's name for the broken rule in `data.reason`.
 */
export function toWeights(shares: Shares, rules: WeightRules): WeightVector {
  const given = [...shares].filter(([, share]) => share !== 0n).sort(([a], [b]) => a - b)
  if (given.length === 0) throw impossible('WeightVecLengthIsLow', 'there is no share above zero')
  for (const [uid, share] of given) {
    if (share < 0n) throw new SubnetError('INVALID', `the share of uid ${uid} is negative`)
    if (!rules.uids.includes(uid)) throw impossible('UidVecContainInvalidOne', `uid ${uid} is not registered`)
  }
  const isOwnOnly = given.length === 1 && given[0]?.[0] === rules.own
  const values = isOwnOnly
    ? [U16_MAX]
    : limited(
        given.map(([, share]) => share),
        rules.maxWeightsLimit,
      )
  const weights = new Map(given.map(([uid], i) => [uid, values[i] ?? 0]))
  const least = isOwnOnly ? 1 : Math.min(rules.minAllowedWeights, rules.uids.length)
  for (const uid of rules.uids) {
    if (weights.size >= least) break
    if (uid !== rules.own && !weights.has(uid)) weights.set(uid, 0)
  }
  if (weights.size < least) {
    const text = `${least} weights are needed, ${weights.size} other uids are registered`
    throw impossible('WeightVecLengthIsLow', text)
  }
  const rows = [...weights].sort(([a], [b]) => a - b)
  return { uids: rows.map(([uid]) => uid), values: rows.map(([, value]) => value) }
}

/** Cut to the limit, then scaled; rounded up, so that no share vanishes and what kept the limit still does. */
function limited(shares: readonly bigint[], limit: number): number[] {
  const scale = BigInt(U16_MAX)
  const cut = cutToLimit(
    shares.map((share) => share * scale),
    BigInt(limit),
  )
  const largest = cut.reduce((most, share) => (share > most ? share : most), 1n)
  return cut.map((share) => Number((share * scale + largest - 1n) / largest))
}

/** All cut to the highest value at which none is more than `limit` / 65,535 of the sum. */
function cutToLimit(shares: readonly bigint[], limit: bigint): bigint[] {
  const cutAt = (top: bigint) => shares.map((share) => (share < top ? share : top))
  const keeps = (top: bigint) =>
    top * BigInt(U16_MAX) <= limit * cutAt(top).reduce((sum, share) => sum + share, 0n)
  const largest = shares.reduce((most, share) => (share > most ? share : most), 0n)
  if (keeps(largest)) return [...shares]
  // The lower the cut, the flatter the row: what keeps the limit at one height keeps it below.
  let [low, high] = [0n, largest]
  while (high - low > 1n) {
    const middle = (low + high) / 2n
    if (keeps(middle)) low = middle
    else high = middle
  }
  if (low > 0n) return cutAt(low)
  const least = (BigInt(U16_MAX) + limit - 1n) / (limit === 0n ? 1n : limit)
  const text = `no weight may be above ${limit} of ${U16_MAX}: at least ${least} uids need a share`
  throw impossible('MaxWeightExceeded', text)
}

/** How one uid is seen by the one who sets and by the others; parts of 1. */
export interface Deviation {
  readonly uid: number
  readonly own: number
  readonly consensus: number
}

export interface Comparison {
  /** Validator trust as the next epoch would find it if the others stay where they are: Σ min(w, C). */
  readonly expectedVtrust: number
  /** Every uid with a weight or a consensus, the furthest apart first. */
  readonly deviations: readonly Deviation[]
}

/** Against the consensus of the last epoch (u16 by uid); `undefined` while there is none. Source: Yuma, step 4. */
export function compareWithConsensus(
  { uids, values }: WeightVector,
  consensus: ReadonlyMap<number, number>,
): Comparison | undefined {
  if (![...consensus.values()].some((value) => value > 0)) return undefined
  const sum = values.reduce((total, value) => total + value, 0)
  const own = new Map(uids.map((uid, i) => [uid, (values[i] ?? 0) / sum]))
  const deviations = [...new Set([...uids, ...consensus.keys()])]
    .map((uid) => ({ uid, own: own.get(uid) ?? 0, consensus: (consensus.get(uid) ?? 0) / U16_MAX }))
    .filter(({ own: mine, consensus: theirs }) => mine > 0 || theirs > 0)
    .sort((a, b) => distance(b) - distance(a) || a.uid - b.uid)
  const expectedVtrust = deviations.reduce((total, each) => total + Math.min(each.own, each.consensus), 0)
  return { expectedVtrust, deviations }
}

function distance({ own, consensus }: Deviation): number {
  return Math.abs(own - consensus)
}
