import assert from 'node:assert/strict'
import { RpcRefusal } from '../../../../src/chain/subtensor/node-socket.js'
import {
  reasonOf,
  refusedBefore,
  refusedByPool,
  refusedInBlock,
  withBlock,
} from '../../../../src/chain/subtensor/refusals.js'

const pool = (code: number, detail: string, call = 'serve_axon') =>
  refusedByPool(new RpcRefusal(code, 'Invalid Transaction', detail), call)

describe('refusals of a subtensor node', () => {
  const custom: readonly (readonly [code: number, call: string, reason: string])[] = [
    [1, 'set_weights', 'NotEnoughStakeToSetWeights'],
    [1, 'add_stake', 'AmountTooLow'],
    [6, 'set_weights', 'SettingWeightsTooFast'],
    [6, 'commit_weights', 'CommittingWeightsTooFast'],
    [6, 'register_network', 'NetworkTxRateLimitExceeded'],
    [6, 'other', 'RateLimitExceeded'],
    [10, 'serve_axon', 'HotKeyNotRegisteredInNetwork'],
    [11, 'serve_axon', 'InvalidIpAddress'],
    [12, 'serve_axon', 'ServingRateLimitExceeded'],
    [13, 'serve_axon', 'InvalidPort'],
    [16, 'reveal_weights', 'NoWeightsCommitFound'],
    [17, 'reveal_weights', 'RevealTooEarly'],
    [18, 'set_weights', 'InputLengthsUnequal'],
    [19, 'set_weights', 'HotKeyNotRegisteredInSubNet'],
    [200, 'set_weights', 'Custom200'],
  ]
  for (const [code, call, reason] of custom) {
    it(`names custom error ${code} of ${call}: ${reason}`, () => {
      assert.deepEqual(pool(1010, `Custom error: ${code}`, call)?.data, { kind: 'pool', reason, code })
    })
  }

  it('names what the node says in words', () => {
    const words: readonly (readonly [string, string])[] = [
      ['Transaction is outdated', 'Stale'],
      ['Transaction has a bad signature', 'BadProof'],
      ['Transaction has an ancient birth block', 'AncientBirthBlock'],
      ['Inability to pay some fees (e.g. account balance too low)', 'Payment'],
      ['Transaction will be valid in the future', 'Future'],
      ['something new', 'InvalidTransaction'],
    ]
    for (const [text, reason] of words) {
      assert.deepEqual(pool(1010, text)?.data, { kind: 'pool', reason, code: 1010 })
      assert.ok(pool(1010, text)?.message.includes(text))
    }
    assert.equal(reasonOf(pool(1016, '')), 'ImmediatelyDropped')
  })

  it('leaves open what may be in the pool already', () => {
    for (const code of [1012, 1013, 1014]) assert.equal(pool(code, ''), undefined)
  })

  it('says what to do, and from which block on a call will do', () => {
    const refusal = refusedInBlock('NeuronNoValidatorPermit', 'set_weights', 9)
    assert.match(refusal.message, /set_weights failed in block 9: NeuronNoValidatorPermit; .*add stake/)
    assert.deepEqual(withBlock(refusal, 20).data, {
      kind: 'dispatch',
      reason: 'NeuronNoValidatorPermit',
      block: 20,
    })
    assert.deepEqual(refusedBefore('X', 'text', 5).data, { kind: 'precondition', reason: 'X', block: 5 })
    assert.equal(reasonOf(new Error('x')), undefined)
  })

  it('knows when it is told to slow down', () => {
    assert.ok(new RpcRefusal(429, '', '').isRateLimit)
    assert.ok(new RpcRefusal(-32_000, 'Rate limit exceeded', '').isRateLimit)
    assert.ok(!new RpcRefusal(1010, 'Invalid Transaction', 'Custom error: 6').isRateLimit)
  })
})
