/** Making a subnet and owning it: on any chain, with money that is there. */
import assert from 'node:assert/strict'
import type { TestKey } from '../kit/chain-keys.js'
import { ChainBench, type ChainSuite, TAO } from './chain-bench.js'

export function subnetConformance({ open, it }: ChainSuite): void {
  describe('a subnet of one’s own', () => {
    it('is created, started when it is time, named and set up by its owner alone', async () => {
      await using harness = await open({ tempo: 10 })
      const bench = new ChainBench(harness)
      const { chain } = bench
      const owner = await harness.coldkey(1, 2_500n * TAO)
      const stranger = await harness.coldkey(2, TAO)
      const hotkey = harness.hotkey(1)
      const netuid = await bench.inBlocks(
        chain.registerSubnet({ coldkey: owner.signer, hotkey: hotkey.address }),
      )
      const info = await chain.subnet(netuid)
      assert.ok(info)
      assert.deepEqual([info.ownerColdkey, info.ownerHotkey], [owner.address, hotkey.address])
      assert.ok((await chain.subnets()).includes(netuid))

      const identity = { name: 'é', repository: 'r', contact: 'c', url: 'u', description: 'd' }
      const naming = (coldkey: TestKey) =>
        chain.setSubnetIdentity({ coldkey: coldkey.signer, netuid, identity })
      await bench.refused(naming(stranger), 'NotSubnetOwner')
      await bench.inBlocks(naming(owner))
      assert.deepEqual((await chain.subnet(netuid))?.identity, identity)

      const setting = (coldkey: TestKey, value: number) =>
        chain.setHyperparameter({ coldkey: coldkey.signer, netuid, name: 'minAllowedWeights', value })
      await bench.refused(setting(stranger, 5), 'BadOrigin')
      await bench.inBlocks(setting(owner, 5))
      assert.equal((await chain.hyperparameters({ netuid })).minAllowedWeights, 5)

      const start = (coldkey: TestKey) => chain.startSubnet({ coldkey: coldkey.signer, netuid })
      await bench.refused(start(stranger), 'BadOrigin')
      if (!info.started && (await chain.head()).number + 1 < info.startAllowedAtBlock) {
        const early = await bench.refused(start(owner), 'NeedWaitingMoreBlocksToStarCall')
        assert.equal(early.block ?? info.startAllowedAtBlock, info.startAllowedAtBlock)
      }
      while ((await chain.head()).number + 1 < info.startAllowedAtBlock) await harness.nextBlock()
      await bench.inBlocks(start(owner))
      assert.equal((await chain.subnet(netuid))?.started, true)
      await bench.refused(start(owner), 'FirstEmissionBlockNumberAlreadySet')
    })

    it('lets its owner change a setting once in a while', async () => {
      await using harness = await open({ tempo: 10 })
      const bench = new ChainBench(harness)
      const { chain } = bench
      const owner = await harness.coldkey(1, 2_500n * TAO)
      const request = { coldkey: owner.signer, hotkey: harness.hotkey(1).address }
      const netuid = await bench.inBlocks(chain.registerSubnet(request))
      const setting = (value: number) =>
        chain.setHyperparameter({ coldkey: owner.signer, netuid, name: 'minAllowedWeights', value })
      await bench.inBlocks(setting(5))
      await bench.refused(setting(6), 'TxRateLimitExceeded')
      assert.equal((await chain.hyperparameters({ netuid })).minAllowedWeights, 5)
    })

    const costsMore = async () => {
      await using harness = await open({})
      const { chain } = harness
      const bench = new ChainBench(harness)
      const poor = await harness.coldkey(1, 5n)
      const creating = chain.registerSubnet({ coldkey: poor.signer, hotkey: harness.hotkey(1).address })
      await bench.refused(creating, 'CannotAffordLockCost')
      const before = await chain.subnetCostRao()
      const rich = await harness.coldkey(2, 2n * before)
      await bench.inBlocks(chain.registerSubnet({ coldkey: rich.signer, hotkey: harness.hotkey(2).address }))
      assert.ok((await chain.subnetCostRao()) > before)
      const left = await chain.balanceRao(rich.address)
      // A real chain takes a fee.
      assert.ok(left <= before && left > before - TAO / 10n, `${left} of ${before}`)
    }
    it('costs more after each, and is refused to whoever cannot afford it', costsMore, 'orders')
  })
}
