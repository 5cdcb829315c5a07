import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { seededRandom } from '../../../../src/base/random.js'
import { IN_FLIGHT_BLOCKS } from '../../../../src/chain/in-flight.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { WeightSetter } from '../../../../src/roles/validator/weight-setter.js'
import { dataLock } from '../../../../src/shard/data-lock.js'
import { type TestKey, testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { FakeChain, refusal } from '../../../kit/fake-chain.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { until } from '../../../kit/until.js'

function refused(reason: string, block?: number): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isSubnetError(error, 'CHAIN_REFUSED'), String(error))
    assert.deepEqual([error.data.reason, error.data.block], [reason, block])
    return true
  }
}

describe('weight setter', () => {
  const clock = new FakeClock()
  let chain: FakeChain
  let directory: TempDir
  let validator: TestKey
  let setter: WeightSetter
  before(async () => {
    await cryptoReady()
    validator = testHotkey(0)
  })
  beforeEach(async () => {
    directory = await tempDir()
    chain = new FakeChain()
    chain.timestampMs = clock.nowMs()
    chain.join(validator.address, testColdkey(0).address, { validatorPermit: true, stakeRao: 5n })
    for (const number of [1, 2]) chain.join(testHotkey(number).address, testColdkey(number).address)
    setter = another()
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  /** As after a restart. */
  const another = () =>
    new WeightSetter(
      { chain, clock, random: seededRandom(`salt at ${chain.block}`) },
      { hotkey: validator.signer, path: directory.path },
    )
  const target = (block = chain.block) => ({ shares: new Map([[1, 2n], [2, 1n]]), block }) // biome-ignore format: pairs
  const set = async () => setter.send(await setter.plan(target()))
  const ROW = [[1, 65_535], [2, 32_768]] // biome-ignore format: pairs
  const advanceTo = (block: number) => {
    chain.advanceTo(block)
    // The chain keeps up with the clock.
    chain.timestampMs = clock.nowMs()
  }

  it('sets plainly where the subnet does not hide weights', async () => {
    await set()
    assert.deepEqual(chain.rows.get(0), ROW)
    assert.deepEqual(await readdir(directory.path), [])
    assert.deepEqual(await setter.reveal(), [])
  })

  it('says how far from the others it is before it sends', async () => {
    assert.equal((await setter.plan(target())).comparison, undefined)
    chain.update(testHotkey(2).address, { consensus: 65_535 })
    const { comparison } = await setter.plan(target())
    assert.ok(Math.abs((comparison?.expectedVtrust ?? 0) - 1 / 3) < 0.001)
    assert.deepEqual(chain.sent, [])
  })

  describe('names the precondition that does not hold', () => {
    const cases: readonly (readonly [
      what: string,
      reason: string,
      block: number | undefined,
      change: () => void,
    ])[] = [
      [
        'a hotkey that is not registered',
        'HotKeyNotRegisteredInSubNet',
        undefined,
        () => chain.neurons.shift(),
      ],
      [
        'too little stake',
        'NotEnoughStakeToSetWeights',
        undefined,
        () => {
          chain.params = { ...chain.params, stakeThresholdRao: 6n }
        },
      ],
      [
        'too soon after the last time, with the block',
        'SettingWeightsTooFast',
        150,
        () => {
          chain.params = { ...chain.params, weightsRateLimitBlocks: 60 }
          chain.update(validator.address, { lastUpdateBlock: 90 })
        },
      ],
      [
        'no permit, with the block',
        'NeuronNoValidatorPermit',
        110,
        () => chain.update(validator.address, { validatorPermit: false }),
      ],
      ['a uid that is none', 'UidVecContainInvalidOne', undefined, () => chain.neurons.pop()],
      [
        'a head that is too old',
        'ChainLag',
        undefined,
        () => {
          chain.timestampMs = clock.nowMs() - 30_001
        },
      ],
    ]
    for (const [what, reason, block, change] of cases) {
      it(what, async () => {
        change()
        await assert.rejects(setter.plan(target()), refused(reason, block))
        assert.deepEqual(chain.sent, [])
      })
    }

    it('but lets the subnet’s owner set without permit or stake, as the chain does', async () => {
      chain.params = { ...chain.params, stakeThresholdRao: 6n }
      chain.update(validator.address, { validatorPermit: false })
      chain.own(chain.constants.netuid, { coldkey: testColdkey(0).address, hotkey: validator.address })
      assert.ok(await setter.plan(target()))
    })

    it('scores of more than an epoch ago, or of a chain that is no more', async () => {
      assert.ok(await setter.plan(target(90)))
      await assert.rejects(setter.plan(target(89)), refused('StaleScores'))
      await assert.rejects(setter.plan(target(111)), refused('StaleScores'))
    })

    it('at the last block before it may, it may: the call is in the next', async () => {
      chain.params = { ...chain.params, weightsRateLimitBlocks: 11 }
      chain.update(validator.address, { lastUpdateBlock: 90 })
      assert.ok(await setter.plan(target()))
    })
  })

  describe('hidden', () => {
    beforeEach(() => {
      chain.params = { ...chain.params, commitRevealEnabled: true, revealPeriodEpochs: 2 }
    })
    const journal = async () => {
      const name = (await readdir(directory.path)).find((each) => each.endsWith('.json'))
      return join(directory.path, name ?? assert.fail('there is no journal'))
    }

    /** Time goes on for as long as somebody waits for it. */
    async function inTime<T>(work: Promise<T>): Promise<T> {
      let ended = false
      const end = () => {
        ended = true
      }
      work.then(end, end)
      const goOn = async () => {
        if (clock.pendingTimers > 0) await clock.advance(5_000)
        return ended
      }
      await until(goOn, { deadlineMs: 10_000, title: 'it ends' })
      return await work
    }

    it('has the salt on disk before the commit is sent', async () => {
      let salt: unknown
      const seen: Promise<void>[] = []
      chain.before = () => {
        seen.push(
          journal().then(async (path) => {
            salt = JSON.parse(await readFile(path, 'utf8')).pending[0].salt
          }),
        )
        throw new SubnetError('CHAIN_UNAVAILABLE', 'gone')
      }
      await assert.rejects(set(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      await Promise.all(seen)
      assert.equal((salt as number[]).length, 8)
    })

    it('reveals in the epoch in which the chain takes it, once, also after a restart', async () => {
      await set()
      assert.equal(chain.rows.size, 0)
      assert.deepEqual(await setter.reveal(), [{ state: 'waiting', fromBlock: 120 }])
      setter = another()
      advanceTo(118)
      assert.deepEqual(await setter.reveal(), [{ state: 'waiting', fromBlock: 120 }])
      advanceTo(120)
      assert.deepEqual(await setter.reveal(), [{ state: 'revealed' }])
      assert.deepEqual(chain.rows.get(0), ROW)
      assert.deepEqual(await setter.reveal(), [])
    })

    it('reveals what was committed right before a crash', async () => {
      chain.after = () => {
        throw new SubnetError('CHAIN_UNAVAILABLE', 'gone')
      }
      await assert.rejects(set(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      chain.after = () => undefined
      setter = another()
      advanceTo(121)
      assert.deepEqual(await setter.reveal(), [{ state: 'revealed' }])
      assert.deepEqual(chain.rows.get(0), ROW)
    })

    it('sends no other commit while one may still arrive, and forgets one that did not', async () => {
      chain.before = () => {
        throw new SubnetError('TIMEOUT', 'no answer')
      }
      await assert.rejects(set(), (error) => isSubnetError(error, 'TIMEOUT'))
      chain.before = () => undefined
      const over = 100 + IN_FLIGHT_BLOCKS + 1
      await assert.rejects(set(), refused('EarlierCallPending', over))
      assert.deepEqual(await setter.reveal(), [{ state: 'waiting' }])
      advanceTo(over)
      assert.deepEqual(await setter.reveal(), [
        { state: 'lost', reason: 'the commit never got into a block' },
      ])
      await set()
      assert.deepEqual(chain.sent, ['commitWeights'])
    })

    it('keeps nothing of a commit that was refused', async () => {
      chain.before = () => {
        throw refusal({ kind: 'pool', reason: 'SettingWeightsTooFast', code: 6 })
      }
      await assert.rejects(set(), refused('SettingWeightsTooFast'))
      assert.deepEqual(await setter.reveal(), [])
    })

    it('is one journal for a node and a command of one hotkey: what one has hidden the other reveals, once', async () => {
      const command = another()
      await command.send(await command.plan(target()))
      advanceTo(120)
      const outcomes = await inTime(Promise.all([setter.reveal(), command.reveal()]))
      assert.deepEqual(outcomes.flat(), [{ state: 'revealed' }])
      assert.deepEqual(chain.rows.get(0), ROW)
    })

    it('takes turns with another process, which waits, and says so when its turn does not come', async () => {
      await set()
      const lock = dataLock((await journal()).replace(/json$/, 'lock'))
      await lock.start()
      try {
        advanceTo(120)
        await assert.rejects(inTime(another().reveal()), (error) => {
          assert.ok(isSubnetError(error, 'BUSY'), String(error))
          assert.match(error.message, /another process.*try again/)
          return true
        })
        assert.equal(chain.rows.size, 0)
      } finally {
        await lock.stop()
      }
      advanceTo(chain.block)
      assert.deepEqual(await setter.reveal(), [{ state: 'revealed' }])
    })

    it('sends no second commit when another process has sent one since the plan, whose fate is open', async () => {
      const plan = await setter.plan(target())
      const command = another()
      chain.before = () => {
        throw new SubnetError('TIMEOUT', 'no answer')
      }
      await assert.rejects(command.send(await command.plan(target())), (error) =>
        isSubnetError(error, 'TIMEOUT'),
      )
      chain.before = () => undefined
      await assert.rejects(setter.send(plan), refused('EarlierCallPending', 100 + IN_FLIGHT_BLOCKS + 1))
      assert.deepEqual(chain.sent, [])
    })

    it('says what can no longer be revealed', async () => {
      await set()
      advanceTo(130)
      assert.deepEqual(await setter.reveal(), [{ state: 'lost', reason: 'ExpiredWeightCommit' }])
      await set()
      chain.commits.clear()
      advanceTo(150)
      assert.deepEqual(await setter.reveal(), [{ state: 'lost', reason: 'NoWeightsCommitFound' }])
      assert.deepEqual(await setter.reveal(), [])
    })

    it('keeps the salt when the chain is gone at the reveal', async () => {
      await set()
      advanceTo(120)
      chain.before = () => {
        throw new SubnetError('CHAIN_UNAVAILABLE', 'gone')
      }
      await assert.rejects(setter.reveal(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      chain.before = () => undefined
      assert.deepEqual(await setter.reveal(), [{ state: 'revealed' }])
    })

    it('commits and reveals nothing over a torn journal, and leaves it as it is', async () => {
      await set()
      const path = await journal()
      await writeFile(path, '{"layout"')
      for (const work of [set, () => setter.reveal()])
        await assert.rejects(work(), (error) => isSubnetError(error, 'DATA_DIR'))
      assert.equal(await readFile(path, 'utf8'), '{"layout"')
    })
  })
})
