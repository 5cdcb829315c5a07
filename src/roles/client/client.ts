/**
 * The client role: puts and gets objects through whatever validators and miners the chain names. It knows no server
 * address; a capability and a chain endpoint are all a reader needs.
 *
 * Next hop on the store path: transfer/upload.ts.
 */
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { OrderClient } from '../../../protocols/order/client.js'
import type { AbortOptions } from '../../base/abort.js'
import { invariant, isSubnetError, SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import type { SegmentCoder } from '../../coding/coding-pool.js'
import type { Signer } from '../../crypto/keys.js'
import { type Capability, parseCapability } from '../../redundancy/capability.js'
import { fileCid } from '../../redundancy/file-dag.js'
import type { ObjectClass } from '../../redundancy/layout.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { PROFILES, type ProfileName } from '../../redundancy/profiles.js'
import { OBJECT_KEY_BYTES } from '../../redundancy/seal.js'
import { carOf, fileBlocks } from '../../transfer/car.js'
import { type ByteRange, Download, type DownloadOptions, rangeIn } from '../../transfer/download.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import type { PutJournal, PutRecord } from '../../transfer/put-journal.js'
import type { FindProviders } from '../../transfer/search.js'
import { type UploadOptions, upload } from '../../transfer/upload.js'
import type { UploadReport } from '../../transfer/upload-report.js'
import { capabilitiesOf, fileCidOf, keyFor, notReadable } from './access.js'
import { type ObjectStatus, objectStatus } from './object-status.js'
import { type AskValidator, asOwner } from './owner-requests.js'
import { ClientPeers, type Epochs } from './peers.js'

export interface StorageClientComponents extends PeerComponents {
  readonly view: SubnetView
  readonly random: Random
  /** The client's own ed25519 key. */
  readonly signer: Signer
  readonly coding: SegmentCoder
  /** The DHT: who announced a digest. */
  readonly findProviders: FindProviders
}

export interface PutOptions extends UploadOptions {
  readonly profile?: ProfileName
  /**
   * Stored as it is, for everybody to read: identical to what `ipfs add --cid-version=1 --raw-leaves
   * --chunker=size-1048576` makes of it. Default: private.
   */
  readonly public?: boolean
  /** Plaintext bytes, if known: lets the network refuse at once what it has no room for. */
  readonly sizeBytes?: number
  readonly leaseBlocks?: number
  /** Lets a second put of the same bytes go on where this one is interrupted. */
  readonly journal?: PutJournal
}

export interface PutResult extends UploadReport {
  /** It went on from an earlier run. */
  readonly resumed: boolean
  /** Whoever has it can read the object; of a public object the bare address, which anybody may know. */
  readonly capability: string
  /** Whoever has it can renew and release the object; of a private object the same as `capability`. */
  readonly ownerCapability: string
  readonly profile: ProfileName
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
  /** The verified plaintext in order; ending it early ends the transfer. */
  readonly data: AsyncIterable<Uint8Array>
}

interface Put {
  readonly record: PutRecord
  readonly validator: KnownPeer
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
  readonly #peers: ClientPeers

  constructor(components: StorageClientComponents, init: StorageClientInit) {
    this.#components = components
    this.#init = init
    this.#peers = new ClientPeers(components, init.epochs)
    const { view } = components
    const authority = {
      get block() {
        return view.block
      },
    }
    this.#orders = new OrderClient({ ...components, authority }, init.domain)
  }

  /**
   * Stores a byte stream: sealed unless it is public, coded, spread, leased, counted. Resolves when it is durable by its profile's rule.
   * With a journal, a put that was interrupted goes on: the same bytes again, and only what is missing is sent. Rejects
   * with `TOO_FEW_PEERS` (also before the first epoch), `NO_SPACE`, `NOT_DURABLE`, or the reason of the abort.
   */
  async put(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<PutResult> {
    const profile = PROFILES[options.profile ?? this.#init.defaultProfile]
    const { journal } = options
    const found = await journal?.load()
    const objectClass = options.public === true ? 'public' : 'private'
    const earlier = found?.profile === profile.name && found.class === objectClass ? found : undefined
    const put = await this.#putRecord({ profile: profile.name, class: objectClass }, earlier, options)
    const report =
      (await this.#committed(put, options)) ?? (await this.#upload(iterate(source), put, earlier, options))
    await journal?.remove()
    const capabilities = capabilitiesOf(put.record, report.address)
    return { ...report, ...capabilities, profile: profile.name, resumed: earlier !== undefined }
  }

  /** The earlier run's key and name, or new ones; its validator if that can be reached, for only there it is known. */
  async #putRecord(
    what: Pick<PutRecord, 'profile' | 'class'>,
    earlier: PutRecord | undefined,
    options: PutOptions,
  ): Promise<Put> {
    const { random, clock } = this.#components
    const objectKey = earlier?.objectKey ?? random.bytes(OBJECT_KEY_BYTES)
    const validator = await this.#peers.reachableValidator(objectKey, options, earlier?.validator)
    const fresh = {
      ...what,
      objectKey,
      put: random.bytes(16),
      createdUnixSeconds: Math.floor(clock.nowMs() / 1000),
    }
    return { record: { ...(earlier ?? fresh), validator: validator.hotkey }, validator }
  }

  async #upload(
    source: AsyncIterable<Uint8Array>,
    { record, validator }: Put,
    earlier: PutRecord | undefined,
    options: PutOptions,
  ): Promise<UploadReport> {
    const { journal } = options
    const { committing: _, ...unfinished } = record
    await journal?.save(unfinished)
    return await upload(
      source,
      {
        domain: this.#init.domain,
        validator,
        profile: PROFILES[record.profile],
        class: record.class,
        objectKey: record.objectKey,
        leaseBlocks: options.leaseBlocks ?? this.#init.defaultLeaseBlocks,
        createdUnixSeconds: record.createdUnixSeconds,
        put: record.put,
        resumes: earlier !== undefined,
        beforeCommit: async (report) => await journal?.save({ ...unfinished, committing: report }),
        ...(options.sizeBytes === undefined ? {} : { sizeBytes: options.sizeBytes }),
      },
      { ...this.#components, orders: this.#orders },
      options,
    )
  }

  /** The report of an earlier run that was interrupted after its validator had counted the object. */
  async #committed({ record, validator }: Put, options: PutOptions): Promise<UploadReport | undefined> {
    const { committing } = record
    if (committing === undefined) return undefined
    try {
      const question = { object: committing.address, firstSegment: 0, segments: 0 }
      await this.#orders.locate(validator, question, options)
      return committing
    } catch (error) {
      if (isSubnetError(error, 'NOT_FOUND')) return undefined
      throw error
    }
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
   * a private object, else as `get`.
   */
  async getCar(capability: string, options: Omit<DownloadOptions, 'range'> = {}): Promise<CarResult> {
    const { download, manifest } = await this.#open(capability, options, ({ class: objectClass }) => {
      if (objectClass === 'public') return
      throw new SubnetError('INVALID', 'the object is private: only public objects can be had as IPFS blocks')
    })
    const { sizeBytes, code, fileDigest } = manifest
    invariant(fileDigest !== undefined, 'a public object has a root')
    const root = fileCid(sizeBytes, fileDigest)
    const blocks = fileBlocks(
      sizeBytes,
      download.read(manifest, undefined, options),
      download.filePath(manifest),
      options,
    )
    const data = closing(download, carOf(root, blocks))
    return { sizeBytes, fileCid: root.toString(), profile: code.name, data }
  }

  /** What the manifest says of the object and how many of its chunks are at miners that answer now. */
  async stat(capability: string, options: AbortOptions = {}): Promise<ObjectStatus> {
    const download = this.#download(parseCapability(capability))
    try {
      const manifest = await download.manifest(options)
      const places: SegmentPlace[] = []
      for await (const place of download.segments(manifest, options)) places.push(place)
      const copies = await download.manifestHolders(manifest, options)
      const peers = new Map<string, KnownPeer>()
      for (const { hotkey, peerId, address } of [copies, ...places.map((place) => place.holders)].flat(2)) {
        peers.set(peerId, { hotkey, peerId, addresses: [address] })
      }
      const reachable = await this.#peers.probe([...peers.values()], options)
      return objectStatus(manifest, places, copies, peers.size, reachable)
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
    const validators = this.#peers.validators(capability.address)
    const components = { ...this.#components, orders: this.#orders, miners: () => this.#peers.miners() }
    return new Download(components, capability.address, validators)
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

async function* iterate(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* source
}
