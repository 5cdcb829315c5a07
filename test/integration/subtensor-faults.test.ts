import assert from 'node:assert/strict'
import { isSubnetError } from '../../src/base/errors.js'
import type { SubtensorChain } from '../../src/chain/subtensor/adapter.js'
import { ERA_BLOCKS } from '../../src/chain/subtensor/transaction.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testHotkey, testRecord } from '../kit/chain-keys.js'
import { FakeClock } from '../kit/fake-clock.js'
import { putSubnet, runCall, subtensorChain } from '../kit/mock-subnet.js'
import { MockSubtensor, type MockSubtensorInit } from '../kit/mock-subtensor.js'
import { until } from '../kit/until.js'

const OTHER_GENESIS = `0x${'11'.repeat(32)}`
const SOON = { deadlineMs: 10_000 }

describe('the subtensor chain, when things go wrong', () => {
  const open: AsyncDisposable[] = []

  before(cryptoReady)
  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each[Symbol.asyncDispose]()
  })

  /** A node with the test subnet; nodes of one `chain` name are nodes of one chain. */
  async function nodeOf(init: MockSubtensorInit = {}): Promise<MockSubtensor> {
    const node = await MockSubtensor.open(init)
    open.push(node)
    putSubnet(node)
    node.execute = runCall
    return node
  }

  function chainOf(...args: Parameters<typeof subtensorChain>): SubtensorChain {
    const chain = subtensorChain(...args)
    open.push({ [Symbol.asyncDispose]: () => chain.stop() })
    return chain
  }

  async function startedOn(nodes: readonly MockSubtensor[], init = {}): Promise<SubtensorChain> {
    const chain = chainOf(
      nodes.map(({ url }) => url),
      init,
    )
    await chain.start()
    return chain
  }

  async function failure(work: Promise<unknown>) {
    const error: unknown = await work.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    assert.ok(isSubnetError(error), `${error}`)
    return error
  }

  const commit = (chain: SubtensorChain, number = 1) => chain.commit(testHotkey(1).signer, testRecord(number))

  describe('with an endpoint that is not the right one', () => {
    it('refuses a node of another chain, and says which settings to look at', async () => {
      const node = await nodeOf()
      const error = await failure(chainOf([node.url], { genesisHash: OTHER_GENESIS }).start())
      assert.deepEqual(
        [error.code, error.data],
        ['CHAIN_REFUSED', { kind: 'precondition', reason: 'WrongGenesis' }],
      )
      assert.match(error.message, /expected 0x1111.*--subtensor.chain_endpoint and --subtensor.network/)
      assert.ok(!node.asked.includes('chain_subscribeNewHeads'))
    })

    it('leaves a node of another chain out and uses the next', async () => {
      const [wrong, right] = [await nodeOf({ chain: 'other' }), await nodeOf()]
      const chain = chainOf([wrong.url, right.url], { genesisHash: right.genesisHash })
      await chain.start()
      assert.equal(chain.constants.genesisHash, right.genesisHash)
      right.closeAll()
      assert.equal((await chain.metagraph()).neurons.length, 2)
      assert.ok(!wrong.asked.includes('state_call'))
    })

    it('refuses what is no subtensor, and a subnet that is not there', async () => {
      const [other, node] = [await nodeOf({ specName: 'polkadot' }), await nodeOf()]
      assert.equal((await failure(chainOf([other.url]).start())).data.reason, 'NotSubtensor')
      const none = await failure(chainOf([node.url], { netuid: 99 }).start())
      assert.equal(none.data.reason, 'SubnetNotExists')
    })

    it('does not use a node whose newest block is old, and says how old', async () => {
      const [stale, fresh] = [await nodeOf({ ageMs: 600_000 }), await nodeOf()]
      const error = await failure(chainOf([stale.url], { startTimeoutMs: 200 }).start())
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.match(error.message, /is 600 s old: it is stuck or still syncing/)
      const chain = await startedOn([stale, fresh])
      assert.equal((await chain.metagraph()).neurons.length, 2)
      assert.ok(!stale.asked.includes('state_call'))
    })

    it('gives up with a list of what was tried when nothing answers', async () => {
      const urls = ['ws://127.0.0.1:1', 'ws://127.0.0.1:2']
      const error = await failure(chainOf(urls, { startTimeoutMs: 200 }).start())
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.match(error.message, /ws:\/\/127.0.0.1:1 \(.*ECONNREFUSED.*:2 \(.*ECONNREFUSED/)
      assert.deepEqual(error.data.endpoints, urls)
    })
  })

  describe('with a node that fails while it is used', () => {
    it('goes to the next endpoint when a call stalls', async () => {
      const [first, second] = [await nodeOf(), await nodeOf()]
      const chain = await startedOn([first, second], { attemptTimeoutMs: 1_500 })
      first.fault = () => 'stall'
      assert.equal((await chain.metagraph()).neurons.length, 2)
      assert.ok(second.asked.includes('state_call'))
    })

    it('ends a call at its deadline when all stall', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node], { callTimeoutMs: 300 })
      node.fault = () => 'stall'
      const error = await failure(chain.metagraph())
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.match(error.message, /no subtensor node answered .*; tried ws:/)
    })

    it('goes to the next endpoint when one limits its rate', async () => {
      const [first, second] = [await nodeOf(), await nodeOf()]
      const chain = await startedOn([first, second])
      first.fault = () => ({ code: -32_000, message: 'Too many requests' })
      assert.equal((await chain.metagraph()).neurons.length, 2)
      assert.ok(second.asked.includes('state_call'))
    })

    it('goes to the next endpoint when one answers something else than JSON', async () => {
      const [first, second] = [await nodeOf(), await nodeOf()]
      const chain = await startedOn([first, second])
      first.fault = () => 'babble'
      assert.equal((await chain.metagraph()).neurons.length, 2)
      assert.ok(second.asked.includes('state_call'))
    })

    it('goes to the next endpoint when no heads come any more', async () => {
      const [first, second] = [await nodeOf(), await nodeOf()]
      await startedOn([first, second], { silentMs: 100 })
      await until(() => second.asked.includes('chain_subscribeNewHeads'), SOON)
    })

    it('answers every question although its connection is closed again and again', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      let asked = 0
      node.fault = () => {
        asked += 1
        return asked % 7 === 0 ? 'close' : undefined
      }
      for (let i = 0; i < 10; i += 1) assert.equal((await chain.hyperparameters()).kappa, 0x7fff)
    })

    it('has one connection after many losses, and hears heads on it', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      const heard: number[] = []
      chain.onHead(({ number }) => heard.push(number))
      for (let i = 0; i < 5; i += 1) {
        node.closeAll()
        await chain.hyperparameters()
        const { number } = node.makeBlock()
        await until(() => heard.at(-1) === number, { ...SOON, title: `head ${number}` })
      }
      assert.equal(node.connections, 1)
    })
  })

  describe('with a write on its way', () => {
    it('does it once when the answer to the submission is lost', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      let lost = false
      node.fault = (method) => {
        if (method !== 'author_submitExtrinsic' || lost) return undefined
        lost = true
        return 'lose'
      }
      const work = commit(chain)
      await until(() => node.submissions > 1, { ...SOON, title: 'sent again' })
      node.makeBlock()
      await work
      assert.equal(node.executed.length, 1)
    })

    it('does not call refused what a pool may hold although the answer was lost', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      node.fault = (method) =>
        method === 'author_submitExtrinsic' && node.submissions === 0 ? 'lose' : undefined
      node.pool = () =>
        node.submissions === 1
          ? undefined
          : { code: 1010, message: 'Invalid Transaction', data: 'Custom error: 6' }
      // A mock that knows bytes again says so; here the refusal must come first, as after a failover.
      node.knowsAgain = false
      const work = commit(chain)
      await until(() => node.submissions > 1, { ...SOON, title: 'sent again' })
      node.makeBlock()
      await work
      assert.equal(node.executed.length, 1)
    })

    it('does it once when its node is lost and the next one is asked', async () => {
      const [first, second] = [await nodeOf(), await nodeOf()]
      const chain = await startedOn([first, second])
      const work = commit(chain)
      await until(() => first.waiting === 1, SOON)
      first.fault = () => 'close'
      first.closeAll()
      await until(() => second.waiting === 1, { ...SOON, title: 'the same bytes at the second node' })
      second.makeBlock()
      await work
      assert.equal(second.executed.length, 1)
    })

    it('signs anew when another program uses the nonce, and never twice for one effect', async () => {
      const node = await nodeOf()
      node.countsPool = false
      const [chain, other] = [await startedOn([node]), await startedOn([node])]
      const first = commit(other, 1)
      await until(() => node.waiting === 1, SOON)
      const second = commit(chain, 2)
      await until(() => node.submissions > 1, SOON)
      node.makeBlock()
      await until(() => node.waiting === 1, { ...SOON, title: 'signed anew' })
      node.makeBlock()
      await Promise.all([first, second])
      assert.deepEqual(
        node.executed.map(({ nonce }) => nonce),
        [0, 1],
      )
    })

    it('finds its call in the blocks although the node calls it outdated', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      // Included at once, before its answer is there.
      node.pool = () => {
        setImmediate(() => node.makeBlock())
        return undefined
      }
      await commit(chain)
      assert.equal(node.executed.length, 1)
    })

    it('ends when its era is over, says that nothing was done, and has sent it again meanwhile', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      node.forgetful = true
      const work = failure(commit(chain))
      let settled = false
      void work.then(() => {
        settled = true
      })
      await until(() => node.submissions > 0, SOON)
      for (let i = 0; i <= ERA_BLOCKS && !settled; i += 1) {
        const { number } = node.makeBlock()
        await until(async () => (await chain.head()).number === number, SOON)
      }
      const error = await work
      assert.equal(error.code, 'CHAIN_UNAVAILABLE')
      assert.match(error.message, /did not enter a block before \d+ and is void: nothing was done/)
      assert.ok(node.submissions > 1)
    })

    it('ends at its deadline when the chain stands still, and says that it may still happen', async () => {
      const node = await nodeOf()
      const clock = new FakeClock()
      const patience = { silentMs: 10 ** 9, attemptTimeoutMs: 10 ** 9, callTimeoutMs: 10 ** 9 }
      const chain = chainOf([node.url], patience, clock)
      await chain.start()
      let error: Awaited<ReturnType<typeof failure>> | undefined
      void failure(commit(chain)).then((reason) => {
        error = reason
      })
      await until(() => node.waiting === 1, SOON)
      await until(() => clock.advance(5_000).then(() => error !== undefined), SOON)
      assert.ok(error)
      assert.deepEqual([error.code, error.retryable], ['CHAIN_UNAVAILABLE', false])
      assert.match(error.message, /may still be included, so look at the chain before it is sent again/)
    })

    it('does not send it again after a refusal, and names the runtime’s error', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      node.pool = () => ({ code: 1010, message: 'Invalid Transaction', data: 'Custom error: 10' })
      const error = await failure(commit(chain))
      assert.deepEqual(error.data, { kind: 'pool', reason: 'HotKeyNotRegisteredInNetwork', code: 10 })
      assert.match(error.message, /run "subnet-node register" first/)
      assert.equal(node.submissions, 1)
    })

    it('ends with STOPPED when it is stopped, and so does everything after', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      const waiting = failure(commit(chain))
      await until(() => node.waiting === 1, SOON)
      const queued = failure(commit(chain, 2))
      await chain.stop()
      assert.equal((await waiting).code, 'STOPPED')
      assert.equal((await queued).code, 'STOPPED')
      assert.equal((await failure(chain.head())).code, 'STOPPED')
      assert.equal((await failure(chain.metagraph())).code, 'STOPPED')
      await chain.stop()
      await until(() => node.connections === 0, SOON)
    })

    it('ends with the caller’s reason when the caller gives up', async () => {
      const node = await nodeOf()
      const chain = await startedOn([node])
      const reason = new Error('no longer wanted')
      const controller = new AbortController()
      const options = { signal: controller.signal }
      const work = assert.rejects(
        chain.commit(testHotkey(1).signer, testRecord(1), options),
        (error) => error === reason,
      )
      await until(() => node.waiting === 1, SOON)
      controller.abort(reason)
      await work
      await assert.rejects(chain.metagraph(options), (error) => error === reason)
    })
  })
})
