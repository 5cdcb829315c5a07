import assert from 'node:assert/strict'
import type { OwnerParameter } from '../../../../src/chain/chain.js'
import { subnetCostRao } from '../../../../src/chain/devchain/ownership.js'
import type { ParameterValue } from '../../../../src/chain/devchain/parameters.js'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { hyperparametersOf, subnetInfoOf } from '../../../../src/chain/devchain/views.js'
import { StateByHand } from '../../../kit/devchain-state.js'

const TAO = 1_000_000_000n
const TEMPO = 72

const pay = (amountRao: bigint): Call => ({ kind: 'faucetPay', amountRao })
const create = (hotkey: string): Call => ({ kind: 'registerSubnet', hotkey })
const start = (netuid = 2): Call => ({ kind: 'startSubnet', netuid })
const set = (name: OwnerParameter, value: ParameterValue): Call => ({
  kind: 'setParameter',
  netuid: 2,
  name,
  value,
})

function owned(): StateByHand {
  return new StateByHand([0n], {}, { tempo: TEMPO }).blocks().run('rich', pay(9_000n * TAO), create('own'))
}

describe('devchain: subnets', () => {
  it('creates one under the lowest free netuid, with the owner’s hotkey as its first uid', () => {
    const chain = owned()
    assert.deepEqual([...chain.state.subnets.keys()], [1, 2])
    assert.deepEqual(subnetInfoOf(chain.subnet(2)), {
      netuid: 2,
      ownerColdkey: 'rich',
      ownerHotkey: 'own',
      registeredAtBlock: 1,
      started: false,
      startAllowedAtBlock: 1 + TEMPO,
      identity: undefined,
    })
    assert.deepEqual(
      chain.subnet(2).neurons.map(({ hotkey }) => hotkey),
      ['own'],
    )
    const { commitRevealEnabled, yuma3Enabled, maxAllowedUids } = hyperparametersOf(chain.subnet(2))
    assert.deepEqual([commitRevealEnabled, yuma3Enabled, maxAllowedUids], [true, true, 256])
  })

  it('costs twice the last one, falling to the minimum', () => {
    const chain = new StateByHand([], {}, { tempo: TEMPO }).blocks()
    assert.equal(subnetCostRao(chain.state, 1), 1_000n * TAO)
    chain.run('rich', pay(9_000n * TAO), create('a'))
    assert.equal(chain.state.balances.get('rich'), 8_000n * TAO)
    assert.equal(subnetCostRao(chain.state, 1), 2_000n * TAO)
    const half = 1 + 140 * TEMPO
    assert.ok(Math.abs(Number(subnetCostRao(chain.state, half) - 1_500n * TAO)) < 1e6)
    assert.equal(subnetCostRao(chain.state, 1 + 281 * TEMPO), 1_000n * TAO)
  })

  it('refuses another’s hotkey, a poor coldkey, and more subnets than there may be', () => {
    const chain = new StateByHand([0n]).blocks().run('rich', pay(5n))
    assert.equal(chain.refusal('rich', create('h0'))?.reason, 'NonAssociatedColdKey')
    assert.equal(chain.refusal('rich', create('own'))?.reason, 'CannotAffordLockCost')
    const subnet = chain.subnet()
    chain.state = { ...chain.state, subnets: new Map(Array.from({ length: 128 }, (_, i) => [i + 1, subnet])) }
    assert.equal(chain.refusal('rich', create('own'))?.reason, 'SubnetLimitReached')
  })

  it('is started by its owner once, an epoch later at the earliest, and emits from then on', () => {
    const chain = owned()
    assert.equal(chain.refusal('rich', start(9))?.reason, 'SubnetNotExists')
    assert.equal(chain.refusal('x', start())?.reason, 'BadOrigin')
    assert.deepEqual(chain.refusal('rich', start()), {
      reason: 'NeedWaitingMoreBlocksToStarCall',
      block: 1 + TEMPO,
    })
    chain.untilBlock(1 + TEMPO).run('rich', start())
    assert.equal(chain.refusal('rich', start())?.reason, 'FirstEmissionBlockNumberAlreadySet')
    assert.equal(chain.subnet(2).emittedRao, 0n)
    assert.ok(chain.blocks(2 * TEMPO).subnet(2).emittedRao > 0n)
  })

  it('steps its epochs at blocks of its own', () => {
    const chain = owned()
    const steps: number[] = []
    for (let i = 0; i < 2 * TEMPO; i += 1) {
      if (chain.blocks().subnet(2).lastEpochBlock === chain.block) steps.push(chain.block)
    }
    assert.deepEqual(steps, [TEMPO, 2 * TEMPO])
    const later = new StateByHand([], {}, { tempo: TEMPO })
      .blocks(10)
      .run('rich', pay(9_000n * TAO), create('a'))
    assert.equal(later.subnet(2).lastEpochBlock, 8)
  })

  it('has the identity its owner gave it', () => {
    const chain = owned()
    const identity = { name: 'n', repository: 'r', contact: 'c', url: 'u', description: 'd' }
    const call = (fields = {}): Call => ({
      kind: 'setIdentity',
      netuid: 2,
      identity: { ...identity, ...fields },
    })
    assert.equal(chain.refusal('x', call())?.reason, 'NotSubnetOwner')
    assert.equal(chain.refusal('rich', call({ name: 'é'.repeat(129) }))?.reason, 'InvalidIdentity')
    assert.deepEqual(subnetInfoOf(chain.run('rich', call()).subnet(2)).identity, identity)
  })
})

describe('devchain: parameters', () => {
  it('are changed by the owner, each once in two epochs, and not in an epoch’s last blocks', () => {
    const chain = owned()
    assert.equal(chain.refusal('x', set('minAllowedWeights', 3))?.reason, 'BadOrigin')
    chain.run('rich', set('minAllowedWeights', 3), set('commitRevealEnabled', false))
    assert.equal(hyperparametersOf(chain.subnet(2)).minAllowedWeights, 3)
    assert.equal(hyperparametersOf(chain.subnet(2)).commitRevealEnabled, false)
    assert.equal(hyperparametersOf(chain.subnet(1)).minAllowedWeights, 1)
    const tooSoon = { reason: 'TxRateLimitExceeded', block: 1 + 2 * TEMPO }
    assert.deepEqual(chain.refusal('rich', set('minAllowedWeights', 4)), tooSoon)
    chain.untilBlock(TEMPO - 2)
    assert.equal(chain.refusal('rich', set('bondsPenalty', 1)), undefined)
    const frozen = { reason: 'AdminActionProhibitedDuringWeightsWindow', block: TEMPO }
    assert.deepEqual(chain.blocks().refusal('rich', set('bondsPenalty', 1)), frozen)
    assert.equal(chain.untilBlock(1 + 2 * TEMPO).refusal('rich', set('minAllowedWeights', 4)), undefined)
  })

  it('have bounds, and some are the root’s alone', () => {
    const chain = owned()
    const wrong: ReadonlyArray<readonly [OwnerParameter, ParameterValue, string]> = [
      ['kappa', 5, 'BadOrigin'],
      ['weightsRateLimitBlocks', 5, 'BadOrigin'],
      ['maxAllowedValidators', 5, 'BadOrigin'],
      ['registrationAllowed', false, 'BadOrigin'],
      ['maxWeightsLimit', 5, 'BadOrigin'],
      ['immunityPeriodBlocks', 65_536, 'ValueNotInBounds'],
      ['minAllowedWeights', 1n, 'ValueNotInBounds'],
      ['yuma3Enabled', 1, 'ValueNotInBounds'],
      ['weightsVersion', 1, 'ValueNotInBounds'],
      ['activityCutoffBlocks', TEMPO - 1, 'ActivityCutoffTooLow'],
      ['revealPeriodEpochs', 0, 'RevealPeriodTooSmall'],
      ['revealPeriodEpochs', 101, 'RevealPeriodTooLarge'],
      ['bondsMovingAverage', 975_001, 'BondsMovingAverageMaxReached'],
      ['alphaSigmoidSteepness', 32_768, 'ValueNotInBounds'],
      ['alphaLow', 2_000, 'LiquidAlphaDisabled'],
      ['alphaHigh', 60_000, 'LiquidAlphaDisabled'],
      ['minBurnRao', TAO, 'ValueNotInBounds'],
      ['maxBurnRao', TAO / 10n, 'ValueNotInBounds'],
    ]
    for (const [name, value, reason] of wrong) {
      assert.equal(chain.refusal('rich', set(name, value))?.reason, reason, name)
    }
    chain.run('rich', set('liquidAlphaEnabled', true))
    assert.equal(chain.refusal('rich', set('alphaHigh', 1_637))?.reason, 'AlphaHighTooLow')
    assert.equal(chain.refusal('rich', set('alphaLow', 58_983))?.reason, 'AlphaLowOutOfRange')
    chain.run(
      'rich',
      set('alphaLow', 1_638),
      set('alphaHigh', 65_535),
      set('maxBurnRao', TAO),
      set('minBurnRao', 5n),
    )
    assert.equal(hyperparametersOf(chain.subnet(2)).minBurnRao, 5n)
  })
})
