import assert from 'node:assert/strict'
import type { ParameterOverrides } from '../../../../src/chain/devchain/parameters.js'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { upscaled } from '../../../../src/chain/devchain/weights.js'
import { weightsCommitHash } from '../../../../src/chain/weights-commit.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { StateByHand } from '../../../kit/devchain-state.js'

const PLAIN: ParameterOverrides = { commitRevealEnabled: false, weightsRateLimitBlocks: 3 }

interface WeightsFields {
  readonly uids?: readonly number[]
  readonly values?: readonly number[]
  readonly versionKey?: bigint
}

function set({ uids = [1, 2], values = uids.map(() => 1), versionKey = 0n }: WeightsFields = {}): Call {
  return { kind: 'setWeights', netuid: 1, uids, values, versionKey }
}

describe('devchain: plain weights', () => {
  /**
   * Every refusal with a call and parameters for which all the later ones hold too, so that each shows that it comes
   * before them. h0 has stake and a permit, h1 has neither, uid 3 does not exist.
   */
  const many = { uids: [0, 0, 9, 9, 9], values: [1, 1, 1, 1, 1] }
  const steps: ReadonlyArray<{
    readonly reason: string
    readonly signer: string
    readonly call: Call
    readonly parameters?: ParameterOverrides
  }> = [
    {
      reason: 'CommitRevealEnabled',
      signer: 'x',
      call: set({ ...many, values: [1] }),
      parameters: { commitRevealEnabled: true },
    },
    { reason: 'WeightVecNotEqualSize', signer: 'x', call: set({ ...many, values: [1] }) },
    { reason: 'UidsLengthExceedUidsInSubNet', signer: 'x', call: set(many) },
    { reason: 'HotKeyNotRegisteredInSubNet', signer: 'x', call: set({ uids: [0, 0, 9] }) },
    {
      reason: 'NotEnoughStakeToSetWeights',
      signer: 'h1',
      call: set({ uids: [0, 0, 9] }),
      parameters: { stakeThresholdRao: 5n },
    },
    {
      reason: 'IncorrectWeightVersionKey',
      signer: 'h1',
      call: set({ uids: [0, 0, 9] }),
      parameters: { weightsVersion: 2n },
    },
    { reason: 'SettingWeightsTooFast', signer: 'late', call: set({ uids: [0, 0, 9] }) },
    { reason: 'NeuronNoValidatorPermit', signer: 'h1', call: set({ uids: [0, 0, 9] }) },
    {
      reason: 'DuplicateUids',
      signer: 'h0',
      call: set({ uids: [9, 9] }),
      parameters: { minAllowedWeights: 4 },
    },
    {
      reason: 'UidVecContainInvalidOne',
      signer: 'h0',
      call: set({ uids: [9] }),
      parameters: { minAllowedWeights: 2 },
    },
    {
      reason: 'WeightVecLengthIsLow',
      signer: 'h0',
      call: set({ uids: [1] }),
      parameters: { minAllowedWeights: 2, maxWeightsLimit: 9 },
    },
    {
      reason: 'MaxWeightExceeded',
      signer: 'h0',
      call: set({ uids: [1, 2] }),
      parameters: { maxWeightsLimit: 32_000 },
    },
  ]
  for (const { reason, signer, call, parameters } of steps) {
    it(`refuses with ${reason} before anything that follows it`, () => {
      const chain = new StateByHand([10n, 0n, 0n], { ...PLAIN, ...parameters }).blocks()
      if (signer === 'late') chain.run('late', { kind: 'join', netuid: 1, coldkey: 'c' })
      assert.equal(chain.refusal(signer, call)?.reason, reason)
    })
  }

  it('keeps the weights, the largest as 65,535, uids ascending', () => {
    const chain = new StateByHand([10n, 0n, 0n], PLAIN).blocks()
    chain.run('h0', set({ uids: [2, 1], values: [20, 5] }))
    assert.deepEqual(chain.subnet().neurons[0]?.weights, [
      [1, 16_384],
      [2, 65_535],
    ])
    assert.equal(chain.subnet().neurons[0]?.lastUpdateBlock, 1)
    assert.deepEqual(upscaled([0, 0]), [0, 0])
    assert.deepEqual(upscaled([65_535, 32_768, 1]), [65_535, 32_768, 1])
  })

  it('takes weights again only after the rate limit, and names the block', () => {
    const chain = new StateByHand([10n, 0n, 0n], PLAIN).blocks().run('h0', set()).blocks(2)
    assert.deepEqual(chain.refusal('h0', set()), { reason: 'SettingWeightsTooFast', block: 4 })
    chain.blocks().run('h0', set())
  })

  it('counts a registration as setting weights', () => {
    const chain = new StateByHand([10n], PLAIN).blocks()
    chain.run('new', { kind: 'join', netuid: 1, coldkey: 'c' }).blocks(2)
    assert.deepEqual(chain.refusal('new', set({ uids: [1] })), { reason: 'SettingWeightsTooFast', block: 4 })
    chain.blocks().run('new', set({ uids: [1] }))
  })

  it('needs no permit for a weight of oneself alone, nor for the owner, and names the epoch for others', () => {
    const owner = { hotkey: 'h2', coldkey: 'c2' }
    const chain = new StateByHand([10n, 0n, 0n], { ...PLAIN, stakeThresholdRao: 0n }, { owner }).blocks()
    chain.run('h1', set({ uids: [1] })).run('h2', set())
    assert.deepEqual(chain.blocks(3).refusal('h1', set()), { reason: 'NeuronNoValidatorPermit', block: 5 })
  })

  it('takes a version key that is not older than the subnet’s', () => {
    const chain = new StateByHand([10n, 0n, 0n], { ...PLAIN, weightsVersion: 7n }).blocks()
    assert.equal(chain.refusal('h0', set({ versionKey: 6n }))?.reason, 'IncorrectWeightVersionKey')
    chain.run('h0', set({ versionKey: 7n }))
  })

  it('refuses what is for commit and reveal', () => {
    const chain = new StateByHand([10n], PLAIN).blocks()
    const commit: Call = { kind: 'commitWeights', netuid: 1, hash: new Uint8Array(32) }
    assert.equal(chain.refusal('h0', commit)?.reason, 'CommitRevealDisabled')
    const reveal: Call = { ...set(), kind: 'revealWeights', salt: [] } as Call
    assert.equal(chain.refusal('h0', reveal)?.reason, 'CommitRevealDisabled')
  })
})

describe('devchain: weights by commit and reveal', () => {
  let hotkey: string
  before(async () => {
    await cryptoReady()
    hotkey = testHotkey(1).address
  })
  const hidden = { uids: [0, 1], values: [3, 4], salt: [9, 9], versionKey: 0n }
  const commitOf = (reveal: typeof hidden): Call => ({
    kind: 'commitWeights',
    netuid: 1,
    hash: weightsCommitHash({ hotkey, netuid: 1, reveal }),
  })
  const revealOf = (reveal: typeof hidden): Call => ({ kind: 'revealWeights', netuid: 1, ...reveal })
  const open = (parameters: ParameterOverrides = {}) => {
    const neurons = [hotkey, 'other'].map((each, i) => ({ hotkey: each, coldkey: `c${i}`, stakeRao: 5n }))
    return new StateByHand([], { weightsRateLimitBlocks: 1, ...parameters }, { neurons }).blocks(2)
  }

  it('takes the reveal in the epoch after the commit, and in no other', () => {
    const chain = open().run(hotkey, commitOf(hidden))
    assert.deepEqual(chain.refusal(hotkey, revealOf(hidden)), { reason: 'RevealTooEarly', block: 5 })
    chain.untilBlock(4)
    assert.equal(chain.refusal(hotkey, revealOf(hidden))?.reason, 'RevealTooEarly')
    chain.untilBlock(9)
    assert.equal(chain.refusal(hotkey, revealOf(hidden)), undefined)
    chain.run(hotkey, revealOf(hidden))
    assert.deepEqual(chain.subnet().neurons[0]?.weights, [
      [0, 49_151],
      [1, 65_535],
    ])
    assert.equal(chain.subnet().neurons[0]?.lastUpdateBlock, 2)
    assert.equal(chain.refusal(hotkey, revealOf(hidden))?.reason, 'NoWeightsCommitFound')
  })

  it('waits as many epochs as the subnet says', () => {
    const chain = open({ revealPeriodEpochs: 3 }).run(hotkey, commitOf(hidden))
    assert.deepEqual(chain.refusal(hotkey, revealOf(hidden)), { reason: 'RevealTooEarly', block: 15 })
    chain.untilBlock(14)
    assert.deepEqual(chain.refusal(hotkey, revealOf(hidden)), { reason: 'RevealTooEarly', block: 15 })
    chain.blocks().run(hotkey, revealOf(hidden))
  })

  it('voids a commit that was not revealed in time', () => {
    const chain = open().run(hotkey, commitOf(hidden)).untilBlock(10)
    assert.equal(chain.refusal(hotkey, revealOf(hidden))?.reason, 'NoWeightsCommitFound')
  })

  it('refuses a reveal that nothing hides, whatever differs', () => {
    const chain = open().run(hotkey, commitOf(hidden)).untilBlock(5)
    const others = [
      { ...hidden, uids: [1, 0] },
      { ...hidden, values: [3, 5] },
      { ...hidden, salt: [9] },
      { ...hidden, versionKey: 1n },
    ]
    for (const other of others) {
      assert.equal(chain.refusal(hotkey, revealOf(other))?.reason, 'InvalidRevealCommitHashNotMatch')
    }
    assert.equal(chain.refusal('other', revealOf(hidden))?.reason, 'NoWeightsCommitFound')
  })

  it('keeps the commit when the revealed weights are refused', () => {
    const wrong = { ...hidden, uids: [0, 9] }
    const chain = open().run(hotkey, commitOf(wrong)).untilBlock(5)
    const { state, refusal } = chain.attempt(hotkey, revealOf(wrong))
    assert.equal(refusal?.reason, 'UidVecContainInvalidOne')
    assert.equal(state.subnets.get(1)?.neurons[0]?.commits.length, 1)
  })

  it('drops older commits with the one that is revealed', () => {
    const second = { ...hidden, salt: [1] }
    const chain = open().run(hotkey, commitOf(hidden)).blocks().run(hotkey, commitOf(second)).untilBlock(5)
    chain.run(hotkey, revealOf(second))
    assert.equal(chain.refusal(hotkey, revealOf(hidden))?.reason, 'NoWeightsCommitFound')
  })

  it('takes ten commits that wait, each after the rate limit, of registered hotkeys with enough stake', () => {
    const chain = open({ revealPeriodEpochs: 9, weightsRateLimitBlocks: 2 }).run(hotkey, commitOf(hidden))
    assert.deepEqual(chain.blocks().refusal(hotkey, commitOf(hidden)), {
      reason: 'CommittingWeightsTooFast',
      block: 4,
    })
    for (let i = 1; i < 10; i += 1)
      chain.untilBlock(2 + 2 * i).run(hotkey, commitOf({ ...hidden, salt: [i] }))
    chain.blocks(2)
    assert.equal(chain.refusal(hotkey, commitOf(hidden))?.reason, 'TooManyUnrevealedCommits')
    assert.equal(chain.refusal('x', commitOf(hidden))?.reason, 'HotKeyNotRegisteredInSubNet')
    const poor = open({ stakeThresholdRao: 6n })
    assert.equal(poor.refusal(hotkey, commitOf(hidden))?.reason, 'NotEnoughStakeToSetWeights')
  })
})
