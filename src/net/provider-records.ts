/**
 * Provider records told in bulk. kad-dht announces a digest by a walk over the network, then a stream to each of the
 * nearest nodes: about 40 streams, and a third of a CPU second over all of a small network. The members of a subnet are
 * known from the chain, so there is nothing to walk for, and a node gets all records it is nearest to on one stream. On
 * the wire this is kad-dht's `ADD_PROVIDER`, which every node of the DHT takes.
 */
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { varint } from 'multiformats'
import { concat } from 'uint8arrays/concat'
import { type AbortOptions, deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { Semaphore } from '../base/semaphore.js'
import { sha256 } from '../crypto/hash.js'
import type { Duplex } from './duplex.js'
import { cidOf } from './libp2p-dht.js'
import { NET_LIMITS } from './libp2p-limits.js'
import type { PeerAddress } from './net.js'

/** Peers that are told at the same time. */
const PARALLEL_MAX = 8
/** One peer: the dial, the stream, and its records. */
const TELL_MS = 30_000
/** A peer that took nothing is passed over for as long, where there are others. */
const REST_MS = 600_000

/** Fields of the DHT's messages, https://github.com/libp2p/specs/tree/master/kad-dht#rpc-messages */
const TYPE = 1
const KEY = 2
const PROVIDER_PEERS = 9
const PEER_ID = 1
const PEER_ADDRESSES = 2
const ADD_PROVIDER = 2
const WIRE_VARINT = 0
const WIRE_BYTES = 2

export interface ProviderRecordsComponents {
  readonly clock: Clock
  /** A stream of the DHT's protocol. */
  readonly open: (peer: PeerAddress, options: AbortOptions) => Promise<Duplex>
}

/** Where a key or a peer is among all others: the first 53 bits of its SHA-256, which tell the members of a subnet apart. */
interface Position {
  readonly high32: number
  readonly low21: number
}

interface Member {
  readonly address: PeerAddress
  readonly position: Position
}

interface ProviderRecord {
  readonly digest: Uint8Array
  readonly position: Position
  readonly message: Uint8Array
  readonly toldTo: Set<Member>
}

export class ProviderRecords {
  readonly #components: ProviderRecordsComponents
  readonly #self: PeerId
  readonly #restUntilMs = new Map<string, number>()

  constructor(components: ProviderRecordsComponents, self: PeerId) {
    this.#components = components
    this.#self = self
  }

  /**
   * Tells the nearest `NET_LIMITS.dhtBucketPeers` members that can be reached of each digest. Resolves with the digests
   * that nobody took. `addresses` are where we are.
   */
  async tell(
    digests: readonly Uint8Array[],
    members: readonly PeerAddress[],
    addresses: readonly string[],
    options: AbortOptions,
  ): Promise<readonly Uint8Array[]> {
    const provider = providerField(this.#self, addresses)
    const records = digests.map((digest): ProviderRecord => {
      const key = cidOf(digest).multihash.bytes
      return { digest, position: positionOf(key), message: addProvider(key, provider), toldTo: new Set() }
    })
    const reachable = new Set(this.#candidates(members))
    for (;;) {
      const due = assign(records, [...reachable])
      if (due.size === 0) return records.filter(({ toldTo }) => toldTo.size === 0).map(({ digest }) => digest)
      const parallel = new Semaphore({ permitsMax: PARALLEL_MAX, waitersMax: due.size })
      const tellOne = async (member: Member, its: readonly ProviderRecord[]) => {
        if (await this.#tellOne(member.address, its, options))
          for (const { toldTo } of its) toldTo.add(member)
        else reachable.delete(member)
      }
      await Promise.all([...due].map(([member, its]) => parallel.run(() => tellOne(member, its), options)))
    }
  }

  /** Others than ourselves; those that rest only when there is nobody else. */
  #candidates(members: readonly PeerAddress[]): Member[] {
    const nowMs = this.#components.clock.monotonicMs()
    for (const [peerId, untilMs] of this.#restUntilMs) if (untilMs <= nowMs) this.#restUntilMs.delete(peerId)
    const self = this.#self.toString()
    const others = members.filter(({ peerId }) => peerId !== self)
    const awake = others.filter(({ peerId }) => !this.#restUntilMs.has(peerId))
    return (awake.length > 0 ? awake : others).map((address) => ({
      address,
      position: positionOf(peerIdFromString(address.peerId).toMultihash().bytes),
    }))
  }

  /** False when the peer did not take them; rejects only at the caller's signal. */
  async #tellOne(
    peer: PeerAddress,
    records: readonly ProviderRecord[],
    options: AbortOptions,
  ): Promise<boolean> {
    const { clock, open } = this.#components
    using scope = deadline(clock, TELL_MS, `telling ${peer.peerId} what we provide`, options.signal)
    try {
      const duplex = await open(peer, scope)
      try {
        for (const { message } of records) await duplex.write(message, scope)
        await duplex.closeWrite(scope)
      } catch (error) {
        duplex.abort(error instanceof Error ? error : new Error(String(error)))
        throw error
      }
      await untilOver(duplex, scope)
    } catch {
      options.signal?.throwIfAborted()
      this.#restUntilMs.set(peer.peerId, clock.monotonicMs() + REST_MS)
      return false
    }
    options.signal?.throwIfAborted()
    this.#restUntilMs.delete(peer.peerId)
    return true
  }
}

/** There is no answer. kad-dht ends its side when it has taken everything, or resets the stream: it may not expect our end. */
async function untilOver(duplex: Duplex, options: AbortOptions): Promise<void> {
  try {
    while ((await duplex.read(options)) !== undefined);
  } catch (error) {
    duplex.abort(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Who is still to be told what, so that each record is with its nearest members. */
function assign(
  records: readonly ProviderRecord[],
  members: readonly Member[],
): Map<Member, ProviderRecord[]> {
  const due = new Map<Member, ProviderRecord[]>()
  for (const record of records) {
    const nearest = members
      .map((member) => ({ member, distance: distance(record.position, member.position) }))
      .sort((a, b) => a.distance - b.distance)
      .slice(0, NET_LIMITS.dhtBucketPeers)
    for (const { member } of nearest) {
      if (record.toldTo.has(member)) continue
      const its = due.get(member) ?? []
      its.push(record)
      due.set(member, its)
    }
  }
  return due
}

/** Of a key's or a peer id's multihash, as Kademlia places both. */
function positionOf(multihash: Uint8Array): Position {
  const hash = sha256(multihash)
  const view = new DataView(hash.buffer)
  return { high32: view.getUint32(0), low21: view.getUint32(4) >>> 11 }
}

/** XOR, as a number. */
function distance(a: Position, b: Position): number {
  return ((a.high32 ^ b.high32) >>> 0) * 2 ** 21 + (a.low21 ^ b.low21)
}

/** With its length in front, as the DHT's streams carry messages. */
function addProvider(key: Uint8Array, provider: Uint8Array): Uint8Array {
  const type = concat([numberBytes((TYPE << 3) | WIRE_VARINT), numberBytes(ADD_PROVIDER)])
  const message = concat([type, field(KEY, key), provider])
  return concat([numberBytes(message.length), message])
}

function providerField(self: PeerId, addresses: readonly string[]): Uint8Array {
  const id = field(PEER_ID, self.toMultihash().bytes)
  return field(
    PROVIDER_PEERS,
    concat([id, ...addresses.map((address) => field(PEER_ADDRESSES, multiaddr(address).bytes))]),
  )
}

/** A field of Protocol Buffers whose value is bytes. */
function field(number: number, bytes: Uint8Array): Uint8Array {
  return concat([numberBytes((number << 3) | WIRE_BYTES), numberBytes(bytes.length), bytes])
}

function numberBytes(number: number): Uint8Array {
  return varint.encodeTo(number, new Uint8Array(varint.encodingLength(number)))
}
