/**
 * One object's way in, as the recipe reads: ask where, cut, seal, code and mask, send, have leases signed, have them
 * counted. Nothing is called stored before a validator has countersigned it.
 *
 * Next hops: coding/coding-pool.ts and redundancy/segment.ts for the bytes, then protocols/store/client.ts.
 */
import { pipe } from 'it-pipe'
import type { WireDomain } from '../../protocols/common/signed.js'
import type { Authority } from '../../protocols/hello/attestation.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { SignedLease } from '../../protocols/lease/lease.js'
import { MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { PlaceBody, Placed } from '../../protocols/order/messages.js'
import { type AbortOptions, childSignal, deadline } from '../base/abort.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import { Semaphore } from '../base/semaphore.js'
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
import type { EncodedChunk, EncodedSegment, EncodeSegmentInit, SegmentEntry } from '../redundancy/segment.js'
import { commitPatiently, lost } from './commit.js'
import { cut } from './cut.js'
import { mapInOrder } from './in-flight.js'
import { collectLeases, Quorums } from './lease-round.js'
import { requireSegments, segmentsMax } from './object-limit.js'
import { OrderRenewal } from './order-renewal.js'
import { Spread } from './spread.js'
import { StorePool, type StorePoolComponents } from './store-pool.js'
import { holderReports, type UploadReport } from './upload-report.js'

/** Coded chunks in memory at once, all segments of one upload together; at least those of one segment. */
const IN_FLIGHT_CHUNKS_MAX = (48 * MIB) / CHUNK_SIZE
/** Segments at once however small they are. */
const IN_FLIGHT_SEGMENTS_MAX = 8
/** Time for a validator to place an object. */
const PLACE_TIMEOUT_MS = 15_000
export interface UploadComponents extends StorePoolComponents {
  readonly orders: Pick<OrderClient, 'place' | 'commit'>
  /** Our newest head: orders end at a block. */
  readonly authority: Pick<Authority, 'block'>
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

/**
 * Rejects with `TOO_FEW_PEERS` or `NO_SPACE` before anything is sent, `INVALID` for an object too large for the network,
 * `NOT_DURABLE` when too few miners gave receipts; then what was sent is not counted and expires. An error with
 * `data.lostValidator` means that another validator may still take the object.
 */
export async function upload(
  source: AsyncIterable<Uint8Array>,
  init: UploadInit,
  components: UploadComponents,
  options: UploadOptions = {},
): Promise<UploadReport> {
  const { orders, clock } = components
  const { validator, profile, resumes } = init
  const request = placeRequest(init)
  const placed = await placeAt(init, request, components, options)
  using life = childSignal(options.signal)
  const pool = new StorePool(components, init.domain, placed.candidates)
  const spread = new Spread({ pool, clock }, { candidates: placed.candidates.length, resumes })
  const work = { placed, pool, spread, options: { ...options, signal: life.signal } }
  const onLost = (error: unknown) => life.abort(isSubnetError(error) ? lost(validator, error) : error)
  try {
    using _renewal = new OrderRenewal(
      { ...components, orders, pool, spread },
      { validator, request, placed, onLost },
    )
    const max = segmentsMax(
      profile,
      placed.candidates.map(({ group }) => group),
    )
    const report = await new Upload(init, components, work, max).run(source)
    await pool.close()
    return report
  } catch (error) {
    await pool.close(error instanceof Error ? error : new Error(String(error)))
    throw error
  }
}

async function placeAt(
  { validator }: UploadInit,
  request: PlaceBody,
  { orders, clock }: UploadComponents,
  options: AbortOptions,
): Promise<Placed> {
  using scope = deadline(clock, PLACE_TIMEOUT_MS, `place at ${validator.peerId}`, options.signal)
  return await orders.place(validator, request, scope)
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

interface UploadWork {
  readonly placed: Placed
  readonly pool: StorePool
  readonly spread: Spread
  readonly options: UploadOptions
}

/** A segment to be encoded, and what it has of the memory that all may have: one function for each of its chunks. */
interface Admitted {
  readonly segment: EncodeSegmentInit
  readonly release: (() => void)[]
}

class Upload {
  readonly #init: UploadInit
  readonly #components: UploadComponents
  readonly #placed: Placed
  readonly #candidates: readonly PlacementCandidate[]
  readonly #pool: StorePool
  readonly #options: UploadOptions
  readonly #spread: Spread
  readonly #segmentsMax: number
  readonly #memory: Semaphore
  readonly #manifestInit: ManifestInit
  readonly #builder: ManifestBuilder
  readonly #nodes: Uint8Array[] = []
  readonly #quorums = new Quorums()
  #doneBytes = 0
  #segments = 0
  /** By what miners kept; the validator's count, which also has the leases, is the one that is told. */
  #weakest: Pick<UploadReport, 'weakestReceipts' | 'fullReceipts'>

  constructor(init: UploadInit, components: UploadComponents, work: UploadWork, segmentsMax: number) {
    const { n } = init.profile
    this.#init = init
    this.#weakest = { weakestReceipts: n, fullReceipts: n }
    this.#components = components
    this.#placed = work.placed
    this.#pool = work.pool
    this.#spread = work.spread
    this.#options = work.options
    this.#segmentsMax = segmentsMax
    this.#candidates = work.placed.candidates.map(({ hotkey, group, weight }) => ({
      id: toSs58(hotkey),
      group,
      weight,
    }))
    this.#memory = new Semaphore({ permitsMax: Math.max(n, IN_FLIGHT_CHUNKS_MAX), waitersMax: n })
    this.#manifestInit = {
      owner: { class: 'private', objectKey: init.objectKey },
      profile: init.profile,
      createdUnixSeconds: init.createdUnixSeconds,
    }
    this.#builder = new ManifestBuilder(this.#manifestInit)
  }

  async run(source: AsyncIterable<Uint8Array>): Promise<UploadReport> {
    const { profile, sizeBytes } = this.#init
    const segmentBytes = segmentSize('private', profile.k)
    if (sizeBytes !== undefined) this.#requireSegments(Math.ceil(sizeBytes / segmentBytes))
    let inline: Uint8Array | undefined = new Uint8Array(0)
    const sent = pipe(
      cut(source, segmentBytes),
      (pieces) => this.#segmentsOf(pieces, (bytes) => (inline = bytes)),
      (segments) =>
        mapInOrder(
          segments,
          IN_FLIGHT_SEGMENTS_MAX,
          (one, signal) => this.#encodeAndSend(one, signal),
          this.#options,
        ),
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

  #requireSegments(segments: number): void {
    requireSegments(segments, this.#segmentsMax, this.#init.profile, this.#candidates.length)
  }

  /**
   * The segment of each piece, read when there is memory for its chunks; an object small enough to lie in its manifest
   * has none and goes to `keepInline`.
   */
  async *#segmentsOf(
    pieces: AsyncGenerator<Piece>,
    keepInline: (bytes: Uint8Array) => void,
  ): AsyncGenerator<Admitted> {
    const { profile, objectKey } = this.#init
    try {
      for (let index = 0; ; index += 1) {
        const permits = Array.from({ length: profile.n }, () => this.#memory.acquire(1, this.#options))
        const release = await Promise.all(permits)
        const piece = await pieces.next()
        if (piece.done === true) return
        const { bytes, isLast } = piece.value
        this.#requireSegments(index + 1)
        if (index === 0 && isLast && isInline('private', bytes.length)) keepInline(bytes)
        else yield { segment: { code: profile, index, isLast, plaintext: bytes, objectKey }, release }
      }
    } finally {
      await pieces.return(undefined)
    }
  }

  async #encodeAndSend(
    { segment, release }: Admitted,
    signal: AbortSignal,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    try {
      const encoded = await this.#components.coding.encode(segment, { signal })
      return await this.#sendSegment(encoded, () => release.pop()?.(), signal)
    } finally {
      for (const each of release) each()
    }
  }

  /** Sends all chunks of a segment; what comes back names them, so their bytes can go: each when it is durable. */
  async #sendSegment(
    segment: EncodedSegment,
    onKept: () => void,
    signal: AbortSignal,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    const { shape, chunks: _, ...rest } = segment
    const names = segment.chunks.map(({ digest, auditRoot, sizeBytes }) => ({ digest, auditRoot, sizeBytes }))
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
    // Nobody else has the list: it may forget bodies one by one.
    const bodies = segment.chunks as EncodedChunk[]
    const kept = await this.#spread.send(bodies, { ...plan, quorum }, place, { signal, onKept })
    if (kept < quorum) throw notDurable(`segment ${shape.index}`, kept, quorum, this.#spread.lastFailure)
    this.#quorums.setSegment(shape.index, quorum)
    if (this.#segments === 0 || kept - shape.n < this.#weakest.weakestReceipts - this.#weakest.fullReceipts) {
      this.#weakest = { weakestReceipts: kept, fullReceipts: shape.n }
    }
    this.#segments += 1
    this.#doneBytes += shape.plainBytes
    const { peers } = this.#pool
    this.#options.onProgress?.({ doneBytes: this.#doneBytes, peers, retries: this.#spread.retries })
    return { ...rest, shape, chunks: names }
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
    // One that failed on the way may be back, and holds what it took: its word is worth the question.
    this.#pool.forgive()
    const leases = await collectLeases(
      round,
      { pool: this.#pool, clock: this.#components.clock },
      this.#options,
    )
    const report = this.#report(built, leases)
    await init.beforeCommit?.(report)
    const { weakestReceipts, fullReceipts } = await commitPatiently(
      {
        validator: init.validator,
        body: { object, profile: init.profile.name, maskRoot: maskRootOf(init.objectKey) },
        parts: { nodes: [built.root, ...this.#nodes], leases },
      },
      this.#components,
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

function notDurable(what: string, kept: number, quorum: number, cause: unknown): SubnetError {
  return new SubnetError('NOT_DURABLE', `${what}: ${kept} miners keep it, ${quorum} are needed`, {
    cause,
    data: { kept, quorum },
  })
}
