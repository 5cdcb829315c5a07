/**
 * The client role: puts and gets objects through whatever validators and miners the chain names. It knows no server
 * address; a capability and a chain endpoint are all a reader needs.
 *
 * Next hop on the store path: transfer/upload.ts.
 */
import { equals } from 'uint8arrays'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { OrderClient } from '../../../protocols/order/client.js'
import { type AbortOptions, deadline } from '../../base/abort.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Random } from '../../base/random.js'
import type { ChainConstants } from '../../chain/chain.js'
import { nextEpochBlock } from '../../chain/epoch.js'
import type { Member, SubnetView } from '../../chain/subnet-view.js'
import type { SegmentCoder } from '../../coding/coding-pool.js'
import { sha256Of } from '../../crypto/hash.js'
import type { Signer } from '../../crypto/keys.js'
import { type Capability, formatCapability, parseCapability } from '../../redundancy/capability.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { objectSigner } from '../../redundancy/manifest-builder.js'
import { maskCommitment, maskRootOf } from '../../redundancy/mask.js'
import { manifestQuorum, PROFILES, type ProfileName } from '../../redundancy/profiles.js'
import { OBJECT_KEY_BYTES } from '../../redundancy/seal.js'
import { type ByteRange, Download, type DownloadOptions, rangeIn } from '../../transfer/download.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import type { Holder } from '../../transfer/holder.js'
import type { PutJournal, PutRecord } from '../../transfer/put-journal.js'
import type { FindProviders } from '../../transfer/search.js'
import { type UploadOptions, type UploadReport, upload } from '../../transfer/upload.js'

/** Time to find out whether a holder can be reached. */
const PROBE_TIMEOUT_MS = 5_000
/** Time for a validator to renew or release an object. */
const ASK_TIMEOUT_MS = 15_000
/** Holders probed at once. */
const PROBES_AT_ONCE = 16

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
  /** Plaintext bytes, if known: lets the network refuse at once what it has no room for. */
  readonly sizeBytes?: number
  readonly leaseBlocks?: number
  /** Lets a second put of the same bytes go on where this one is interrupted. */
  readonly journal?: PutJournal
}

export interface PutResult extends UploadReport {
  /** It went on from an earlier run. */
  readonly resumed: boolean
  /** Whoever has it can read the object. */
  readonly capability: string
  readonly profile: ProfileName
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

/** What is known of an object without reading it. */
export interface ObjectStatus {
  readonly sizeBytes: number
  readonly storedBytes: number
  readonly profile: ProfileName
  readonly segments: number
  readonly createdUnixSeconds: number
  /** Holders by leases, and how many of them answered just now. */
  readonly holders: number
  readonly holdersReachable: number
  /** Of the weakest segment, or of a manifest that holds the object: chunks at reachable holders, in all, and needed. */
  readonly weakest: { readonly live: number; readonly n: number; readonly k: number }
  readonly health: 'healthy' | 'degraded' | 'lost'
}

interface Put {
  readonly record: PutRecord
  readonly validator: KnownPeer
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
  readonly epochs: Pick<ChainConstants, 'blockMs' | 'tempo'>
  readonly defaultProfile: ProfileName
  readonly defaultLeaseBlocks: number
}

export class StorageClient {
  readonly #components: StorageClientComponents
  readonly #init: StorageClientInit
  readonly #orders: OrderClient

  constructor(components: StorageClientComponents, init: StorageClientInit) {
    this.#components = components
    this.#init = init
    const { view } = components
    const authority = {
      get block() {
        return view.block
      },
    }
    this.#orders = new OrderClient({ ...components, authority }, init.domain)
  }

  /**
   * Stores a byte stream: sealed, coded, spread, leased, counted. Resolves when it is durable by its profile's rule.
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
    const earlier = found?.profile === profile.name ? found : undefined
    const put = await this.#putRecord(profile.name, earlier, options)
    const { objectKey } = put.record
    const report =
      (await this.#committed(put, options)) ?? (await this.#upload(iterate(source), put, earlier, options))
    await journal?.remove()
    const capability = formatCapability({ kind: 'read', address: report.address, objectKey })
    return { ...report, capability, profile: profile.name, resumed: earlier !== undefined }
  }

  /** The earlier run's key and name, or new ones; its validator if that can be reached, for only there it is known. */
  async #putRecord(profile: ProfileName, earlier: PutRecord | undefined, options: PutOptions): Promise<Put> {
    const { random, clock } = this.#components
    const objectKey = earlier?.objectKey ?? random.bytes(OBJECT_KEY_BYTES)
    const validator = await this.#reachableValidator(objectKey, options, earlier?.validator)
    const fresh = {
      objectKey,
      put: random.bytes(16),
      profile,
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
      const copies = await download.manifestHolders(manifest, options)
      const peers = new Map<string, KnownPeer>()
      for (const { hotkey, peerId, address } of [copies, ...places.map((place) => place.holders)].flat(2)) {
        peers.set(peerId, { hotkey, peerId, addresses: [address] })
      }
      const reachable = await this.#probe([...peers.values()], options)
      return objectStatus(manifest, places, copies, peers.size, reachable)
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
    for (const validator of this.#permittedValidators(parsed.address)) {
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
    const validators = this.#validators(capability.address)
    const components = { ...this.#components, orders: this.#orders, miners: () => this.#miners() }
    return new Download(components, capability.address, validators)
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

  /** Everyone without a permit may be a miner. */
  #miners(): KnownPeer[] {
    return this.#components.view
      .members()
      .flatMap(({ endpoint, publicKey, validatorPermit }) =>
        endpoint === undefined || validatorPermit ? [] : [{ ...endpoint, hotkey: publicKey }],
      )
  }

  /** As `#validators`; throws `TOO_FEW_PEERS`, saying when there may be one, when nobody has a permit. */
  #permittedValidators(seed: Uint8Array): KnownPeer[] {
    const { view } = this.#components
    if (view.validators().length === 0) throw noValidator(view, this.#init.epochs)
    return this.#validators(seed)
  }

  /** Validators with an address, by rendezvous with `seed`: everybody asks in the same order. */
  #validators(seed: Uint8Array): KnownPeer[] {
    const ranked = this.#components.view
      .validators()
      .flatMap((member) => (member.endpoint === undefined ? [] : [{ member, endpoint: member.endpoint }]))
      .map(({ member, endpoint }) => ({ member, endpoint, rank: rendezvousRank(seed, member) }))
    ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1))
    return ranked.map(({ member, endpoint }) => ({ ...endpoint, hotkey: member.publicKey }))
  }

  /** The first validator that answers a greeting. */
  async #reachableValidator(
    seed: Uint8Array,
    options: AbortOptions,
    preferred?: Uint8Array,
  ): Promise<KnownPeer> {
    const validators = this.#permittedValidators(seed)
    const isPreferred = ({ hotkey }: KnownPeer) => preferred !== undefined && equals(hotkey, preferred)
    validators.sort((a, b) => Number(isPreferred(b)) - Number(isPreferred(a)))
    let failure: unknown
    for (const validator of validators) {
      try {
        await this.#components.sessions.connect(validator, options)
        return validator
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!isSubnetError(error)) throw error
        failure = error
      }
    }
    throw new SubnetError('TOO_FEW_PEERS', `none of ${validators.length} validators can be reached`, {
      cause: failure,
    })
  }

  /** Peer ids that answer a greeting. */
  async #probe(peers: readonly KnownPeer[], options: AbortOptions): Promise<ReadonlySet<string>> {
    const reachable = new Set<string>()
    const queue = [...peers]
    const worker = async () => {
      for (let peer = queue.shift(); peer !== undefined; peer = queue.shift()) {
        using scope = deadline(
          this.#components.clock,
          PROBE_TIMEOUT_MS,
          `greeting ${peer.peerId}`,
          options.signal,
        )
        try {
          await this.#components.sessions.connect(peer, scope)
          reachable.add(peer.peerId)
        } catch (error) {
          options.signal?.throwIfAborted()
          if (!isSubnetError(error)) throw error
        }
      }
    }
    await Promise.all(Array.from({ length: PROBES_AT_ONCE }, worker))
    return reachable
  }
}

/** Says which of the two it is: nobody to wait for, or an epoch to wait for. */
function noValidator(view: SubnetView, { tempo, blockMs }: StorageClientInit['epochs']): SubnetError {
  const { block } = view
  const members = view.members().length
  if (members === 0) {
    return new SubnetError(
      'TOO_FEW_PEERS',
      'nobody is registered on this subnet yet: start a validator and miners',
    )
  }
  const epochBlock = nextEpochBlock(tempo, block)
  const waitMs = (epochBlock - block) * blockMs
  const staked = view.members().some(({ stakeRao }) => stakeRao > 0n)
  const text = staked
    ? `no validator has a permit yet: the chain gives permits at block ${epochBlock}, in about ${Math.ceil(waitMs / 1000)} s (now ${block})`
    : `none of the ${members} registered nodes has stake, so none can be a validator: start one`
  return new SubnetError('TOO_FEW_PEERS', text, { data: { block, epochBlock, retryAfterMs: waitMs } })
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

function objectStatus(
  manifest: Manifest,
  places: readonly SegmentPlace[],
  copies: readonly (readonly Holder[])[],
  holders: number,
  reachable: ReadonlySet<string>,
): ObjectStatus {
  const { code, content } = manifest
  let weakest = { live: code.n, n: code.n, k: code.k }
  if (content.kind === 'inline') {
    const root = copies[0] ?? []
    const live = root.filter(({ peerId }) => reachable.has(peerId)).length
    weakest = { live, n: Math.max(root.length, manifestQuorum(code)), k: 1 }
  }
  let storedBytes = 0
  for (const [place, { shape, entry, holders: chunkHolders }] of places.entries()) {
    const live = chunkHolders.filter((chunk) => chunk.some(({ peerId }) => reachable.has(peerId))).length
    // The first one always: a segment may have fewer chunks than the profile says, each with the same margin.
    if (place === 0 || live - shape.k < weakest.live - weakest.k) weakest = { live, n: shape.n, k: shape.k }
    storedBytes += entry.chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }
  const margin = weakest.live - weakest.k
  const health = margin < 0 ? 'lost' : weakest.live < weakest.n ? 'degraded' : 'healthy'
  return {
    sizeBytes: manifest.sizeBytes,
    storedBytes,
    profile: code.name,
    segments: places.length,
    createdUnixSeconds: manifest.createdUnixSeconds,
    holders,
    holdersReachable: reachable.size,
    weakest,
    health,
  }
}

function rendezvousRank(seed: Uint8Array, member: Member): string {
  return Buffer.from(sha256Of([seed, member.publicKey])).toString('hex')
}

async function* iterate(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* source
}
