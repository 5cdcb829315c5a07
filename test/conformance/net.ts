/** What every `Net` does. Run by the libp2p adapter over loopback and by the simulator's network. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { isSubnetError } from '../../src/base/errors.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { Duplex } from '../../src/net/duplex.js'
import { until } from '../kit/until.js'
import { readAll } from './duplex.js'
import {
  addressOf,
  bytesOf,
  collect,
  DEADLINE_MS,
  ECHO,
  echo,
  type NetSuite,
  topic,
  World,
  withCode,
} from './net-world.js'

export function netConformance(suite: NetSuite): void {
  describe(`net: ${suite.name}`, () => {
    names(suite)
    streams(suite)
    handlers(suite)
    disconnects(suite)
    stops(suite)
    gossip(suite)
    dht(suite)
  })
}

function names(suite: NetSuite): void {
  it('knows its peer id before the start and its addresses after it', async () => {
    await using world = new World(suite)
    const [listener, dialler] = [suite.create(), suite.create({ listen: false })]
    assert.notEqual(listener.peerId, dialler.peerId)
    assert.deepEqual(listener.addresses(), [])
    await world.start(listener, dialler)
    assert.ok(listener.addresses().length > 0)
    for (const address of listener.addresses()) assert.ok(address.endsWith(`/p2p/${listener.peerId}`))
    assert.deepEqual(dialler.addresses(), [])
  })

  it('refuses a peer id that is none, and itself', async () => {
    await using world = new World(suite)
    const [net] = await world.add({})
    await assert.rejects(net.connect({ peerId: 'nobody', addresses: [] }), withCode('INVALID'))
    await assert.rejects(net.connect(addressOf(net)), withCode('INVALID'))
  })
}

function streams(suite: NetSuite): void {
  it('opens a stream to the handler; each end knows the other', async () => {
    await using world = new World(suite)
    const { a, b, seen } = await world.echo()
    const duplex = await a.open(addressOf(b), ECHO.id)
    assert.equal(duplex.remotePeer, b.peerId)
    assert.equal(await echo(duplex, 'hello'), 'hello')
    assert.deepEqual(seen, [a.peerId])
  })

  it('opens further streams, either way, without an address', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo({ listen: false })
    await a.connect(addressOf(b))
    assert.equal(await echo(await a.open({ peerId: b.peerId, addresses: [] }, ECHO.id), 'there'), 'there')
    assert.equal(await echo(await b.open({ peerId: a.peerId, addresses: [] }, ECHO.id), 'back'), 'back')
  })

  it('rejects with REFUSED when the peer does not serve the protocol', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    await assert.rejects(a.open(addressOf(b), '/test/none/1'), withCode('REFUSED'))
    assert.equal(await echo(await a.open(addressOf(b), ECHO.id), 'still fine'), 'still fine')
  })

  it('rejects with DISCONNECTED, the cause and the tried addresses when nobody answers', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    const gone = addressOf(b)
    await b.stop()
    for (const attempt of [a.connect(gone), a.open(gone, ECHO.id)]) {
      await assert.rejects(attempt, (error: unknown) => {
        assert.ok(isSubnetError(error, 'DISCONNECTED') && error.cause !== undefined)
        assert.deepEqual(error.data.addresses, gone.addresses)
        return true
      })
    }
  })

  it('rejects with DISCONNECTED when another peer answers at the address', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    const stranger = suite.create()
    const bare = b.addresses().map((address) => address.replace(`/p2p/${b.peerId}`, ''))
    for (const addresses of [b.addresses(), bare]) {
      await assert.rejects(a.connect({ peerId: stranger.peerId, addresses }), withCode('DISCONNECTED'))
    }
  })

  it('rejects with the reason of the signal', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    const reason = new Error('no patience')
    const aborted = AbortSignal.abort(reason)
    await assert.rejects(a.connect(addressOf(b), { signal: aborted }), reason)
    await assert.rejects(a.open(addressOf(b), ECHO.id, { signal: aborted }), reason)
    const controller = new AbortController()
    const opening = a.open(addressOf(b), ECHO.id, { signal: controller.signal })
    controller.abort(reason)
    await assert.rejects(opening, reason)
  })
}

function handlers(suite: NetSuite): void {
  it('resets the stream beyond the limit of the protocol and leaves the others alone', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    const open: Duplex[] = []
    for (let count = 0; count < ECHO.inboundStreamsMax; count += 1) {
      const duplex = await a.open(addressOf(b), ECHO.id)
      await duplex.write(bytesOf('first'))
      await duplex.read()
      open.push(duplex)
    }
    await assert.rejects(
      a.open(addressOf(b), ECHO.id).then((duplex) => duplex.read()),
      (error: unknown) => isSubnetError(error, 'DISCONNECTED') || isSubnetError(error, 'BUSY'),
    )
    for (const duplex of open) assert.equal(await echo(duplex, 'second'), 'second')
    await until(
      async () => {
        const duplex = await a.open(addressOf(b), ECHO.id)
        return echo(duplex, 'again').then(Boolean, () => false)
      },
      { deadlineMs: DEADLINE_MS, title: 'ended streams make room' },
    )
  })

  it('ends the stream when the handler is done, after everything it wrote', async () => {
    await using world = new World(suite)
    const answer = new Uint8Array(200_000).fill(3)
    const { a, b } = await world.pair((duplex) => duplex.write(answer))
    const duplex = await a.open(addressOf(b), ECHO.id)
    const received = await readAll(duplex)
    assert.deepEqual(received, { bytes: answer.length, digest: Buffer.from(sha256(answer)).toString('hex') })
    await duplex.closeWrite()
  })

  it('resets the stream when the handler rejects', async () => {
    await using world = new World(suite)
    const { a, b } = await world.pair(async (duplex) => {
      await duplex.read()
      throw new Error('cannot')
    })
    const duplex = await a.open(addressOf(b), ECHO.id)
    await duplex.write(bytesOf('x'))
    await assert.rejects(duplex.read(), withCode('DISCONNECTED'))
  })
}

function disconnects(suite: NetSuite): void {
  it('tells both sides once that the last connection is gone, and breaks the streams', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    const lost: string[] = []
    a.onDisconnect((peerId) => lost.push(`a lost ${peerId}`))
    b.onDisconnect((peerId) => lost.push(`b lost ${peerId}`))
    const unregister = b.onDisconnect(() => lost.push('unregistered'))
    unregister()
    const duplex = await a.open(addressOf(b), ECHO.id)
    await duplex.write(bytesOf('x'))
    await duplex.read()
    const reading = duplex.read()
    reading.catch(() => undefined)
    await a.disconnect(b.peerId)
    await a.disconnect(b.peerId)
    await assert.rejects(reading, withCode('DISCONNECTED'))
    await until(() => lost.length >= 2, { deadlineMs: DEADLINE_MS, title: 'both sides are told' })
    assert.deepEqual(lost.sort(), [`a lost ${b.peerId}`, `b lost ${a.peerId}`])
    assert.equal(await echo(await a.open(addressOf(b), ECHO.id), 'anew'), 'anew')
  })

  it('takes a disconnect from a peer it does not know', async () => {
    await using world = new World(suite)
    const { a } = await world.echo()
    await a.disconnect(suite.create().peerId)
  })
}

function stops(suite: NetSuite): void {
  it('breaks running handlers off and waits for them', async () => {
    await using world = new World(suite)
    const order: string[] = []
    const { a, b } = await world.pair(async (duplex) => {
      order.push('handler runs')
      const failure = await duplex.read().catch((error: unknown) => error)
      assert.ok(isSubnetError(failure, 'STOPPED'))
      await new Promise((resolve) => setImmediate(resolve))
      order.push('handler is done')
    })
    const duplex = await a.open(addressOf(b), ECHO.id)
    await until(() => order.length === 1, { deadlineMs: DEADLINE_MS, title: 'the handler runs' })
    await b.stop()
    assert.deepEqual(order, ['handler runs', 'handler is done'])
    await assert.rejects(duplex.read(), withCode('DISCONNECTED'))
  })

  it('does nothing when stopped twice or before the start, and refuses work afterwards', async () => {
    await using world = new World(suite)
    const { a, b } = await world.echo()
    await suite.create().stop()
    const duplex = await a.open(addressOf(b), ECHO.id)
    await Promise.all([a.stop(), a.stop()])
    await a.stop()
    await assert.rejects(duplex.read(), withCode('STOPPED'))
    await assert.rejects(a.open(addressOf(b), ECHO.id), withCode('STOPPED'))
    assert.deepEqual(a.addresses(), [])
  })

  it('refuses a protocol registered late or twice', async () => {
    await using world = new World(suite)
    const net = suite.create()
    net.handle(ECHO, async () => undefined)
    assert.throws(() => net.handle(ECHO, async () => undefined), /registered twice/)
    await world.start(net)
    assert.throws(() => net.handle({ ...ECHO, id: '/test/late/1' }, async () => undefined), /before start/)
  })
}

function gossip(suite: NetSuite): void {
  it('publishes to nobody without an error', async () => {
    await using world = new World(suite)
    const [net] = await world.add({ gossip: true })
    net.subscribe('news', topic().handler)
    assert.equal(await net.publish('news', bytesOf('alone')), 0)
  })

  it('delivers to subscribers through others, with the author, and not to itself', async () => {
    await using world = new World(suite)
    const { nets, topics } = await world.line('accept')
    const [author, , last] = nets
    assert.equal(await author.publish('news', bytesOf('hello')), 1)
    await until(() => topics[2].delivered.length > 0, { deadlineMs: DEADLINE_MS, title: 'it arrives' })
    assert.deepEqual(topics[2].delivered, [`hello from ${author.peerId}`])
    assert.deepEqual(topics[0].delivered, [])
    await last.publish('news', bytesOf('answer'))
    await until(() => topics[0].delivered.length > 0, {
      deadlineMs: DEADLINE_MS,
      title: 'the answer arrives',
    })
    assert.deepEqual(topics[0].delivered, [`answer from ${last.peerId}`])
  })

  for (const verdict of ['ignore', 'reject'] as const) {
    it(`neither delivers nor passes on what a validator says to ${verdict}`, async () => {
      await using world = new World(suite)
      const { nets, topics } = await world.line(verdict)
      await nets[0].publish('news', bytesOf('bad'))
      await until(() => topics[1].validated.length > 0, { deadlineMs: DEADLINE_MS, title: 'it is validated' })
      await nets[0].publish('news', bytesOf('good'))
      await until(() => topics[2].delivered.length > 0, {
        deadlineMs: DEADLINE_MS,
        title: 'a good one arrives',
      })
      assert.deepEqual(topics[1].delivered, [`good from ${nets[0].peerId}`])
      assert.deepEqual(topics[2].delivered, [`good from ${nets[0].peerId}`])
    })
  }

  it('refuses what is larger than the topic allows, before it is validated', async () => {
    await using world = new World(suite)
    const { nets, topics } = await world.line('accept')
    await nets[0].publish('news', new Uint8Array(topics[1].handler.maxBytes + 1))
    await nets[0].publish('news', bytesOf('small'))
    await until(() => topics[2].delivered.length > 0, {
      deadlineMs: DEADLINE_MS,
      title: 'the small one arrives',
    })
    assert.deepEqual(topics[1].validated, ['small'])
  })
}

function dht(suite: NetSuite): void {
  it('finds who provides, and where, among eight nodes', async () => {
    await using world = new World(suite)
    const on = { dht: true }
    const [hub, ...others] = await world.add(on, on, on, on, on, on, on, on)
    for (const net of others) await net.connect(addressOf(hub))
    const digest = sha256(randomBytes(32))
    const [first, second, seeker] = others
    const members = [hub, ...others].map(addressOf)
    assert.deepEqual(await first.provide([digest], members), [])
    assert.deepEqual(await second.provide([digest], members), [])
    const found = await until(
      async () => {
        const peers = await collect(seeker.findProviders(digest))
        return peers.length === 2 && peers
      },
      { deadlineMs: DEADLINE_MS, title: 'both providers are found' },
    )
    assert.deepEqual(found.map(({ peerId }) => peerId).sort(), [first.peerId, second.peerId].sort())
    for (const { addresses } of found) assert.ok(addresses.length > 0)
    assert.deepEqual(await collect(seeker.findProviders(sha256(randomBytes(32)))), [])
  })

  it('does not mix nodes of two subnets', async () => {
    await using world = new World(suite)
    const [one, two] = await world.add({ dht: true, netuid: 1 }, { dht: true, netuid: 2 })
    await one.connect(addressOf(two))
    const digest = sha256(randomBytes(32))
    assert.deepEqual(await one.provide([digest], [addressOf(two)]), [digest], 'nobody takes it')
    assert.deepEqual(await collect(two.findProviders(digest)), [])
  })

  it('announces many digests at once, also past members that are gone', async () => {
    await using world = new World(suite)
    const on = { dht: true }
    const [provider, seeker, gone] = await world.add(on, on, on)
    const members = [provider, seeker, gone].map(addressOf)
    await gone.stop()
    const digests = Array.from({ length: 300 }, () => sha256(randomBytes(32)))
    assert.deepEqual(await provider.provide(digests, members), [])
    await seeker.connect(addressOf(provider))
    for (const digest of [digests[0], digests[299]] as [Uint8Array, Uint8Array]) {
      const found = await until(
        async () => {
          const peers = await collect(seeker.findProviders(digest))
          return peers.length === 1 && peers
        },
        { deadlineMs: DEADLINE_MS, title: 'the provider is found' },
      )
      assert.equal(found[0]?.peerId, provider.peerId)
    }
  })

  it('gives back what nobody took when alone, and finds nothing', async () => {
    await using world = new World(suite)
    const [net] = await world.add({ dht: true })
    const digest = sha256(randomBytes(32))
    assert.deepEqual(await net.provide([digest], [addressOf(net)]), [digest])
    assert.deepEqual(await collect(net.findProviders(digest)), [])
  })

  it('ends a search at the signal, quietly', async () => {
    await using world = new World(suite)
    const [one, two] = await world.add({ dht: true }, { dht: true })
    await one.connect(addressOf(two))
    const controller = new AbortController()
    const searching = collect(one.findProviders(sha256(randomBytes(32)), { signal: controller.signal }))
    controller.abort(new Error('enough'))
    assert.deepEqual(await searching, [])
  })

  it('rejects with CONFIG what this node was set up without', async () => {
    await using world = new World(suite)
    const [net] = await world.add({ dht: false, gossip: false })
    assert.throws(() => net.findProviders(sha256(bytesOf('x'))), withCode('CONFIG'))
    await assert.rejects(net.provide([sha256(bytesOf('x'))], []), withCode('CONFIG'))
    await assert.rejects(net.publish('news', bytesOf('x')), withCode('CONFIG'))
  })
}
