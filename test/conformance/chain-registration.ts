/** What coldkeys pay for on a subnet, and what a registered hotkey announces: on any chain, with money that is there. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { ChainRecord } from '../../src/chain/chain.js'
import { type TestKey, testRecord } from '../kit/chain-keys.js'
import { ChainBench, type ChainSuite, TAO } from './chain-bench.js'

export function registrationConformance({ open, it }: ChainSuite): void {
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
      assert.deepEqual([neuron.uid, neuron.coldkey], [uid, coldkey.address])
      // An epoch may have come since.
      const { neurons } = await chain.metagraph({ at: neuron.registeredAtBlock })
      assert.equal(neurons[uid]?.validatorPermit, false)
      assert.equal(neuron.lastUpdateBlock, neuron.registeredAtBlock)
      const paid = before - (await chain.balanceRao(coldkey.address))
      // Less by what decays until it is in a block, and more by a real chain's fee.
      assert.ok(paid > (burnRao * 9n) / 10n && paid < burnRao + TAO / 10n, `${paid} of ${burnRao}`)
    })

    it('asks more for the next registration', async () => {
      const { chain, harness } = bench
      const { burnRao } = await chain.hyperparameters()
      await bench.register(harness.hotkey(1), coldkey)
      assert.ok((await chain.hyperparameters()).burnRao > burnRao)
    })

    it('refuses to register again, and above the limit', async () => {
      const { chain, harness } = bench
      await bench.register(harness.hotkey(1), coldkey)
      await bench.refused(bench.register(harness.hotkey(1), coldkey), 'HotKeyAlreadyRegisteredInSubNet')
      await bench.refused(bench.register(harness.hotkey(2), coldkey, 1n), 'RegistrationPriceLimitExceeded')
      const known = (await chain.metagraph()).neurons.map((neuron) => neuron.hotkey)
      assert.deepEqual(
        [1, 2].map((number) => known.includes(harness.hotkey(number).address)),
        [true, false],
      )
    })

    const refusesPoor = async () => {
      const { chain, harness } = bench
      const poor = await harness.coldkey(2, 1n)
      await bench.refused(bench.register(harness.hotkey(2), poor), 'NotEnoughBalanceToStake')
      assert.equal((await chain.metagraph()).neurons.length, 0)
    }
    it('refuses to register for whoever cannot pay', refusesPoor, 'orders')

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
}
