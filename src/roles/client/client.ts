/**
 * The client role: puts and gets objects through whatever validators and miners the chain names. It knows no server
 * address; a capability and a chain endpoint are all a reader needs.
 *
 * Next hop on the store path: roles/client/put.ts.
 */
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { OrderClient } from '../../../protocols/order/client.js'
import type { AbortOptions } from '../../base/abort.js'
import { invariant, SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import type { SegmentCoder } from '../../coding/coding-pool.js'
import type { Signer } from '../../crypto/keys.js'
import { type Capability, parseCapability } from '../../redundancy/capability.js'
import { fileCid } from '../../redundancy/file-dag.js'
import type { ObjectClass } from '../../redundancy/layout.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { CHUNK_SIZE, type ProfileName } from '../../redundancy/profiles.js'
import { type CarStart, carOf, fileBlocks } from '../../transfer/car.js'
import { type ByteRange, Download, type DownloadOptions, rangeIn } from '../../transfer/download.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import type { FindProviders } from '../../transfer/search.js'
import { fileCidOf, keyFor, notReadable } from './access.js'
import { type ObjectStatus, objectStatus } from './object-status.js'
import { type AskValidator, asOwner } from './owner-requests.js'
import { ClientPeers, type Epochs } from './peers.js'
import { type PutOptions, type PutResult, type PutSource, putObject } from './put.js'

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
  readonly class: ObjectClass
  /** The CID by which IPFS knows the object; public objects only. */
  readonly fileCid?: string
  /** What is read of it. */
  readonly range: Required<ByteRange>
  readonly profile: ProfileName
  /**
   * The verified plaintext in order; ending it early ends the transfer. The pieces are the reader's for good; those of a
   * private object have a buffer each, with room behind them.
   */
  readonly data: AsyncIterable<Uint8Array>
}

/** As for a download; `start`: what is there of the CAR already. */
export interface CarOptions extends Omit<DownloadOptions, 'range'> {
  readonly start?: CarStart
}

/** A public object ready to be read as a CAR file. */
export interface CarResult {
  /** Of the object, not of the CAR. */
  readonly sizeBytes: number
  readonly fileCid: string
  readonly profile: ProfileName
  /** The CAR's bytes, of verified blocks, in order; ending it early ends the transfer. */
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
   * Stores a byte stream: sealed unless it is public, coded, spread, leased, counted. Resolves when it is durable by its profile's rule.
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
   * Opens an object, or a range of its bytes, for reading; a public one by its bare address. Rejects with `INVALID` for
   * what is no read capability or no range of the object, `NOT_FOUND` when no validator or miner knows the object, `MISMATCH` when the key is another
   * object's, `UNRECOVERABLE` when too few holders are left; the
   * last also while reading.
   */
  async get(capability: string, options: DownloadOptions = {}): Promise<GetResult> {
    const { download, manifest, objectKey } = await this.#open(capability, options, (found) => {
      rangeIn(found.sizeBytes, options.range)
    })
    const data = closing(download, download.read(manifest, objectKey, options))
    const { class: objectClass, sizeBytes, code } = manifest
    const range = rangeIn(sizeBytes, options.range)
    return { sizeBytes, class: objectClass, ...fileCidOf(manifest), range, profile: code.name, data }
  }

  /**
   * Opens a public object for reading as a CAR file, which plain IPFS tools import and verify. Rejects with `INVALID` for
   * a private object, else as `get`. With `start`, the bytes that follow what is there of it.
   */
  async getCar(capability: string, options: CarOptions = {}): Promise<CarResult> {
    const { download, manifest } = await this.#open(capability, options, ({ class: objectClass }) => {
      if (objectClass === 'public') return
      throw new SubnetError('INVALID', 'the object is private: only public objects can be had as IPFS blocks')
    })
    const { sizeBytes, code, fileDigest } = manifest
    invariant(fileDigest !== undefined, 'a public object has a root')
    const root = fileCid(sizeBytes, fileDigest)
    const range = { start: Math.min(sizeBytes, (options.start?.leaves ?? 0) * CHUNK_SIZE) }
    const missing = download.read(manifest, undefined, { ...options, range })
    const blocks = fileBlocks(sizeBytes, missing, download.filePath(manifest), options)
    const data = closing(download, carOf(root, blocks, { goesOn: options.start !== undefined }))
    return { sizeBytes, fileCid: root.toString(), profile: code.name, data }
  }

  /** What the manifest says of the object and how many of its chunks are at miners that answer now. */
  async stat(capability: string, options: AbortOptions = {}): Promise<ObjectStatus> {
    const download = this.#download(parseCapability(capability))
    try {
      const manifest = await download.manifest(options)
      const places: SegmentPlace[] = []
      for await (const place of download.segments(manifest, options)) places.push(place)
      const copied = await download.copiedBlocks(manifest, places, options)
      const everybody = [copied.map((block) => block.holders), ...places.map((place) => place.holders)]
      const peers = new Map<string, KnownPeer>()
      for (const { hotkey, peerId, address } of everybody.flat(2)) {
        peers.set(peerId, { hotkey, peerId, addresses: [address] })
      }
      const reachable = await this.#peers.probe([...peers.values()], options)
      return objectStatus(manifest, places, copied, peers.size, reachable)
    } finally {
      await download.close()
    }
  }

  /**
   * Keeps an object for longer: `leaseBlocks` from now, unless it is kept for longer already. Needs the owner's capability
   * and nothing else. Rejects with `NOT_FOUND` when no validator knows the object, or its leases have ended.
   */
  async renew(
    capability: string,
    options: AbortOptions & { readonly leaseBlocks?: number } = {},
  ): Promise<RenewResult> {
    const leaseBlocks = options.leaseBlocks ?? this.#init.defaultLeaseBlocks
    const answers = await this.#asOwner(
      capability,
      (validator, owner, object, scope) =>
        this.#orders.renew(validator, owner, { object, leaseBlocks }, scope),
      options,
    )
    return {
      endBlock: Math.min(...answers.map(({ endBlock }) => endBlock)),
      miners: answers.reduce((sum, { miners }) => sum + miners, 0),
    }
  }

  /**
   * Lets an object go, everywhere: nobody finds it from now on, and miners drop it after their trash time. Needs the owner's
   * capability.
   */
  async release(capability: string, options: AbortOptions = {}): Promise<{ readonly miners: number }> {
    const answers = await this.#asOwner(
      capability,
      (validator, owner, object, scope) => this.#orders.release(validator, owner, { object }, scope),
      options,
    )
    return { miners: answers.reduce((sum, { miners }) => sum + miners, 0) }
  }

  async #asOwner<T>(capability: string, ask: AskValidator<T>, options: AbortOptions): Promise<T[]> {
    const { clock } = this.#components
    const validators = (object: Uint8Array) => this.#peers.permittedValidators(object)
    return await asOwner(capability, ask, { clock, validators }, options)
  }

  #download(capability: Capability): Download {
    const { address } = capability
    const validators = this.#peers.validators(address)
    const key = putterKeyOf(capability)
    const first = key === undefined ? [] : this.#peers.validators(key)
    const components = {
      ...this.#components,
      domain: this.#init.domain,
      orders: this.#orders,
      authority: this.#authority,
      miners: () => this.#peers.miners(),
    }
    return new Download(components, address, askingOrder(first, validators))
  }

  /** An object that this capability may read; `check` is called before anything else is fetched for it. */
  async #open(
    capability: string,
    options: AbortOptions,
    check: (manifest: Manifest) => void,
  ): Promise<OpenObject> {
    const parsed = parseCapability(capability)
    if (parsed.kind === 'repair') throw notReadable()
    const download = this.#download(parsed)
    try {
      const manifest = await download.manifest(options)
      const objectKey = keyFor(manifest, parsed)
      check(manifest)
      return { download, manifest, objectKey }
    } catch (error) {
      await download.close(error instanceof Error ? error : undefined)
      throw error
    }
  }
}

interface OpenObject {
  readonly download: Download
  readonly manifest: Manifest
  /** Of a private object. */
  readonly objectKey: Uint8Array | undefined
}

async function* closing(download: Download, data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* data
  } finally {
    await download.close()
  }
}

/**
 * The placing validator is ranked by the object's key, the committee by the address: who has the key asks those that a
 * writer would have asked first, then everybody in the committee's order, as readers of public objects do.
 */
function askingOrder(byKey: readonly KnownPeer[], byAddress: readonly KnownPeer[]): KnownPeer[] {
  const first = byKey.slice(0, PLACING_FIRST)
  return [...first, ...byAddress.filter(({ peerId }) => !first.some((peer) => peer.peerId === peerId))]
}

/** What the writer ranked validators by, where the capability tells. */
function putterKeyOf(capability: Capability): Uint8Array | undefined {
  if (capability.kind === 'read') return capability.objectKey
  return capability.kind === 'own' ? capability.ownerKey : undefined
}
