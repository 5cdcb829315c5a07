/** What every `Chain` must do, whatever is behind it. The implementation under test brings a way to make blocks. */
import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { Chain, ChainRecord } from '../../src/chain/chain.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { type TestKey, testColdkey, testHotkey, testRecord } from '../kit/chain-keys.js'

/** A started chain of its own for one test, with no hotkeys registered and an epoch of `CONFORMANCE_TEMPO` blocks. */
export interface ChainHarness extends AsyncDisposable {
  readonly chain: Chain
  /** Lets what was asked of the chain arrive, makes a block, and resolves when `chain` has seen it. */
  nextBlock(): Promise<void>
}

/** Long enough for the commitments that use up an epoch's budget, one a block. */
export const CONFORMANCE_TEMPO = 50
const BLOCKS_MAX = 60
const COMMITMENTS_PER_EPOCH_MAX = 31

export function chainConformance(name: string, open: () => Promise<ChainHarness>): void {
  describe(`Chain: ${name}`, () => {
    let harness: ChainHarness
    let chain: Chain

    beforeEach(async () => {
      await cryptoReady()
      harness = await open()
      chain = harness.chain
    })
    afterEach(() => harness[Symbol.asyncDispose]())

    /** Makes blocks until `work` settles. */
    async function inBlocks<T>(work: Promise<T>): Promise<T> {
      let settled = false
      const watched = work.finally(() => {
        settled = true
      })
      // Its failure is read below; until then it must not count as unhandled.
      watched.catch(() => undefined)
      for (let block = 0; block < BLOCKS_MAX && !settled; block += 1) await harness.nextBlock()
      assert.ok(settled, `not settled within ${BLOCKS_MAX} blocks`)
      return watched
    }

    const register = (key: TestKey, coldkey = testColdkey(1)) =>
      inBlocks(chain.faucet?.join({ hotkey: key.signer, coldkey: coldkey.address }))
    const commit = (key: TestKey, record: ChainRecord) => inBlocks(chain.commit(key.signer, record))

    async function untilEpoch(): Promise<void> {
      do await harness.nextBlock()
      while ((await chain.head()).number % chain.constants.tempo !== 0)
    }

    it('knows its constants once started', () => {
      assert.match(chain.constants.genesisHash, /^0x[0-9a-f]{64}$/)
      assert.equal(chain.constants.tempo, CONFORMANCE_TEMPO)
    })

    it('registers a hotkey with the next uid', async () => {
      assert.equal(await register(testHotkey(1), testColdkey(1)), 0)
      assert.equal(await register(testHotkey(2), testColdkey(2)), 1)
      const { neurons, netuid } = await chain.metagraph()
      assert.equal(netuid, chain.constants.netuid)
      assert.deepEqual(
        neurons.map(({ uid, hotkey, coldkey }) => [uid, hotkey, coldkey]),
        [
          [0, testHotkey(1).address, testColdkey(1).address],
          [1, testHotkey(2).address, testColdkey(2).address],
        ],
      )
      assert.deepEqual(
        neurons.map(({ stakeRao, validatorPermit }) => [stakeRao, validatorPermit]),
        [
          [0n, false],
          [0n, false],
        ],
      )
    })

    it('keeps the uid of a hotkey that registers again', async () => {
      await register(testHotkey(1))
      await register(testHotkey(2))
      assert.equal(await chain.faucet?.join(registrationOf(1)), 0)
      assert.equal((await chain.metagraph()).neurons.length, 2)
    })

    it('registers hotkeys that come at the same time, and one that comes twice, once each', async () => {
      const uids = await inBlocks(
        Promise.all([1, 2, 3, 3].map((number) => chain.faucet?.join(registrationOf(number)))),
      )
      assert.deepEqual([...new Set(uids)].sort(), [0, 1, 2])
      assert.equal(uids[2], uids[3])
    })

    it('refuses a hotkey that belongs to another coldkey', async () => {
      await register(testHotkey(1), testColdkey(1))
      await assert.rejects(register(testHotkey(1), testColdkey(2)), refusal('NonAssociatedColdKey'))
    })

    it('adds stake, which gives a permit at the next epoch and not before', async () => {
      await register(testHotkey(1))
      await register(testHotkey(2))
      await inBlocks(chain.faucet?.stake(testHotkey(1).signer, 5n))
      await inBlocks(chain.faucet?.stake(testHotkey(1).signer, 2n ** 53n))
      const [staked] = (await chain.metagraph()).neurons
      assert.equal(staked?.stakeRao, 5n + 2n ** 53n)
      assert.equal(staked?.validatorPermit, false)
      await untilEpoch()
      const permits = (await chain.metagraph()).neurons.map((neuron) => neuron.validatorPermit)
      assert.deepEqual(permits, [true, false])
    })

    it('runs the writes of one hotkey that are asked for together', async () => {
      const { signer } = testHotkey(1)
      await register(testHotkey(1))
      const stakes = [1n, 2n, 3n, 4n, 5n, 6n, 7n].map((amountRao) => chain.faucet?.stake(signer, amountRao))
      await inBlocks(Promise.all([...stakes, chain.commit(signer, testRecord(1))]))
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 28n)
      assert.deepEqual((await chain.records()).get(testHotkey(1).address), testRecord(1))
    })

    it('refuses stake that is nothing, too much, or for an unregistered hotkey', async () => {
      const { signer } = testHotkey(1)
      await assert.rejects(inBlocks(chain.faucet?.stake(signer, 1n)), refusal('HotKeyAccountNotExists'))
      await register(testHotkey(1))
      await assert.rejects(inBlocks(chain.faucet?.stake(signer, 0n)), refusal('AmountTooLow'))
      await assert.rejects(inBlocks(chain.faucet?.stake(signer, 2n ** 63n)), refusal('NotEnoughBalanceToStake'))
      await assert.rejects(chain.faucet?.stake(signer, -1n), (error) => isSubnetError(error, 'INVALID'))
      await assert.rejects(chain.faucet?.stake(signer, 2n ** 64n), (error) => isSubnetError(error, 'INVALID'))
      assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 0n)
    })

    it('shows the metagraph of a past block as it was', async () => {
      await register(testHotkey(1))
      const before = await chain.metagraph()
      await register(testHotkey(2))
      const now = await chain.metagraph()
      assert.ok(now.block > before.block)
      assert.deepEqual(await chain.metagraph({ at: before.block }), before)
      assert.equal((await chain.metagraph({ at: before.block })).neurons.length, 1)
    })

    it('refuses the metagraph of a block that is not there', async () => {
      const ahead = (await chain.head()).number + 1_000
      for (const at of [ahead, -1, 0.5]) {
        await assert.rejects(chain.metagraph({ at }), refusal('UnknownBlock'))
      }
    })

    it('keeps the last record of each hotkey', async () => {
      await register(testHotkey(1))
      await register(testHotkey(2))
      assert.equal((await chain.records()).size, 0)
      await commit(testHotkey(1), testRecord(1))
      await commit(testHotkey(2), testRecord(2, '/ip6/::1/tcp/9'))
      await commit(testHotkey(1), testRecord(3, '/dns4/example.org/tcp/4001'))
      assert.deepEqual(
        await chain.records(),
        new Map([
          [testHotkey(1).address, testRecord(3, '/dns4/example.org/tcp/4001')],
          [testHotkey(2).address, testRecord(2, '/ip6/::1/tcp/9')],
        ]),
      )
    })

    it('refuses the record of an unregistered hotkey', async () => {
      await assert.rejects(commit(testHotkey(1), testRecord(1)), refusal('AccountNotAllowedCommit'))
      assert.equal((await chain.records()).size, 0)
    })

    it('refuses a record that is malformed or too long', async () => {
      await register(testHotkey(1))
      const { peerId, address } = testRecord(1)
      const wrong: ChainRecord[] = [
        { peerId: 'nobody', address },
        { peerId, address: '' },
        { peerId, address: '127.0.0.1:4001' },
        { peerId, address: `${address}/p2p/${peerId}` },
        { peerId, address: `/dns4/${'a'.repeat(76)}.org/tcp/4001` },
      ]
      for (const record of wrong) {
        await assert.rejects(chain.commit(testHotkey(1).signer, record), (error) =>
          isSubnetError(error, 'INVALID'),
        )
      }
    })

    it('refuses commitments beyond the byte budget of the epoch, and takes them in the next', async () => {
      const key = testHotkey(1)
      await register(key)
      await untilEpoch()
      for (let i = 0; i < COMMITMENTS_PER_EPOCH_MAX; i += 1) await commit(key, testRecord(i))
      await assert.rejects(commit(key, testRecord(99)), refusal('SpaceLimitExceeded'))
      assert.deepEqual((await chain.records()).get(key.address), testRecord(COMMITMENTS_PER_EPOCH_MAX - 1))
      await untilEpoch()
      await commit(key, testRecord(100))
      assert.deepEqual((await chain.records()).get(key.address), testRecord(100))
    })

    it('calls back for new heads in order until told to stop', async () => {
      const heads: { readonly number: number; readonly hash: string }[] = []
      const first = (await chain.head()).number + 1
      const unsubscribe = chain.onHead((head) => heads.push(head))
      for (let i = 0; i < 3; i += 1) await harness.nextBlock()
      unsubscribe()
      assert.deepEqual(await chain.head(), heads.at(-1))
      await harness.nextBlock()
      assert.deepEqual(
        heads.map((head) => head.number),
        [first, first + 1, first + 2],
      )
      assert.equal(new Set(heads.map((head) => head.hash)).size, 3)
    })

    it('has randomness of its own for every block, the same whenever asked, none for the future', async () => {
      await harness.nextBlock()
      const { number } = await chain.head()
      const value = await chain.randomness(number)
      assert.equal(value.length, 32)
      await harness.nextBlock()
      assert.deepEqual(await chain.randomness(number), value)
      assert.notDeepEqual(await chain.randomness(number + 1), value)
      await assert.rejects(chain.randomness(number + 100), refusal('UnknownBlock'))
    })

    it('gives up when the caller does, with the caller’s reason', async () => {
      const reason = new Error('no longer wanted')
      const signal = AbortSignal.abort(reason)
      const is = (error: unknown) => error === reason
      await assert.rejects(chain.faucet?.join(registrationOf(1), { signal }), is)
      await assert.rejects(chain.commit(testHotkey(1).signer, testRecord(1), { signal }), is)
      await assert.rejects(chain.metagraph({ signal, at: 0 }), is)
      const controller = new AbortController()
      const waiting = chain.faucet?.join(registrationOf(1), { signal: controller.signal })
      controller.abort(reason)
      await assert.rejects(waiting, is)
    })

    it('ends its writes when it is stopped, those that wait for a block and those that come after', async () => {
      const stopped = (error: unknown) => isSubnetError(error, 'STOPPED')
      const waiting = assert.rejects(chain.faucet?.join(registrationOf(1)), stopped)
      // As many round trips as the write needs to be on its way into a block.
      for (let i = 0; i < 5; i += 1) await chain.randomness(0)
      const late = assert.rejects(chain.faucet?.join(registrationOf(2)), stopped)
      await chain.stop()
      await Promise.all([waiting, late])
      await assert.rejects(chain.head(), stopped)
      await chain.stop()
    })
  })
}

function registrationOf(number: number) {
  return { hotkey: testHotkey(number).signer, coldkey: testColdkey(1).address }
}

function refusal(reason: string) {
  return (error: unknown) => isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === reason
}
