import assert from 'node:assert/strict'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { stakeOf } from '../../../../src/chain/devchain/subnet.js'
import { metagraphOf } from '../../../../src/chain/devchain/views.js'
import { StateByHand } from '../../../kit/devchain-state.js'

const TAO = 1_000_000_000n
const TEMPO = 5
/** 18 % of a block's emission, as 11,796 of 65,535, and half of the rest. */
const OWNER = (TAO * 11_796n) / 65_535n
const HALF = (TAO - OWNER) / 2n

const weights = (uids: readonly number[]): Call => ({
  kind: 'setWeights',
  netuid: 1,
  uids,
  values: uids.map(() => 1),
  versionKey: 0n,
})
const PLAIN = { commitRevealEnabled: false, weightsRateLimitBlocks: 1 }

describe('devchain: an epoch step', () => {
  it('pays owner, miners and validators 18, 41 and 41 %, into their stakes', () => {
    const owner = { hotkey: 'own', coldkey: 'boss' }
    const chain = new StateByHand([10n, 0n, 0n], PLAIN, { owner })
      .blocks()
      .run('h0', weights([1, 2]))
      .untilBlock(TEMPO)
    const subnet = chain.subnet()
    const blocks = BigInt(TEMPO)
    const earned = (hotkey: string, before = 0n) => stakeOf(subnet, hotkey) - before
    assert.equal(earned('own'), OWNER * blocks)
    const near = (actual: bigint, expected: bigint) =>
      assert.ok(actual <= expected && expected - actual < 10n, `${actual} is not ${expected}`)
    near(earned('h0', 10n), HALF * blocks)
    near(earned('h1'), (HALF * blocks) / 2n)
    near(earned('h2'), (HALF * blocks) / 2n)
    const [validator, miner] = metagraphOf(subnet, TEMPO).neurons
    assert.deepEqual(
      [validator?.dividends, validator?.validatorTrust, miner?.incentive, miner?.consensus],
      [65_535, 65_535, 32_767, 32_767],
    )
    assert.equal(validator?.emissionRao, earned('h0', 10n))
    assert.equal(subnet.emittedRao, earned('own') + earned('h0', 10n) + earned('h1') + earned('h2'))
  })

  it('gives validators all but the owner’s cut while no miner earns', () => {
    const chain = new StateByHand([10n, 30n]).blocks(TEMPO)
    const all = 2n * HALF * BigInt(TEMPO)
    assert.ok(all / 4n - (stakeOf(chain.subnet(), 'h0') - 10n) < 10n)
    assert.ok((3n * all) / 4n - (stakeOf(chain.subnet(), 'h1') - 30n) < 10n)
  })

  it('takes 18 % of a validator’s dividends for its owner before those who staked share the rest', () => {
    const chain = new StateByHand([TAO]).blocks()
    chain.run('nominator', { kind: 'faucetPay', amountRao: TAO })
    chain.run('nominator', { kind: 'stake', netuid: 1, hotkey: 'h0', amountRao: TAO }).untilBlock(TEMPO)
    const of = chain.subnet().stakes.get('h0')
    const all = 2n * HALF * BigInt(TEMPO)
    const take = (all * 11_796n) / 65_535n
    assert.equal((of?.get('nominator') ?? 0n) - TAO, (all - take) / 2n)
    assert.ok((of?.get('c0') ?? 0n) - TAO - take - (all - take) / 2n <= 1n)
  })

  it('burns what the owner’s hotkey would mine', () => {
    const owner = { hotkey: 'h1', coldkey: 'c1' }
    const chain = new StateByHand([10n, 0n], PLAIN, { owner })
      .blocks()
      .run('h0', weights([1]))
      .untilBlock(TEMPO)
    assert.equal(stakeOf(chain.subnet(), 'h1'), OWNER * BigInt(TEMPO))
  })

  it('emits for the blocks since the last step, nothing before the start, half as much once half is out', () => {
    const chain = new StateByHand([10n]).blocks(2 * TEMPO)
    const perEpoch = 2n * HALF * BigInt(TEMPO)
    assert.equal(chain.subnet().emittedRao, 2n * perEpoch)
    const half = 10_500_000n * TAO
    const at = (emittedRao: bigint) => {
      const late = new StateByHand([10n])
      late.state = { ...late.state, subnets: new Map([[1, { ...late.subnet(), emittedRao }]]) }
      return late.blocks(TEMPO).subnet().emittedRao - emittedRao
    }
    assert.equal(at(half - 1n), perEpoch)
    const owner = ((TAO / 2n) * 11_796n) / 65_535n
    assert.equal(at(half), ((TAO / 2n - owner) / 2n) * 2n * BigInt(TEMPO))
    assert.equal(at(2n * half), 0n)
  })

  it('moves bonds from epoch to epoch, and forgets those of whoever loses the permit', () => {
    const chain = new StateByHand([10n, 0n], { ...PLAIN, maxAllowedValidators: 1 })
      .blocks()
      .run('h0', weights([1]))
    const bond = () => chain.subnet().neurons[0]?.bonds
    assert.deepEqual(chain.untilBlock(TEMPO) && bond(), [[1, 6_553]])
    assert.deepEqual(chain.untilBlock(2 * TEMPO) && bond(), [[1, 12_451]])
    chain.run('h1', { kind: 'faucetStake', netuid: 1, amountRao: 10n ** 15n }).untilBlock(3 * TEMPO)
    assert.deepEqual(bond(), [])
  })

  it('says at every block which is the next', () => {
    const chain = new StateByHand([1n])
    const next = () => metagraphOf(chain.subnet(), chain.block)
    assert.deepEqual([next().epoch, next().nextEpochBlock], [0, 5])
    chain.blocks(4)
    assert.deepEqual([next().epoch, next().nextEpochBlock], [0, 5])
    chain.blocks()
    assert.deepEqual([next().epoch, next().nextEpochBlock], [1, 10])
  })
})

describe('devchain: serving', () => {
  const serve = (ip: readonly number[], port = 9): Call => ({
    kind: 'serve',
    netuid: 1,
    ip: Uint8Array.from(ip),
    port,
  })
  const zeros = Array.from({ length: 15 }, () => 0)

  it('shows where a hotkey serves', () => {
    const chain = new StateByHand([0n]).blocks().run('h0', serve([1, 2, 3, 4], 8_091))
    assert.deepEqual(metagraphOf(chain.subnet(), 1).neurons[0]?.axon, { ip: '1.2.3.4', port: 8_091 })
  })

  it('refuses, in order: a stranger, an address nobody reaches, one too soon, port 0', () => {
    const chain = new StateByHand([0n], { servingRateLimitBlocks: 3 }).blocks()
    const reason = (signer: string, call: Call) => chain.refusal(signer, call)?.reason
    assert.equal(reason('x', serve([127, 0, 0, 1], 0)), 'HotKeyNotRegisteredInNetwork')
    for (const ip of [[127, 0, 0, 1], [255, 255, 255, 255], [...zeros, 1], [...zeros, 0].fill(255)]) {
      assert.equal(reason('h0', serve(ip, 0)), 'InvalidIpAddress')
    }
    assert.equal(reason('h0', serve([0, 0, 0, 0], 0)), 'InvalidPort')
    chain.run('h0', serve([...zeros, 2])).blocks()
    assert.deepEqual(chain.refusal('h0', serve([1, 1, 1, 1], 0)), {
      reason: 'ServingRateLimitExceeded',
      block: 4,
    })
    chain.blocks(2).run('h0', serve([1, 1, 1, 1]))
  })
})
