/** The libp2p duplex over real TCP, Noise and Yamux. */
import { KIB, MIB } from '../../src/base/units.js'
import type { Duplex } from '../../src/net/duplex.js'
import { duplexConformance } from '../conformance/duplex.js'
import { addressOf, netNode, startAll } from '../kit/net-node.js'

duplexConformance({
  name: 'libp2p, as the side that opened',
  freeBytes: 256 * KIB,
  heldMaxBytes: 4 * MIB,
  link: () => link(false),
})

duplexConformance({
  name: 'libp2p, as the side that was opened to',
  freeBytes: 256 * KIB,
  heldMaxBytes: 4 * MIB,
  link: () => link(true),
})

async function link(swap: boolean) {
  const [dialler, listener] = [netNode('dialler', { listen: [] }), netNode('listener')]
  const scope = { end: () => {} }
  const handlerEnds = new Promise<void>((resolve) => {
    scope.end = resolve
  })
  const accepted = new Promise<Duplex>((resolve) => {
    listener.handle({ id: '/test/1', inboundStreamsMax: 1, outboundStreamsMax: 1 }, (duplex) => {
      resolve(duplex)
      return handlerEnds
    })
  })
  const nodes = await startAll(dialler, listener)
  const opened = await dialler.open(addressOf(listener), '/test/1')
  const [a, b] = swap ? [await accepted, opened] : [opened, await accepted]
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      scope.end()
      await nodes[Symbol.asyncDispose]()
    },
  }
}
