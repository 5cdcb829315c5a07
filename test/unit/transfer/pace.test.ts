import assert from 'node:assert/strict'
import { Pace, percentile } from '../../../src/transfer/pace.js'

function paceOf(...times: readonly number[]): number {
  const pace = new Pace()
  for (const each of times) pace.add(each)
  return pace.hedgeAfterMs
}

const times = (count: number, ms: number) => new Array<number>(count).fill(ms)

describe('Pace', () => {
  it('waits two seconds until it knows better', () => {
    assert.equal(paceOf(), 2_000)
    assert.equal(paceOf(...times(7, 10_000)), 2_000)
    assert.equal(paceOf(...times(8, 10_000)), 10_000)
  })

  it('waits as long as nineteen of twenty requests take', () => {
    assert.equal(paceOf(...times(19, 400), 9_000), 400)
    assert.equal(paceOf(...times(18, 400), 9_000, 9_000), 9_000)
  })

  it('never waits less than its floor nor more than its cap', () => {
    assert.equal(paceOf(...times(20, 3)), 250)
    assert.equal(paceOf(...times(20, 600_000)), 20_000)
  })

  it('forgets what was long ago', () => {
    assert.equal(paceOf(...times(64, 9_000), ...times(64, 300)), 300)
  })
})

describe('percentile', () => {
  it('is one of the values given', () => {
    assert.equal(percentile([], 0.5), 0)
    assert.equal(percentile([5], 0.5), 5)
    assert.equal(percentile([9, 1, 5], 0.5), 5)
    assert.equal(percentile([9, 1, 5, 7], 1), 9)
  })
})
