import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isSubnetError } from '../../../src/base/errors.js'
import { compareWithConsensus, toWeights, type WeightRules } from '../../../src/incentive/weights.js'

const RULES: WeightRules = { uids: [0, 1, 2, 3, 4], own: 0, minAllowedWeights: 1, maxWeightsLimit: 65_535 }
const shares = (entries: Record<number, number>) =>
  new Map(Object.entries(entries).map(([uid, share]) => [Number(uid), BigInt(share)]))
const refused = (reason: string) => (error: unknown) =>
  isSubnetError(error, 'INVALID') && error.data.reason === reason

describe('weights', () => {
  it('scales the largest share to 65,535 and orders by uid', () => {
    assert.deepEqual(toWeights(shares({ 3: 1, 1: 2 }), RULES), { uids: [1, 3], values: [65_535, 32_768] })
  })

  it('leaves out shares of zero, and fills up with zeros to the least number, never with itself', () => {
    assert.deepEqual(toWeights(shares({ 3: 5, 4: 0 }), RULES), { uids: [3], values: [65_535] })
    const rules = { ...RULES, minAllowedWeights: 3 }
    assert.deepEqual(toWeights(shares({ 3: 5 }), rules), { uids: [1, 2, 3], values: [0, 0, 65_535] })
    // The runtime asks for no more than there are; this one could only be itself.
    const crowd = { ...RULES, minAllowedWeights: 8 }
    assert.throws(() => toWeights(shares({ 3: 5 }), crowd), refused('WeightVecLengthIsLow'))
    assert.equal(toWeights(shares({ 0: 1, 3: 5 }), crowd).uids.length, 5)
  })

  it('takes a row of itself alone, which no rule limits', () => {
    const rules = { ...RULES, minAllowedWeights: 3, maxWeightsLimit: 1 }
    assert.deepEqual(toWeights(shares({ 0: 7 }), rules), { uids: [0], values: [65_535] })
  })

  it('cuts what is above its part of the sum, and keeps the proportions of the rest', () => {
    const rules = { ...RULES, maxWeightsLimit: 32_768 }
    const { values } = toWeights(shares({ 1: 1_000_000, 2: 2, 3: 1 }), rules)
    const [first = 0, second = 0, third = 0] = values
    assert.ok(first * 65_535 <= 32_768 * (first + second + third))
    assert.ok(Math.abs(second - 2 * third) <= 1)
    assert.ok(first / (first + second + third) > 0.499)
  })

  it('names the rule that shares cannot keep', () => {
    assert.throws(() => toWeights(shares({ 1: 0 }), RULES), refused('WeightVecLengthIsLow'))
    assert.throws(() => toWeights(shares({ 9: 1 }), RULES), refused('UidVecContainInvalidOne'))
    const rules = { ...RULES, maxWeightsLimit: 20_000 }
    assert.throws(() => toWeights(shares({ 1: 1, 2: 1, 3: 1 }), rules), refused('MaxWeightExceeded'))
  })

  it('keeps every rule for any shares that can', () => {
    const share = fc.oneof(fc.bigInt(0n, 10n), fc.bigInt(0n, 10n ** 30n))
    fc.assert(
      fc.property(
        fc.array(share, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 65_535 }),
        fc.integer({ min: 0, max: 20 }),
        (list, maxWeightsLimit, minAllowedWeights) => {
          const uids = list.map((_, uid) => uid)
          const rules = { uids, own: -1, minAllowedWeights, maxWeightsLimit }
          let result: ReturnType<typeof toWeights>
          try {
            result = toWeights(new Map(list.entries()), rules)
          } catch (error) {
            assert.ok(isSubnetError(error, 'INVALID'))
            const positive = list.filter((each) => each > 0n).length
            assert.ok(positive === 0 || positive * maxWeightsLimit < 65_535)
            return
          }
          const { values } = result
          const sum = values.reduce((total, value) => total + value, 0)
          assert.ok(values.every((value) => Number.isInteger(value) && value >= 0 && value <= 65_535))
          assert.equal(Math.max(...values), 65_535)
          assert.ok(65_535 * 65_535 <= maxWeightsLimit * sum)
          assert.ok(result.uids.length >= Math.min(minAllowedWeights, uids.length))
          for (const [i, uid] of result.uids.entries())
            for (const [j, other] of result.uids.entries())
              if ((list[uid] ?? 0n) > (list[other] ?? 0n)) assert.ok((values[i] ?? 0) >= (values[j] ?? 0))
        },
      ),
    )
  })

  it('expects the validator trust that Yuma would give', () => {
    const consensus = new Map([
      [1, 32_768],
      [2, 16_384],
      [3, 16_383],
    ])
    const same = compareWithConsensus({ uids: [1, 2, 3], values: [65_535, 32_768, 32_768] }, consensus)
    assert.ok(Math.abs((same?.expectedVtrust ?? 0) - 1) < 0.001)
    const apart = compareWithConsensus({ uids: [2], values: [65_535] }, consensus)
    assert.ok(Math.abs((apart?.expectedVtrust ?? 0) - 0.25) < 0.001)
    assert.deepEqual(
      apart?.deviations.map(({ uid }) => uid),
      [2, 1, 3],
    )
    assert.equal(compareWithConsensus({ uids: [2], values: [1] }, new Map([[2, 0]])), undefined)
  })
})
