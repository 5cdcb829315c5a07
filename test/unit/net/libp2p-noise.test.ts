import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { KIB, MIB } from '../../../src/base/units.js'
import { addressOf, netNode, startAll } from '../../kit/net-node.js'

const PROTOCOL = { id: '/test/1', inboundStreamsMax: 1, outboundStreamsMax: 1 }
const SENT_BYTES = 4 * MIB

describe('batched noise', () => {
  const { write } = Socket.prototype
  afterEach(() => {
    Socket.prototype.write = write
  })

  it('gives the memory of what it encrypted back once that is sent', async () => {
    const written: Uint8Array[] = []
    Socket.prototype.write = function (this: Socket, part: Uint8Array, ...rest: []) {
      if (part.length >= 16 * KIB) written.push(part)
      return write.call(this, part, ...rest)
    } as Socket['write']
    const [dialler, listener] = [netNode('dialler', { listen: [] }), netNode('listener')]
    let arrivedBytes = 0
    const arrived = new Promise<void>((resolve) => {
      listener.handle(PROTOCOL, async (duplex) => {
        for (; arrivedBytes < SENT_BYTES; ) arrivedBytes += (await duplex.read())?.length ?? SENT_BYTES
        await duplex.write(Uint8Array.of(1))
        resolve()
      })
    })
    await using _nodes = await startAll(dialler, listener)
    const duplex = await dialler.open(addressOf(listener), PROTOCOL.id)
    const bytes = new Uint8Array(SENT_BYTES)
    await duplex.write(bytes)
    await Promise.all([arrived, duplex.read()])
    assert.ok(written.length >= SENT_BYTES / (64 * KIB))
    assert.ok(written.every((part) => part.length === 0))
    assert.equal(bytes.length, SENT_BYTES)
  })
})
