import assert from 'node:assert/strict'
import { SUPPLY_RAO, UIDS_MAX, VALIDATORS_MAX } from '../../../../src/chain/devchain/genesis.js'
import { type Call, genesisState, nonceOf, stateRoot } from '../../../../src/chain/devchain/state.js'
import { metagraphOf, recordsOf } from '../../../../src/chain/devchain/views.js'
import { encodeEndpoint } from '../../../../src/chain/record.js'
import { testRecord } from '../../../kit/chain-keys.js'
import { StateByHand, specOf } from '../../../kit/devchain-state.js'

const TEMPO = 5

describe('devchain state', () => {
  const stake = (amountRao: bigint): Call => ({ kind: 'faucetStake', netuid: 1, amountRao })
  const join: Call = { kind: 'join', netuid: 1, coldkey: 'c' }
  const commit = (number: number): Call => ({
    kind: 'commit',
    netuid: 1,
    endpoint: encodeEndpoint(testRecord(number)),
  })
  const permits = (chain: StateByHand) =>
    chain.subnet().neurons.flatMap((neuron, uid) => (neuron.validatorPermit ? [uid] : []))

  it('starts with the neurons of the genesis, permits by their stake', () => {
    const chain = new StateByHand([5n, 0n, 1n])
    assert.deepEqual(permits(chain), [0, 2])
    assert.equal(chain.state.faucetRao, SUPPLY_RAO - 6n)
    assert.deepEqual(
      metagraphOf(chain.subnet(), 0).neurons.map(({ hotkey, stakeRao }) => [hotkey, stakeRao]),
      [
        ['h0', 5n],
        ['h1', 0n],
        ['h2', 1n],
      ],
    )
  })

  it('permits the 64 largest stakes, of equal ones those with the higher uid', () => {
    const stakes = Array.from({ length: 70 }, () => 1n)
    stakes[0] = 9n
    const top = Array.from({ length: VALIDATORS_MAX - 1 }, (_, i) => 70 - (VALIDATORS_MAX - 1) + i)
    const chain = new StateByHand(stakes)
    assert.deepEqual(permits(chain), [0, ...top])
    assert.deepEqual(permits(chain.blocks(TEMPO)), [0, ...top])
  })

  it('tells stakes apart that differ by one rao, however large', () => {
    const chain = new StateByHand([2n ** 53n + 1n, 2n ** 53n], { maxAllowedValidators: 1 })
    assert.deepEqual(permits(chain), [0])
  })

  it('changes permits at an epoch step only', () => {
    const chain = new StateByHand([0n])
      .blocks()
      .run('h0', stake(1n))
      .untilBlock(TEMPO - 1)
    assert.deepEqual(permits(chain), [])
    assert.deepEqual(permits(chain.blocks()), [0])
  })

  it('takes a permit away when stake no longer suffices', () => {
    const chain = new StateByHand(Array.from({ length: VALIDATORS_MAX }, () => 10n ** 14n)).blocks()
    const before = permits(chain)
    chain.run('new', join, stake(2n * 10n ** 14n)).untilBlock(TEMPO)
    assert.deepEqual(permits(chain), [...before.slice(1), VALIDATORS_MAX])
  })

  it('has room for 256 uids', () => {
    const chain = new StateByHand(
      Array.from({ length: UIDS_MAX - 1 }, () => 0n),
      { minNonImmuneUids: 256, immunityPeriodBlocks: 0 },
    )
    chain.blocks(3).run('last', join)
    assert.equal(chain.subnet().neurons.at(-1)?.registeredAtBlock, 3)
    assert.equal(chain.refusal('one more', join)?.reason, 'NoNeuronIdAvailable')
    assert.equal(chain.refusal('last', join)?.reason, 'HotKeyAlreadyRegisteredInSubNet')
  })

  it('moves stake out of a faucet that runs dry', () => {
    const chain = new StateByHand([1n]).blocks().run('h0', stake(SUPPLY_RAO - 2n))
    assert.equal(chain.state.faucetRao, 1n)
    assert.equal(chain.refusal('h0', stake(2n))?.reason, 'NotEnoughBalanceToStake')
    assert.equal(chain.run('h0', stake(1n)).state.faucetRao, 0n)
  })

  it('counts a call’s bytes, at least 100, against 3,100 for the hotkey and epoch', () => {
    const endpoint = encodeEndpoint(testRecord(1, `/dns/${'n'.repeat(77)}/tcp/1`))
    const long: Call = { kind: 'commit', netuid: 1, endpoint }
    // 25 × 120 bytes, then one more of the smallest kind.
    const chain = new StateByHand([0n, 0n]).blocks().run('h0', ...Array.from({ length: 25 }, () => long))
    chain.untilBlock(TEMPO - 1).run('h0', commit(2))
    assert.deepEqual(chain.refusal('h0', commit(3)), { reason: 'SpaceLimitExceeded', block: TEMPO })
    assert.deepEqual(recordsOf(chain.subnet()).get('h0'), testRecord(2))
    chain.run('h1', commit(3)).blocks().run('h0', commit(3))
  })

  it('runs each nonce once and in order', () => {
    const chain = new StateByHand([0n]).blocks().run('h0', stake(1n))
    const attempt = (nonce: number) => chain.attempt('h0', stake(1n), { nonce }).refusal?.reason
    assert.deepEqual([attempt(0), attempt(2), attempt(1)], ['Stale', 'Future', undefined])
  })

  it('runs nothing after its last block', () => {
    const chain = new StateByHand([0n]).blocks(7)
    const attempt = (expiresBlock: number) => chain.attempt('h0', stake(1n), { expiresBlock }).refusal?.reason
    assert.deepEqual([attempt(7), attempt(6)], [undefined, 'AncientBirthBlock'])
  })

  it('spends the nonce of a refused operation, but remembers nothing of strangers', () => {
    const chain = new StateByHand([0n]).blocks()
    const refused = chain.attempt('h0', stake(0n))
    assert.equal(refused.refusal?.reason, 'AmountTooLow')
    assert.deepEqual({ ...refused.state, nonces: chain.state.nonces }, chain.state)
    assert.equal(nonceOf(refused.state, 'h0'), 1)
    const stranger = chain.attempt('stranger', stake(1n))
    assert.equal(stranger.refusal?.reason, 'HotKeyAccountNotExists')
    assert.equal(stranger.state, chain.state)
  })

  it('stays the same value while nothing happens', () => {
    const chain = new StateByHand([0n], { minBurnRao: 1_000_000_000n }).blocks()
    const { state } = chain
    assert.equal(chain.blocks(3).state, state)
  })

  it('has a root over everything in it', () => {
    const chain = new StateByHand([1n]).blocks()
    const pay: Call = { kind: 'faucetPay', amountRao: 5n }
    const others = [
      chain.attempt('h0', stake(1n)).state,
      chain.attempt('h0', commit(1)).state,
      chain.attempt('x', join).state,
      chain.attempt('c0', pay).state,
      chain.attempt('h0', stake(0n)).state,
      chain.attempt('h0', { kind: 'serve', netuid: 1, ip: Uint8Array.of(1, 2, 3, 4), port: 5 }).state,
      chain.attempt('h0', { kind: 'commitWeights', netuid: 1, hash: new Uint8Array(32) }).state,
    ]
    const roots = [chain.state, ...others].map((each) => Buffer.from(stateRoot(each)).toString('hex'))
    assert.equal(new Set(roots).size, roots.length)
    const spec = specOf([1n])
    assert.deepEqual(stateRoot(genesisState(spec)), stateRoot(genesisState(spec)))
  })
})
