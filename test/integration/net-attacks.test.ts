/** What a hostile peer with a plain libp2p node can do to ours, and what it costs us. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import '../../src/base/platform.js'
import type { Connection } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { silentLogger } from '../../src/base/log.js'
import { MIB } from '../../src/base/units.js'
import { libp2pOptions } from '../../src/net/libp2p-config.js'
import type { Libp2pNet } from '../../src/net/libp2p-net.js'
import { addressOf, netNode, startAll } from '../kit/net-node.js'
import { until } from '../kit/until.js'

const JUNK = new Uint8Array(64 * 1024)

/** The part of yamux that an attacker would write himself. */
interface OpenMuxer {
  sendFrame(header: { type: 0; flag: 0; streamID: number; length: number }, data: Uint8Array): boolean
  send(bytes: Uint8Array): boolean
  readonly maConn: EventTarget
}

describe('a hostile peer', () => {
  it('is cut off when it announces a frame longer than any window', async () => {
    await using nodes = await startAll(netNode('victim'))
    await using attacker = await attack(nodes.nets[0])
    const { muxer } = attacker.connection as unknown as { muxer: OpenMuxer }
    const closed = once(attacker.connection as unknown as EventTarget, 'close')
    muxer.sendFrame({ type: 0, flag: 0, streamID: 99, length: 2 ** 32 - 1 }, JUNK)
    let sentBytes = 0
    while (attacker.connection.status === 'open' && sentBytes < 64 * MIB) {
      sentBytes += JUNK.length
      if (!muxer.send(JUNK)) await Promise.race([once(muxer.maConn, 'drain'), closed])
    }
    assert.ok(sentBytes < 64 * MIB, 'the victim took all of it')
  })

  it('is held back when it pings without reading the answers', async () => {
    await using nodes = await startAll(netNode('victim'))
    await using attacker = await attack(nodes.nets[0])
    const stream = await attacker.connection.newStream('/ipfs/ping/1.0.0')
    stream.maxWriteBufferLength = Number.POSITIVE_INFINITY
    stream.pause()
    let sentBytes = 0
    while (stream.writeBufferLength < 8 * MIB) {
      stream.send(JUNK)
      sentBytes += JUNK.length
      await new Promise((resolve) => setImmediate(resolve))
      assert.ok(sentBytes < 64 * MIB, 'the victim took all of it')
    }
    stream.abort(new Error('done'))
  })

  it('is not heard any more after enough messages that validators reject', async () => {
    const [author, victim] = [netNode('author', { gossip: true }), netNode('victim', { gossip: true })]
    const heard = { bad: 0, good: 0 }
    author.subscribe('news', { maxBytes: 100, validate: () => 'accept', deliver: () => undefined })
    victim.subscribe('news', {
      maxBytes: 100,
      validate(bytes) {
        if (bytes[0] === 0) heard.bad += 1
        return bytes[0] === 0 ? 'reject' : 'accept'
      },
      deliver: () => {
        heard.good += 1
      },
    })
    await using _ = await startAll(victim, author)
    await author.connect(addressOf(victim))
    const publish = (first: number) => author.publish('news', Uint8Array.of(first))
    await until(async () => (await publish(1)) > 0 && heard.good > 0, {
      deadlineMs: 10_000,
      title: 'the author is heard',
    })
    // A peer in good standing is trusted for 128 messages between two looks at its score.
    for (let count = 0; count < 200; count += 1) await publish(0)
    await until(
      async () => {
        const before = heard.good
        for (let count = 0; count < 5; count += 1) await publish(1)
        await new Promise((resolve) => setImmediate(resolve))
        return heard.bad >= 13 && heard.good === before
      },
      { deadlineMs: 10_000, title: 'the author is deaf ears' },
    )
  })
})

async function attack(victim: Libp2pNet): Promise<{ readonly connection: Connection } & AsyncDisposable> {
  const init = { netuid: 1, listen: [], privateAddresses: true, dht: false, gossip: false }
  const seed = new Uint8Array(32).fill(66)
  const node = await createLibp2p(libp2pOptions({ ...init, privateKeySeed: seed }, silentLogger))
  await node.start()
  const [address = ''] = victim.addresses()
  const connection = await node.dial(multiaddr(address))
  return { connection, [Symbol.asyncDispose]: async () => node.stop() }
}
