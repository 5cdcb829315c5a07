/** A devchain server among clients that misbehave: each costs its own connection at most, never anyone else's. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { WebSocket } from 'ws'
import { isSubnetError, SubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import type { Chain } from '../../src/chain/chain.js'
import type { DevchainServer, DevchainServerLimits } from '../../src/chain/devchain/devchain-server.js'
import type { GenesisSpec } from '../../src/chain/devchain/genesis.js'
import { connectChain } from '../../src/chain/endpoint.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testColdkey, testHotkey } from '../kit/chain-keys.js'
import { startDevchain, startServer, TEST_GENESIS, type TestDevchain } from '../kit/devchain.js'
import type { FakeClock } from '../kit/fake-clock.js'
import { until } from '../kit/until.js'

const soon = { deadlineMs: 5_000 }

describe('devchain server and clients that misbehave', () => {
  const disposals: (() => Promise<unknown>)[] = []
  beforeEach(() => cryptoReady())
  afterEach(async () => {
    for (const dispose of disposals.splice(0).reverse()) await dispose()
  })

  async function devchain(spec: Partial<GenesisSpec> = {}): Promise<TestDevchain> {
    const test = await startDevchain(spec)
    disposals.push(() => test.devchain.stop())
    return test
  }
  async function serve(test: TestDevchain, limits: Partial<DevchainServerLimits> = {}) {
    const server = await startServer(test, { port: 0, limits })
    disposals.push(() => server.stop())
    return server
  }
  async function connected(endpoint: string, clock: FakeClock): Promise<Chain> {
    const chain = connectChain(endpoint, { clock, random: seededRandom('client'), logger: silentLogger })
    disposals.push(() => chain.stop())
    await chain.start()
    return chain
  }
  async function open(server: DevchainServer, options = {}): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, options)
    // Being dropped is what these tests are about.
    socket.on('error', () => undefined)
    disposals.push(async () => socket.terminate())
    await new Promise((resolve, reject) => {
      socket.once('open', resolve)
      socket.once('close', () => reject(new SubnetError('DISCONNECTED', 'not let in')))
    })
    return socket
  }
  const closed = (socket: WebSocket) => new Promise((resolve) => socket.once('close', resolve))
  const answerTo = async (socket: WebSocket, message: string | Uint8Array) => {
    const answered = new Promise<string>((resolve) =>
      socket.once('message', (data) => resolve(data.toString())),
    )
    socket.send(message)
    return JSON.parse(await answered)
  }
  const request = (method: string, params: unknown = {}) =>
    JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })

  it('answers garbage with errors and goes on', async () => {
    const server = await serve(await devchain())
    const socket = await open(server)
    assert.equal((await answerTo(socket, 'garbage')).error.code, -32_700)
    assert.equal((await answerTo(socket, Uint8Array.of(1, 2, 3))).error.code, -32_700)
    assert.equal((await answerTo(socket, '[]')).error.code, -32_600)
    assert.equal((await answerTo(socket, request('constructor'))).error.code, -32_601)
    assert.equal((await answerTo(socket, request('metagraph', { block: 'x' }))).error.code, -32_602)
    assert.equal(
      (await answerTo(socket, request('metagraph', { netuid: TEST_GENESIS.netuid, block: 9 }))).error.data
        .data.reason,
      'UnknownBlock',
    )
    const submitted = await answerTo(socket, request('submit', { body: '0x00', signature: '0x' }))
    assert.equal(submitted.error.data.code, 'INVALID')
    assert.equal((await answerTo(socket, request('head'))).result.number, 0)
  })

  it('drops a client whose message is too long', async () => {
    const test = await devchain()
    const server = await serve(test)
    const [bad, good] = [await open(server), await connected(server.endpoint, test.clock)]
    bad.send('x'.repeat(100_000))
    await closed(bad)
    assert.equal((await good.head()).number, 0)
  })

  it('slows down a client that asks too fast, and serves all it asked', async () => {
    const test = await devchain()
    const server = await serve(test, { requestsPerSecondMax: 10 })
    const socket = await open(server)
    const got: number[] = []
    socket.on('message', (data) => got.push(JSON.parse(data.toString()).id))
    const ask = (ids: readonly number[]) => {
      for (const id of ids) socket.send(JSON.stringify({ jsonrpc: '2.0', id, method: 'head' }))
    }
    ask([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    await until(() => got.length === 11, soon)
    ask([12, 13])
    const other = await open(server)
    await answerTo(other, request('head'))
    assert.equal(got.length, 11)
    await test.clock.advance(100)
    await until(() => got.length === 13, soon)
  })

  it('drops a client that floods, and serves the others', async () => {
    const test = await devchain()
    const server = await serve(test, { requestsPerSecondMax: 20 })
    const [bad, good] = [await open(server), await connected(server.endpoint, test.clock)]
    const gone = closed(bad)
    for (let i = 0; i < 1_000; i += 1) bad.send(request('head'))
    await gone
    assert.equal((await good.metagraph()).block, 0)
  })

  it('drops a client that leaves its answers unread', async () => {
    const neurons = Array.from({ length: 256 }, (_, i) => ({
      hotkey: testHotkey(i).address,
      coldkey: testColdkey(i).address,
      stakeRao: 1n,
    }))
    const test = await devchain({ neurons })
    const server = await serve(test, { unreadBytesMax: 100_000, requestsPerSecondMax: 10_000 })
    const socket = await open(server)
    const gone = closed(socket)
    socket.pause()
    for (let i = 0; i < 1_000; i += 1)
      socket.send(request('metagraph', { netuid: TEST_GENESIS.netuid, block: 0 }))
    // Only a socket that reads again can notice that it was cut off.
    await until(() => socket.bufferedAmount === 0, soon)
    socket.resume()
    await gone
  })

  it('drops a client that gives no sign of life', async () => {
    const test = await devchain()
    const server = await serve(test, { pingIntervalMs: 1_000 })
    const [silent, good] = [await open(server, { autoPong: false }), await open(server)]
    let dropped = false
    void closed(silent).then(() => {
      dropped = true
    })
    await until(async () => {
      const pinged = new Promise((resolve) => good.once('ping', resolve))
      await test.clock.advance(1_000)
      await pinged
      return dropped
    }, soon)
    assert.equal((await answerTo(good, request('head'))).id, 1)
  })

  it('drops a connection that never asks for a WebSocket', async () => {
    const server = await serve(await devchain(), { handshakeTimeoutMs: 50 })
    const raw: Socket = connect(server.port, '127.0.0.1')
    raw.on('error', () => undefined)
    raw.resume()
    await new Promise((resolve) => raw.once('close', resolve))
  })

  it('takes no more clients than its limit', async () => {
    const server = await serve(await devchain(), { clientsMax: 2 })
    const [first] = [await open(server), await open(server)]
    await assert.rejects(open(server))
    assert.equal((await answerTo(first, request('head'))).result.number, 0)
  })

  it('refuses web pages', async () => {
    const server = await serve(await devchain())
    await assert.rejects(open(server, { origin: 'https://example.org' }))
  })

  it('says which port is taken', async () => {
    const test = await devchain()
    const server = await serve(test)
    await assert.rejects(
      startServer(test, { port: server.port }),
      (error) => isSubnetError(error, 'CONFIG') && error.data.reason === 'EADDRINUSE',
    )
  })
})
