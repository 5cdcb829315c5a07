/**
 * The client role: puts and gets objects through whatever validators and miners the chain names. It knows no server
 * address; a capability and a chain endpoint are all a reader needs.
 *
 * Next hop on the store path: roles/client/put.ts.
 */
import { equals } from 'uint8arrays'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { OrderClient } from '../../../protocols/order/client.js'
import { type AbortOptions, deadline } from '../../base/abort.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import type { SegmentCoder } from '../../coding/coding-pool.js'
import type { Signer } from '../../crypto/keys.js'
import { type Capability, parseCapability } from '../../redundancy/capability.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { objectSigner } from '../../redundancy/manifest-builder.js'
import { maskCommitment, maskRootOf } from '../../redundancy/mask.js'
import type { ProfileName } from '../../redundancy/profiles.js'
import { type ByteRange, Download, type DownloadOptions, rangeIn } from '../../transfer/download.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import type { FindProviders } from '../../transfer/search.js'
import { type ObjectStatus, objectStatus } from './object-status.js'
import { ClientPeers, type Epochs } from './peers.js'
import { type PutOptions, type PutResult, type PutSource, putObject } from './put.js'

/** Time for a validator to renew or release an object. */
const ASK_TIMEOUT_MS = 15_000
/** Validators that a reader asks first because a writer did: the second one in case the first was away then. */
const PLACING_FIRST = 2

export interface StorageClientComponents extends PeerComponents {
  readonly view: SubnetView
  readonly random: Random
  /** The client's own ed25519 key. */
  readonly signer: Signer
  readonly coding: SegmentCoder
  /** The DHT: who announced a digest. */
  readonly findProviders: FindProviders
}

/** An object ready to be read. */
export interface GetResult {
  /** Of the whole object. */
  readonly sizeBytes: number
  /** What is read of it. */
  readonly range: Required<ByteRange>
  readonly profile: ProfileName
  /** The verified plaintext in order; ending it early ends the transfer. */
  readonly data: AsyncIterable<Uint8Array>
}

/** What the validators that know an object promised its owner. */
export interface RenewResult {
  /** Block until which it is kept; the earliest, where several validators know it. */
  readonly endBlock: number
  /** Miners that are told, now or when they next answer. */
  readonly miners: number
}

export interface StorageClientInit {
  readonly domain: WireDomain
  /** Says when an epoch will give validators their permits. */
  readonly epochs: Epochs
  readonly defaultProfile: ProfileName
  readonly defaultLeaseBlocks: number
}

export class StorageClient {
  readonly #components: StorageClientComponents
  readonly #init: StorageClientInit
  readonly #orders: OrderClient
  readonly #authority: { readonly block: number }
  readonly #peers: ClientPeers

  constructor(components: StorageClientComponents, init: StorageClientInit) {
    this.#components = components
    this.#init = init
    this.#peers = new ClientPeers(components, init.epochs)
    const { view } = components
    this.#authority = {
      get block() {
        return view.block
      },
    }
    this.#orders = new OrderClient({ ...components, authority: this.#authority }, init.domain)
  }

  /**
   * Stores a byte stream: sealed, coded, spread, leased, counted. Resolves when it is durable by its profile's rule.
   * With a journal, a put that was interrupted goes on: the same bytes again, and only what is missing is sent. A
   * validator that does not place it is passed over for the next one; one that is lost on the way too, if the source is a
   * function. Rejects with `TOO_FEW_PEERS` (also before the first epoch), `NO_SPACE`, `NOT_DURABLE`, `INVALID` for an
   * object too large for this network, or the reason of the abort.
   */
  async put(source: PutSource, options: PutOptions = {}): Promise<PutResult> {
    const components = {
      ...this.#components,
      orders: this.#orders,
      authority: this.#authority,
      peers: this.#peers,
    }
    return await putObject(source, components, this.#init, options)
  }

  /**
   * Opens an object, or a range of its bytes, for reading. Rejects with `INVALID` for what is no read capability or no
   * range of the object, `NOT_FOUND` when no validator or miner knows the object, `MISMATCH` when the key is another
   * object's, `UNRECOVERABLE` when too few holders are left; the
   * last also while reading.
   */
  async get(capability: string, options: DownloadOptions = {}): Promise<GetResult> {
    const parsed = parseCapability(capability)
    if (parsed.kind !== 'read')
      throw new SubnetError('INVALID', 'this capability does not permit reading: it has no key')
    const download = this.#download(parsed)
    const { objectKey } = parsed
    const manifest = await this.#manifest(download, options, objectKey)
    const range = await rangeOf(download, manifest, options)
    async function* data(): AsyncGenerator<Uint8Array> {
      try {
        yield* download.read(manifest, objectKey, options)
      } finally {
        await download.close()
      }
    }
    return { sizeBytes: manifest.sizeBytes, range, profile: manifest.code.name, data: data() }
  }

  /** What the manifest says of the object and how many of its chunks are at miners that answer now. */
  async stat(capability: string, options: AbortOptions = {}): Promise<ObjectStatus> {
    const download = this.#download(parseCapability(capability))
    try {
      const manifest = await this.#manifest(download, options)
      const places: SegmentPlace[] = []
      for await (const place of download.segments(manifest, options)) places.push(place)
      const nodes = await download.manifestNodes(manifest, options)
      const everybody = [nodes.map((node) => node.holders), ...places.map((place) => place.holders)]
      const peers = new Map<string, KnownPeer>()
      for (const { hotkey, peerId, address } of everybody.flat(2)) {
        peers.set(peerId, { hotkey, peerId, addresses: [address] })
      }
      const reachable = await this.#peers.probe([...peers.values()], options)
      return objectStatus(manifest, places, nodes, peers.size, reachable)
    } finally {
      await download.close()
    }
  }

  /**
   * Keeps an object for longer: `leaseBlocks` from now, unless it is kept for longer already. Needs the key of the object
   * and nothing else. Rejects with `NOT_FOUND` when no validator knows the object, or its leases have ended.
   */
  async renew(
    capability: string,
    options: AbortOptions & { readonly leaseBlocks?: number } = {},
  ): Promise<RenewResult> {
    const leaseBlocks = options.leaseBlocks ?? this.#init.defaultLeaseBlocks
    const answers = await this.#asOwner(capability, options, (validator, owner, object, scope) =>
      this.#orders.renew(validator, owner, { object, leaseBlocks }, scope),
    )
    return {
      endBlock: Math.min(...answers.map(({ endBlock }) => endBlock)),
      miners: answers.reduce((sum, { miners }) => sum + miners, 0),
    }
  }

  /** Lets an object go, everywhere: nobody finds it from now on, and miners drop it after their trash time. */
  async release(capability: string, options: AbortOptions = {}): Promise<{ readonly miners: number }> {
    const answers = await this.#asOwner(capability, options, (validator, owner, object, scope) =>
      this.#orders.release(validator, owner, { object }, scope),
    )
    return { miners: answers.reduce((sum, { miners }) => sum + miners, 0) }
  }

  /** Asks every validator, for each may know the object; at least one must. */
  async #asOwner<T>(
    capability: string,
    options: AbortOptions,
    ask: (validator: KnownPeer, owner: Signer, object: Uint8Array, options: AbortOptions) => Promise<T>,
  ): Promise<T[]> {
    const parsed = parseCapability(capability)
    if (parsed.kind !== 'read')
      throw new SubnetError('INVALID', 'this capability has no key: only its owner may change an object')
    const owner = objectSigner(parsed.objectKey)
    const answers: T[] = []
    let unknown: unknown
    let failure: unknown
    for (const validator of this.#peers.permittedValidators(parsed.address)) {
      using scope = deadline(
        this.#components.clock,
        ASK_TIMEOUT_MS,
        `asking ${validator.peerId}`,
        options.signal,
      )
      try {
        answers.push(await ask(validator, owner, parsed.address, scope))
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!isSubnetError(error)) throw error
        if (isSubnetError(error, 'NOT_FOUND')) unknown = error
        else failure = error
      }
    }
    if (answers.length > 0) return answers
    // One that could not be asked may be the one that knows it.
    throw failure ?? unknown ?? new SubnetError('TOO_FEW_PEERS', 'no validator has published an address')
  }

  #download(capability: Capability): Download {
    const { address } = capability
    const validators = this.#peers.validators(address)
    const first = capability.kind === 'read' ? this.#peers.validators(capability.objectKey) : []
    const components = {
      ...this.#components,
      domain: this.#init.domain,
      orders: this.#orders,
      authority: this.#authority,
      miners: () => this.#peers.miners(),
    }
    return new Download(components, address, askingOrder(first, validators))
  }

  /** Checks the key, where one is given, before anything is fetched for it. */
  async #manifest(download: Download, options: AbortOptions, objectKey?: Uint8Array): Promise<Manifest> {
    try {
      const manifest = await download.manifest(options)
      if (objectKey !== undefined) requireKeyOf(manifest, objectKey)
      return manifest
    } catch (error) {
      await download.close(error instanceof Error ? error : undefined)
      throw error
    }
  }
}

/**
 * The placing validator is ranked by the object's key, the committee by the address: who can read asks those that a
 * writer would have asked first, then everybody in the committee's order.
 */
function askingOrder(byKey: readonly KnownPeer[], byAddress: readonly KnownPeer[]): KnownPeer[] {
  const first = byKey.slice(0, PLACING_FIRST)
  return [...first, ...byAddress.filter(({ peerId }) => !first.some((peer) => peer.peerId === peerId))]
}

function requireKeyOf({ maskCommitment: committed }: Manifest, objectKey: Uint8Array): void {
  if (committed === undefined || equals(maskCommitment(maskRootOf(objectKey)), committed)) return
  throw new SubnetError('MISMATCH', 'the key of this capability is not the key of this object')
}

/** Before anything of it is fetched. */
async function rangeOf(
  download: Download,
  { sizeBytes }: Manifest,
  { range }: DownloadOptions,
): Promise<Required<ByteRange>> {
  try {
    return rangeIn(sizeBytes, range)
  } catch (error) {
    await download.close()
    throw error
  }
}
