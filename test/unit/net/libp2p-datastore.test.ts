import assert from 'node:assert/strict'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { isSubnetError } from '../../../src/base/errors.js'
import { privateKeyOf } from '../../../src/net/libp2p-config.js'
import { NetDatastore } from '../../../src/net/libp2p-datastore.js'

type Key = Parameters<NetDatastore['put']>[0]

const SELF = peerIdFromPrivateKey(privateKeyOf(new Uint8Array(32)))
const VALUE = Uint8Array.of(1)

describe('NetDatastore', () => {
  it('keeps, replaces and forgets', () => {
    const store = small()
    store.put(key('/peers/a'), Uint8Array.of(1))
    store.put(key('/peers/a'), Uint8Array.of(2))
    assert.deepEqual([store.has(key('/peers/a')), store.get(key('/peers/a'))], [true, Uint8Array.of(2)])
    store.delete(key('/peers/a'))
    store.delete(key('/peers/a'))
    assert.equal(store.has(key('/peers/a')), false)
    assert.throws(() => store.get(key('/peers/a')), { name: 'NotFoundError' })
  })

  it('finds by prefix: one DHT key, all DHT records, all peers, everything', () => {
    const store = small()
    for (const text of ['/dht/provider/k1/p', '/dht/provider/k1/q', '/dht/provider/k2/p', '/peers/p']) {
      store.put(key(text), VALUE)
    }
    const found = (prefix: string) => [...store.query({ prefix })].map((pair) => `${pair.key}`)
    assert.deepEqual(found('/dht/provider/k1'), ['/dht/provider/k1/p', '/dht/provider/k1/q'])
    assert.equal(found('/dht/provider').length, 3)
    assert.deepEqual(found('/peers/'), ['/peers/p'])
    assert.deepEqual(found('/dht/provider/k1/q'), ['/dht/provider/k1/q'])
    assert.deepEqual(found('/dht/provider/k3'), [])
    assert.equal([...store.query({})].length, 4)
  })

  it('filters, orders and pages', () => {
    const store = small()
    for (const name of ['c', 'a', 'b']) store.put(key(`/peers/${name}`), VALUE)
    const byName = (a: { key: Key }, b: { key: Key }) => (`${a.key}` < `${b.key}` ? -1 : 1)
    const pairs = [...store.query({ prefix: '/peers/', orders: [byName], offset: 1, limit: 1 })]
    assert.deepEqual(
      pairs.map((pair) => `${pair.key}`),
      ['/peers/b'],
    )
    const keys = store.queryKeys({ filters: [(each) => `${each}` !== '/peers/a'] })
    assert.deepEqual([...keys].map(String), ['/peers/c', '/peers/b'])
  })

  it('lets a caller delete while it walks', () => {
    const store = small()
    for (const name of ['a', 'b', 'c']) store.put(key(`/dht/provider/${name}/${name}`), VALUE)
    for (const pair of store.query({ prefix: '/dht/provider' })) store.delete(pair.key)
    assert.deepEqual([...store.query({})], [])
  })

  it('refuses DHT records beyond what one peer, and all peers, may have, and takes them after a delete', () => {
    const store = small()
    store.put(key('/dht/provider/k1/p'), VALUE)
    store.put(key('/dht/provider/k2/p'), VALUE)
    store.put(key('/dht/provider/k2/p'), VALUE)
    assert.throws(() => store.put(key('/dht/provider/k3/p'), VALUE), full)
    store.put(key('/dht/provider/k1/q'), VALUE)
    assert.throws(() => store.put(key('/dht/provider/k1/r'), VALUE), full)
    store.delete(key('/dht/provider/k1/p'))
    store.put(key('/dht/provider/k3/p'), VALUE)
  })

  it('forgets the peer heard of longest ago, never itself', () => {
    const store = small()
    const self = `/peers/${SELF.toCID().toString()}`
    for (const text of [self, '/peers/a', '/peers/b', '/peers/a', '/peers/c']) store.put(key(text), VALUE)
    assert.deepEqual(
      [...store.query({ prefix: '/peers/' })].map((pair) => `${pair.key}`),
      [self, '/peers/a', '/peers/c'],
    )
  })

  it('refuses other values beyond their limit', () => {
    const store = small()
    store.put(key('/dht/record/a'), VALUE)
    assert.throws(() => store.put(key('/dht/record/b'), VALUE), full)
  })

  it('does many at once', async () => {
    const store = small()
    const pairs = ['/peers/a', '/peers/b'].map((text) => ({ key: key(text), value: VALUE }))
    const keys = pairs.map((pair) => pair.key)
    assert.deepEqual(await all(store.putMany(pairs)), keys)
    assert.deepEqual(await all(store.getMany(keys)), pairs)
    assert.deepEqual(await all(store.deleteMany(keys)), keys)
    const batch = store.batch()
    batch.put(key('/peers/c'), VALUE)
    batch.delete(key('/peers/c'))
    batch.put(key('/peers/d'), VALUE)
    assert.equal(store.has(key('/peers/d')), false)
    await batch.commit()
    await batch.commit()
    assert.deepEqual([store.has(key('/peers/c')), store.has(key('/peers/d'))], [false, true])
  })
})

function small(): NetDatastore {
  return new NetDatastore(SELF, {
    providerRecordsMax: 3,
    providerRecordsPerPeerMax: 2,
    peersMax: 3,
    othersMax: 1,
  })
}

/** The datastore asks nothing of a key but its text. */
function key(text: string): Key {
  return { toString: () => text } as Key
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

function full(error: unknown): boolean {
  return isSubnetError(error, 'NO_SPACE')
}
