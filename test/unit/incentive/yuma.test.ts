import assert from 'node:assert/strict'
import { type SparseRow, topPermits, type YumaInput, yumaEpoch } from '../../../src/incentive/yuma.js'
import { readVectors } from '../../kit/vectors.js'
import { yumaInput } from '../../kit/yuma-input.js'

type Shares = Readonly<Record<string, number>>

interface ClassicVector {
  readonly name: string
  readonly mode: 'classic'
  readonly bondsMovingAverage: number
  readonly bondsPenalty: number
  readonly tolerance: number
  readonly stake: readonly number[]
  readonly permits: readonly number[]
  readonly weightsU16: Readonly<Record<string, Shares>>
  readonly oldBondsU16: null | string
  readonly expect: {
    readonly consensus?: Shares
    readonly validatorTrust: Shares
    readonly incentive: Shares
    readonly dividends: Shares
    readonly storedBondsU16ofColumn4: readonly number[]
    readonly emissionOf1e9?: readonly number[]
  }
}

interface LiquidVector {
  readonly name: string
  readonly mode: 'yuma3'
  readonly liquidAlpha: { readonly low: number; readonly high: number; readonly steepness: number }
  readonly bondsMovingAverage: number
  readonly bondsPenalty: number
  readonly tolerance: number
  readonly stake: readonly number[]
  readonly permits: readonly number[]
  readonly epochs: ReadonlyArray<{
    readonly weights: Shares
    readonly bonds: Readonly<Record<string, readonly number[]>>
    readonly dividends: readonly number[]
  }>
}

const { vectors } = readVectors<{ readonly vectors: ReadonlyArray<ClassicVector | LiquidVector> }>('yuma')

function near(actual: number | undefined, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) <= tolerance, `${what}: ${actual} is not ${expected}`)
}

function row(shares: Shares): SparseRow {
  return Object.entries(shares).map(([uid, value]) => [Number(uid), value])
}

describe('yuma: vectors', () => {
  let stepBefore: readonly SparseRow[] = []

  for (const vector of vectors) {
    it(`fits ${vector.name}`, () => {
      if (vector.mode === 'classic') stepBefore = checkClassic(vector, stepBefore)
      else checkLiquid(vector)
    })
  }
})

/** Returns the bonds as they were stored. */
function checkClassic(vector: ClassicVector, before: readonly SparseRow[]): readonly SparseRow[] {
  const { expect, tolerance } = vector
  const weights = Object.fromEntries(
    Object.entries(vector.weightsU16).map(([uid, shares]) => [uid, row(shares)]),
  )
  const input = yumaInput({
    ...vector,
    weights,
    ...(vector.oldBondsU16 === null ? {} : { bonds: before }),
    parameters: {
      bondsMovingAverage: vector.bondsMovingAverage * 1e6,
      bondsPenalty: vector.bondsPenalty * 65_535,
    },
  })
  const { outcomes, emission } = yumaEpoch(input)
  for (const name of ['consensus', 'validatorTrust', 'incentive', 'dividends'] as const) {
    for (const [uid, share] of Object.entries(expect[name] ?? {}))
      near((outcomes[Number(uid)]?.[name] ?? -1) / 65_535, share, tolerance, `${name} of ${uid}`)
  }
  expect.storedBondsU16ofColumn4.forEach((stored, uid) => {
    const bond = outcomes[uid]?.bonds.find(([j]) => j === 4)?.[1]
    near(bond, stored, 1, `bond of ${uid}`)
  })
  const { minersRao, validatorsRao } = emission(1_000_000_000n)
  expect.emissionOf1e9?.forEach((rao, uid) => {
    near(Number((minersRao[uid] ?? 0n) + (validatorsRao[uid] ?? 0n)), rao, 1e9 * tolerance, `emission ${uid}`)
  })
  return outcomes.map((outcome) => outcome.bonds)
}

function checkLiquid(vector: LiquidVector): void {
  const { low, high, steepness } = vector.liquidAlpha
  const parameters: Partial<YumaInput['parameters']> = {
    yuma3Enabled: true,
    liquidAlphaEnabled: true,
    alphaLow: Math.round(low * 65_535),
    alphaHigh: Math.round(high * 65_535),
    alphaSigmoidSteepness: steepness,
    bondsMovingAverage: vector.bondsMovingAverage * 1e6,
    bondsPenalty: vector.bondsPenalty * 65_535,
  }
  let bonds: readonly SparseRow[] = []
  vector.epochs.forEach((epoch, number) => {
    // As the runtime's test does it, each validator names both miners: the other one with a weight of 0.
    const weights = Object.fromEntries(
      Object.entries(epoch.weights).map(([uid, miner]) => [
        uid,
        [3, 4].map((j) => [j, j === miner ? 65_535 : 0] as const),
      ]),
    )
    const { outcomes } = yumaEpoch(yumaInput({ ...vector, weights, bonds, parameters }))
    bonds = outcomes.map((outcome) => outcome.bonds)
    for (const [miner, expected] of Object.entries(epoch.bonds)) {
      expected.forEach((share, uid) => {
        const stored = bonds[uid]?.find(([j]) => j === Number(miner))?.[1] ?? 0
        near(stored / 65_535, share, vector.tolerance, `epoch ${number}: bond of ${uid} in ${miner}`)
      })
    }
    epoch.dividends.forEach((share, uid) => {
      const dividends = (outcomes[uid]?.dividends ?? -1) / 65_535
      near(dividends, share, vector.tolerance, `epoch ${number}: dividends of ${uid}`)
    })
  })
}

describe('yuma: rules', () => {
  /** Validators 0 and 1 with equal stake, miners 2 and 3. */
  const base = {
    stake: [5, 5, 0, 0],
    permits: [0, 1],
    weights: { 0: [[2, 65_535] as const], 1: [[2, 65_535] as const] },
  }
  const shares = (input: YumaInput, name: 'incentive' | 'dividends' | 'consensus' | 'validatorTrust') =>
    yumaEpoch(input).outcomes.map((outcome) => outcome[name])
  const change = (input: YumaInput, uid: number, changes: object): YumaInput => ({
    ...input,
    neurons: input.neurons.map((neuron, i) => (i === uid ? { ...neuron, ...changes } : neuron)),
  })

  it('counts no weights of a uid without a permit', () => {
    const input = yumaInput({ ...base, weights: { 0: [[2, 1]], 1: [[3, 1]] } })
    assert.deepEqual(shares(change(input, 1, { validatorPermit: false }), 'incentive'), [0, 0, 65_535, 0])
  })

  it('counts the weights of the owner, permit or not, and its weight of itself', () => {
    const own = { ...yumaInput({ stake: [5, 0], permits: [], weights: { 0: [[0, 1]] } }), ownerUid: 0 }
    assert.deepEqual(shares(own, 'incentive'), [65_535, 0])
  })

  it('drops a weight of oneself', () => {
    const input = yumaInput({
      stake: [5, 0],
      permits: [0],
      weights: {
        0: [
          [0, 9],
          [1, 1],
        ],
      },
    })
    assert.deepEqual(shares(input, 'incentive'), [0, 65_535])
  })

  it('drops a weight of a uid that was registered after it was set, or in the same block', () => {
    for (const registeredAtBlock of [1, 2]) {
      const input = change(yumaInput(base), 2, { registeredAtBlock })
      assert.deepEqual(shares(input, 'incentive'), [0, 0, 0, 0])
    }
  })

  it('drops a weight of a uid that was registered after the oldest live commit', () => {
    const input = { ...yumaInput(base), block: 20 }
    const late = { lastUpdateBlock: 10, oldestCommitBlock: 4 }
    const changed = change(change(input, 0, late), 1, late)
    assert.deepEqual(shares(change(changed, 2, { registeredAtBlock: 5 }), 'incentive'), [0, 0, 0, 0])
    assert.deepEqual(shares(change(changed, 2, { registeredAtBlock: 4 }), 'incentive'), [0, 0, 65_535, 0])
  })

  it('counts no stake of a uid that has been silent for longer than the cutoff', () => {
    const input = yumaInput({
      ...base,
      weights: { 0: [[2, 1]], 1: [[3, 1]] },
      parameters: { activityCutoffBlocks: 5 },
    })
    const late = change(change({ ...input, block: 20 }, 1, { lastUpdateBlock: 15 }), 0, {
      lastUpdateBlock: 14,
    })
    const { outcomes } = yumaEpoch(late)
    assert.deepEqual(outcomes.map(({ active }) => active).slice(0, 2), [false, true])
    assert.deepEqual(shares(late, 'incentive'), [0, 0, 0, 65_535])
  })

  it('counts no stake below the threshold, but the owner’s', () => {
    const input = yumaInput({ ...base, parameters: { stakeThresholdRao: 6_000_000_000n } })
    assert.deepEqual(shares(input, 'dividends'), [0, 0, 0, 0])
    assert.deepEqual(shares({ ...input, ownerUid: 1 }, 'dividends'), [0, 65_535, 0, 0])
  })

  it('clips what a minority claims, and lowers its trust', () => {
    const weights = { 0: [[2, 1] as const], 1: [[2, 1] as const, [3, 3] as const] }
    const input = yumaInput({ ...base, stake: [9, 1, 0, 0], weights })
    assert.deepEqual(shares(input, 'consensus'), [0, 0, 65_535, 0])
    assert.deepEqual(shares(input, 'validatorTrust'), [65_535, 16_383, 0, 0])
    assert.deepEqual(shares(input, 'incentive'), [0, 0, 65_535, 0])
  })

  it('drops bonds to whoever has registered since the last epoch', () => {
    const bonds: SparseRow[] = [[[2, 65_535]], [], [], []]
    const parameters = { yuma3Enabled: true, bondsMovingAverage: 500_000 }
    const input = { ...yumaInput({ ...base, bonds, parameters }), bondsSinceBlock: 10 }
    const bond = (each: YumaInput) => yumaEpoch(each).outcomes[0]?.bonds
    assert.deepEqual(bond(input), [[2, 65_535]])
    const late = change(change(input, 2, { registeredAtBlock: 10 }), 0, { lastUpdateBlock: 11 })
    assert.deepEqual(bond(change(late, 1, { lastUpdateBlock: 11 })), [[2, 32_767]])
  })

  it('shares by stake among validators while nobody earns: the active, or else everybody', () => {
    const idle = yumaInput({ stake: [3, 1, 0], permits: [0, 1], weights: {} })
    assert.deepEqual(yumaEpoch(idle).emission(400n).validatorsRao, [300n, 100n, 0n])
    const silent = { ...idle, block: 9_000 }
    assert.deepEqual(yumaEpoch(change(silent, 1, { lastUpdateBlock: 8_999 })).emission(400n).validatorsRao, [
      0n,
      400n,
      0n,
    ])
    assert.deepEqual(yumaEpoch(silent).emission(400n).validatorsRao, [300n, 100n, 0n])
  })

  it('gives permits to the largest stakes above zero, of equal ones to the higher uid, to the owner always', () => {
    assert.deepEqual(topPermits([3, 1, 2, 0], 2), [true, false, true, false])
    assert.deepEqual(topPermits([1, 1, 1], 2), [false, true, true])
    assert.deepEqual(topPermits([1, 0], 5), [true, false])
    assert.deepEqual(topPermits([3, 0, 2], 1, 1), [true, true, false])
  })

  it('keeps no bonds of a uid that loses its permit', () => {
    const { outcomes } = yumaEpoch(
      yumaInput({ ...base, stake: [1, 5, 0, 0], parameters: { maxAllowedValidators: 1 } }),
    )
    assert.deepEqual(
      outcomes.map(({ bonds }) => bonds.length),
      [0, 1, 0, 0],
    )
  })

  it('has an outcome for a subnet of nobody', () => {
    const epoch = yumaEpoch(yumaInput({ stake: [], permits: [], weights: {} }))
    assert.deepEqual(epoch.outcomes, [])
    assert.deepEqual(epoch.emission(5n).minersRao, [])
  })
})
