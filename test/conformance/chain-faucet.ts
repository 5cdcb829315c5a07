/** What a devchain’s faucet gives: joining and stake that cost nothing. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import { testColdkey, testRecord } from '../kit/chain-keys.js'
import { type ChainSuite, testBench } from './chain-bench.js'

export function faucetConformance({ open, it: declare }: ChainSuite): void {
  const it = (title: string, run: () => Promise<void>): void => declare(title, run, 'faucet')

  describe('joining by the faucet', () => {
    const { openBench, hotkey, join } = testBench(open)
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
      const bench = await openBench()
      const { faucet } = bench
      const uids = await bench.inBlocks(
        Promise.all([1, 2, 3, 3].map((number) => faucet.join(registration(number)))),
      )
      assert.deepEqual([...new Set(uids)].sort(), [0, 1, 2])
      assert.equal(uids[2], uids[3])
    })

    it('refuses a hotkey that belongs to another coldkey', async () => {
      const bench = await openBench()
      await join(1, 1)
      await bench.refused(join(1, 2), 'NonAssociatedColdKey')
    })

    it('adds stake to stake, to the last rao', async () => {
      const bench = await openBench()
      const { chain, faucet } = bench
      await join(1)
      await bench.inBlocks(faucet.stake(hotkey(1).signer, 5n))
      await bench.inBlocks(faucet.stake(hotkey(1).signer, 2n ** 53n))
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 5n + 2n ** 53n)
    })

    it('runs the writes of one hotkey that are asked for together', async () => {
      const bench = await openBench()
      const { chain, faucet } = bench
      const { signer, address } = hotkey(1)
      await join(1)
      const stakes = [1n, 2n, 3n, 4n, 5n, 6n, 7n].map((amountRao) => faucet.stake(signer, amountRao))
      await bench.inBlocks(Promise.all([...stakes, chain.commit(signer, testRecord(1))]))
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 28n)
      assert.deepEqual((await chain.records()).get(address), testRecord(1))
    })

    it('refuses stake that is nothing, too much, or for an unregistered hotkey', async () => {
      const bench = await openBench()
      const { chain, faucet } = bench
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
