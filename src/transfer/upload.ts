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
import { DAG_SEGMENT, MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { PackedLease } from '../../protocols/lease/packed-lease.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { PlaceBody, Placed } from '../../protocols/order/messages.js'
import { type AbortOptions, childSignal, deadline } from '../base/abort.js'
import { invariant, isSubnetError } from '../base/errors.js'
import { Semaphore } from '../base/semaphore.js'
import { MIB } from '../base/units.js'
import type { SegmentCoder } from '../coding/coding-pool.js'
import { describeChunk } from '../redundancy/chunk.js'
import { type DagNode, fileCid } from '../redundancy/file-dag.js'
import { isInline, type ObjectClass, type SegmentShape, segmentSize } from '../redundancy/layout.js'
import {
  type BuiltManifest,
  buildInlineManifest,
  ManifestBuilder,
  type ManifestInit,
  objectSigner,
} from '../redundancy/manifest-builder.js'
import { maskRootOf } from '../redundancy/mask.js'
import { CHUNK_SIZE, type Profile } from '../redundancy/profiles.js'
import type { EncodedChunk, EncodedSegment, EncodeSegmentInit, SegmentEntry } from '../redundancy/segment.js'
import { ChunkBuffers } from './chunk-buffers.js'
import { commitPatiently, lost } from './commit.js'
import { cut } from './cut.js'
import { mapInOrder } from './in-flight.js'
import { collectLeases } from './lease-round.js'
import { requireSegments, segmentsMax } from './object-limit.js'
import { OrderRenewal } from './order-renewal.js'
import { PlacedParts } from './placed-parts.js'
import { Spread, type SpreadOptions } from './spread.js'
import { StorePool, type StorePoolComponents } from './store-pool.js'
import { holderReports, type UploadReport } from './upload-report.js'

/** Coded chunks in memory at once, all segments of one upload together. */
const IN_FLIGHT_CHUNKS = (24 * MIB) / CHUNK_SIZE
/** Of a profile with many, so many times a segment's: the next one begins when most of the one before are durable. */
const IN_FLIGHT_SEGMENTS_MIN = 1.6
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
  readonly class: ObjectClass
  /** 32 bytes; signs the object, and seals and masks it if it is private. */
  readonly objectKey: Uint8Array
  /** Plaintext bytes, if the caller knows. */
  readonly sizeBytes?: number
  readonly leaseBlocks: number
  readonly createdUnixSeconds: number
  /** 16 bytes, the client's name for this put: with it, the validator places a second run as the first. */
  readonly put: Uint8Array
  /** This object's chunks may be at the miners already: they are asked before bodies are sent. */
  readonly resumes: boolean
  /** This validator has placed it before: what is at the miners of it takes room that they have no more. */
  readonly continues?: boolean
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
  const { validator, resumes } = init
  const request = placeRequest(init)
  const placed = await placeAt(init, request, components, options)
  using life = childSignal(options.signal)
  const pool = new StorePool(components, init.domain, placed.candidates)
  const spread = new Spread({ pool, clock }, { candidates: placed.candidates.length, resumes })
  const buffers = new ChunkBuffers(chunksInFlight(init.profile))
  const work = { placed, pool, spread, buffers, options: { ...options, signal: life.signal } }
  const onLost = (error: unknown) => life.abort(isSubnetError(error) ? lost(validator, error) : error)
  try {
    using _renewal = new OrderRenewal(
      { ...components, orders, pool, spread },
      { validator, request, placed, onLost },
    )
    const max = segmentsMax(
      init,
      placed.candidates.map(({ group }) => group),
    )
    const report = await new Upload(init, components, work, max).run(source)
    await pool.close()
    buffers.clear()
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
  const { profile, sizeBytes, leaseBlocks, put, continues } = init
  return {
    profile: profile.name,
    put,
    leaseBlocks,
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(continues === true ? { continues } : {}),
  }
}

function chunksInFlight({ n }: Profile): number {
  return Math.max(IN_FLIGHT_CHUNKS, Math.ceil(IN_FLIGHT_SEGMENTS_MIN * n))
}

interface Piece {
  readonly bytes: Uint8Array
  readonly isLast: boolean
}

interface UploadWork {
  readonly placed: Placed
  readonly pool: StorePool
  readonly spread: Spread
  readonly buffers: ChunkBuffers
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
  readonly #pool: StorePool
  readonly #options: UploadOptions
  readonly #spread: Spread
  readonly #parts: PlacedParts
  readonly #segmentsMax: number
  readonly #memory: Semaphore
  readonly #buffers: ChunkBuffers
  readonly #manifestInit: ManifestInit
  readonly #builder: ManifestBuilder
  readonly #nodes: Uint8Array[] = []
  #dagNodes = 0
  /** Of a public object that is one chunk: its bytes, for the copies of it as a root. */
  #onlyLeaf: Uint8Array | undefined
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
    this.#parts = new PlacedParts(init.profile, work.placed, work.spread)
    this.#memory = new Semaphore({ permitsMax: chunksInFlight(init.profile), waitersMax: n })
    this.#buffers = work.buffers
    this.#manifestInit = {
      owner:
        init.class === 'private'
          ? { class: 'private', objectKey: init.objectKey }
          : { class: 'public', signer: objectSigner(init.objectKey) },
      profile: init.profile,
      createdUnixSeconds: init.createdUnixSeconds,
    }
    this.#builder = new ManifestBuilder(this.#manifestInit)
  }

  async run(source: AsyncIterable<Uint8Array>): Promise<UploadReport> {
    const { profile, class: objectClass, sizeBytes } = this.#init
    const segmentBytes = segmentSize(objectClass, profile.k)
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
      const { list, dagNodes } = this.#builder.add(segment)
      if (list !== undefined) await this.#sendNode(list.bytes)
      for (const node of dagNodes) await this.#sendDagNode(node)
    }
    const built =
      inline !== undefined && objectClass === 'private'
        ? buildInlineManifest(this.#manifestInit, inline)
        : this.#builder.finish()
    return await this.#commit(built)
  }

  #requireSegments(segments: number): void {
    requireSegments(segments, this.#segmentsMax, this.#init, this.#placed.candidates.length)
  }

  /**
   * The segment of each piece, read when there is memory for its chunks; an object small enough to lie in its manifest
   * has none and goes to `keepInline`.
   */
  async *#segmentsOf(
    pieces: AsyncGenerator<Piece>,
    keepInline: (bytes: Uint8Array) => void,
  ): AsyncGenerator<Admitted> {
    const { profile, class: objectClass } = this.#init
    const objectKey = objectClass === 'private' ? this.#init.objectKey : undefined
    try {
      for (let index = 0; ; index += 1) {
        const permits = Array.from({ length: profile.n }, () => this.#memory.acquire(1, this.#options))
        const release = await Promise.all(permits)
        const piece = await pieces.next()
        if (piece.done === true) return
        const { bytes, isLast } = piece.value
        this.#requireSegments(index + 1)
        if (index === 0 && isLast && isInline(objectClass, bytes.length)) keepInline(bytes)
        else yield { segment: { code: profile, index, isLast, plaintext: bytes, objectKey }, release }
      }
    } finally {
      await pieces.return(undefined)
    }
  }

  async #encodeAndSend(
    { segment, release: permits }: Admitted,
    signal: AbortSignal,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    try {
      const encoded = await this.#components.coding.encode(segment, { signal })
      return await this.#sendSegment(this.#buffers.adopt(encoded), {
        signal,
        onKept: () => permits.pop()?.(),
      })
    } finally {
      for (const each of permits) each()
    }
  }

  /** Sends all chunks of a segment; what comes back names them, so their bytes can go: each when it is durable. */
  async #sendSegment(
    segment: EncodedSegment,
    options: Omit<SpreadOptions, 'onFree'>,
  ): Promise<SegmentEntry & { shape: SegmentShape }> {
    const { shape, chunks, ...rest } = segment
    const names = chunks.map(({ digest, auditRoot, sizeBytes }) => ({ digest, auditRoot, sizeBytes }))
    const isOnlyLeaf = shape.class === 'public' && shape.isLast && shape.index === 0 && shape.k === 1
    if (isOnlyLeaf) this.#onlyLeaf = chunks[0]?.bytes
    const bodies = [...chunks]
    const onFree = (chunk: number) => this.#buffers.give((chunks[chunk] as EncodedChunk).bytes)
    const kept = await this.#parts.sendSegment(shape, bodies, { ...options, onFree })
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
    const chunk = { ...describeChunk(bytes), bytes }
    await this.#parts.sendCopies({ chunk, segment: MANIFEST_SEGMENT, number }, this.#options)
    if (number > 0) this.#nodes.push(bytes)
  }

  /** Full copies of a block of the IPFS file. Those who hold a file's only leaf as a chunk hold it as its root too. */
  async #sendDagNode(node: DagNode): Promise<void> {
    const bytes = node.bytes ?? this.#onlyLeaf
    invariant(bytes !== undefined, 'a block without bytes is the only leaf')
    const number = this.#dagNodes
    const block = { chunk: { ...node, bytes }, segment: DAG_SEGMENT, number } as const
    await this.#parts.sendCopies({ ...block, asksFirst: node.bytes === undefined }, this.#options)
    this.#dagNodes += 1
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
      quorums: this.#parts.quorums,
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
        body: {
          object,
          profile: init.profile.name,
          ...(init.class === 'private' ? { maskRoot: maskRootOf(init.objectKey) } : {}),
        },
        parts: {
          nodes: [built.root, ...this.#nodes],
          leases,
          // An earlier run may have had it counted, under the client key of that time.
          ...(init.resumes ? { owner: objectSigner(init.objectKey) } : {}),
        },
      },
      this.#components,
      this.#options,
    )
    return { ...report, weakestReceipts, fullReceipts }
  }

  #report({ manifest }: BuiltManifest, leases: readonly PackedLease[]): UploadReport {
    const placed = this.#placed
    const holders = holderReports(leases, placed)
    return {
      address: manifest.address,
      class: manifest.class,
      ...(manifest.fileDigest === undefined
        ? {}
        : { fileCid: fileCid(manifest.sizeBytes, manifest.fileDigest).toString() }),
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
