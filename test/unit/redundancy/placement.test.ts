import assert from 'node:assert/strict'
import { InvariantError, SubnetError } from '../../../src/base/errors.js'
import { type Candidate, placeManifest, placeSegment, rankMiners } from '../../../src/redundancy/placement.js'
import { groupCap, PROFILES } from '../../../src/redundancy/profiles.js'
import { pattern } from '../../kit/redundancy-reference.js'

const seed = pattern(32, 1)

function miners(count: number, groups: number): Candidate[] {
  return Array.from({ length: count }, (_, i) => ({ id: `m${i}`, group: `g${i % groups}`, weight: 1 }))
}

function loads(candidates: readonly Candidate[], indexes: readonly number[]): Map<string, number> {
  const load = new Map<string, number>()
  for (const index of indexes) {
    const { group } = candidates[index] as Candidate
    load.set(group, (load.get(group) ?? 0) + 1)
  }
  return load
}

describe('placement', () => {
  it('gives each chunk its own miner when enough fit, within the cap per group', () => {
    const candidates = miners(30, 6)
    const { holders, spares } = placeSegment({ seed, segment: 0, n: 20, cap: 4, candidates })
    assert.equal(holders.length, 20)
    assert.equal(new Set(holders).size, 20)
    assert.ok(Math.max(...loads(candidates, [...holders, ...spares]).values()) <= 4)
  })

  it('lets miners hold more than one chunk only where there are too few', () => {
    const candidates = miners(6, 6)
    const { holders, spares } = placeSegment({ seed, segment: 0, n: 10, cap: 2, candidates })
    assert.equal(new Set(holders).size, 6)
    assert.equal(Math.max(...loads(candidates, holders).values()), 2)
    assert.equal(spares.length, 2, 'two miners have room for a second chunk')
  })

  it('places every profile on as few groups as it needs', () => {
    for (const profile of Object.values(PROFILES)) {
      const cap = groupCap(profile)
      const needed = Math.ceil(profile.n / cap)
      for (const perGroup of [1, 2, 8]) {
        const candidates = miners(needed * perGroup, needed)
        const { holders } = placeSegment({ seed, segment: 1, n: profile.n, cap, candidates })
        assert.equal(holders.length, profile.n)
        assert.ok(holders.every((index) => candidates[index] !== undefined))
        assert.ok(Math.max(...loads(candidates, holders).values()) <= cap)
      }
    }
  })

  it('refuses too few groups with both numbers, however many miners they have', () => {
    const candidates = miners(100, 4)
    assert.throws(
      () => placeSegment({ seed, segment: 0, n: 10, cap: 2, candidates }),
      (error: unknown) =>
        error instanceof SubnetError &&
        error.code === 'TOO_FEW_PEERS' &&
        error.data.needed === 5 &&
        error.data.available === 4,
    )
  })

  it('counts no group whose miners have no room', () => {
    const candidates = miners(5, 5).map((c, i) => ({ ...c, weight: i === 0 ? 0 : 1 }))
    assert.equal(rankMiners(seed, 0, candidates).length, 4)
    assert.throws(() => placeSegment({ seed, segment: 0, n: 10, cap: 2, candidates }), SubnetError)
  })

  it('draws miners in proportion to their weight', () => {
    const candidates = miners(3, 3).map((c, i) => ({ ...c, weight: [1, 2, 5][i] as number }))
    const first = [0, 0, 0]
    for (let segment = 0; segment < 4000; segment++) {
      const index = rankMiners(seed, segment, candidates)[0]?.index as number
      first[index] = (first[index] as number) + 1
    }
    // Expected 500, 1000, 2500; the same every run, since nothing here is random.
    for (const [i, expected] of [500, 1000, 2500].entries()) {
      assert.ok(Math.abs((first[i] as number) - expected) < 100, `${first}`)
    }
  })

  it('spreads segments and chunks over all miners', () => {
    const candidates = miners(12, 12)
    const seen = new Set<string>()
    for (let segment = 0; segment < 200; segment++) {
      const { holders } = placeSegment({ seed, segment, n: 4, cap: 1, candidates })
      for (const [chunk, holder] of holders.entries()) seen.add(`${chunk}:${holder}`)
    }
    assert.equal(seen.size, 4 * 12)
  })

  it('puts manifest copies on distinct miners, a second one in a group only when all have one', () => {
    const candidates = miners(12, 3)
    const { holders, spares } = placeManifest({ seed, copies: 7, candidates })
    assert.equal(new Set(holders).size, 7)
    assert.deepEqual([...loads(candidates, holders).values()].sort(), [2, 2, 3])
    assert.deepEqual(
      [...holders, ...spares].sort((a, b) => a - b),
      candidates.map((_, i) => i),
    )
  })

  it('puts one manifest copy on every miner where there are fewer than copies', () => {
    const { holders, spares } = placeManifest({ seed, copies: 7, candidates: miners(5, 5) })
    assert.equal(new Set(holders).size, 5)
    assert.deepEqual(spares, [])
    assert.throws(() => placeManifest({ seed, copies: 7, candidates: [] }), SubnetError)
  })

  it('takes no weight that is no number, and no id twice', () => {
    const [a, b] = miners(2, 2) as [Candidate, Candidate]
    for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => rankMiners(seed, 0, [{ ...a, weight }]), InvariantError)
    }
    assert.throws(() => rankMiners(seed, 0, [a, { ...b, id: a.id }]), InvariantError)
  })
})
