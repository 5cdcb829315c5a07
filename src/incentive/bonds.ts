/**
 * The second half of a Yuma epoch: bonds, and the dividends they bring. A bond is a validator's share in a miner, moved
 * each epoch towards its weight. Classic Yuma keeps columns at a sum of 1; Yuma3 keeps each bond by itself, and with
 * liquid alpha moves each at a speed of its own. Numbers are fixed-point, see `fixed.ts`.
 */
import type { Agreement, WeightRow } from './consensus.js'
import { divide, exponential, fromU16, multiply, normalize, ONE, toU16 } from './fixed.js'
import type { SparseRow, YumaNeuron } from './yuma.js'

export interface BondParameters {
  readonly yuma3Enabled: boolean
  readonly liquidAlphaEnabled: boolean
  readonly alphaLow: number
  readonly alphaHigh: number
  /** Thousandths. */
  readonly alphaSigmoidSteepness: number
  /** Millionths. */
  readonly bondsMovingAverage: number
  readonly bondsPenalty: number
}

export interface BondsInput {
  readonly bondsSinceBlock: number
  readonly neurons: readonly YumaNeuron[]
  readonly agreement: Agreement
  readonly activeStake: Float64Array
  readonly incentive: Float64Array
  readonly parameters: BondParameters
}

export interface Bonds {
  /** By uid, as they are stored. */
  readonly bonds: readonly SparseRow[]
  /** Normalised, by uid. */
  readonly dividends: Float64Array
}

/** One validator's bonds, dense; `present` marks the entries there are. */
interface BondRow {
  readonly uid: number
  readonly values: Float64Array
  readonly present: Uint8Array
}

export function nextBonds(input: BondsInput): Bonds {
  const { yuma3Enabled, liquidAlphaEnabled } = input.parameters
  const consented = input.agreement.consensus.some((value) => value !== 0)
  const old = storedBonds(input)
  const wanted = wantedBonds(input)
  if (!yuma3Enabled) return classic(input, wanted, old)
  const liquid = liquidAlphaEnabled && consented
  const rows = liquid
    ? wanted.map((row, i) => movedLiquidly(row, old[i] as BondRow, input))
    : wanted.map((row, i) => moved(row, old[i] as BondRow, fixedAlpha(input.parameters)))
  const shares = rows.map(copyOf)
  normalizeColumns(shares)
  const dividends = dividendsOf(shares, input)
  for (const { uid } of rows)
    dividends[uid] = multiply(dividends[uid] as number, input.activeStake[uid] as number)
  normalize(dividends)
  return { bonds: stored(rows, input.neurons.length), dividends }
}

function classic(input: BondsInput, wanted: readonly BondRow[], old: readonly BondRow[]): Bonds {
  normalizeColumns(old)
  for (const { uid, values } of wanted) {
    const stake = input.activeStake[uid] as number
    for (let j = 0; j < values.length; j += 1) values[j] = multiply(values[j] as number, stake)
  }
  normalizeColumns(wanted)
  const alpha = fixedAlpha(input.parameters)
  const rows = wanted.map((row, i) => moved(row, old[i] as BondRow, alpha))
  normalizeColumns(rows)
  const dividends = dividendsOf(rows, input)
  normalize(dividends)
  divideColumns(rows, (so, value) => Math.max(so, value))
  return { bonds: stored(rows, input.neurons.length), dividends }
}

/** Weights, clipped weights, or between: (1 − p) · W + p · Wc. A row for every uid that has weights or bonds. */
function wantedBonds({ neurons, agreement, parameters }: BondsInput): BondRow[] {
  const rowOf = new Map(agreement.rows.map((row) => [row.uid, row]))
  const penalty = fromU16(parameters.bondsPenalty)
  return bondUids(neurons, rowOf).map((uid) => {
    const row = emptyRow(uid, neurons.length)
    const weights = rowOf.get(uid)
    weights?.columns.forEach((j, k) => {
      const weight = weights.weights[k] as number
      const limit = agreement.consensus[j] as number
      const clipped = Math.min(weight, limit)
      const value =
        penalty === ONE ? clipped : penalty === 0 ? weight : weight - stepDown(penalty, weight - clipped)
      row.values[j] = value
      // What was clipped to nothing is gone; a weight of 0 stays unless it was blended.
      const kept = penalty === ONE ? limit > 0 || weight === 0 : penalty === 0 || value > 0
      row.present[j] = kept ? 1 : 0
    })
    return row
  })
}

/** The step down to the clipped weight, rounded up: the chain multiplies a negative number, and truncates downwards. */
function stepDown(penalty: number, distance: number): number {
  return Number(-((-BigInt(penalty) * BigInt(distance)) >> 32n))
}

function storedBonds({ neurons, agreement, bondsSinceBlock, parameters }: BondsInput): BondRow[] {
  const rowOf = new Map(agreement.rows.map((row) => [row.uid, row]))
  return bondUids(neurons, rowOf).map((uid) => {
    const row = emptyRow(uid, neurons.length)
    for (const [j, value] of neurons[uid]?.bonds ?? []) {
      const registered = neurons[j]?.registeredAtBlock
      if (registered === undefined || bondsSinceBlock <= registered) continue
      row.values[j] = parameters.yuma3Enabled ? fromU16(value) : value
      row.present[j] = 1
    }
    return row
  })
}

function bondUids(neurons: readonly YumaNeuron[], rows: ReadonlyMap<number, WeightRow>): number[] {
  return neurons.flatMap(({ bonds }, uid) => (bonds.length > 0 || rows.has(uid) ? [uid] : []))
}

/** Every bond moves by the same part of the way. */
function moved(wanted: BondRow, old: BondRow, alpha: number): BondRow {
  const row = emptyRow(wanted.uid, wanted.values.length)
  for (let j = 0; j < row.values.length; j += 1) {
    const value = multiply(alpha, wanted.values[j] as number) + multiply(ONE - alpha, old.values[j] as number)
    row.values[j] = value
    row.present[j] = value > 0 ? 1 : 0
  }
  return row
}

/** Every bond moves at its own speed; one without a weight entry is dropped, as `mat_ema_alpha_sparse` does. */
function movedLiquidly(wanted: BondRow, old: BondRow, { agreement, parameters }: BondsInput): BondRow {
  const row = emptyRow(wanted.uid, wanted.values.length)
  for (let j = 0; j < row.values.length; j += 1) {
    if (wanted.present[j] === 0) continue
    const weight = wanted.values[j] as number
    const bond = old.values[j] as number
    const alpha = liquidAlpha(weight, bond, agreement.consensus[j] as number, parameters)
    const value = Math.min(ONE, multiply(ONE - alpha, bond) + multiply(alpha, weight))
    row.values[j] = value
    row.present[j] = value > 0 ? 1 : 0
  }
  return row
}

/** A sigmoid of how far the weight is above consensus when buying, or below the bond when selling (`alpha_sigmoid`). */
function liquidAlpha(weight: number, bond: number, consensus: number, parameters: BondParameters): number {
  const low = fromU16(parameters.alphaLow)
  const high = fromU16(parameters.alphaHigh)
  const distance = weight >= bond ? weight - consensus : bond - weight
  const difference = Math.min(ONE, Math.max(0, distance)) / ONE
  const exponent = -(parameters.alphaSigmoidSteepness / 100) * (difference - 0.5)
  const sigmoid = Math.floor(ONE / (1 + exponential(exponent)))
  return Math.min(high, Math.max(low, low + multiply(sigmoid, high - low)))
}

function fixedAlpha({ bondsMovingAverage }: BondParameters): number {
  return ONE - divide(bondsMovingAverage, 1_000_000)
}

function normalizeColumns(rows: readonly BondRow[]): void {
  divideColumns(rows, (so, value) => so + value)
}

/** Divides every column by what `fold` makes of it; columns where that is 0 stay. In place. */
function divideColumns(rows: readonly BondRow[], fold: (so: number, value: number) => number): void {
  const divisors = new Float64Array(rows[0]?.values.length ?? 0)
  for (const { values } of rows) {
    for (let j = 0; j < values.length; j += 1) divisors[j] = fold(divisors[j] as number, values[j] as number)
  }
  for (const { values } of rows) {
    for (let j = 0; j < values.length; j += 1) {
      const value = values[j] as number
      if (value !== 0) values[j] = divide(value, divisors[j] as number)
    }
  }
}

function dividendsOf(rows: readonly BondRow[], { neurons, incentive }: BondsInput): Float64Array {
  const dividends = new Float64Array(neurons.length)
  for (const { uid, values } of rows) {
    let total = 0
    for (let j = 0; j < values.length; j += 1) total += multiply(values[j] as number, incentive[j] as number)
    dividends[uid] = total
  }
  return dividends
}

function stored(rows: readonly BondRow[], n: number): SparseRow[] {
  const result: SparseRow[] = Array.from({ length: n }, () => [])
  for (const { uid, values, present } of rows) {
    const row: [number, number][] = []
    for (let j = 0; j < values.length; j += 1) {
      if (present[j] === 1) row.push([j, toU16(values[j] as number)])
    }
    result[uid] = row
  }
  return result
}

function emptyRow(uid: number, n: number): BondRow {
  return { uid, values: new Float64Array(n), present: new Uint8Array(n) }
}

function copyOf({ uid, values, present }: BondRow): BondRow {
  return { uid, values: values.slice(), present }
}
