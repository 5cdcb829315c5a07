/**
 * The partition plan: how a miner's budget is divided among validators. Pure: stakes and numbers in, shares out. It
 * deletes nothing; what a shard holds beyond its share leaves by expiry or hand-over.
 */
import { invariant } from '../base/errors.js'
import { MIB } from '../base/units.js'
import { CHUNK_SIZE } from '../redundancy/profiles.js'

/** A validator with a permit. */
export interface StakedValidator {
  /** SS58 of the hotkey. */
  readonly hotkey: string
  readonly stakeRao: bigint
}

export interface Share {
  /** SS58. */
  readonly validator: string
  /** Whole chunks: a multiple of `CHUNK_SIZE`. */
  readonly shareBytes: number
  /** It holds more than is its due, or its validator is gone: it gets nothing new and shrinks as leases end. */
  readonly drains: boolean
}

export interface PartitionPlan {
  readonly budgetBytes: number
  /** Draining ones too. Highest share first, then by address. */
  readonly shares: readonly Share[]
}

export interface PlanPartitionInit {
  readonly budgetBytes: number
  readonly validators: readonly StakedValidator[]
  /** What every shard on disk holds, by validator, former ones included: it is never planned away. */
  readonly leasedBytes: ReadonlyMap<string, number>
  /** The plan in force: returned as it is when a new one would move little. */
  readonly previous?: PartitionPlan | undefined
}

/** A share that would move by no more than this part of itself, or by one chunk, does not move: 1/20 is 5 %. */
const HYSTERESIS_DIVISOR = 20

/** What a miner never takes of the disk: room for indexes, logs and the file system. More than a shard's own reserve. */
export const DISK_RESERVE_BYTES = 256 * MIB

/**
 * Bytes a miner offers. `capacityBytes` is the absolute form; without it `threshold` × (free + already ours). Never
 * more than the disk gives with `DISK_RESERVE_BYTES` left.
 */
export function budgetBytes(init: {
  readonly threshold: number
  readonly freeBytes: number
  /** What our bodies take on the disk. */
  readonly ownBytes: number
  readonly capacityBytes?: number | undefined
}): number {
  const diskBytes = init.freeBytes + init.ownBytes
  const wishBytes = init.capacityBytes ?? Math.floor(init.threshold * diskBytes)
  return Math.max(0, Math.min(wishBytes, diskBytes - DISK_RESERVE_BYTES))
}

/**
 * Greedy, highest stake first: validator v gets (stake_v + 1) / Σ(stake + 1) of what is left, in whole chunks, rounded
 * up but leaving one chunk for each after it. So a higher stake never gets less, and where chunks are fewer than
 * validators the highest stakes get one each. What draining shards hold is taken off the budget first. The sum never
 * exceeds the budget, unless what is held already does: then every shard keeps just that, and nobody gets more.
 */
export function planPartition(init: PlanPartitionInit): PartitionPlan {
  invariant(
    Number.isSafeInteger(init.budgetBytes) && init.budgetBytes >= 0,
    'a budget is a whole number of bytes',
  )
  const plan = freshPlan(init)
  return init.previous !== undefined && stillFits(init.previous, plan, init) ? init.previous : plan
}

function freshPlan({ budgetBytes, validators, leasedBytes }: PlanPartitionInit): PartitionPlan {
  const budgetChunks = Math.floor(budgetBytes / CHUNK_SIZE)
  const ranked = [...validators].sort(byStakeThenAddress)
  const current = new Set(ranked.map(({ hotkey }) => hotkey))
  const held = new Map<string, number>()
  for (const [validator, bytes] of leasedBytes)
    if (bytes > 0) held.set(validator, Math.ceil(bytes / CHUNK_SIZE))
  const draining = new Set([...held.keys()].filter((validator) => !current.has(validator)))
  for (;;) {
    let leftChunks = budgetChunks
    for (const validator of draining) leftChunks -= held.get(validator) ?? 0
    const shares = divide(
      Math.max(0, leftChunks),
      ranked.filter(({ hotkey }) => !draining.has(hotkey)),
    )
    const overfull = [...shares.keys()].filter(
      (validator) => (held.get(validator) ?? 0) > (shares.get(validator) ?? 0),
    )
    if (overfull.length === 0) return toPlan(budgetBytes, shares, draining, held)
    // What they hold comes off the others' part, which may make more of them overfull: at most once each.
    for (const validator of overfull) draining.add(validator)
  }
}

/** Chunks by hotkey; every validator gets an entry. Stakes fall along the list. */
function divide(chunks: number, ranked: readonly StakedValidator[]): Map<string, number> {
  const shares = new Map<string, number>()
  let leftChunks = chunks
  let leftWeight = ranked.reduce((sum, { stakeRao }) => sum + stakeRao + 1n, 0n)
  for (const [rank, { hotkey, stakeRao }] of ranked.entries()) {
    const weight = stakeRao + 1n
    const dueChunks = Number((BigInt(leftChunks) * weight + leftWeight - 1n) / leftWeight)
    const keepForOthers = ranked.length - rank - 1
    const share = Math.max(Math.min(dueChunks, leftChunks - keepForOthers), Math.min(1, leftChunks))
    shares.set(hotkey, share)
    leftChunks -= share
    leftWeight -= weight
  }
  return shares
}

function toPlan(
  budgetBytes: number,
  shares: ReadonlyMap<string, number>,
  draining: ReadonlySet<string>,
  held: ReadonlyMap<string, number>,
): PartitionPlan {
  const rows = [
    ...[...shares].map(([validator, chunks]) => ({
      validator,
      shareBytes: chunks * CHUNK_SIZE,
      drains: false,
    })),
    ...[...draining].map((validator) => ({
      validator,
      shareBytes: (held.get(validator) ?? 0) * CHUNK_SIZE,
      drains: true,
    })),
  ]
  return {
    budgetBytes,
    shares: rows.sort((a, b) => b.shareBytes - a.shareBytes || compareText(a.validator, b.validator)),
  }
}

/**
 * The same validators, within the budget, room for what is held, and no share moves by more than the hysteresis. A full
 * shard whose due sinks a little is not made to drain for that.
 */
function stillFits(
  previous: PartitionPlan,
  plan: PartitionPlan,
  { validators, leasedBytes }: PlanPartitionInit,
): boolean {
  const before = new Map(previous.shares.map((share) => [share.validator, share]))
  const sumBytes = previous.shares.reduce((sum, { shareBytes }) => sum + shareBytes, 0)
  if (before.size !== plan.shares.length || sumBytes > plan.budgetBytes) return false
  const current = new Set(validators.map(({ hotkey }) => hotkey))
  return plan.shares.every(({ validator, shareBytes, drains }) => {
    const old = before.get(validator)
    if (old === undefined || (leasedBytes.get(validator) ?? 0) > old.shareBytes) return false
    const mayGrowAgain = old.drains && !drains
    const vanished = !old.drains && !current.has(validator)
    if (mayGrowAgain || vanished) return false
    const toleratedBytes = Math.max(CHUNK_SIZE, old.shareBytes / HYSTERESIS_DIVISOR)
    return Math.abs(shareBytes - old.shareBytes) <= toleratedBytes
  })
}

function byStakeThenAddress(a: StakedValidator, b: StakedValidator): number {
  if (a.stakeRao !== b.stakeRao) return a.stakeRao > b.stakeRao ? -1 : 1
  return compareText(a.hotkey, b.hotkey)
}

/** By code unit, the same on every machine whatever its language. */
function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
