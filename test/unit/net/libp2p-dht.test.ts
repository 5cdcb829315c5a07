import assert from 'node:assert/strict'
import type { KadDHT, QueryEvent } from '@libp2p/kad-dht'
import { multiaddr } from '@multiformats/multiaddr'
import { systemClock } from '../../../src/base/clock.js'
import { isSubnetError } from '../../../src/base/errors.js'
import { cidOf, findProviders } from '../../../src/net/libp2p-dht.js'

const DIGEST = new Uint8Array(32).fill(9)

describe('DHT', () => {
  it('names a digest by its CIDv1, raw and sha2-256, as every DHT tool does', () => {
    const digest = Buffer.from('2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', 'hex')
    // `ipfs add --cid-version 1 --raw-leaves` of the three bytes "foo".
    assert.equal(`${cidOf(digest)}`, 'bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy')
    assert.throws(() => cidOf(digest.subarray(1)), /32 bytes/)
  })

  it('yields providers with each address once, without ourselves', async () => {
    const address = multiaddr('/ip4/10.0.0.1/tcp/1')
    const provider = (id: string) => ({ id, multiaddrs: [address, address] })
    const dht = new FakeDht([
      { name: 'DIAL_PEER' },
      { name: 'PROVIDER', providers: [provider('one'), provider('self')] },
      { name: 'PROVIDER', providers: [provider('two')] },
    ])
    assert.deepEqual(await found(dht, {}), [
      { peerId: 'one', addresses: ['/ip4/10.0.0.1/tcp/1'] },
      { peerId: 'two', addresses: ['/ip4/10.0.0.1/tcp/1'] },
    ])
  })

  it('ends a search quietly at the signal, and with an error when the DHT fails', async () => {
    const controller = new AbortController()
    const stopping = new FakeDht([{ name: 'DIAL_PEER' }], () => controller.abort())
    assert.deepEqual(await found(stopping, { signal: controller.signal }), [])
    const failing = new FakeDht([{ name: 'DIAL_PEER' }], () => {
      throw new Error('no route')
    })
    await assert.rejects(found(failing, {}), withCode('DISCONNECTED'))
  })
})

async function found(dht: FakeDht, options: { signal?: AbortSignal }): Promise<unknown[]> {
  const peers: unknown[] = []
  for await (const peer of findProviders(dht.asDht(), systemClock, DIGEST, 'self', options)) peers.push(peer)
  return peers
}

function withCode(code: 'DISCONNECTED'): (error: unknown) => boolean {
  return (error) => isSubnetError(error, code)
}

/** Yields the given events; `after` runs when they are out, then a fired signal ends the walk as kad-dht does. */
class FakeDht {
  readonly #events: readonly object[]
  readonly #after: () => void

  constructor(events: readonly object[], after: () => void = () => undefined) {
    this.#events = events
    this.#after = after
  }

  asDht(): KadDHT {
    return this as unknown as KadDHT
  }

  async *findProviders(_key: unknown, options: { signal: AbortSignal }): AsyncIterable<QueryEvent> {
    yield* this.#walk(options.signal)
  }

  async *#walk(signal: AbortSignal): AsyncIterable<QueryEvent> {
    for (const event of this.#events) yield event as QueryEvent
    this.#after()
    if (signal.aborted) throw Object.assign(new Error('aborted'), { name: 'AbortError' })
  }
}
