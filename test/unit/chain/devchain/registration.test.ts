import assert from 'node:assert/strict'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { StateByHand } from '../../../kit/devchain-state.js'

const TAO = 1_000_000_000n

const pay = (amountRao: bigint): Call => ({ kind: 'faucetPay', amountRao })
const register = (hotkey: string, limitRao = 1_000n * TAO): Call => ({
  kind: 'burnedRegister',
  netuid: 1,
  hotkey,
  limitRao,
})
const join: Call = { kind: 'join', netuid: 1, coldkey: 'c' }

describe('devchain: registration', () => {
  it('burns what it costs, from the coldkey’s balance', () => {
    const chain = new StateByHand([]).blocks().run('rich', pay(3n * TAO))
    const { burnRao } = chain.subnet()
    chain.run('rich', register('a'))
    assert.equal(chain.state.balances.get('rich'), 3n * TAO - burnRao)
    assert.equal(chain.state.recycledRao, burnRao)
    assert.deepEqual(
      chain.subnet().neurons.map(({ hotkey, coldkey }) => [hotkey, coldkey]),
      [['a', 'rich']],
    )
  })

  it('costs 26 % more after each, up to the maximum, and half as much after 360 blocks, down to the minimum', () => {
    const chain = new StateByHand([], { maxBurnRao: 2n * TAO, minBurnRao: TAO / 5n }, { tempo: 1_000 })
    chain.run('rich', pay(100n * TAO))
    assert.equal(chain.subnet().burnRao, TAO)
    chain.run('rich', register('a'))
    assert.equal(chain.subnet().burnRao, (TAO * 126n) / 100n)
    for (const hotkey of 'bcde') chain.run('rich', register(hotkey))
    assert.equal(chain.subnet().burnRao, 2n * TAO)
    const left = () => Number(chain.subnet().burnRao) / Number(TAO)
    assert.ok(Math.abs(chain.blocks(360) && left() - 1) < 1e-6, `${left()}`)
    assert.ok(Math.abs(chain.blocks(360) && left() - 0.5) < 1e-6)
    assert.equal(chain.blocks(720).subnet().burnRao, TAO / 5n)
  })

  it('refuses, in order: no subnet, a burn above the limit, registrations off, registered, too poor, another’s hotkey', () => {
    const chain = new StateByHand([0n]).blocks().run('rich', pay(50n * TAO))
    const reason = (signer: string, call: Call, on = chain) => on.refusal(signer, call)?.reason
    const nowhere = { ...register('h0'), netuid: 9 } as Call
    assert.equal(reason('poor', nowhere), 'SubnetNotExists')
    assert.equal(reason('poor', register('h0', 5n)), 'RegistrationPriceLimitExceeded')
    const closed = new StateByHand([0n], { registrationAllowed: false }).blocks()
    assert.equal(reason('poor', register('h0'), closed), 'SubNetRegistrationDisabled')
    assert.equal(reason('poor', register('h0')), 'HotKeyAlreadyRegisteredInSubNet')
    assert.equal(reason('poor', register('new')), 'NotEnoughBalanceToStake')
    const two = new StateByHand([0n], { maxAllowedUids: 1, immunityPeriodBlocks: 0, minNonImmuneUids: 0 })
    two
      .blocks()
      .run('rich', pay(50n * TAO))
      .run('rich', register('mine'))
    assert.equal(reason('rich', register('h0'), two), 'NonAssociatedColdKey')
  })
})

describe('devchain: pruning', () => {
  const hotkeys = (chain: StateByHand) => chain.subnet().neurons.map(({ hotkey }) => hotkey)

  it('prunes the lowest emission outside immunity, of equal ones who came first', () => {
    // h0 and h1 validate and earn; h2 and h3 do not.
    const chain = new StateByHand([5n, 5n, 0n, 0n], {
      maxAllowedUids: 4,
      immunityPeriodBlocks: 6,
      minNonImmuneUids: 0,
    })
    chain.untilBlock(6).run('new', join)
    assert.deepEqual(hotkeys(chain), ['h0', 'h1', 'new', 'h3'])
    chain.run('newer', join)
    assert.deepEqual(hotkeys(chain), ['h0', 'h1', 'new', 'newer'])
    // Those are immune now, so whoever earns is next.
    chain.run('newest', join)
    assert.deepEqual(hotkeys(chain), ['newest', 'h1', 'new', 'newer'])
  })

  it('prunes the immune while nobody else is left, but never the owner', () => {
    const owner = { hotkey: 'h0', coldkey: 'c0' }
    const chain = new StateByHand([0n, 0n], { maxAllowedUids: 2 }, { owner }).blocks().run('new', join)
    assert.deepEqual(hotkeys(chain), ['h0', 'new'])
  })

  it('leaves so many outside immunity as the subnet keeps', () => {
    const chain = new StateByHand([0n, 0n], {
      maxAllowedUids: 2,
      immunityPeriodBlocks: 0,
      minNonImmuneUids: 2,
    }).blocks()
    assert.equal(chain.refusal('new', join)?.reason, 'NoNeuronIdAvailable')
  })

  it('gives the uid empty: no weights of it or for it, no axon, no permit; the stake stays with its hotkey', () => {
    const parameters = {
      maxAllowedUids: 2,
      immunityPeriodBlocks: 3,
      minNonImmuneUids: 0,
      commitRevealEnabled: false,
    }
    const chain = new StateByHand([0n, 9n], parameters).blocks()
    const weights: Call = { kind: 'setWeights', netuid: 1, uids: [0, 1], values: [1, 1], versionKey: 0n }
    chain.run('h1', weights).run('h0', { kind: 'serve', netuid: 1, ip: Uint8Array.of(1, 1, 1, 1), port: 1 })
    chain.run('h0', { kind: 'faucetStake', netuid: 1, amountRao: 2n }).untilBlock(4).run('new', join)
    const [neuron, other] = chain.subnet().neurons
    assert.deepEqual(
      [neuron?.hotkey, neuron?.axon, neuron?.validatorPermit, neuron?.lastUpdateBlock],
      ['new', null, false, 4],
    )
    assert.deepEqual(other?.weights, [
      [0, 0],
      [1, 65_535],
    ])
    assert.equal(chain.subnet().stakes.get('h0')?.get('c0'), 2n)
    assert.equal(chain.state.owners.get('h0'), 'c0')
  })
})

describe('devchain: balances and stake', () => {
  const stake = (hotkey: string, amountRao: bigint): Call => ({ kind: 'stake', netuid: 1, hotkey, amountRao })

  it('lets any coldkey stake for any hotkey that was registered once', () => {
    const chain = new StateByHand([5n]).blocks().run('rich', pay(TAO), stake('h0', TAO / 2n))
    assert.equal(chain.state.balances.get('rich'), TAO / 2n)
    assert.deepEqual(
      chain.subnet().stakes.get('h0'),
      new Map([
        ['c0', 5n],
        ['rich', TAO / 2n],
      ]),
    )
  })

  it('refuses, in order: no subnet, one not started, too little, more than there is, a hotkey nobody knows', () => {
    const chain = new StateByHand([5n])
      .blocks()
      .run('rich', pay(2_000n * TAO), { kind: 'registerSubnet', hotkey: 'own' })
    const reason = (call: Call) => chain.refusal('rich', call)?.reason
    assert.equal(reason({ ...stake('h0', 1n), netuid: 9 } as Call), 'SubnetNotExists')
    assert.equal(reason({ ...stake('h0', 1n), netuid: 2 } as Call), 'SubtokenDisabled')
    assert.equal(reason(stake('nobody', 1_999_999n)), 'AmountTooLow')
    assert.equal(reason(stake('nobody', 5_000n * TAO)), 'NotEnoughBalanceToStake')
    assert.equal(reason(stake('nobody', TAO)), 'HotKeyAccountNotExists')
    assert.equal(chain.refusal('x', pay(0n))?.reason, 'AmountTooLow')
    assert.equal(chain.refusal('x', pay(2n ** 63n))?.reason, 'NotEnoughBalanceToStake')
  })
})
