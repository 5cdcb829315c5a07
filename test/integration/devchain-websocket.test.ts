import assert from 'node:assert/strict'
import { WebSocketServer } from 'ws'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import type { Chain, Faucet } from '../../src/chain/chain.js'
import type { DevchainServerLimits } from '../../src/chain/devchain/devchain-server.js'
import type { GenesisSpec } from '../../src/chain/devchain/genesis.js'
import { connectChain } from '../../src/chain/endpoint.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { chainConformance } from '../conformance/chain.js'
import { testColdkey, testHotkey, testRecord } from '../kit/chain-keys.js'
import { devchainHarness, nextBlock, startDevchain, startServer, type TestDevchain } from '../kit/devchain.js'
import { FakeClock } from '../kit/fake-clock.js'
import { until } from '../kit/until.js'

const soon = { deadlineMs: 5_000 }

function faucetOf(chain: Chain): Faucet {
  return chain.faucet ?? assert.fail('a devchain has a faucet')
}

function clientOf(endpoint: string, clock: FakeClock): Chain {
  return connectChain(endpoint, { clock, random: seededRandom('client'), logger: silentLogger })
}

chainConformance('devchain over WebSocket', (wish) =>
  devchainHarness(wish, async (test) => {
    const server = await startServer(test)
    return { chain: clientOf(server.endpoint, test.clock), close: () => server.stop() }
  }),
)

describe('devchain over WebSocket: one client and its server', () => {
  const disposals: (() => Promise<unknown>)[] = []
  beforeEach(() => cryptoReady())
  afterEach(async () => {
    for (const dispose of disposals.splice(0).reverse()) await dispose()
  })

  async function devchain(spec: Partial<GenesisSpec> = {}, clock = new FakeClock()): Promise<TestDevchain> {
    const test = await startDevchain(spec, clock)
    disposals.push(() => test.devchain.stop())
    return test
  }
  async function serve(test: TestDevchain, limits: Partial<DevchainServerLimits> = {}, port = 0) {
    const server = await startServer(test, { port, limits })
    disposals.push(() => server.stop())
    return server
  }
  async function connected(endpoint: string, clock: FakeClock): Promise<Chain> {
    const chain = clientOf(endpoint, clock)
    disposals.push(() => chain.stop())
    await chain.start()
    return chain
  }
  const unavailable = (error: unknown) => isSubnetError(error, 'CHAIN_UNAVAILABLE')
  const isDown = (chain: Chain) => async () => {
    try {
      await chain.head()
      return false
    } catch (error) {
      return unavailable(error)
    }
  }
  /** Lets time pass in small steps until the chain answers. */
  const isBack = (chain: Chain, clock: FakeClock) => async () => {
    await clock.advance(100)
    return !(await isDown(chain)())
  }

  it('says CHAIN_UNAVAILABLE while the server is gone, then comes back with its subscription', async () => {
    const test = await devchain()
    const server = await startServer(test)
    const { port } = server
    const chain = await connected(server.endpoint, test.clock)
    const heads: number[] = []
    chain.onHead((head) => heads.push(head.number))
    await nextBlock(test, chain)
    await server.stop()
    await until(isDown(chain), soon)
    for (const call of [chain.head(), chain.metagraph(), chain.records(), chain.randomness(0)]) {
      await assert.rejects(call, unavailable)
    }
    await assert.rejects(faucetOf(chain).stake(testHotkey(1).signer, 1n), unavailable)
    await serve(test, {}, port)
    await until(isBack(chain, test.clock), soon)
    const before = heads.length
    await nextBlock(test, chain)
    assert.deepEqual(heads.slice(before), [test.devchain.head.number])
    assert.equal(new Set(heads).size, heads.length)
  })

  it('brings a write to its effect across a lost connection', async () => {
    const test = await devchain({ tempo: 1_000 })
    const server = await startServer(test)
    const { port } = server
    const chain = await connected(server.endpoint, test.clock)
    const waiting = faucetOf(chain).join({ hotkey: testHotkey(1).signer, coldkey: testColdkey(1).address })
    await until(() => test.devchain.nonce(testHotkey(1).address) === 1, soon)
    await server.stop()
    await until(isDown(chain), soon)
    await serve(test, {}, port)
    await until(isBack(chain, test.clock), soon)
    let settled = false
    void waiting.finally(() => {
      settled = true
    })
    await until(async () => {
      if (!settled) await nextBlock(test, chain)
      return settled
    }, soon)
    assert.equal(await waiting, 0)
    assert.equal(test.devchain.nonce(testHotkey(1).address), 1)
  })

  it('goes on with a devchain that began again from the same genesis', async () => {
    const test = await devchain()
    const server = await startServer(test)
    const chain = await connected(server.endpoint, test.clock)
    for (let i = 0; i < 3; i += 1) await nextBlock(test, chain)
    const { port } = server
    await server.stop()
    await test.devchain.stop()
    await until(isDown(chain), soon)
    const again = await devchain({}, test.clock)
    await serve(again, {}, port)
    await until(isBack(chain, test.clock), soon)
    await nextBlock(again, chain)
    assert.deepEqual(await chain.head(), again.devchain.head)
  })

  it('refuses to go on when the genesis is another one after a reconnect', async () => {
    const test = await devchain()
    const server = await startServer(test)
    const chain = await connected(server.endpoint, test.clock)
    const { port } = server
    await server.stop()
    await serve(await devchain({ name: 'another' }, test.clock), {}, port)
    const changed = (error: unknown) =>
      isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === 'GenesisChanged'
    await until(async () => {
      await test.clock.advance(100)
      return chain.head().then(() => false, changed)
    }, soon)
    await assert.rejects(chain.metagraph(), changed)
    await assert.rejects(chain.commit(testHotkey(1).signer, testRecord(1)), changed)
  })

  it('tries for a while to reach a devchain that is not up yet, and then says so', async () => {
    const test = await devchain()
    const server = await startServer(test)
    const { endpoint, port } = server
    await server.stop()
    const early = clientOf(endpoint, test.clock)
    disposals.push(() => early.stop())
    let started = false
    const starting = early.start().then(() => {
      started = true
    })
    const up = await serve(test, {}, port)
    await until(async () => {
      await test.clock.advance(100)
      return started
    }, soon)
    await starting
    await up.stop()
    const late = clientOf(endpoint, test.clock)
    let failed = false
    const failing = assert.rejects(late.start(), unavailable).then(() => {
      failed = true
    })
    await until(async () => {
      await test.clock.advance(1_000)
      return failed
    }, soon)
    await failing
  })

  it('keeps a connection whose heads came while the process was busy with something else', async () => {
    const test = await devchain({ blockMs: 1_000 })
    const { endpoint } = await serve(test)
    const clock = new FakeClock()
    const chain = await connected(endpoint, clock)
    const { number } = await chain.head()
    // Nothing is read from the socket meanwhile.
    await Promise.all([test.clock.advance(1_000), clock.advance(10_000)])
    await until(async () => (await chain.head()).number > number, soon)
    await clock.advance(5_000)
    assert.ok((await chain.head()).number > number)
  })

  describe('with a server that misbehaves', () => {
    /** Answers a request or not, as `reply` says; constants and subscription are as they should be. */
    async function oddServer(
      reply: (method: string, id: number) => string | undefined,
      beforeSubscribed?: string,
    ): Promise<string> {
      const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
      disposals.push(async () => {
        for (const client of sockets.clients) client.terminate()
        await new Promise((resolve) => sockets.close(resolve))
      })
      const genesisHash = `0x${'01'.repeat(32)}`
      const known: Record<string, unknown> = {
        constants: { genesisHash, netuid: 1, blockMs: 1_000, tempo: 20 },
        subscribeHeads: { number: 0, hash: genesisHash, timestampMs: 0 },
      }
      sockets.on('connection', (socket) => {
        socket.on('message', (data) => {
          const { method, id } = JSON.parse(data.toString())
          if (method === 'subscribeHeads' && beforeSubscribed !== undefined) socket.send(beforeSubscribed)
          const result = known[method]
          const text =
            result === undefined ? reply(method, id) : JSON.stringify({ jsonrpc: '2.0', id, result })
          if (text !== undefined) socket.send(text)
        })
      })
      await new Promise((resolve) => sockets.once('listening', resolve))
      const address = sockets.address()
      assert.ok(typeof address === 'object' && address !== null)
      return `dev://127.0.0.1:${address.port}`
    }

    it('gives up a call that is not answered by its deadline', async () => {
      const clock = new FakeClock()
      const asked: string[] = []
      const chain = await connected(
        await oddServer((method) => {
          asked.push(method)
          return undefined
        }),
        clock,
      )
      const failed = assert.rejects(chain.metagraph(), unavailable)
      await until(() => asked.length === 1, soon)
      await clock.advance(10_000)
      await failed
    })

    it('does not take a remembered head for the head when heads stay away', async () => {
      const clock = new FakeClock()
      const asked: string[] = []
      const chain = await connected(
        await oddServer((method) => {
          asked.push(method)
          return undefined
        }),
        clock,
      )
      assert.equal((await chain.head()).number, 0)
      await clock.advance(2_500)
      const failed = assert.rejects(chain.head(), unavailable)
      await until(() => asked.includes('head'), soon)
      await clock.advance(10_000)
      await failed
    })

    it('does not go back to a head that was overtaken by a newer one', async () => {
      const head = { number: 5, hash: `0x${'05'.repeat(32)}`, timestampMs: 5 }
      const clock = new FakeClock()
      const chain = await connected(
        await oddServer(() => undefined, JSON.stringify({ jsonrpc: '2.0', method: 'head', params: head })),
        clock,
      )
      assert.deepEqual(await chain.head(), head)
    })

    it('ends a connection that stays silent', async () => {
      const clock = new FakeClock()
      const chain = await connected(await oddServer(() => undefined), clock)
      await clock.advance(10_000)
      await clock.advance(100)
      await assert.rejects(chain.head(), unavailable)
    })

    const metagraph = { netuid: 1, block: 0, epoch: 0, nextEpochBlock: 20, neurons: [] }
    const answers: Record<string, (id: number) => string> = {
      'no JSON': () => 'garbage',
      'no JSON-RPC': () => '{"jsonrpc":"2.0"}',
      'too much': (id) =>
        JSON.stringify({ jsonrpc: '2.0', id, result: metagraph }) + ' '.repeat(2 * 1024 * 1024),
      'a malformed metagraph': (id) =>
        JSON.stringify({ jsonrpc: '2.0', id, result: { ...metagraph, neurons: [1] } }),
      'an error of its own': (id) =>
        JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32_603, message: 'broken' } }),
      'an error with a code that is not the chain’s': (id) =>
        JSON.stringify({
          jsonrpc: '2.0',
          id,
          error: { code: -32_000, message: 'x', data: { code: 'CONFIG', data: {} } },
        }),
    }
    for (const [title, answer] of Object.entries(answers)) {
      it(`takes ${title} for a chain that does not answer`, async () => {
        const chain = await connected(await oddServer((_method, id) => answer(id)), new FakeClock())
        await assert.rejects(chain.metagraph(), unavailable)
      })
    }
  })
})
