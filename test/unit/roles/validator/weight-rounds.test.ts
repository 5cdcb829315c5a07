import assert from 'node:assert/strict'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { WeightRounds } from '../../../../src/roles/validator/weight-rounds.js'
import { WeightSetter } from '../../../../src/roles/validator/weight-setter.js'
import type { WeightTarget } from '../../../../src/roles/validator/weights-plan.js'
import { type TestKey, testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { FakeChain } from '../../../kit/fake-chain.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { until } from '../../../kit/until.js'

describe('weight rounds', () => {
  let chain: FakeChain
  let directory: TempDir
  let validator: TestKey
  let rounds: WeightRounds
  let wanted: WeightTarget | undefined
  let asked: number
  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    const clock = new FakeClock()
    chain = new FakeChain()
    chain.timestampMs = clock.nowMs()
    validator = testHotkey(0)
    chain.join(validator.address, testColdkey(0).address, { validatorPermit: true })
    chain.join(testHotkey(1).address, testColdkey(1).address)
    const components = { chain, clock, random: seededRandom('rounds') }
    const setter = new WeightSetter(components, { hotkey: validator.signer, path: directory.path })
    asked = 0
    const target = async () => {
      asked += 1
      return wanted
    }
    rounds = new WeightRounds({ chain, setter, target, logger: silentLogger })
    await rounds.start()
  })
  afterEach(async () => {
    await rounds.stop()
    await directory[Symbol.asyncDispose]()
  })

  /** One block, and what it set off. */
  async function block(number: number, done: () => boolean, title: string): Promise<void> {
    wanted = wanted === undefined ? undefined : { ...wanted, block: number }
    chain.advanceTo(number)
    await until(done, { deadlineMs: 2_000, title })
  }
  const shares = { shares: new Map([[1, 1n]]), block: 0 }
  const sends = (call: string) => chain.sent.filter((each) => each === call).length

  it('sets once an epoch', async () => {
    wanted = shares
    await block(101, () => sends('setWeights') === 1, 'set')
    // The block that the call made is one of the same epoch.
    await block(110, () => sends('setWeights') === 2, 'set in the next epoch')
    assert.ok(asked >= 2)
  })

  it('leaves the weights as they are while nobody knows what they should be', async () => {
    wanted = undefined
    await block(101, () => asked === 1, 'asked')
    await block(102, () => asked === 2, 'asked again')
    assert.deepEqual(chain.sent, [])
  })

  it('waits for the block that a refusal names', async () => {
    wanted = shares
    chain.update(validator.address, { validatorPermit: false })
    await block(101, () => asked === 1, 'refused until 110')
    chain.update(validator.address, { validatorPermit: true })
    await rounds.stop()
    await rounds.start()
    wanted = { ...shares, block: 108 }
    chain.advanceTo(108)
    await rounds.stop()
    assert.equal(asked, 1)
    await rounds.start()
    await block(109, () => sends('setWeights') === 1, 'set as soon as it is allowed')
  })

  it('reveals what is hidden', async () => {
    wanted = shares
    chain.params = { ...chain.params, commitRevealEnabled: true, revealPeriodEpochs: 1 }
    await block(101, () => sends('commitWeights') === 1, 'committed')
    wanted = undefined
    await rounds.stop()
    await rounds.start()
    await block(110, () => sends('revealWeights') === 1, 'revealed')
    assert.deepEqual(chain.rows.get(0), [[1, 65_535]])
  })
})
