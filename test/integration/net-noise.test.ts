/** Messages of Noise as we open them, over a line that cuts them anywhere and adds to them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { isSubnetError } from '../../src/base/errors.js'
import { randomFraction, seededRandom } from '../../src/base/random.js'
import { KIB } from '../../src/base/units.js'
import { addressOf, netNode, startAll } from '../kit/net-node.js'

const ECHO = { id: '/test/echo/1', inboundStreamsMax: 4, outboundStreamsMax: 4 }
/** Some messages of full length and a rest. */
const LENGTH_BYTES = 300 * KIB

describe('Noise', () => {
  it('is opened however the line cuts it, between any two bytes', async () => {
    await using pair = await echoed()
    const sent = seededRandom('noise').bytes(LENGTH_BYTES)
    const duplex = await pair.dialer.open(pair.address, ECHO.id)
    const writing = duplex.write(sent).then(() => duplex.closeWrite())
    const got: Uint8Array[] = []
    for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read()) got.push(piece)
    await writing
    assert.ok(Buffer.concat(got).equals(sent))
  })

  for (const [what, bytes] of [
    ['too short for its tag', [0, 15, ...Array(15).fill(1)]],
    ['that is not from the peer', [0, 64, ...Array(64).fill(1)]],
  ] as const) {
    it(`ends the connection at a message ${what}`, async () => {
      await using pair = await echoed()
      const duplex = await pair.dialer.open(pair.address, ECHO.id)
      await duplex.write(Uint8Array.of(1))
      assert.deepEqual(await duplex.read(), Uint8Array.of(1))
      pair.inject(Uint8Array.from(bytes))
      await assert.rejects(duplex.read(), (error) => isSubnetError(error, 'DISCONNECTED'))
    })
  }
})

/** A node that sends back what it gets, and one that dials it over a line that hands on a few bytes at a time. */
async function echoed() {
  const server = netNode('noise server')
  const dialer = netNode('noise dialer', { listen: [] })
  server.handle(ECHO, async (duplex) => {
    for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read())
      await duplex.write(piece)
  })
  const nodes = await startAll(server, dialer)
  const [, port] = /\/tcp\/(\d+)/.exec(server.addresses()[0] ?? '') ?? []
  const sockets: Socket[] = []
  const line = createServer((near) => {
    const far = connect(Number(port), '127.0.0.1')
    sockets.push(near, far)
    void cut(near, far)
    void cut(far, near)
  })
  line.listen(0, '127.0.0.1')
  await once(line, 'listening')
  const { port: linePort } = line.address() as AddressInfo
  return {
    dialer,
    address: { ...addressOf(server), addresses: [`/ip4/127.0.0.1/tcp/${linePort}`] },
    /** To the dialer, as if from the server. */
    inject: (bytes: Uint8Array) => sockets[0]?.write(bytes),
    async [Symbol.asyncDispose]() {
      await nodes[Symbol.asyncDispose]()
      for (const socket of sockets) socket.destroy()
      line.close()
    },
  }
}

/** Hands on from one socket to the other: a byte or two, then some thousand, and so on, each for itself. */
async function cut(from: Socket, to: Socket): Promise<void> {
  const random = seededRandom('cuts')
  to.setNoDelay(true)
  from.on('error', () => to.destroy())
  try {
    for await (const bytes of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < bytes.length; ) {
        const isShort = randomFraction(random) < 0.5
        const lengthBytes = 1 + Math.floor(randomFraction(random) * (isShort ? 3 : 9_000))
        to.write(bytes.subarray(at, at + lengthBytes))
        at += lengthBytes
        await turn()
      }
    }
  } catch {
    // The line is cut at the end of each test, and with it what is on its way.
  }
  to.end()
}
