import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { BlockHead } from '../../src/chain/chain.js'
import type { SubtensorChain } from '../../src/chain/subtensor/adapter.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testColdkey, testHotkey, testRecord } from '../kit/chain-keys.js'
import { NETUID, putSubnet, runCall, subtensorChain, TEMPO } from '../kit/mock-subnet.js'
import { MockSubtensor } from '../kit/mock-subtensor.js'
import { errorIndex, metadataWithout } from '../kit/subtensor-metadata.js'
import { until } from '../kit/until.js'

const refusal = (reason: string) => (error: unknown) =>
  isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === reason

/** The error of a call that must fail. */
async function failure(work: Promise<unknown>) {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.ok(isSubnetError(error), `${error}`)
  return error
}

describe('the subtensor chain', () => {
  let node: MockSubtensor
  let chain: SubtensorChain

  before(async () => {
    await cryptoReady()
    node = await MockSubtensor.open()
    putSubnet(node)
    chain = subtensorChain([node.url])
    await chain.start()
  })
  beforeEach(() => {
    node.execute = runCall
    node.pool = () => undefined
    node.executed.length = 0
  })
  after(async () => {
    await chain.stop()
    await node[Symbol.asyncDispose]()
  })

  /** Makes blocks until `work` settles. */
  async function inBlocks<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const watched = work.finally(() => {
      settled = true
    })
    // Its failure is read below; until then it must not count as unhandled.
    watched.catch(() => undefined)
    while (!settled) {
      await until(() => settled || node.waiting > 0, {
        deadlineMs: 10_000,
        title: 'a transaction in the pool',
      })
      if (!settled) node.makeBlock()
    }
    return watched
  }

  describe('reading', () => {
    it('knows its constants, and has no faucet', () => {
      const { genesisHash } = node
      assert.deepEqual(chain.constants, { genesisHash, netuid: NETUID, blockMs: 250, tempo: TEMPO })
      assert.equal(chain.faucet, undefined)
    })

    it('reads the metagraph from the runtime’s own answer', async () => {
      const { neurons, block, epoch, nextEpochBlock } = await chain.metagraph()
      assert.equal(block, (await chain.head()).number)
      // Spec 381: a step where (block + netuid + 1) % (tempo + 1) is 0.
      assert.equal((nextEpochBlock + NETUID + 1) % (TEMPO + 1), 0)
      assert.equal(epoch, Math.floor((block + NETUID + 1) / (TEMPO + 1)))
      assert.deepEqual(neurons[0], {
        uid: 0,
        hotkey: testHotkey(1).address,
        coldkey: testColdkey(1).address,
        stakeRao: 5_000n,
        validatorPermit: true,
        registeredAtBlock: 1,
        lastUpdateBlock: 3,
        active: true,
        consensus: 300,
        incentive: 200,
        dividends: 100,
        validatorTrust: 400,
        emissionRao: 1_000_000_000_000n,
        axon: { ip: '10.1.2.3', port: 8091 },
      })
      assert.equal(neurons[1]?.axon, undefined)
      assert.equal(neurons.length, 2)
    })

    it('asks for a block’s metagraph once, however many want it', async () => {
      await chain.metagraph()
      const calls = node.asked.filter((method) => method === 'state_call').length
      await Promise.all([chain.metagraph(), chain.metagraph()])
      assert.equal(node.asked.filter((method) => method === 'state_call').length, calls)
    })

    it('refuses blocks that are not there', async () => {
      for (const at of [(await chain.head()).number + 1_000, -1, 0.5])
        await assert.rejects(chain.metagraph({ at }), refusal('UnknownBlock'))
    })

    it('gives the block hash as randomness', async () => {
      const { number, hash } = await chain.head()
      assert.equal(`0x${Buffer.from(await chain.randomness(number)).toString('hex')}`, hash)
      await assert.rejects(chain.randomness(number + 100), refusal('UnknownBlock'))
    })

    it('reads hyperparameters, also of another subnet', async () => {
      const own = await chain.hyperparameters()
      assert.equal(own.tempo, TEMPO)
      assert.equal(own.weightsRateLimitBlocks, 100)
      // Defaults of the runtime, from its metadata.
      assert.deepEqual([own.kappa, own.alphaLow, own.alphaHigh], [0x7fff, 0xb333, 0xe666])
      assert.deepEqual([own.burnRao, own.bondsMovingAverage], [100_000_000n, 900_000])
      await assert.rejects(chain.hyperparameters({ netuid: 99 }), refusal('SubnetNotExists'))
    })

    it('lists subnets and what one says of itself', async () => {
      const text = (value: string) => `0x${Buffer.from(value).toString('hex')}`
      const identity = {
        subnetName: text('Lager'),
        githubRepo: text('r'),
        subnetUrl: text('0x41'),
        discord: text('d'),
      }
      node.put('subtensorModule', 'subnetIdentitiesV3', [NETUID], identity)
      node.put('subtensorModule', 'networkRegisteredAt', [NETUID], 3)
      node.put('subtensorModule', 'startCallDelay', [], 20)
      assert.deepEqual(await chain.subnets(), [NETUID])
      assert.deepEqual(await chain.subnet(NETUID), {
        netuid: NETUID,
        ownerColdkey: testColdkey(1).address,
        ownerHotkey: testHotkey(1).address,
        registeredAtBlock: 3,
        started: false,
        startAllowedAtBlock: 23,
        identity: { name: 'Lager', repository: 'r', contact: '', url: '0x41', description: '' },
      })
      assert.equal(await chain.subnet(99), undefined)
    })

    it('reads balances beyond 2⁵³', async () => {
      const free = 2n ** 60n + 1n
      node.put('system', 'account', [testColdkey(5).address], { nonce: 0, data: { free } })
      assert.equal(await chain.balanceRao(testColdkey(5).address), free)
      assert.equal(await chain.balanceRao(testColdkey(6).address), 0n)
      await assert.rejects(chain.balanceRao('nobody'), (error) => isSubnetError(error, 'INVALID'))
    })

    it('tells the finalized head from the newest', async () => {
      node.makeBlocks(3)
      await until(async () => (await chain.head()).number === node.head.number, { deadlineMs: 5_000 })
      assert.equal((await chain.finalizedHead()).number, node.head.number - node.finalityLag)
    })
  })

  describe('writing', () => {
    it('commits a record and reads it back', async () => {
      await inBlocks(chain.commit(testHotkey(1).signer, testRecord(1)))
      await inBlocks(chain.commit(testHotkey(1).signer, testRecord(2, '/dns4/example.org/tcp/4001')))
      const expected = new Map([[testHotkey(1).address, testRecord(2, '/dns4/example.org/tcp/4001')]])
      assert.deepEqual(await chain.records(), expected)
    })

    it('leaves out what other programs committed, and hotkeys that are not registered', async () => {
      const before = await chain.records()
      const commitment = (raw: string) => ({ deposit: 0, block: 1, info: { fields: [{ Raw3: raw }] } })
      node.put('commitments', 'commitmentOf', [NETUID, testHotkey(2).address], commitment('0x616263'))
      const [mine] = [...node.head.storage].filter(([key]) =>
        key.includes('ca407206ec1ab726b2636c4b145ac287'),
      )
      assert.ok(mine)
      node.makeBlock()
      await until(async () => (await chain.head()).number === node.head.number, { deadlineMs: 5_000 })
      assert.deepEqual(await chain.records(), before)
    })

    it('refuses a malformed record before anything is sent', async () => {
      const { submissions } = node
      const record = { ...testRecord(1), address: '127.0.0.1:1' }
      assert.equal((await failure(chain.commit(testHotkey(1).signer, record))).code, 'INVALID')
      assert.equal(node.submissions, submissions)
    })

    it('sets weights and reads them back', async () => {
      await inBlocks(
        chain.setWeights(testHotkey(1).signer, { uids: [0, 1], values: [1, 65_535], versionKey: 0n }),
      )
      assert.deepEqual(
        await chain.weights(),
        new Map([
          [
            0,
            [
              [0, 1],
              [1, 65_535],
            ],
          ],
        ]),
      )
    })

    it('gives the calls of one account their own nonces, and runs them in order', async () => {
      const { signer, address } = testHotkey(1)
      const ports = [1, 2, 3, 4]
      const serving = ports.map((port) => chain.serve(signer, { ip: '::1', port }))
      await inBlocks(Promise.all(serving))
      const mine = node.executed.filter((call) => call.signer === address)
      assert.deepEqual(
        mine.map(({ args }) => args[3]),
        ports,
      )
      assert.equal(new Set(mine.map(({ nonce }) => nonce)).size, ports.length)
    })

    it('sends at the same time what different accounts ask for', async () => {
      const work = [1, 2].map((number) => chain.commit(testHotkey(number).signer, testRecord(number)))
      await inBlocks(Promise.all(work))
      assert.equal(node.executed.length, 2)
    })

    it('names the runtime’s error and what to do when a call fails in its block', async () => {
      node.execute = () => ({ pallet: 7, error: errorIndex('CommitRevealEnabled') })
      const weights = { uids: [0], values: [1], versionKey: 0n }
      const error = await failure(inBlocks(chain.setWeights(testHotkey(1).signer, weights)))
      assert.deepEqual(error.data, { kind: 'dispatch', reason: 'CommitRevealEnabled' })
      assert.match(error.message, /block \d+: CommitRevealEnabled; .*commit and reveal/)
    })

    it('names the block from which on a call is not too fast any more', async () => {
      node.pool = () => ({ code: 1010, message: 'Invalid Transaction', data: 'Custom error: 6' })
      const weights = { uids: [0], values: [1], versionKey: 0n }
      const error = await failure(chain.setWeights(testHotkey(1).signer, weights))
      assert.deepEqual(error.data, { kind: 'pool', reason: 'SettingWeightsTooFast', code: 6, block: 103 })
      assert.match(error.message, /permitted from block 103/)
      assert.equal(node.executed.length, 0)
    })

    it('names the next permitted block of serving', async () => {
      node.put('subtensorModule', 'servingRateLimit', [NETUID], 50)
      node.pool = () => ({ code: 1010, message: 'Invalid Transaction', data: 'Custom error: 12' })
      const error = await failure(chain.serve(testHotkey(1).signer, { ip: '1.2.3.4', port: 1 }))
      assert.deepEqual(error.data, { kind: 'pool', reason: 'ServingRateLimitExceeded', code: 12, block: 54 })
    })

    it('refuses a call that this runtime has not, naming it and the version', async () => {
      node.put('system', 'account', [testColdkey(1).address], { nonce: 0, data: { free: 10 ** 9 } })
      const request = {
        coldkey: testColdkey(1).signer,
        netuid: NETUID,
        name: 'maxWeightsLimit',
        value: 1,
      } as const
      const error = await failure(chain.setHyperparameter(request))
      assert.deepEqual(error.data, { kind: 'precondition', reason: 'CallNotFound' })
      assert.match(error.message, /spec 381.*AdminUtils\.sudo_set_max_weight_limit/)
    })
  })

  describe('what a coldkey pays for', () => {
    const coldkey = testKeys(1)
    const rich = (free: number) =>
      node.put('system', 'account', [coldkey().address], { nonce: 0, data: { free } })

    it('registers with burn and returns the uid', async () => {
      rich(10 ** 9)
      const request = { coldkey: coldkey().signer, hotkey: testHotkey(3).address, limitRao: 100_000_000n }
      assert.equal(await inBlocks(chain.burnedRegister(request)), 2)
      assert.deepEqual(
        node.executed.map(({ name, args }) => [name, args]),
        [['subtensorModule.burnedRegister', [NETUID, testHotkey(3).address]]],
      )
    })

    it('sends nothing when it costs too much, there is too little, or it is registered already', async () => {
      const { submissions } = node
      const request = { coldkey: coldkey().signer, hotkey: testHotkey(4).address, limitRao: 99_999_999n }
      rich(10 ** 9)
      await assert.rejects(chain.burnedRegister(request), refusal('RegistrationPriceLimitExceeded'))
      const registered = { ...request, hotkey: testHotkey(1).address, limitRao: 10n ** 9n }
      await assert.rejects(chain.burnedRegister(registered), refusal('HotKeyAlreadyRegisteredInSubNet'))
      rich(1)
      await assert.rejects(
        chain.burnedRegister({ ...request, limitRao: 10n ** 9n }),
        refusal('NotEnoughBalanceToStake'),
      )
      assert.equal(node.submissions, submissions)
    })

    it('starts a subnet when it is time, for its owner only', async () => {
      const { submissions } = node
      node.put('subtensorModule', 'networkRegisteredAt', [NETUID], node.head.number)
      node.put('subtensorModule', 'startCallDelay', [], 20)
      const early = await failure(chain.startSubnet({ coldkey: coldkey().signer, netuid: NETUID }))
      assert.deepEqual(early.data, {
        kind: 'precondition',
        reason: 'NeedWaitingMoreBlocksToStarCall',
        block: node.head.number + 20,
      })
      node.put('subtensorModule', 'startCallDelay', [], 0)
      const foreign = { coldkey: testColdkey(2).signer, netuid: NETUID }
      await assert.rejects(chain.startSubnet(foreign), refusal('BadOrigin'))
      assert.equal(node.submissions, submissions)
      await inBlocks(chain.startSubnet({ coldkey: coldkey().signer, netuid: NETUID }))
      assert.equal(node.executed[0]?.name, 'subtensorModule.startCall')
    })

    it('keeps the parts of an identity that it does not set', async () => {
      const text = (value: string) => `0x${Buffer.from(value).toString('hex')}`
      node.put('subtensorModule', 'subnetIdentitiesV3', [NETUID], {
        logoUrl: text('logo'),
        discord: text('chat'),
      })
      const identity = { name: 'n', repository: 'r', contact: 'c', url: '0x41', description: 'ü' }
      await inBlocks(chain.setSubnetIdentity({ coldkey: coldkey().signer, netuid: NETUID, identity }))
      const values = ['n', 'r', 'c', '0x41', 'chat', 'ü', 'logo', '']
      assert.deepEqual(node.executed[0]?.args, [NETUID, ...values.map(text)])
    })

    it('sets one value of a pair and repeats the other', async () => {
      const request = { coldkey: coldkey().signer, netuid: NETUID, name: 'alphaLow', value: 50_000 } as const
      await inBlocks(chain.setHyperparameter(request))
      assert.deepEqual(node.executed[0]?.args, [NETUID, 50_000, 0xe666])
    })

    it('names the block after which a setting may be changed again', async () => {
      node.put('subtensorModule', 'ownerHyperparamRateLimit', [], 2)
      const key = { OwnerHyperparamUpdate: [NETUID, 'Kappa'] }
      node.put('subtensorModule', 'lastRateLimitedBlock', [key], 5)
      node.execute = () => ({ pallet: 7, error: errorIndex('TxRateLimitExceeded') })
      const request = { coldkey: coldkey().signer, netuid: NETUID, name: 'kappa', value: 1 } as const
      const error = await failure(inBlocks(chain.setHyperparameter(request)))
      assert.deepEqual(error.data, { kind: 'dispatch', reason: 'TxRateLimitExceeded', block: 5 + 2 * TEMPO })
    })

    it('stakes no more than there is', async () => {
      rich(500)
      const request = { coldkey: coldkey().signer, hotkey: testHotkey(1).address, amountRao: 501n }
      await assert.rejects(chain.stake(request), refusal('NotEnoughBalanceToStake'))
      await inBlocks(chain.stake({ ...request, amountRao: 500n }))
      assert.deepEqual(node.executed[0]?.args, [testHotkey(1).address, NETUID, 500])
    })
  })

  describe('blocks', () => {
    it('announces heads, and after a reorganisation those that took the place of others', async () => {
      const heads: BlockHead[] = []
      const stop = chain.onHead((head) => heads.push(head))
      const first = node.head.number + 1
      for (let i = 0; i < 3; i += 1) {
        const { number } = node.makeBlock()
        await until(() => heads.at(-1)?.number === number, { deadlineMs: 5_000 })
      }
      node.reorganise(2)
      await until(() => heads.length === 6, { deadlineMs: 5_000, title: 'the other branch' })
      stop()
      assert.deepEqual(
        heads.map(({ number }) => number - first),
        [0, 1, 2, 1, 2, 3],
      )
      assert.equal(new Set(heads.map(({ hash }) => hash)).size, 6)
      assert.deepEqual(await chain.head(), heads.at(-1))
    })

    it('survives an upgrade of the runtime between two calls, and during one', async () => {
      await inBlocks(chain.commit(testHotkey(1).signer, testRecord(1)))
      node.specVersion += 1
      node.makeBlock()
      await inBlocks(chain.commit(testHotkey(1).signer, testRecord(2)))
      // Signed, then the upgrade makes it worthless: no pool has it any more.
      node.pool = () => ({ code: 1014, message: 'Priority is too low' })
      const work = chain.commit(testHotkey(1).signer, testRecord(3))
      const { submissions } = node
      await until(() => node.submissions > submissions, { deadlineMs: 5_000 })
      node.pool = () => undefined
      node.specVersion += 1
      node.makeBlock()
      await inBlocks(work)
      assert.deepEqual((await chain.records()).get(testHotkey(1).address), testRecord(3))
      assert.equal(node.executed.length, 3)
    })
  })
})

describe('a subtensor runtime that lacks things', () => {
  it('is read from storage where it answers no metagraph, with the same result', async () => {
    await cryptoReady()
    await using full = await MockSubtensor.open()
    await using older = await MockSubtensor.open({
      metadata: metadataWithout('get_metagraph', 'Rank', 'Trust'),
    })
    const [first, second] = [full, older].map((node) => {
      putSubnet(node)
      return subtensorChain([node.url])
    })
    assert.ok(first && second)
    await Promise.all([first.start(), second.start()])
    assert.deepEqual(await second.metagraph(), await first.metagraph())
    assert.ok(!older.asked.includes('get_metagraph'))
    await Promise.all([first.stop(), second.stop()])
  })
})

function testKeys(number: number) {
  return () => testColdkey(number)
}
