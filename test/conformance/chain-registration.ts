/** What coldkeys pay for, and what a registered hotkey announces: on any chain, with money that is there. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { ChainRecord } from '../../src/chain/chain.js'
import { type TestKey, testRecord } from '../kit/chain-keys.js'
import { ChainBench, type OpenChain, TAO } from './chain-bench.js'

export function registrationConformance(open: OpenChain, real: boolean): void {
  describe('registration and announcements', () => {
    let bench: ChainBench
    let coldkey: TestKey
    beforeEach(async () => {
      bench = new ChainBench(await open({}))
      coldkey = await bench.harness.coldkey(1, 50n * TAO)
    })
    afterEach(() => bench.harness[Symbol.asyncDispose]())

    it('registers a hotkey with burn, which the coldkey pays', async () => {
      const { chain, harness } = bench
      const before = await chain.balanceRao(coldkey.address)
      const { burnRao } = await chain.hyperparameters()
      const uid = await bench.register(harness.hotkey(1), coldkey)
      const neuron = await bench.neuron(harness.hotkey(1))
      assert.deepEqual([neuron.uid, neuron.coldkey, neuron.validatorPermit], [uid, coldkey.address, false])
      assert.equal(neuron.lastUpdateBlock, neuron.registeredAtBlock)
      const paid = before - (await chain.balanceRao(coldkey.address))
      // Less by what decays until it is in a block, and more by a real chain's fee.
      assert.ok(paid > (burnRao * 9n) / 10n && paid < burnRao + TAO / 10n, `${paid} of ${burnRao}`)
      const { burnRao: next } = await chain.hyperparameters()
      assert.ok(next > burnRao, 'the burn rises')
    })

    it('refuses to register again, above the limit, and for whoever cannot pay', async () => {
      const { chain, harness } = bench
      await bench.register(harness.hotkey(1), coldkey)
      await bench.refused(bench.register(harness.hotkey(1), coldkey), 'HotKeyAlreadyRegisteredInSubNet')
      await bench.refused(bench.register(harness.hotkey(2), coldkey, 1n), 'RegistrationPriceLimitExceeded')
      if (real) return
      const poor = await harness.coldkey(2, 1n)
      await bench.refused(bench.register(harness.hotkey(2), poor), 'NotEnoughBalanceToStake')
      assert.equal((await chain.metagraph()).neurons.length, 1)
    })

    it('stakes for a registered hotkey, and for no other', async () => {
      const { chain, harness } = bench
      await bench.register(harness.hotkey(1), coldkey)
      const amountRao = TAO
      const stake = (hotkey: TestKey, rao = amountRao) =>
        chain.stake({ coldkey: coldkey.signer, hotkey: hotkey.address, amountRao: rao })
      await bench.inBlocks(stake(harness.hotkey(1)))
      assert.ok((await bench.neuron(harness.hotkey(1))).stakeRao > 0n)
      await bench.refused(stake(harness.hotkey(1), 1n), 'AmountTooLow')
      await bench.refused(stake(harness.hotkey(1), 10n ** 17n), 'NotEnoughBalanceToStake')
      await bench.refused(stake(harness.hotkey(2)), 'HotKeyAccountNotExists')
    })

    it('keeps the last record of each hotkey', async () => {
      const { chain, harness } = bench
      const [first, second] = [harness.hotkey(1), harness.hotkey(2)]
      await bench.register(first, coldkey)
      await bench.register(second, coldkey)
      assert.equal((await chain.records()).has(first.address), false)
      await bench.commit(first, testRecord(1))
      await bench.commit(second, testRecord(2, '/ip6/::1/tcp/9'))
      await bench.commit(first, testRecord(3, '/dns4/example.org/tcp/4001'))
      const records = await chain.records()
      assert.deepEqual(records.get(first.address), testRecord(3, '/dns4/example.org/tcp/4001'))
      assert.deepEqual(records.get(second.address), testRecord(2, '/ip6/::1/tcp/9'))
    })

    it('refuses the record of an unregistered hotkey, and one that is malformed or too long', async () => {
      const { chain, harness } = bench
      const stranger = harness.hotkey(1)
      await bench.refused(chain.commit(stranger.signer, testRecord(1)), 'AccountNotAllowedCommit')
      assert.equal((await chain.records()).has(stranger.address), false)
      const { peerId, address } = testRecord(1)
      const wrong: ChainRecord[] = [
        { peerId: 'nobody', address },
        { peerId, address: '' },
        { peerId, address: '127.0.0.1:4001' },
        { peerId, address: `${address}/p2p/${peerId}` },
        { peerId, address: `/dns4/${'a'.repeat(76)}.org/tcp/4001` },
      ]
      for (const record of wrong) {
        await assert.rejects(chain.commit(stranger.signer, record), (error) =>
          isSubnetError(error, 'INVALID'),
        )
      }
    })

    it('shows where a hotkey serves, and refuses strangers, unusable addresses and haste', async () => {
      const { chain, harness } = bench
      const { signer } = harness.hotkey(1)
      const serve = (ip: string, port = 8_091) => chain.serve(signer, { ip, port })
      await bench.refused(serve('1.2.3.4'), 'HotKeyNotRegisteredInNetwork')
      await bench.register(harness.hotkey(1), coldkey)
      await bench.refused(serve('127.0.0.1'), 'InvalidIpAddress')
      await bench.refused(serve('1.2.3.4', 0), 'InvalidPort')
      await assert.rejects(serve('nowhere'), (error) => isSubnetError(error, 'INVALID'))
      await bench.inBlocks(serve('2001:db8::5', 9))
      assert.deepEqual((await bench.neuron(harness.hotkey(1))).axon, { ip: '2001:db8::5', port: 9 })
      const { kind } = await bench.refused(serve('1.2.3.4'), 'ServingRateLimitExceeded')
      assert.equal(kind, 'pool')
    })

    it('refuses weights of strangers, of hotkeys that just came, and without a permit', async () => {
      const { chain, harness } = bench
      const { commitRevealEnabled } = await chain.hyperparameters()
      const { signer } = harness.hotkey(1)
      const attempt = () =>
        commitRevealEnabled
          ? chain.commitWeights(signer, new Uint8Array(32))
          : chain.setWeights(signer, { uids: [0], values: [1], versionKey: 0n })
      await bench.refused(attempt(), 'HotKeyNotRegisteredInSubNet')
      await bench.register(harness.hotkey(1), coldkey)
      await bench.refused(
        attempt(),
        commitRevealEnabled ? 'CommittingWeightsTooFast' : 'SettingWeightsTooFast',
      )
    })
  })

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
      await bench.refused(setting(owner, 6), 'TxRateLimitExceeded')

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

    it('costs more after each, and is refused to whoever cannot afford it', async function () {
      if (real) this.skip()
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
      assert.equal(await chain.balanceRao(rich.address), before)
    })
  })
}
