/** Hidden weights across reorganisations of a devchain: a commit may get into another block, and so into another epoch. */
import assert from 'node:assert/strict'
import { seededRandom } from '../../src/base/random.js'
import type { Chain } from '../../src/chain/chain.js'
import { nonceOf } from '../../src/chain/devchain/state.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { type RevealOutcome, WeightSetter } from '../../src/roles/validator/weight-setter.js'
import { testColdkey, testHotkey } from '../kit/chain-keys.js'
import { localAdapter, nextBlock, startDevchain, type TestDevchain } from '../kit/devchain.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { until } from '../kit/until.js'

const TEMPO = 5

describe('hidden weights on a chain that reorganises', () => {
  let directory: TempDir
  let test: TestDevchain
  let chain: Chain
  let setter: WeightSetter
  beforeEach(async () => {
    await cryptoReady()
    directory = await tempDir()
    const neurons = [1, 2].map((number) => ({
      hotkey: testHotkey(number).address,
      coldkey: testColdkey(number).address,
      stakeRao: number === 1 ? 1_000n : 0n,
    }))
    test = await startDevchain({ neurons, tempo: TEMPO })
    chain = localAdapter(test)
    await chain.start()
    const components = { chain, clock: test.clock, random: seededRandom('salt') }
    setter = new WeightSetter(components, { hotkey: testHotkey(1).signer, path: directory.path })
  })
  afterEach(async () => {
    await chain.stop()
    await test.devchain.stop()
    await directory[Symbol.asyncDispose]()
  })

  /** A block for each operation that waits, and none besides: when it is sent decides into which block it gets. */
  async function inBlocks<T>(work: Promise<T>): Promise<T> {
    const { devchain } = test
    const { address } = testHotkey(1)
    let settled = false
    const end = () => {
      settled = true
    }
    work.then(end, end)
    const waits = () => devchain.nonce(address) > nonceOf(devchain.state(), address)
    while (!settled) {
      await until(() => settled || waits(), { deadlineMs: 10_000, title: 'something is sent' })
      if (!settled) await nextBlock(test, chain)
    }
    return await work
  }
  async function untilBlock(number: number): Promise<void> {
    while (test.devchain.head.number < number) await nextBlock(test, chain)
  }
  async function commitAfter(block: number): Promise<void> {
    await untilBlock(block)
    await setter.plan({ shares: new Map([[1, 1n]]), block }).then((plan) => inBlocks(setter.send(plan)))
  }
  /** What becomes of the one commit, looked at in every block. */
  async function settled(): Promise<RevealOutcome> {
    for (;;) {
      const [outcome] = await inBlocks(setter.reveal())
      assert.ok(outcome)
      if (outcome.state !== 'waiting') return outcome
      await nextBlock(test, chain)
    }
  }

  it('are revealed in time when their commit gets into an earlier epoch than it was in', async () => {
    // Block 10 begins epoch 2, from where the commit goes back to block 9.
    await commitAfter(9)
    await untilBlock(11)
    assert.equal(test.devchain.subnet(7).neurons[0]?.lastUpdateBlock, 10)
    test.devchain.misbehave({ kind: 'reorg', depth: 3 })
    assert.equal(test.devchain.subnet(7).neurons[0]?.lastUpdateBlock, 9)
    assert.deepEqual(await settled(), { state: 'revealed' })
    assert.equal((await chain.metagraph()).epoch, 2)
    assert.deepEqual((await chain.weights()).get(0), [[1, 65_535]])
  })

  it('are revealed once when the block of the reveal is dropped', async () => {
    await commitAfter(6)
    // Not the first block of the epoch: what goes back beyond that is refused as too early.
    await untilBlock(12)
    assert.deepEqual(await settled(), { state: 'revealed' })
    test.devchain.misbehave({ kind: 'reorg', depth: 2 })
    await nextBlock(test, chain)
    assert.deepEqual((await chain.weights()).get(0), [[1, 65_535]])
    assert.deepEqual(await setter.reveal(), [])
  })
})
