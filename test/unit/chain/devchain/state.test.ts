import assert from 'node:assert/strict'
import {
  type GenesisSpec,
  SUPPLY_RAO,
  UIDS_MAX,
  VALIDATORS_MAX,
} from '../../../../src/chain/devchain/genesis.js'
import {
  applyOperation,
  type Call,
  type DevchainState,
  genesisState,
  metagraphOf,
  nonceOf,
  onBlock,
  recordsOf,
  stateRoot,
} from '../../../../src/chain/devchain/state.js'
import { encodeEndpoint } from '../../../../src/chain/record.js'
import { testRecord } from '../../../kit/chain-keys.js'

const TEMPO = 5
const spec = (stakes: readonly bigint[]): GenesisSpec => ({
  name: 'test',
  netuid: 1,
  blockMs: 1_000,
  tempo: TEMPO,
  neurons: stakes.map((stakeRao, i) => ({ hotkey: `h${i}`, coldkey: `c${i}`, stakeRao })),
})

describe('devchain state', () => {
  /** Runs calls of one hotkey in one block, with the nonces they need, expecting each to go through. */
  function run(state: DevchainState, hotkey: string, block: number, ...calls: Call[]): DevchainState {
    return calls.reduce((before, call) => {
      const { state: after, refusal } = attempt(before, hotkey, block, call)
      assert.equal(refusal, undefined)
      return after
    }, state)
  }
  function attempt(state: DevchainState, hotkey: string, block: number, call: Call, fields = {}) {
    const nonce = nonceOf(state, hotkey)
    return applyOperation(state, { hotkey, nonce, expiresBlock: block + 10, call, ...fields }, block)
  }
  const stake = (amountRao: bigint): Call => ({ kind: 'addStake', amountRao })
  const register: Call = { kind: 'register', coldkey: 'c' }
  const commit = (number: number): Call => ({ kind: 'commit', endpoint: encodeEndpoint(testRecord(number)) })
  const permits = (state: DevchainState) =>
    state.neurons.flatMap((neuron, uid) => (neuron.validatorPermit ? [uid] : []))

  it('starts with the neurons of the genesis, permits by their stake', () => {
    const state = genesisState(spec([5n, 0n, 1n]))
    assert.deepEqual(permits(state), [0, 2])
    assert.equal(state.faucetRao, SUPPLY_RAO - 6n)
    assert.equal(metagraphOf(state, 0).neurons[1]?.hotkey, 'h1')
  })

  it('permits the 64 largest stakes, of equal ones those with the higher uid', () => {
    const stakes = Array.from({ length: 70 }, () => 1n)
    stakes[0] = 9n
    const state = genesisState(spec(stakes))
    const expected = [
      0,
      ...Array.from({ length: VALIDATORS_MAX - 1 }, (_, i) => 70 - (VALIDATORS_MAX - 1) + i),
    ]
    assert.deepEqual(permits(state), expected)
  })

  it('changes permits at an epoch boundary only', () => {
    let state = run(genesisState(spec([0n])), 'h0', 1, stake(1n))
    for (let block = 2; block < TEMPO; block += 1) state = onBlock(state, block)
    assert.deepEqual(permits(state), [])
    assert.deepEqual(permits(onBlock(state, TEMPO)), [0])
  })

  it('takes a permit away when stake no longer suffices', () => {
    const state = genesisState(spec(Array.from({ length: VALIDATORS_MAX }, () => 2n)))
    const grown = run(run(state, 'new', 1, register), 'new', 1, stake(3n))
    assert.deepEqual(permits(onBlock(grown, TEMPO)), [...permits(state).slice(1), VALIDATORS_MAX])
  })

  it('has room for 256 uids', () => {
    let state = genesisState(spec(Array.from({ length: UIDS_MAX - 1 }, () => 0n)))
    state = run(state, 'last', 3, register)
    assert.equal(metagraphOf(state, 3).neurons.at(-1)?.registeredAtBlock, 3)
    assert.equal(attempt(state, 'one more', 3, register).refusal, 'NoNeuronIdAvailable')
    assert.equal(attempt(state, 'last', 3, register).refusal, 'HotKeyAlreadyRegisteredInSubNet')
  })

  it('moves stake out of a faucet that runs dry', () => {
    const state = run(genesisState(spec([1n])), 'h0', 1, stake(SUPPLY_RAO - 2n))
    assert.equal(state.faucetRao, 1n)
    assert.equal(attempt(state, 'h0', 1, stake(2n)).refusal, 'NotEnoughBalanceToStake')
    assert.equal(run(state, 'h0', 1, stake(1n)).faucetRao, 0n)
  })

  it('counts a call’s bytes, at least 100, against 3,100 for the hotkey and epoch', () => {
    const long: Call = {
      kind: 'commit',
      endpoint: encodeEndpoint(testRecord(1, `/dns/${'n'.repeat(77)}/tcp/1`)),
    }
    // 25 × 120 bytes, then one more of the smallest kind.
    let state = run(genesisState(spec([0n, 0n])), 'h0', 1, ...Array.from({ length: 25 }, () => long))
    state = run(state, 'h0', TEMPO - 1, commit(2))
    assert.equal(attempt(state, 'h0', TEMPO - 1, commit(3)).refusal, 'SpaceLimitExceeded')
    assert.deepEqual(recordsOf(state).get('h0'), testRecord(2))
    run(state, 'h1', TEMPO - 1, commit(3))
    run(state, 'h0', TEMPO, commit(3))
  })

  it('runs each nonce once and in order', () => {
    const state = run(genesisState(spec([0n])), 'h0', 1, stake(1n))
    assert.equal(attempt(state, 'h0', 1, stake(1n), { nonce: 0 }).refusal, 'Stale')
    assert.equal(attempt(state, 'h0', 1, stake(1n), { nonce: 2 }).refusal, 'Future')
    assert.equal(attempt(state, 'h0', 1, stake(1n), { nonce: 1 }).refusal, undefined)
  })

  it('runs nothing after its last block', () => {
    const state = genesisState(spec([0n]))
    assert.equal(attempt(state, 'h0', 7, stake(1n), { expiresBlock: 7 }).refusal, undefined)
    assert.equal(attempt(state, 'h0', 8, stake(1n), { expiresBlock: 7 }).refusal, 'AncientBirthBlock')
  })

  it('spends the nonce of a refused operation, but remembers nothing of strangers', () => {
    const state = genesisState(spec([0n]))
    const refused = attempt(state, 'h0', 1, stake(0n))
    assert.equal(refused.refusal, 'AmountTooLow')
    assert.deepEqual({ ...refused.state, nonces: state.nonces }, state)
    assert.equal(nonceOf(refused.state, 'h0'), 1)
    const stranger = attempt(state, 'stranger', 1, stake(1n))
    assert.equal(stranger.refusal, 'HotKeyAccountNotExists')
    assert.equal(stranger.state, state)
  })

  it('has a root over everything in it', () => {
    const state = genesisState(spec([1n]))
    const others = [
      run(state, 'h0', 1, stake(1n)),
      run(state, 'h0', 1, commit(1)),
      run(state, 'x', 1, register),
      attempt(state, 'h0', 1, stake(0n)).state,
    ]
    const roots = [state, ...others].map((each) => Buffer.from(stateRoot(each)).toString('hex'))
    assert.equal(new Set(roots).size, roots.length)
    assert.deepEqual(stateRoot(genesisState(spec([1n]))), stateRoot(state))
  })
})
