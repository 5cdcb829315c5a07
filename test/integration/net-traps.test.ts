/** One test for each trap of libp2p 3 that our adapter must not fall into again (numbers as in the design's list). */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { isSubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import type { Duplex } from '../../src/net/duplex.js'
import { NET_LIMITS } from '../../src/net/libp2p-limits.js'
import { countingWriter, expected, readAll, readBytes, steady, writePieces } from '../conformance/duplex.js'
import { CHILD, netChild, SOURCE_PIECES } from '../kit/net-child.js'
import { addressOf, LOOPBACK, netNode, startAll } from '../kit/net-node.js'
import { until } from '../kit/until.js'

const LIMITS = { inboundStreamsMax: 4, outboundStreamsMax: 4 }
const HELD_MAX_BYTES = 4 * MIB

describe('traps in libp2p 3', () => {
  it('1: an idle reader does not buffer without bound', async () => {
    await using pair = await servedPair()
    const writer = countingWriter(pair.dialled)
    await steady(() => writer.bytes)
    assert.ok(writer.bytes <= HELD_MAX_BYTES, `${writer.bytes} bytes taken`)
    await writer.stop()
  })

  it('2: an idle reader loses nothing and the stream survives, beyond the 4 MiB where lpStream gives up', async () => {
    await using pair = await servedPair()
    const pieces = (3 * HELD_MAX_BYTES) / (16 * 1024)
    const writing = writePieces(pair.dialled, pieces)
    await turn()
    assert.deepEqual(await readAll(pair.accepted, turn), expected(pieces))
    await writing
  })

  it('3: a writer waits for a fresh drain the first, the second and the hundredth time', async () => {
    await using pair = await servedPair()
    const writer = countingWriter(pair.dialled)
    let readTotal = 0
    for (let round = 1; round <= 100; round += 1) {
      readTotal += await readBytes(pair.accepted, MIB)
      // More than anything between the two may hold must not have been taken.
      const waiting = writer.bytes - readTotal
      assert.ok(waiting <= HELD_MAX_BYTES, `round ${round}: ${waiting} bytes wait`)
    }
    assert.ok(writer.bytes >= 100 * MIB)
    await writer.stop()
  })

  it('4: pausing and resuming many times does not get the stream reset', async () => {
    assert.ok(NET_LIMITS.windowMaxBytes <= NET_LIMITS.readBufferMaxBytes)
    await using pair = await servedPair()
    const writer = countingWriter(pair.dialled)
    for (let round = 0; round < 40; round += 1) {
      await readBytes(pair.accepted, MIB)
      // Long enough for the sender to use up whatever the resume reopened.
      for (let turns = 0; turns < 20; turns += 1) await turn()
    }
    await writer.stop()
  })

  it('5: a sender to a sleeping reader in another process stops within 4 MiB, in both directions', async () => {
    await using child = await netChild()
    await using nodes = await startAll(netNode('parent', { listen: [] }))
    const [net] = nodes.nets
    const toSleeper = countingWriter(await net.open(child.address, CHILD.sleeper))
    await steady(() => toSleeper.bytes)
    assert.ok(toSleeper.bytes <= HELD_MAX_BYTES, `we got rid of ${toSleeper.bytes} bytes`)

    const fromFlood = await net.open(child.address, CHILD.flood)
    let written = 0
    const asking = async () => {
      written = await child.written()
      return written
    }
    await until(async () => (await asking()) > 0, { deadlineMs: 10_000, title: 'the child writes' })
    await until(async () => written === (await asking()), {
      deadlineMs: 10_000,
      title: 'the child stands still',
    })
    assert.ok(written <= HELD_MAX_BYTES, `the child got rid of ${written} bytes`)
    fromFlood.abort(new Error('enough'))
    await toSleeper.stop()
  })

  it('5: 64 MiB reach a slow reader in another process intact, both ways, and the process ends by itself', async () => {
    await using child = await netChild()
    await using nodes = await startAll(netNode('parent', { listen: [] }))
    const [net] = nodes.nets
    const up = await net.open(child.address, CHILD.slowSink)
    const down = await net.open(child.address, CHILD.source)
    const [downloaded] = await Promise.all([
      readAll(down, turn),
      down.closeWrite(),
      writePieces(up, SOURCE_PIECES),
    ])
    assert.deepEqual(downloaded, expected(SOURCE_PIECES))
    const answer = await up.read()
    assert.equal(Buffer.from(answer ?? []).toString(), expected(SOURCE_PIECES).digest)
    await child.stop()
  })

  it('6: thirty peers dial one node on loopback at once', async () => {
    await using listening = await startAll(netNode('hub'))
    const [hub] = listening.nets
    const diallers = Array.from({ length: 30 }, (_, index) => netNode(`dialler ${index}`, { listen: [] }))
    await using all = await startAll(...diallers)
    await Promise.all(all.nets.map((net) => net.connect(addressOf(hub))))
  })

  it('6: sixteen peers behind one address are all heard in gossip', async () => {
    const heard = new Set<string>()
    const hub = netNode('hub', { gossip: true })
    hub.subscribe('news', {
      maxBytes: 100,
      validate: () => 'accept',
      deliver: (_bytes, fromPeer) => heard.add(fromPeer),
    })
    await using listening = await startAll(hub)
    const peers = Array.from({ length: 16 }, (_, index) =>
      netNode(`peer ${index}`, { listen: [], gossip: true }),
    )
    await using all = await startAll(...peers)
    await Promise.all(all.nets.map((net) => net.connect(addressOf(listening.nets[0]))))
    await until(
      async () => {
        for (const net of all.nets) if (!heard.has(net.peerId)) await net.publish('news', Uint8Array.of(1))
        return heard.size === peers.length
      },
      { deadlineMs: 15_000, title: 'all are heard' },
    )
  })

  it('6: connections beyond our limit are refused', async () => {
    await using listening = await startAll(netNode('hub', { connectionsMax: 2 }))
    const [hub] = listening.nets
    await using all = await startAll(...['x', 'y', 'z'].map((name) => netNode(name, { listen: [] })))
    const results = []
    for (const net of all.nets) {
      // A refused connection may only show when it is used.
      const opened = await net.open(addressOf(hub), '/test/none/1').catch((error: unknown) => error)
      results.push(isSubnetError(opened) ? opened.code : 'opened')
    }
    assert.deepEqual(results, ['REFUSED', 'REFUSED', 'DISCONNECTED'])
  })

  it('7: the DHT starts, on private addresses, with an id of its own', async () => {
    const settings = { dht: true, netuid: 7 }
    await using nodes = await startAll(netNode('one', settings), netNode('two', settings))
    const [one, two] = nodes.nets
    await one.connect(addressOf(two))
    const digest = new Uint8Array(32).fill(5)
    assert.deepEqual(await one.provide([digest], [addressOf(two)]), [])
    const found = await until(
      async () => {
        for await (const peer of two.findProviders(digest)) return peer
        return undefined
      },
      { deadlineMs: 10_000, title: 'the other finds it' },
    )
    assert.deepEqual(found, { peerId: one.peerId, addresses: one.addresses().map(withoutPeer) })
    const kad = await one.open(addressOf(two), '/subnet/7/kad/1.0.0')
    kad.abort(new Error('it is served'))
    await assert.rejects(one.open(addressOf(two), '/ipfs/kad/1.0.0'), (error) =>
      isSubnetError(error, 'REFUSED'),
    )
  })

  it('8: a handler gets its stream and the peer that Noise proved', async () => {
    await using pair = await servedPair()
    assert.equal(pair.accepted.remotePeer, pair.diallerId)
    await pair.dialled.write(Uint8Array.of(1, 2, 3))
    assert.deepEqual(await pair.accepted.read(), Uint8Array.of(1, 2, 3))
  })
})

describe('libp2p node', () => {
  it('rejects with CONFIG when it cannot listen, and leaves nothing behind', async () => {
    await using nodes = await startAll(netNode('first'))
    const [taken] = nodes.nets[0].addresses().map(withoutPeer)
    const second = netNode('second', { listen: [taken ?? LOOPBACK] })
    await assert.rejects(second.start(), (error) => {
      // The reason, and none of libp2p's words and stacks.
      assert.match(`${error}`, /cannot listen on \S+: listen EADDRINUSE: [^\n]*$/)
      return isSubnetError(error, 'CONFIG') && error.cause === undefined
    })
    assert.deepEqual(second.addresses(), [])
    await second.stop()
  })

  it('among strangers tells only an address that they can dial', async () => {
    const announced = '/dns4/node.example/tcp/4001'
    await using nodes = await startAll(
      netNode('hidden', { privateAddresses: false }),
      netNode('behind a router', { privateAddresses: false, announce: [announced] }),
    )
    const [hidden, announcing] = nodes.nets
    assert.deepEqual(hidden.addresses(), [])
    assert.deepEqual(announcing.addresses().map(withoutPeer), [announced])
  })

  it('rejects with CONFIG what is no address', async () => {
    for (const wrong of [{ listen: ['127.0.0.1:4001'] }, { announce: ['example.org'] }]) {
      await assert.rejects(netNode('wrong', wrong).start(), (error) => isSubnetError(error, 'CONFIG'))
    }
  })

  it('does not dial private addresses when it is set up for the internet', async () => {
    const internet = netNode('internet', { listen: [], privateAddresses: false })
    await using nodes = await startAll(netNode('local'), internet)
    const dialling = internet.connect(addressOf(nodes.nets[0]))
    await assert.rejects(dialling, (error) => isSubnetError(error, 'DISCONNECTED'))
  })

  it('cannot announce without an address of its own', async () => {
    await using nodes = await startAll(netNode('dialler', { listen: [], dht: true }))
    const providing = nodes.nets[0].provide([new Uint8Array(32)], [])
    await assert.rejects(providing, (error) => isSubnetError(error, 'CONFIG'))
  })
})

function withoutPeer(address: string): string {
  return address.replace(/\/p2p\/.*$/, '')
}

interface ServedPair extends AsyncDisposable {
  readonly dialled: Duplex
  readonly accepted: Duplex
  readonly diallerId: string
}

async function servedPair(): Promise<ServedPair> {
  const [dialler, listener] = [netNode('dialler', { listen: [] }), netNode('listener')]
  let end: () => void = () => undefined
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const accepting = new Promise<Duplex>((resolve) => {
    listener.handle({ id: '/test/1', ...LIMITS }, (duplex) => {
      resolve(duplex)
      return ended
    })
  })
  const nodes = await startAll(dialler, listener)
  const dialled = await dialler.open(addressOf(listener), '/test/1')
  return {
    dialled,
    accepted: await accepting,
    diallerId: dialler.peerId,
    async [Symbol.asyncDispose]() {
      end()
      await nodes[Symbol.asyncDispose]()
    },
  }
}
