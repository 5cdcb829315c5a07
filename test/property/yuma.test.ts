import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type SparseRow, type YumaInput, type YumaNeuron, yumaEpoch } from '../../src/incentive/yuma.js'
import { YUMA_PARAMETERS } from '../kit/yuma-input.js'

const u16 = fc.integer({ min: 0, max: 65_535 })
const block = fc.integer({ min: 0, max: 12 })

const rowOf = (n: number): fc.Arbitrary<SparseRow> =>
  fc
    .uniqueArray(fc.tuple(fc.integer({ min: 0, max: n - 1 }), u16), {
      selector: ([uid]) => uid,
      maxLength: n,
    })
    .map((row) => row.sort(([a], [b]) => a - b))

const neuronOf = (n: number): fc.Arbitrary<YumaNeuron> =>
  fc
    .record({
      stakeRao: fc.oneof(fc.constant(0n), fc.bigInt(0n, 2n ** 60n)),
      validatorPermit: fc.boolean(),
      lastUpdateBlock: block,
      registeredAtBlock: block,
      weights: rowOf(n),
      bonds: rowOf(n),
      oldestCommitBlock: fc.option(block, { nil: undefined }),
    })
    .map(({ oldestCommitBlock, ...neuron }) =>
      oldestCommitBlock === undefined ? neuron : { ...neuron, oldestCommitBlock },
    )

const inputs: fc.Arbitrary<YumaInput> = fc.integer({ min: 1, max: 9 }).chain((n) =>
  fc.record({
    block: fc.constant(10),
    bondsSinceBlock: block,
    neurons: fc.array(neuronOf(n), { minLength: n, maxLength: n }),
    parameters: fc.record({
      kappa: u16,
      activityCutoffBlocks: block,
      maxAllowedValidators: fc.integer({ min: 0, max: n }),
      stakeThresholdRao: fc.bigInt(0n, 2n ** 58n),
      yuma3Enabled: fc.boolean(),
      liquidAlphaEnabled: fc.boolean(),
      alphaLow: fc.integer({ min: 0, max: 30_000 }),
      alphaHigh: fc.integer({ min: 30_000, max: 65_535 }),
      alphaSigmoidSteepness: fc.integer({ min: 0, max: 32_767 }),
      bondsMovingAverage: fc.integer({ min: 0, max: 1_000_000 }),
      bondsPenalty: u16,
    }),
  }),
)

const total = (values: readonly bigint[]) => values.reduce((so, each) => so + each, 0n)

describe('yuma: properties', () => {
  it('makes u16 shares that add up to one, or to nothing', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { outcomes } = yumaEpoch(input)
        const n = outcomes.length
        for (const name of ['incentive', 'dividends'] as const) {
          const sum = outcomes.reduce((so, outcome) => so + outcome[name], 0)
          assert.ok(sum === 0 || (sum <= 65_535 && sum > 65_535 - 2 * n), `${name} add up to ${sum}`)
        }
        for (const { bonds, consensus, validatorTrust } of outcomes) {
          for (const value of [consensus, validatorTrust, ...bonds.flat()]) {
            assert.ok(Number.isInteger(value) && value >= 0 && value <= 65_535)
          }
        }
      }),
      { numRuns: 400 },
    )
  })

  it('never emits more than there is, and all of it but for truncation while anybody has stake', () => {
    fc.assert(
      fc.property(inputs, fc.bigInt(0n, 10n ** 15n), (input, rao) => {
        const { minersRao, validatorsRao } = yumaEpoch(input).emission(rao)
        const emitted = total(minersRao) + total(validatorsRao)
        assert.ok(emitted <= rao)
        const { stakeThresholdRao } = input.parameters
        if (!input.neurons.some(({ stakeRao }) => stakeRao > 0n && stakeRao >= stakeThresholdRao)) return
        const lostMax = BigInt(4 * input.neurons.length) * (rao / 2n ** 32n + 1n)
        assert.ok(rao - emitted <= lostMax, `${rao - emitted} lost of ${rao}`)
      }),
      { numRuns: 400 },
    )
  })

  it('does not care which uid is whose', () => {
    fc.assert(
      fc.property(inputs, fc.infiniteStream(fc.integer({ min: 0, max: 1_000 })), (input, order) => {
        const n = input.neurons.length
        // Stakes that are equal to 32 bits of fraction are told apart by uid: that is not about shares.
        const stakes = input.neurons.map(({ stakeRao }) => stakeRao)
        fc.pre(new Set(stakes.map((rao) => (rao * 2n ** 32n) / (total(stakes) + 1n))).size === n)
        const keys = input.neurons.map(() => order.next().value as number)
        const moved = keys.map((_, uid) => uid).sort((a, b) => (keys[a] ?? 0) - (keys[b] ?? 0))
        const placeOf = (uid: number) => moved.indexOf(uid)
        const rename = (row: SparseRow): SparseRow =>
          row.map(([uid, value]) => [placeOf(uid), value] as const).sort(([a], [b]) => a - b)
        const neurons = moved.map((uid) => {
          const neuron = input.neurons[uid] as YumaNeuron
          return { ...neuron, weights: rename(neuron.weights), bonds: rename(neuron.bonds) }
        })
        const before = yumaEpoch(input).outcomes
        const after = yumaEpoch({ ...input, neurons }).outcomes
        moved.forEach((uid, place) => {
          const { bonds, ...scores } = before[uid] ?? assert.fail()
          const { bonds: movedBonds, ...movedScores } = after[place] ?? assert.fail()
          assert.deepEqual(movedScores, scores)
          assert.deepEqual(movedBonds, rename(bonds))
        })
      }),
      { numRuns: 200 },
    )
  })

  it('earns nothing without stake, with default parameters', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const neurons = input.neurons.map((neuron) => ({ ...neuron, stakeRao: 0n }))
        const { outcomes, emission } = yumaEpoch({ ...input, neurons, parameters: YUMA_PARAMETERS })
        assert.ok(outcomes.every(({ incentive, validatorPermit }) => incentive === 0 && !validatorPermit))
        assert.equal(total(emission(1_000n).minersRao), 0n)
      }),
    )
  })
})
