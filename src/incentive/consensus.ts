/**
 * The first half of a Yuma epoch: which weights count, the stake-weighted median of each column, and the weights clipped
 * to it. Rows exist for permitted validators only. Numbers are fixed-point, see `fixed.ts`.
 */
import { divide, multiply } from './fixed.js'
import type { SparseRow, YumaNeuron } from './yuma.js'

export interface AgreementInput {
  readonly neurons: readonly YumaNeuron[]
  readonly ownerUid?: number
  readonly permitted: readonly boolean[]
  /** Sums to 1, or all 0. */
  readonly activeStake: Float64Array
  readonly kappa: number
}

/** One validator's row; entries that are not there have no weight, which differs from a weight of 0 for liquid alpha. */
export interface WeightRow {
  readonly uid: number
  /** Of the entries, ascending. */
  readonly columns: readonly number[]
  readonly weights: Float64Array
}

export interface Agreement {
  readonly rows: readonly WeightRow[]
  /** By uid. */
  readonly consensus: Float64Array
  /** Σ of the clipped row, by uid. */
  readonly trust: Float64Array
  /** Σ of clipped column by stake, by uid; not normalised. */
  readonly ranks: Float64Array
}

export function agree(input: AgreementInput): Agreement {
  const { neurons, permitted, activeStake } = input
  const n = neurons.length
  const rows = neurons.flatMap((neuron, uid) => (permitted[uid] ? [countedRow(neuron, uid, input)] : []))
  const consensus = medians(rows, activeStake, n, input.kappa)
  const trust = new Float64Array(n)
  const ranks = new Float64Array(n)
  for (const { uid, columns, weights } of rows) {
    const stake = activeStake[uid] as number
    for (let k = 0; k < columns.length; k += 1) {
      const j = columns[k] as number
      const clipped = Math.min(weights[k] as number, consensus[j] as number)
      trust[uid] = (trust[uid] as number) + clipped
      ranks[j] = (ranks[j] as number) + multiply(stake, clipped)
    }
  }
  return { rows, consensus, trust, ranks }
}

/** The entries that count, divided by their sum. */
function countedRow(neuron: YumaNeuron, uid: number, { neurons, ownerUid }: AgreementInput): WeightRow {
  const { lastUpdateBlock, oldestCommitBlock } = neuron
  const counted = neuron.weights.filter(([j]) => {
    const registered = neurons[j]?.registeredAtBlock
    // Whoever holds uid j now is not the one that was weighed.
    if (registered === undefined || lastUpdateBlock <= registered) return false
    if (oldestCommitBlock !== undefined && oldestCommitBlock < registered) return false
    return j !== uid || uid === ownerUid
  })
  return { uid, columns: counted.map(([j]) => j), weights: Float64Array.from(normalizedRow(counted)) }
}

function normalizedRow(row: SparseRow): number[] {
  const total = row.reduce((so, [, value]) => so + value, 0)
  return row.map(([, value]) => divide(value, total))
}

/**
 * Column by column the first weight, ascending, up to which more than 1 − κ of the active stake lies; a validator with
 * stake but no entry counts as 0.
 */
function medians(
  rows: readonly WeightRow[],
  activeStake: Float64Array,
  n: number,
  kappa: number,
): Float64Array {
  const staked = rows.filter(({ uid }) => (activeStake[uid] as number) > 0)
  const result = new Float64Array(n)
  const count = staked.length
  if (count === 0) return result
  // Active stake sums to 1 but for what truncation took; the chain divides by that sum once more.
  const total = staked.reduce((so, { uid }) => so + (activeStake[uid] as number), 0)
  const stakes = staked.map(({ uid }) => divide(activeStake[uid] as number, total))
  const minority = stakes.reduce((so, each) => so + each, 0) - kappa
  const columns = new Float64Array(n * count)
  staked.forEach((row, i) => {
    row.columns.forEach((j, k) => {
      columns[j * count + i] = row.weights[k] as number
    })
  })
  for (let j = 0; j < n; j += 1) {
    result[j] = weightedMedian(columns.subarray(j * count, (j + 1) * count), stakes, minority)
  }
  return result
}

function weightedMedian(column: Float64Array, stakes: readonly number[], minority: number): number {
  const ascending = stakes.map((_, i) => i)
  ascending.sort((a, b) => (column[a] as number) - (column[b] as number))
  let passed = 0
  let last = 0
  for (let k = 0; k < ascending.length; k += 1) {
    const i = ascending[k] as number
    last = column[i] as number
    passed += stakes[i] as number
    if (passed > minority) break
  }
  return last
}
