/**
 * One object's way in, as the recipe reads: ask where, cut, seal, code and mask, send, have leases signed, have them
 * counted. Nothing is called stored before a validator has countersigned it.
 *
 * Next hops: coding/coding-pool.ts and redundancy/segment.ts for the bytes, then protocols/store/client.ts.
 */
import { pipe } from 'it-pipe'
import type { WireDomain } from '../../protocols/common/signed.js'
import { sameKey } from '../../protocols/common/signed.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { SignedLease } from '../../protocols/lease/lease.js'
import { MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { PlaceBody, Placed } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { SubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import type { SegmentCoder } from '../coding/coding-pool.js'
import { toSs58 } from '../crypto/keys.js'
import { describeChunk } from '../redundancy/chunk.js'
import { isInline, type SegmentShape, segmentSize } from '../redundancy/layout.js'
import {
  type BuiltManifest,
  buildInlineManifest,
  ManifestBuilder,
  type ManifestInit,
} from '../redundancy/manifest-builder.js'
import { maskRootOf } from '../redundancy/mask.js'
import { type Candidate as PlacementCandidate, placeManifest, placeSegment } from '../redundancy/placement.js'
import {
  CHUNK_SIZE,
  durableQuorum,
  groupCap,
  manifestCopies,
  manifestQuorum,
  type Profile,
  shrinkProfile,
} from '../redundancy/profiles.js'
import type { EncodedSegment, EncodeSegmentInit, SegmentEntry } from '../redundancy/segment.js'
import { cut } from './cut.js'
import { mapInOrder } from './in-flight.js'
import { collectLeases, Quorums } from './lease-round.js'
import { Spread } from './spread.js'
import { StorePool, type StorePoolComponents } from './store-pool.js'

/** Coded bytes in memory at once, all segments of one upload together; at least one segment always goes. */
const IN_FLIGHT_BYTES_MAX = 48 * MIB
/** Segments at once however small they are. */
const IN_FLIGHT_SEGMENTS_MAX = 8

export interface UploadComponents extends StorePoolComponents {
  readonly orders: OrderClient
  readonly coding: SegmentCoder
}

export interface UploadInit {
  readonly domain: WireDomain
  /** Where the object is placed and counted. */
  readonly validator: KnownPeer
  readonly profile: Profile
  /** 32 bytes; seals and masks the object. */
  readonly objectKey: Uint8Array
  /** Plaintext bytes, if the caller knows. */
  readonly sizeBytes?: number
  readonly leaseBlocks: number
  readonly createdUnixSeconds: number
  /** 16 bytes, the client's name for this put: with it, the validator places a second run as the first. */
  readonly put: Uint8Array
  /** This object's chunks may be at the miners already: they are asked before bodies are sent. */
  readonly resumes: boolean
  /** Called when everything is kept and leased, before a validator counts it, with what the upload will resolve to. */
  readonly beforeCommit?: (report: UploadReport) => Promise<void>
}

/** How far an upload is. */
export interface UploadProgress {
  /** Plaintext bytes whose chunks are durable. */
  readonly doneBytes: number
  readonly peers: number
  readonly retries: number
}

export interface UploadOptions extends AbortOptions {
  readonly onProgress?: (progress: UploadProgress) => void
}

/** What one miner was given. */
export interface HolderReport {
  /** SS58. */
  readonly hotkey: string
  readonly peerId: string
  readonly chunks: number
  readonly bytes: number
  readonly holdsManifest: boolean
}

export interface UploadReport {
  /** Digest of the manifest. */
  readonly address: Uint8Array
  readonly sizeBytes: number
  readonly storedBytes: number
  /** Bytes of bodies that left this machine, those that were sent twice included. */
  readonly sentBytes: number
  /** Bytes that miners held from an earlier run. */
  readonly reusedBytes: number
  readonly segments: number
  readonly endBlock: number
  /** Receipts of the weakest segment, and how many a complete one has. */
  readonly weakestReceipts: number
  readonly fullReceipts: number
  readonly holders: readonly HolderReport[]
  readonly retries: number
  /** The network is smaller than the profile's full strength. */
  readonly warning?: string
}

/**
 * Rejects with `TOO_FEW_PEERS` or `NO_SPACE` before anything is sent, `NOT_DURABLE` when too few miners gave receipts;
 * then what was sent is not counted and expires.
 */
export async function upload(
  source: AsyncIterable<Uint8Array>,
  init: UploadInit,
  components: UploadComponents,
  options: UploadOptions = {},
): Promise<UploadReport> {
  const placed = await components.orders.place(init.validator, placeRequest(init), options)
  const pool = new StorePool(components, init.domain, placed.candidates)
  try {
    const report = await new Upload(init, components, placed, pool, options).run(source)
    await pool.close()
    return report
  } catch (error) {
    await pool.close(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

function placeRequest(init: UploadInit): PlaceBody {
  const { profile, sizeBytes, leaseBlocks, put } = init
  return {
    profile: profile.name,
    put,
    leaseBlocks,
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
  }
}

interface Piece {
  readonly bytes: Uint8Array
  readonly isLast: boolean
}

class Upload {
  readonly #init: UploadInit
  readonly #components: UploadComponents
  readonly #placed: Placed
  readonly #candidates: readonly PlacementCandidate[]
  readonly #pool: StorePool
  readonly #options: UploadOptions
  readonly #spread: Spread
  readonly #manifestInit: ManifestInit
  readonly #builder: ManifestBuilder
  readonly #nodes: Uint8Array[] = []
  readonly #quorums = new Quorums()
  #doneBytes = 0
  #segments = 0
  /** By what miners kept; the validator's count, which also has the leases, is the one that is told. */
  #weakest: Pick<UploadReport, 'weakestReceipts' | 'fullReceipts'>

  constructor(
    init: UploadInit,
    components: UploadComponents,
    placed: Placed,
    pool: StorePool,
    options: UploadOptions,
  ) {
    this.#init = init
    this.#weakest = { weakestReceipts: init.profile.n, fullReceipts: init.profile.n }
    this.#components = components
    this.#placed = placed
    this.#candidates = placed.candidates.map(({ hotkey, group, weight }) => ({
      id: toSs58(hotkey),
      group,
      weight,
    }))
    this.#pool = pool
    this.#options = options
    this.#spread = new Spread(
      { pool, clock: components.clock },
      { candidates: placed.candidates.length, resumes: init.resumes },
    )
    this.#manifestInit = {
      owner: { class: 'private', objectKey: init.objectKey },
      profile: init.profile,
      createdUnixSeconds: init.createdUnixSeconds,
    }
    this.#builder = new ManifestBuilder(this.#manifestInit)
  }

  async run(source: AsyncIterable<Uint8Array>): Promise<UploadReport> {
    const { profile } = this.#init
    const inFlight = Math.floor(IN_FLIGHT_BYTES_MAX / (profile.n * CHUNK_SIZE))
    const segmentsMax = Math.min(IN_FLIGHT_SEGMENTS_MAX, Math.max(1, inFlight))
    let inline: Uint8Array | undefined = new Uint8Array(0)
    const sent = pipe(
      cut(source, segmentSize('private', profile.k)),
      (pieces) => this.#segmentsOf(pieces, (bytes) => (inline = bytes)),
      (segments) =>
        mapInOrder(segments, segmentsMax, (one, signal) => this.#encodeAndSend(one, signal), this.#options),
    )
    for await (const segment of sent) {
      inline = undefined
      const node = this.#builder.add(segment)
      if (node !== undefined) await this.#sendNode(node.bytes)
    }
    const built =
      inline === undefined ? this.#builder.finish() : buildInlineManifest(this.#manifestInit, inline)
    return await this.#commit(built)
  }

  /** The segment of each piece; an object small enough to lie in its manifest has none and goes to `keepInline`. */
  async *#segmentsOf(
    pieces: AsyncIterable<Piece>,
    keepInline: (bytes: Uint8Array) => void,
  ): AsyncGenerator<EncodeSegmentInit> {
    const { profile, objectKey } = this.#init
    let index = 0
    for await (const { bytes, isLast } of pieces) {
      if (index === 0 && isLast && isInline('private', bytes.length)) keepInline(bytes)
      else yield { code: profile, index, isLast, plaintext: bytes, objectKey }
      index += 1
    }
  }

  async #encodeAndSend(
    segment: EncodeSegmentInit,
    signal: AbortSignal,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    return await this.#sendSegment(await this.#components.coding.encode(segment, { signal }), signal)
  }

  /** Sends all chunks of a segment; what comes back names them, so their bytes can go. */
  async #sendSegment(
    segment: EncodedSegment,
    signal: AbortSignal,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    const { shape, chunks, ...rest } = segment
    const { profile } = this.#init
    const cap = groupCap(profile)
    const plan = placeSegment({
      seed: this.#placed.seed,
      segment: shape.index,
      n: shape.n,
      cap,
      candidates: this.#candidates,
    })
    const quorum = durableQuorum(shrinkProfile(profile, shape.k))
    const place = (chunk: number) => [shape.index, chunk] as const
    const kept = await this.#spread.send(chunks, { ...plan, quorum }, place, { signal })
    if (kept < quorum) throw notDurable(`segment ${shape.index}`, kept, quorum, this.#spread.lastFailure)
    this.#quorums.setSegment(shape.index, quorum)
    if (this.#segments === 0 || kept - shape.n < this.#weakest.weakestReceipts - this.#weakest.fullReceipts) {
      this.#weakest = { weakestReceipts: kept, fullReceipts: shape.n }
    }
    this.#segments += 1
    this.#doneBytes += shape.plainBytes
    const { peers } = this.#pool
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, peers, retries: this.#spread.retries })
    return {
      ...rest,
      shape,
      chunks: chunks.map(({ digest, auditRoot, sizeBytes }) => ({ digest, auditRoot, sizeBytes })),
    }
  }

  /** Full copies of a manifest node. List nodes go as they fill; the root, number 0, goes last. */
  async #sendNode(bytes: Uint8Array, number = this.#nodes.length + 1): Promise<void> {
    const { profile } = this.#init
    const plan = placeManifest({
      seed: this.#placed.seed,
      copies: manifestCopies(profile),
      candidates: this.#candidates,
    })
    const chunk = { ...describeChunk(bytes), bytes }
    const copies = plan.holders.map(() => chunk)
    const quorum = manifestQuorum(profile)
    const place = () => [MANIFEST_SEGMENT, number] as const
    const kept = await this.#spread.send(copies, { ...plan, quorum }, place, this.#options)
    if (kept < quorum) throw notDurable('the manifest', kept, quorum, this.#spread.lastFailure)
    this.#quorums.setNode(number, quorum)
    if (number > 0) this.#nodes.push(bytes)
  }

  async #commit(built: BuiltManifest): Promise<UploadReport> {
    const init = this.#init
    if (built.node !== undefined) await this.#sendNode(built.node.bytes)
    await this.#sendNode(built.root, 0)
    const object = built.manifest.address
    const round = {
      object,
      endBlock: this.#placed.leaseEndBlock,
      entries: this.#spread.entries,
      quorums: this.#quorums,
    }
    const leases = await collectLeases(
      round,
      { pool: this.#pool, clock: this.#components.clock },
      this.#options,
    )
    const report = this.#report(built, leases)
    await init.beforeCommit?.(report)
    const { weakestReceipts, fullReceipts } = await this.#components.orders.commit(
      init.validator,
      { object, profile: init.profile.name, maskRoot: maskRootOf(init.objectKey) },
      { nodes: [built.root, ...this.#nodes], leases },
      this.#options,
    )
    return { ...report, weakestReceipts, fullReceipts }
  }

  #report({ manifest }: BuiltManifest, leases: readonly SignedLease[]): UploadReport {
    const placed = this.#placed
    const holders = holderReports(leases, placed)
    return {
      address: manifest.address,
      sizeBytes: manifest.sizeBytes,
      storedBytes: holders.reduce((sum, { bytes }) => sum + bytes, 0),
      sentBytes: this.#pool.sentBytes,
      reusedBytes: this.#spread.reusedBytes,
      segments: this.#segments,
      endBlock: placed.leaseEndBlock,
      ...this.#weakest,
      holders,
      retries: this.#spread.retries,
      ...(placed.warning === undefined ? {} : { warning: placed.warning }),
    }
  }
}

function holderReports(leases: readonly SignedLease[], placed: Placed): HolderReport[] {
  return leases.map(({ lease }) => {
    const candidate = placed.candidates.find(({ hotkey }) => sameKey(hotkey, lease.miner))
    return {
      hotkey: toSs58(lease.miner),
      peerId: candidate?.peerId ?? '',
      chunks: lease.entries.length,
      bytes: lease.entries.reduce((sum, [, , sizeBytes]) => sum + sizeBytes, 0),
      holdsManifest: lease.entries.some(([, , , segment]) => segment === MANIFEST_SEGMENT),
    }
  })
}

function notDurable(what: string, kept: number, quorum: number, cause: unknown): SubnetError {
  return new SubnetError('NOT_DURABLE', `${what}: ${kept} miners keep it, ${quorum} are needed`, {
    cause,
    data: { kept, quorum },
  })
}
