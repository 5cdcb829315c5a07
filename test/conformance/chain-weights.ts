/** Weights over epochs, on a fresh chain: every refusal in the runtime's order, commit and reveal, what they earn. */
import assert from 'node:assert/strict'
import type { Weights } from '../../src/chain/chain.js'
import type { ParameterOverrides } from '../../src/chain/devchain/parameters.js'
import { weightsCommitHash } from '../../src/chain/weights-commit.js'
import { testColdkey } from '../kit/chain-keys.js'
import { ChainBench, type ChainSuite, STAKE_RAO } from './chain-bench.js'

const TEMPO = 10

export function weightsConformance({ open, it: declare }: ChainSuite): void {
  const it = (title: string, run: () => Promise<void>): void => declare(title, run, 'orders')

  describe('weights', () => {
    let bench: ChainBench
    afterEach(() => bench?.harness[Symbol.asyncDispose]())
    const hotkey = (number: number) => bench.harness.hotkey(number)

    /** Validator 1 with stake and a permit, miners 2 and 3, at the first block of an epoch. */
    async function openSubnet(parameters: ParameterOverrides): Promise<void> {
      bench = new ChainBench(await open({ tempo: TEMPO, parameters }))
      const { chain, harness } = bench
      const joins = [1, 2, 3].map((number) => harness.join(hotkey(number), testColdkey(number)))
      await bench.inBlocks(Promise.all(joins))
      await bench.stake(hotkey(1), STAKE_RAO)
      await bench.untilEpoch()
      assert.equal((await bench.neuron(hotkey(1))).validatorPermit, true)
      assert.equal(chain.constants.tempo, TEMPO)
    }
    /** A row for hotkeys by their number, whatever their uids are. */
    async function rowOf(
      ...entries: ReadonlyArray<readonly [number: number, value: number]>
    ): Promise<Weights> {
      const { neurons } = await bench.chain.metagraph()
      const row = entries.map(([number, value]) => {
        const { uid } = neurons.find((neuron) => neuron.hotkey === hotkey(number).address) ?? { uid: number }
        return [uid, value] as const
      })
      row.sort(([a], [b]) => a - b)
      return { uids: row.map(([uid]) => uid), values: row.map(([, value]) => value), versionKey: 7n }
    }

    it('refuses whoever has too little stake before it looks at anything else', async () => {
      // Less than the stake, of which a real chain keeps a fee.
      await openSubnet({ commitRevealEnabled: true, stakeThresholdRao: STAKE_RAO / 2n })
      const attempt: Weights = { uids: [9, 9, 9, 9], values: [1], versionKey: 6n }
      for (const uid of [9, 2]) {
        const refused = bench.chain.setWeights(hotkey(uid).signer, attempt)
        const poor = await bench.refused(refused, 'NotEnoughStakeToSetWeights')
        assert.deepEqual([poor.kind, poor.code], ['pool', 1])
      }
      await bench.stake(hotkey(2), STAKE_RAO)
      await bench.refused(bench.chain.setWeights(hotkey(2).signer, attempt), 'CommitRevealEnabled')
    })

    it('refuses, in this order, whatever is wrong, and then takes them', async () => {
      await openSubnet({
        commitRevealEnabled: false,
        weightsRateLimitBlocks: 4,
        minAllowedWeights: 2,
        maxWeightsLimit: 40_000,
        weightsVersion: 7n,
        stakeThresholdRao: 0n,
      })
      const { chain } = bench
      // With everything wrong at once, what is refused is the first of it; then that is put right, and the next shows.
      let attempt: Weights = { uids: [9, 9, 9, 9], values: [1], versionKey: 6n }
      let key = hotkey(9)
      const expect = (reason: string) => bench.refused(chain.setWeights(key.signer, attempt), reason)
      await expect('WeightVecNotEqualSize')
      attempt = { ...attempt, values: [1, 1, 1, 1] }
      await expect('UidsLengthExceedUidsInSubNet')
      attempt = { ...attempt, uids: [9, 9], values: [1, 1] }
      await expect('HotKeyNotRegisteredInSubNet')
      key = hotkey(2)
      await expect('IncorrectWeightVersionKey')
      attempt = { ...attempt, versionKey: 7n }
      const permit = await expect('NeuronNoValidatorPermit')
      assert.equal(permit.block, (await chain.metagraph()).nextEpochBlock)
      key = hotkey(1)
      await expect('DuplicateUids')
      attempt = { ...attempt, uids: [9], values: [1] }
      await expect('UidVecContainInvalidOne')
      attempt = { ...attempt, uids: (await rowOf([2, 1])).uids }
      await expect('WeightVecLengthIsLow')
      attempt = await rowOf([2, 3], [3, 1])
      await expect('MaxWeightExceeded')
      attempt = await rowOf([2, 1], [3, 1])
      await bench.inBlocks(chain.setWeights(key.signer, attempt))
      const fast = await expect('SettingWeightsTooFast')
      const { lastUpdateBlock } = await bench.neuron(key)
      bench.assertInPool(fast, 6)
      assert.equal(fast.block, lastUpdateBlock + 4)
    })

    it('refuses plain weights and commits where the subnet takes the other', async () => {
      await openSubnet({ commitRevealEnabled: true })
      const weights = await rowOf([2, 1])
      await bench.refused(bench.chain.setWeights(hotkey(1).signer, weights), 'CommitRevealEnabled')
      await bench.harness[Symbol.asyncDispose]()
      await openSubnet({ commitRevealEnabled: false })
      const commit = bench.chain.commitWeights(hotkey(1).signer, new Uint8Array(32))
      await bench.refused(commit, 'CommitRevealDisabled')
    })

    it('shows weights, and pays by them at the epoch', async () => {
      await openSubnet({ commitRevealEnabled: false, weightsRateLimitBlocks: 1 })
      const { chain } = bench
      assert.equal((await chain.weights()).size, 0)
      await bench.inBlocks(chain.setWeights(hotkey(1).signer, await rowOf([2, 1], [3, 3])))
      const { uid } = await bench.neuron(hotkey(1))
      const shown = new Map((await chain.weights()).get(uid))
      const [second, third] = [await bench.neuron(hotkey(2)), await bench.neuron(hotkey(3))]
      assert.deepEqual([shown.get(second.uid), shown.get(third.uid)], [21_845, 65_535])
      await bench.untilEpoch()
      const validator = await bench.neuron(hotkey(1))
      const [poor, rich] = [await bench.neuron(hotkey(2)), await bench.neuron(hotkey(3))]
      assert.deepEqual([validator.dividends, validator.validatorTrust], [65_535, 65_535])
      assert.deepEqual([poor.incentive, rich.incentive], [16_383, 49_151])
      assert.ok(poor.emissionRao > 0n && rich.emissionRao > 2n * poor.emissionRao)
      assert.equal(rich.stakeRao, rich.emissionRao)
    })

    it('takes a commit, its reveal in the next epoch only, and each once', async () => {
      await openSubnet({ commitRevealEnabled: true, weightsRateLimitBlocks: 1 })
      const { chain } = bench
      const { signer, address } = hotkey(1)
      const { netuid } = chain.constants
      const reveal = { ...(await rowOf([2, 1], [3, 1])), salt: [1, 2, 3] }
      await bench.refused(chain.revealWeights(signer, reveal), 'NoWeightsCommitFound')
      await bench.inBlocks(
        chain.commitWeights(signer, weightsCommitHash({ hotkey: address, netuid, reveal })),
      )
      const early = await bench.refused(chain.revealWeights(signer, reveal), 'RevealTooEarly')
      bench.assertInPool(early, 17)
      assert.equal(early.block, (await chain.metagraph()).nextEpochBlock)
      await bench.untilEpoch()
      const other = { ...reveal, salt: [1, 2, 4] }
      await bench.refused(chain.revealWeights(signer, other), 'InvalidRevealCommitHashNotMatch')
      await bench.inBlocks(chain.revealWeights(signer, reveal))
      assert.equal((await chain.weights()).size, 1)
      await bench.refused(chain.revealWeights(signer, reveal), 'NoWeightsCommitFound')
    })

    it('refuses a reveal after the epoch for it', async () => {
      await openSubnet({ commitRevealEnabled: true, weightsRateLimitBlocks: 1 })
      const { chain } = bench
      const { signer, address } = hotkey(1)
      const reveal = { ...(await rowOf([2, 1])), salt: [5] }
      const { netuid } = chain.constants
      await bench.inBlocks(
        chain.commitWeights(signer, weightsCommitHash({ hotkey: address, netuid, reveal })),
      )
      await bench.untilEpoch()
      await bench.untilEpoch()
      bench.assertInPool(await bench.refused(chain.revealWeights(signer, reveal), 'ExpiredWeightCommit'), 17)
    })
  })
}
