import assert from 'node:assert/strict'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { stateRoot } from '../../../../src/chain/devchain/state.js'
import { decodeValue, encodeValue } from '../../../../src/chain/devchain/store-codec.js'
import { stakeOf, uidOf } from '../../../../src/chain/devchain/subnet.js'
import { SWAP_COST_RAO } from '../../../../src/chain/devchain/swap.js'
import { StateByHand } from '../../../kit/devchain-state.js'

const pay = (amountRao: bigint): Call => ({ kind: 'faucetPay', amountRao })
const swap = (hotkey: string, newHotkey: string): Call => ({ kind: 'swapHotkey', hotkey, newHotkey })
const record: Call = { kind: 'commit', netuid: 1, endpoint: Uint8Array.of(1) }

/** `h0` and `h1` with stake and a permit, `c0` with what two swaps cost. */
const staked = () =>
  new StateByHand([7n, 5n], { commitRevealEnabled: false }, { tempo: 36 })
    .blocks()
    .run('c0', pay(2n * SWAP_COST_RAO))

describe('devchain: swapping a hotkey', () => {
  it('gives uid, permit, weights and stake to the new one, and leaves its record behind', () => {
    const chain = staked().run('h0', record).blocks(12)
    chain.run('h0', { kind: 'setWeights', netuid: 1, uids: [1], values: [5], versionKey: 0n })
    const before = chain.subnet().neurons[0]
    chain.run('c0', swap('h0', 'h9'))
    const subnet = chain.subnet()
    assert.deepEqual([uidOf(subnet, 'h0'), uidOf(subnet, 'h9')], [undefined, 0])
    const nothing = { endpoint: null, spaceEpoch: 0, spaceUsedBytes: 0 }
    assert.deepEqual(subnet.neurons[0], { ...before, ...nothing, hotkey: 'h9' })
    assert.deepEqual([before?.validatorPermit, before?.weights.length], [true, 1])
    assert.deepEqual([stakeOf(subnet, 'h0'), stakeOf(subnet, 'h9')], [0n, 7n])
    assert.deepEqual([chain.state.owners.get('h0'), chain.state.owners.get('h9')], [undefined, 'c0'])
    assert.equal(chain.state.balances.get('c0'), SWAP_COST_RAO)
    assert.equal(chain.state.recycledRao, SWAP_COST_RAO)
  })

  it('takes from the old one what it might do', () => {
    const chain = staked().run('c0', swap('h0', 'h9')).blocks(12)
    const weights = { netuid: 1, uids: [1], values: [5], versionKey: 0n }
    assert.equal(
      chain.refusal('h0', { kind: 'setWeights', ...weights })?.reason,
      'HotKeyNotRegisteredInSubNet',
    )
    assert.equal(chain.refusal('h0', record)?.reason, 'AccountNotAllowedCommit')
    chain.run('h9', record, { kind: 'setWeights', ...weights })
  })

  it('makes the new one the owner’s hotkey of a subnet that the old one was', () => {
    const owner = { coldkey: 'c0', hotkey: 'h0' }
    const chain = new StateByHand([7n], {}, { owner }).blocks().run('c0', pay(SWAP_COST_RAO))
    chain.run('c0', swap('h0', 'h9'))
    assert.deepEqual(chain.subnet().owner, { coldkey: 'c0', hotkey: 'h9' })
  })

  it('refuses another’s hotkey, the same one, one that is registered, haste, and who cannot pay, in the runtime’s order', () => {
    const chain = staked()
    const reason = (signer: string, call: Call) => chain.refusal(signer, call)
    assert.equal(reason('c1', swap('h0', 'h0'))?.reason, 'NonAssociatedColdKey')
    assert.equal(reason('c0', swap('h0', 'h0'))?.reason, 'NewHotKeyIsSameWithOld')
    assert.equal(reason('c0', swap('h0', 'h1'))?.reason, 'HotKeyAlreadyRegisteredInSubNet')
    assert.equal(reason('c1', swap('h1', 'h9'))?.reason, 'NotEnoughBalanceToPaySwapHotKey')
    chain.run('c0', swap('h0', 'h9'))
    // 1,000 blocks of a tempo of 360 are 100 of one of 36.
    const tooSoon = { reason: 'HotKeySetTxRateLimitExceeded', block: chain.block + 101 }
    assert.deepEqual(reason('c0', swap('h9', 'h1')), tooSoon)
    chain.blocks(100)
    assert.deepEqual(reason('c0', swap('h9', 'h0')), tooSoon)
    chain.blocks().run('c0', swap('h9', 'h0'))
  })

  it('is in the state’s root, also when it comes back from the disk', () => {
    const chain = staked()
    const before = stateRoot(chain.state)
    chain.run('c0', swap('h0', 'h9'))
    const after = stateRoot(chain.state)
    assert.notDeepEqual(after, before)
    assert.deepEqual(stateRoot(decodeValue(encodeValue(chain.state)) as typeof chain.state), after)
  })
})
