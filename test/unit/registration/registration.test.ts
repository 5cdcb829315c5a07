import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { IN_FLIGHT_BLOCKS } from '../../../src/chain/in-flight.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { initializeSubnet, planInitialize } from '../../../src/registration/initialize-subnet.js'
import { Intents } from '../../../src/registration/intents.js'
import { planCostRao } from '../../../src/registration/plan.js'
import { planHotkey, registerHotkey } from '../../../src/registration/register-hotkey.js'
import { planSubnet, registerSubnet } from '../../../src/registration/register-subnet.js'
import { addStake, planStake } from '../../../src/registration/stake.js'
import { type TestKey, testColdkey, testHotkey } from '../../kit/chain-keys.js'
import { FakeChain } from '../../kit/fake-chain.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

const TAO = 1_000_000_000n

/** Passes for a refusal with exactly this reason and block. */
function refused(reason: string, block?: number): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isSubnetError(error, 'CHAIN_REFUSED'), String(error))
    assert.deepEqual([error.data.reason, error.data.block], [reason, block])
    return true
  }
}

const gone = () => {
  throw new SubnetError('CHAIN_UNAVAILABLE', 'the connection is lost')
}

describe('registration', () => {
  let chain: FakeChain
  let owner: TestKey
  let other: TestKey
  let hotkey: string
  let request: { readonly hotkey: string; readonly coldkey: string }
  let directory: TempDir
  let intents: Intents
  before(async () => {
    await cryptoReady()
    ;[owner, other] = [testColdkey(1), testColdkey(2)]
    hotkey = testHotkey(1).address
    request = { hotkey, coldkey: owner.address }
  })
  beforeEach(async () => {
    chain = new FakeChain()
    chain.balances.set(owner.address, 100n * TAO)
    directory = await tempDir()
    intents = new Intents({ chain, random: seededRandom('intents') }, join(directory.path, 'intents'))
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  describe('of a hotkey', () => {
    it('plans without spending, then burns what it said and gives the uid', async () => {
      const plan = await planHotkey(chain, request)
      assert.deepEqual(
        plan.calls.map(({ call, costRao }) => [call, costRao]),
        [['register_limit', TAO]],
      )
      assert.deepEqual(chain.sent, [])
      assert.equal(await registerHotkey(chain, plan, owner.signer), 0)
      assert.equal(chain.balances.get(owner.address), 99n * TAO)
    })

    it('is done when it is done', async () => {
      const plan = await planHotkey(chain, request)
      await registerHotkey(chain, plan, owner.signer)
      const again = await planHotkey(chain, request)
      assert.deepEqual([again.calls, again.uid], [[], 0])
      // Also with the plan of before, as after a lost connection.
      assert.equal(await registerHotkey(chain, plan, owner.signer), 0)
      assert.deepEqual(chain.sent, ['burnedRegister'])
    })

    it('spends once when the chain goes away right after it took the call', async () => {
      const plan = await planHotkey(chain, request)
      chain.after = gone
      await assert.rejects(registerHotkey(chain, plan, owner.signer), (error) =>
        isSubnetError(error, 'CHAIN_UNAVAILABLE'),
      )
      chain.after = () => undefined
      assert.equal(await registerHotkey(chain, plan, owner.signer), 0)
      assert.equal(chain.balances.get(owner.address), 99n * TAO)
    })

    it('burns nothing when the price rises above what was shown', async () => {
      const plan = await planHotkey(chain, request)
      chain.params = { ...chain.params, burnRao: 2n * TAO }
      await assert.rejects(
        registerHotkey(chain, plan, owner.signer),
        refused('RegistrationPriceLimitExceeded'),
      )
      assert.equal(chain.balances.get(owner.address), 100n * TAO)
      const bolder = await planHotkey(chain, { ...request, maxBurnRao: 3n * TAO })
      chain.params = { ...chain.params, burnRao: 3n * TAO }
      assert.equal(await registerHotkey(chain, bolder, owner.signer), 0)
    })

    it('names the precondition that does not hold', async () => {
      await assert.rejects(
        planHotkey(chain, { ...request, maxBurnRao: TAO - 1n }),
        refused('RegistrationPriceLimitExceeded'),
      )
      await assert.rejects(
        planHotkey(chain, { ...request, coldkey: other.address }),
        refused('NotEnoughBalance'),
      )
      chain.params = { ...chain.params, registrationAllowed: false }
      await assert.rejects(planHotkey(chain, request), refused('SubNetRegistrationDisabled'))
      chain.join(hotkey, other.address)
      await assert.rejects(planHotkey(chain, request), refused('NonAssociatedColdKey'))
    })

    it('refuses a coldkey that is not the one of the plan', async () => {
      const plan = await planHotkey(chain, request)
      await assert.rejects(registerHotkey(chain, plan, other.signer), refused('NonAssociatedColdKey'))
      assert.deepEqual(chain.sent, [])
    })
  })

  describe('of a subnet', () => {
    const create = async () =>
      registerSubnet({ chain, intents }, await planSubnet(chain, request), owner.signer)

    it('locks what it said, once', async () => {
      const plan = await planSubnet(chain, request)
      assert.equal(planCostRao(plan), 10n * TAO)
      assert.equal(await create(), 1)
      assert.equal(await create(), 1)
      assert.equal((await planSubnet(chain, request)).netuid, 1)
      assert.equal(chain.balances.get(owner.address), 90n * TAO)
    })

    it('gives the hotkey of another owner, or another hotkey, a subnet of its own', async () => {
      await create()
      const more = await planSubnet(chain, { ...request, hotkey: testHotkey(2).address })
      assert.equal(await registerSubnet({ chain, intents }, more, owner.signer), 2)
    })

    it('does not send again what got no answer until it can no longer arrive', async () => {
      chain.before = gone
      await assert.rejects(create(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      chain.before = () => undefined
      const over = 100 + IN_FLIGHT_BLOCKS + 1
      await assert.rejects(create(), refused('EarlierCallPending', over))
      chain.advanceTo(over - 1)
      await assert.rejects(create(), refused('EarlierCallPending', over))
      chain.advanceTo(over)
      assert.equal(await create(), 1)
      assert.deepEqual(chain.sent, ['registerSubnet'])
    })

    it('goes on when what got no answer did arrive', async () => {
      chain.after = gone
      await assert.rejects(create(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      chain.after = () => undefined
      assert.equal(await create(), 1)
      assert.equal(chain.balances.get(owner.address), 90n * TAO)
    })

    it('may try again at once after a refusal', async () => {
      const plan = await planSubnet(chain, request)
      chain.balances.set(owner.address, 0n)
      await assert.rejects(
        registerSubnet({ chain, intents }, plan, owner.signer),
        refused('NotEnoughBalanceToStake'),
      )
      chain.balances.set(owner.address, 100n * TAO)
      assert.equal(await create(), 1)
    })

    it('locks nothing when the price rises above what was shown', async () => {
      const plan = await planSubnet(chain, request)
      chain.subnetCost += 1n
      await assert.rejects(
        registerSubnet({ chain, intents }, plan, owner.signer),
        refused('SubnetPriceLimitExceeded'),
      )
      await assert.rejects(
        planSubnet(chain, { ...request, maxCostRao: TAO }),
        refused('SubnetPriceLimitExceeded'),
      )
      assert.deepEqual(chain.sent, [])
    })

    it('sends nothing when what may have been spent cannot be read', async () => {
      chain.before = gone
      await assert.rejects(create(), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
      chain.before = () => undefined
      const [file = ''] = (await readdir(join(directory.path, 'intents'))).filter((name) =>
        /json$/.test(name),
      )
      await writeFile(join(directory.path, 'intents', file), '')
      chain.advanceTo(1_000)
      await assert.rejects(create(), (error) => isSubnetError(error, 'DATA_DIR'))
      assert.deepEqual(chain.sent, [])
    })
  })

  describe('of what a subnet is', () => {
    const wanted = () => ({
      netuid: 1,
      coldkey: owner.address,
      start: true,
      hyperparameters: { commitRevealEnabled: true, minAllowedWeights: 1, weightsRateLimitBlocks: 5 },
      identity: { name: 'storage' },
    })

    it('calls only what differs, and goes on after an interruption', async () => {
      chain.own(1, request)
      chain.advanceTo(200)
      const plan = await planInitialize(chain, wanted())
      assert.deepEqual(
        plan.calls.map(({ call }) => call),
        [
          'start_call',
          'sudo_set commitRevealEnabled',
          'sudo_set weightsRateLimitBlocks',
          'set_subnet_identity',
        ],
      )
      assert.deepEqual(plan.done, ['minAllowedWeights is 1'])
      chain.after = (call) => {
        if (call === 'set commitRevealEnabled') gone()
      }
      await assert.rejects(initializeSubnet(chain, plan, owner.signer))
      chain.after = () => undefined
      assert.equal(await initializeSubnet(chain, plan, owner.signer), 2)
      assert.deepEqual(chain.sent, [
        'startSubnet',
        'set commitRevealEnabled',
        'set weightsRateLimitBlocks',
        'setSubnetIdentity',
      ])
      assert.deepEqual((await planInitialize(chain, wanted())).calls, [])
    })

    it('names the block from which a subnet may be started', async () => {
      chain.own(1, request)
      await assert.rejects(planInitialize(chain, wanted()), refused('NeedWaitingMoreBlocksToStarCall', 120))
      // One before: the call is in the next block.
      chain.advanceTo(119)
      assert.ok((await planInitialize(chain, wanted())).calls.length > 0)
    })

    it('refuses the subnet of somebody else, and one that is not there', async () => {
      await assert.rejects(planInitialize(chain, wanted()), refused('SubnetNotExists'))
      chain.own(1, { ...request, coldkey: other.address })
      await assert.rejects(planInitialize(chain, wanted()), refused('NotSubnetOwner'))
    })
  })

  describe('of stake', () => {
    const staking = () => planStake(chain, { ...request, amountRao: 5n * TAO })

    it('needs a registered hotkey, and stakes what it said', async () => {
      await assert.rejects(staking(), refused('HotKeyNotRegisteredInSubNet'))
      chain.join(hotkey, owner.address)
      chain.own(chain.constants.netuid, request)
      await assert.rejects(staking(), refused('SubtokenDisabled'))
      chain.infos.clear()
      await addStake({ chain, intents }, await staking(), owner.signer)
      assert.equal(chain.neurons[0]?.stakeRao, 5n * TAO)
      await addStake({ chain, intents }, await staking(), owner.signer)
      assert.equal(chain.balances.get(owner.address), 90n * TAO)
    })

    it('does not stake twice when the answer is lost, unless somebody has looked', async () => {
      chain.join(hotkey, owner.address)
      chain.after = gone
      await assert.rejects(addStake({ chain, intents }, await staking(), owner.signer))
      chain.after = () => undefined
      await assert.rejects(
        addStake({ chain, intents }, await staking(), owner.signer),
        refused('EarlierCallPending', 165),
      )
      chain.advanceTo(165)
      await assert.rejects(
        addStake({ chain, intents }, await staking(), owner.signer),
        refused('EarlierCallUnknown'),
      )
      assert.equal(chain.balances.get(owner.address), 95n * TAO)
      const sure = await planStake(chain, { ...request, amountRao: TAO, again: true })
      await addStake({ chain, intents }, sure, owner.signer)
      await addStake({ chain, intents }, await staking(), owner.signer)
      assert.equal(chain.balances.get(owner.address), 89n * TAO)
    })
  })
})
