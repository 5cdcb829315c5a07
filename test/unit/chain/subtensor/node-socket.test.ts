import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { systemClock } from '../../../../src/base/clock.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { NodeSocket, RpcRefusal } from '../../../../src/chain/subtensor/node-socket.js'
import { GuardedWebSocket, loadPolkadot } from '../../../../src/chain/subtensor/polkadot.js'

/** One node, told by each test what it does with a question. */
describe('a connection to a subtensor node', () => {
  let server: WebSocketServer
  let url: string
  let answer: (socket: WebSocket, id: number, request: IncomingMessage) => void

  before(async () => {
    server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await new Promise<void>((resolve) => server.once('listening', resolve))
    url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket, request) => {
      // What the peer cuts off is the peer's affair.
      socket.on('error', () => undefined)
      socket.on('message', (data) => {
        const { id } = JSON.parse(data.toString()) as { id: number }
        answer(socket, id, request)
      })
    })
  })
  after(async () => {
    for (const socket of server.clients) socket.terminate()
    await new Promise((resolve) => server.close(resolve))
  })

  const open = (callTimeoutMs = 10_000) => NodeSocket.open({ clock: systemClock }, { url, callTimeoutMs })

  const json = (body: object) => (socket: WebSocket, id: number) =>
    socket.send(JSON.stringify({ jsonrpc: '2.0', id, ...body }))

  /** The connection must end by itself, for this reason, and take its call with it. */
  async function endsBecause(reason: RegExp): Promise<void> {
    const socket = await open()
    await assert.rejects(socket.call('x', []), (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
    assert.match(await socket.closed, reason)
  }

  it('gives the result as it came', async () => {
    answer = json({ result: { a: [null, 1] } })
    const socket = await open()
    assert.deepEqual(await socket.call('x', []), { a: [null, 1] })
    socket.terminate('done')
    assert.equal(await socket.closed, 'done')
  })

  it('gives a refusal with its code, its text and what the node added', async () => {
    const socket = await open()
    for (const data of ['Custom error: 6', { why: 'so' }]) {
      answer = json({ error: { code: 1010, message: 'Invalid Transaction', data } })
      await assert.rejects(socket.call('x', []), (error) => {
        assert.ok(error instanceof RpcRefusal)
        assert.equal(error.code, 1010)
        assert.match(error.message, /^Invalid Transaction/)
        assert.match(error.detail, /Custom error: 6|so/)
        return true
      })
    }
    socket.terminate('done')
  })

  it('ends when the node sends something else than JSON-RPC, and harms nothing else', async () => {
    for (const text of ['rate limit exceeded', 'null', '{"method":"x"}', '{"jsonrpc":"1.0","id":1}']) {
      answer = (socket, id) => socket.send(text.replace('"id":1', `"id":${id}`))
      await endsBecause(/something else than JSON-RPC|Invalid/)
    }
  })

  it('ends when the node announces an answer of more than 64 MiB', async () => {
    // The head of a frame with a text of 2²⁶ + 1 bytes; they never come.
    answer = (_socket, _id, request) => request.socket.write(Buffer.from('817f0000000004000001', 'hex'))
    await endsBecause(/Max payload size exceeded/)
  })

  it('ends at once when the node does not take part in it any more', async () => {
    answer = (socket) => socket.pause()
    const socket = await open(50)
    await assert.rejects(socket.call('x', []), /took longer than 50 ms/)
    // By the library’s own way of closing this takes half a minute and more.
    assert.match(await socket.closed, /stalled/)
  })

  it('writes nothing to the console whatever happens', async () => {
    const written: unknown[] = []
    const kinds = ['log', 'info', 'warn', 'error'] as const
    const before = kinds.map((kind) => console[kind])
    for (const kind of kinds) console[kind] = (...text) => written.push(text)
    try {
      answer = (socket) => socket.send('no')
      await endsBecause(/JSON-RPC/)
      answer = (socket) => socket.terminate()
      await endsBecause(/1006/)
      const nowhere = { url: 'ws://127.0.0.1:1', callTimeoutMs: 1_000 }
      await assert.rejects(NodeSocket.open({ clock: systemClock }, nowhere), /ECONNREFUSED/)
    } finally {
      for (const [i, kind] of kinds.entries()) console[kind] = before[i] ?? console.log
    }
    assert.deepEqual(written, [])
  })

  it('leaves the process’s own WebSocket alone', async () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')
    await loadPolkadot()
    assert.notEqual(own?.value, GuardedWebSocket)
    assert.equal('WebSocket' in globalThis, own !== undefined)
  })

  it('says so when somebody else loaded the library, and its sockets are not guarded', () => {
    assert.throws(
      () => GuardedWebSocket.madeBy(() => Promise.resolve()),
      (error) => isSubnetError(error, 'CONFIG') && /loaded @polkadot\/api before/.test(error.message),
    )
  })
})
