/**
 * Where libp2p keeps peers and other nodes' DHT records, in memory. Written because the ready-made memory datastore
 * walks over every entry for each DHT lookup and takes without limit what strangers put.
 * Nothing of ours is in it, so losing it at a restart costs nothing: peers announce again.
 */
import { NotFoundError, type PeerId } from '@libp2p/interface'
import type { Libp2pInit } from 'libp2p'
import { SubnetError } from '../base/errors.js'

type Datastore = NonNullable<Libp2pInit['datastore']>
type Key = Parameters<Datastore['put']>[0]
type Query = Parameters<Datastore['query']>[0]
type KeyQuery = Parameters<Datastore['queryKeys']>[0]
interface Pair {
  readonly key: Key
  readonly value: Uint8Array
}

export interface DatastoreLimits {
  /** DHT records "this peer has these bytes", about 0.4 KiB each; further ones are refused. */
  readonly providerRecordsMax: number
  /** Of these, by one peer: room for 32 GiB of chunks, announced to the 20 nearest nodes. */
  readonly providerRecordsPerPeerMax: number
  /** Known peers, about 1 KiB each; the one heard of longest ago makes room. */
  readonly peersMax: number
  /** Anything else. kad-dht's value records: we use none, strangers may store some. */
  readonly othersMax: number
}

export const DATASTORE_LIMITS: DatastoreLimits = {
  providerRecordsMax: 262_144,
  providerRecordsPerPeerMax: 32_768,
  peersMax: 16_384,
  othersMax: 1_024,
}

const PROVIDERS = '/dht/provider/'
const PEERS = '/peers/'

export class NetDatastore implements Datastore {
  readonly #self: string
  readonly #limits: DatastoreLimits
  /** Entries by folder, the part of the key up to its last slash: one folder per provided key, one for all peers. */
  readonly #folders = new Map<string, Map<string, Pair>>()
  readonly #providerRecordsBy = new Map<string, number>()
  #providerRecords = 0
  #others = 0

  /** `self` is the one peer that never makes room for another. */
  constructor(self: PeerId, limits: DatastoreLimits = DATASTORE_LIMITS) {
    // The peer store's name of a peer.
    this.#self = self.toCID().toString()
    this.#limits = limits
  }

  has(key: Key): boolean {
    const { folder, name } = split(key)
    return this.#folders.get(folder)?.has(name) === true
  }

  get(key: Key): Uint8Array {
    const { folder, name } = split(key)
    const pair = this.#folders.get(folder)?.get(name)
    // libp2p tells "not there" by this error's name.
    if (pair === undefined) throw new NotFoundError(`${key}`)
    return pair.value
  }

  /** Throws `NO_SPACE` at a limit. */
  put(key: Key, value: Uint8Array): Key {
    const { folder, name } = split(key)
    // First out, then in: an entry that is put again is the youngest again.
    const isNew = !this.has(key)
    if (isNew) this.#makeRoom(folder, name)
    else this.#folders.get(folder)?.delete(name)
    const entries = this.#folders.get(folder) ?? new Map<string, Pair>()
    entries.set(name, { key, value })
    this.#folders.set(folder, entries)
    if (isNew) this.#count(folder, name, 1)
    return key
  }

  delete(key: Key): void {
    const { folder, name } = split(key)
    const entries = this.#folders.get(folder)
    if (entries?.delete(name) !== true) return
    if (entries.size === 0) this.#folders.delete(folder)
    this.#count(folder, name, -1)
  }

  *query(query: Query): Generator<Pair> {
    const pairs = this.#matching(query.prefix ?? '').filter((pair) =>
      (query.filters ?? []).every((filter) => filter(pair)),
    )
    for (const order of query.orders ?? []) pairs.sort(order)
    yield* page(pairs, query)
  }

  *queryKeys(query: KeyQuery): Generator<Key> {
    const keys = this.#matching(query.prefix ?? '')
      .map(({ key }) => key)
      .filter((key) => (query.filters ?? []).every((filter) => filter(key)))
    for (const order of query.orders ?? []) keys.sort(order)
    yield* page(keys, query)
  }

  async *putMany(source: Iterable<Pair> | AsyncIterable<Pair>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value)
  }

  async *getMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Pair> {
    for await (const key of source) yield { key, value: this.get(key) }
  }

  async *deleteMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key)
      yield key
    }
  }

  batch(): ReturnType<Datastore['batch']> {
    const steps: (() => void)[] = []
    return {
      put: (key, value) => steps.push(() => this.put(key, value)),
      delete: (key) => steps.push(() => this.delete(key)),
      commit: () => {
        for (const step of steps.splice(0)) step()
      },
    }
  }

  /** A snapshot, so that a caller may delete while it walks. A DHT lookup's prefix is a whole folder: no search. */
  #matching(prefix: string): Pair[] {
    const exact = this.#folders.get(prefix)
    if (exact !== undefined) return [...exact.values()]
    const found: Pair[] = []
    for (const [folder, entries] of this.#folders) {
      if (`${folder}/`.startsWith(prefix)) found.push(...entries.values())
      else if (prefix.startsWith(`${folder}/`)) {
        for (const pair of entries.values()) if (`${pair.key}`.startsWith(prefix)) found.push(pair)
      }
    }
    return found
  }

  #makeRoom(folder: string, name: string): void {
    if (folder.startsWith(PROVIDERS)) {
      const byPeer = this.#providerRecordsBy.get(name) ?? 0
      if (this.#providerRecords >= this.#limits.providerRecordsMax) throw full('DHT records')
      if (byPeer >= this.#limits.providerRecordsPerPeerMax) throw full('DHT records of one peer')
    } else if (`${folder}/` === PEERS) {
      const peers = this.#folders.get(folder) ?? new Map<string, Pair>()
      if (peers.size < this.#limits.peersMax) return
      for (const oldest of peers.keys()) {
        if (oldest !== this.#self) {
          peers.delete(oldest)
          return
        }
      }
    } else if (this.#others >= this.#limits.othersMax) throw full('other DHT values')
  }

  #count(folder: string, name: string, change: 1 | -1): void {
    if (folder.startsWith(PROVIDERS)) {
      const byPeer = (this.#providerRecordsBy.get(name) ?? 0) + change
      if (byPeer === 0) this.#providerRecordsBy.delete(name)
      else this.#providerRecordsBy.set(name, byPeer)
      this.#providerRecords += change
    } else if (`${folder}/` !== PEERS) this.#others += change
  }
}

/** `/dht/provider/<multihash>/<peer id>`, `/peers/<peer id>`. */
function split(key: Key): { readonly folder: string; readonly name: string } {
  const text = key.toString()
  const slash = text.lastIndexOf('/')
  return { folder: text.slice(0, slash), name: text.slice(slash + 1) }
}

function page<T>(items: readonly T[], { offset = 0, limit = items.length }: Query | KeyQuery): T[] {
  return items.slice(offset, offset + limit)
}

function full(what: string): SubnetError {
  return new SubnetError('NO_SPACE', `no room for more ${what}`)
}
