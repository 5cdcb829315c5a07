/** What epochs change and what fills up until they come: permits, budgets, pruning. On a chain that makes blocks when told. */
import assert from 'node:assert/strict'
import { testRecord } from '../kit/chain-keys.js'
import { type ChainSuite, STAKE_RAO, testBench } from './chain-bench.js'

const COMMITMENTS_PER_EPOCH_MAX = 31

export function epochConformance({ open, it: declare }: ChainSuite): void {
  const it = (title: string, run: () => Promise<void>): void => declare(title, run, 'orders')

  describe('over epochs', () => {
    const { openBench, hotkey, join } = testBench(open)

    it('gives a permit for stake at the next epoch and not before, and none for nothing', async () => {
      const bench = await openBench({ tempo: 20 })
      const { chain } = bench
      await join(1)
      await join(2)
      await bench.stake(hotkey(1), STAKE_RAO)
      const { epoch, neurons } = await chain.metagraph()
      assert.ok((neurons[0]?.stakeRao ?? 0n) > STAKE_RAO / 2n)
      assert.equal(neurons[0]?.validatorPermit, false)
      await bench.untilEpoch()
      const after = await chain.metagraph()
      assert.equal(after.epoch, epoch + 1)
      assert.deepEqual(
        after.neurons.map((neuron) => neuron.validatorPermit),
        [true, false],
      )
    })

    it('shows a registration at its block and not at those before', async () => {
      const { chain } = await openBench()
      await join(1)
      const before = await chain.metagraph()
      await join(2)
      assert.deepEqual(await chain.metagraph({ at: before.block }), before)
      assert.deepEqual([before.neurons.length, (await chain.metagraph()).neurons.length], [1, 2])
    })

    it('refuses commitments beyond the byte budget of the epoch, and takes them in the next', async () => {
      const bench = await openBench()
      const { chain } = bench
      const key = hotkey(1)
      await join(1)
      await bench.untilEpoch()
      for (let i = 0; i < COMMITMENTS_PER_EPOCH_MAX; i += 1) await bench.commit(key, testRecord(i))
      const { block } = await bench.refused(bench.commit(key, testRecord(99)), 'SpaceLimitExceeded')
      assert.equal(block, (await chain.metagraph()).nextEpochBlock)
      assert.deepEqual((await chain.records()).get(key.address), testRecord(COMMITMENTS_PER_EPOCH_MAX - 1))
      await bench.untilEpoch()
      await bench.commit(key, testRecord(100))
      assert.deepEqual((await chain.records()).get(key.address), testRecord(100))
    })

    it('prunes the least emission outside immunity when it is full; nobody finds the pruned any more', async () => {
      const parameters = { maxAllowedUids: 3, immunityPeriodBlocks: 8, minNonImmuneUids: 0 }
      const bench = await openBench({ tempo: 10, parameters })
      const { chain } = bench
      for (const number of [1, 2, 3]) await join(number)
      await bench.commit(hotkey(2), testRecord(2))
      await bench.stake(hotkey(1), STAKE_RAO)
      await bench.untilEpoch()
      assert.equal(await join(4), 1)
      const { neurons } = await chain.metagraph()
      assert.deepEqual(
        neurons.map((neuron) => neuron.hotkey),
        [1, 4, 3].map((number) => hotkey(number).address),
      )
      assert.equal((await chain.records()).has(hotkey(2).address), false)
      assert.ok((neurons[0]?.emissionRao ?? 0n) > 0n)
    })
  })
}
