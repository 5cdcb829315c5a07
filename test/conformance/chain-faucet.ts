/** What a fresh devchain does with keys that cost nothing: joining, stake, permits, budgets, pruning. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import { testColdkey, testRecord } from '../kit/chain-keys.js'
import { ChainBench, type ChainWish, type OpenChain } from './chain-bench.js'

const COMMITMENTS_PER_EPOCH_MAX = 31

export function faucetConformance(open: OpenChain): void {
  describe('joining by the faucet', () => {
    let bench: ChainBench
    afterEach(() => bench.harness[Symbol.asyncDispose]())

    const openBench = async (wish: ChainWish = {}) => {
      bench = new ChainBench(await open(wish))
      return bench
    }
    const hotkey = (number: number) => bench.harness.hotkey(number)
    const join = (number: number, coldkey = 1) => bench.join(hotkey(number), testColdkey(coldkey).address)
    const registration = (number: number) => ({
      hotkey: hotkey(number).signer,
      coldkey: testColdkey(1).address,
    })

    it('registers a hotkey with the next uid, and keeps the uid of one that comes again', async () => {
      const { chain, faucet } = await openBench()
      assert.equal(await join(1, 1), 0)
      assert.equal(await join(2, 2), 1)
      const { neurons } = await chain.metagraph()
      assert.deepEqual(
        neurons.map(({ uid, hotkey: key, coldkey, stakeRao, validatorPermit }) => [
          uid,
          key,
          coldkey,
          stakeRao,
          validatorPermit,
        ]),
        [
          [0, hotkey(1).address, testColdkey(1).address, 0n, false],
          [1, hotkey(2).address, testColdkey(2).address, 0n, false],
        ],
      )
      assert.equal(await faucet.join(registration(1)), 0)
      assert.equal((await chain.metagraph()).neurons.length, 2)
    })

    it('registers hotkeys that come at the same time, and one that comes twice, once each', async () => {
      const { faucet } = await openBench()
      const uids = await bench.inBlocks(
        Promise.all([1, 2, 3, 3].map((number) => faucet.join(registration(number)))),
      )
      assert.deepEqual([...new Set(uids)].sort(), [0, 1, 2])
      assert.equal(uids[2], uids[3])
    })

    it('refuses a hotkey that belongs to another coldkey', async () => {
      await openBench()
      await join(1, 1)
      await bench.refused(join(1, 2), 'NonAssociatedColdKey')
    })

    it('adds stake, which gives a permit at the next epoch and not before', async () => {
      const { chain, faucet } = await openBench({ tempo: 10 })
      await join(1)
      await join(2)
      await bench.inBlocks(faucet.stake(hotkey(1).signer, 5n))
      await bench.inBlocks(faucet.stake(hotkey(1).signer, 2n ** 53n))
      const [staked] = (await chain.metagraph()).neurons
      assert.deepEqual([staked?.stakeRao, staked?.validatorPermit], [5n + 2n ** 53n, false])
      const { epoch } = await chain.metagraph()
      await bench.untilEpoch()
      const after = await chain.metagraph()
      assert.equal(after.epoch, epoch + 1)
      assert.deepEqual(
        after.neurons.map((neuron) => neuron.validatorPermit),
        [true, false],
      )
    })

    it('runs the writes of one hotkey that are asked for together', async () => {
      const { chain, faucet } = await openBench()
      const { signer, address } = hotkey(1)
      await join(1)
      const stakes = [1n, 2n, 3n, 4n, 5n, 6n, 7n].map((amountRao) => faucet.stake(signer, amountRao))
      await bench.inBlocks(Promise.all([...stakes, chain.commit(signer, testRecord(1))]))
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 28n)
      assert.deepEqual((await chain.records()).get(address), testRecord(1))
    })

    it('refuses stake that is nothing, too much, or for an unregistered hotkey', async () => {
      const { chain, faucet } = await openBench()
      const { signer } = hotkey(1)
      const invalid = (error: unknown) => isSubnetError(error, 'INVALID')
      await bench.refused(faucet.stake(signer, 1n), 'HotKeyAccountNotExists')
      await join(1)
      await bench.refused(faucet.stake(signer, 0n), 'AmountTooLow')
      await bench.refused(faucet.stake(signer, 2n ** 63n), 'NotEnoughBalanceToStake')
      await assert.rejects(faucet.stake(signer, -1n), invalid)
      await assert.rejects(faucet.stake(signer, 2n ** 64n), invalid)
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 0n)
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
      const { chain } = await openBench()
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
      const { chain, faucet } = await openBench({ tempo: 10, parameters })
      for (const number of [1, 2, 3]) await join(number)
      await bench.commit(hotkey(2), testRecord(2))
      await bench.inBlocks(faucet.stake(hotkey(1).signer, 5n))
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

    it('ends its writes when it is stopped, those that wait for a block and those that come after', async () => {
      const { chain, faucet } = await openBench()
      const stopped = (error: unknown) => isSubnetError(error, 'STOPPED')
      const waiting = assert.rejects(faucet.join(registration(1)), stopped)
      // As many round trips as the write needs to be on its way into a block.
      for (let i = 0; i < 5; i += 1) await chain.randomness(0)
      const late = assert.rejects(faucet.join(registration(2)), stopped)
      await chain.stop()
      await Promise.all([waiting, late])
    })

    it('gives up a registration when the caller does', async () => {
      const { faucet } = await openBench()
      const reason = new Error('no longer wanted')
      const is = (error: unknown) => error === reason
      await assert.rejects(faucet.join(registration(1), { signal: AbortSignal.abort(reason) }), is)
      const controller = new AbortController()
      const waiting = faucet.join(registration(1), { signal: controller.signal })
      controller.abort(reason)
      await assert.rejects(waiting, is)
    })
  })
}
