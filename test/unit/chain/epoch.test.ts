import assert from 'node:assert/strict'
import { modularEpoch, nextAnchoredEpochBlock, nextModularEpochBlock } from '../../../src/chain/epoch.js'

describe('epochs', () => {
  it('step a tempo after the last one, where the chain keeps an anchor', () => {
    assert.deepEqual(
      [100, 101, 459, 460, 461].map((block) => nextAnchoredEpochBlock(100, 360, block)),
      [460, 460, 460, 820, 820],
    )
    assert.equal(nextAnchoredEpochBlock(100, 360, 99), 460)
  })

  it('step where block + netuid + 1 is a multiple of tempo + 1, where it keeps none', () => {
    for (const [netuid, tempo] of [
      [0, 1],
      [1, 20],
      [7, 5],
      [64, 360],
    ] as const) {
      for (let block = 0; block < 3 * tempo; block += 1) {
        let next = block + 1
        while ((next + netuid + 1) % (tempo + 1) !== 0) next += 1
        assert.equal(nextModularEpochBlock(netuid, tempo, block), next)
        assert.equal(modularEpoch(netuid, tempo, next), modularEpoch(netuid, tempo, block) + 1)
      }
    }
  })
})
