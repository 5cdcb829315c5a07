/**
 * One object's way in, as the recipe reads: ask where, cut, seal, code and mask, send, have leases signed, have them
 * counted. Nothing is called stored before a validator has countersigned it.
 *
 * Next hops: coding/coding-pool.ts and redundancy/segment.ts for the bytes, then protocols/store/client.ts.
 */
import { pipe } from 'it-pipe'
import type { WireDomain } from '../../protocols/common/signed.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { SignedLease } from '../../protocols/lease/lease.js'
import { DAG_SEGMENT, MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { PlaceBody, Placed } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import type { SegmentCoder } from '../coding/coding-pool.js'
import { toSs58 } from '../crypto/keys.js'
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
import { cut } from './cut.js'
import { mapInOrder } from './in-flight.js'
import { collectLeases, Quorums } from './lease-round.js'
import { Spread } from './spread.js'
import { StorePool, type StorePoolComponents } from './store-pool.js'
import { holderReports, type UploadReport } from './upload-report.js'

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
  #dagNodes = 0
  /** Of a public object that is one chunk: its bytes, for the copies of it as a root. */
  #onlyLeaf: Uint8Array | undefined
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
    const { profile, class: objectClass } = this.#init
    const inFlight = Math.floor(IN_FLIGHT_BYTES_MAX / (profile.n * CHUNK_SIZE))
    const segmentsMax = Math.min(IN_FLIGHT_SEGMENTS_MAX, Math.max(1, inFlight))
    let inline: Uint8Array | undefined = new Uint8Array(0)
    const sent = pipe(
      cut(source, segmentSize(objectClass, profile.k)),
      (pieces) => this.#segmentsOf(pieces, (bytes) => (inline = bytes)),
      (segments) =>
        mapInOrder(segments, segmentsMax, (one, signal) => this.#encodeAndSend(one, signal), this.#options),
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

  /** The segment of each piece; an object small enough to lie in its manifest has none and goes to `keepInline`. */
  async *#segmentsOf(
    pieces: AsyncIterable<Piece>,
    keepInline: (bytes: Uint8Array) => void,
  ): AsyncGenerator<EncodeSegmentInit> {
    const { profile, class: objectClass } = this.#init
    const objectKey = objectClass === 'private' ? this.#init.objectKey : undefined
    let index = 0
    for await (const { bytes, isLast } of pieces) {
      if (index === 0 && isLast && isInline(objectClass, bytes.length)) keepInline(bytes)
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
    if (shape.class === 'public' && shape.isLast && shape.index === 0 && shape.k === 1) {
      this.#onlyLeaf = chunks[0]?.bytes
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
    await this.#sendCopies({ ...describeChunk(bytes), bytes }, MANIFEST_SEGMENT, number)
    if (number > 0) this.#nodes.push(bytes)
  }

  /** Full copies of a block of the IPFS file. Those who hold a file's only leaf as a chunk hold it as its root too. */
  async #sendDagNode(node: DagNode): Promise<void> {
    const bytes = node.bytes ?? this.#onlyLeaf
    invariant(bytes !== undefined, 'a block without bytes is the only leaf')
    await this.#sendCopies({ ...node, bytes }, DAG_SEGMENT, this.#dagNodes, {
      asksFirst: node.bytes === undefined,
    })
    this.#dagNodes += 1
  }

  async #sendCopies(
    chunk: EncodedChunk,
    segment: typeof MANIFEST_SEGMENT | typeof DAG_SEGMENT,
    number: number,
    how: { readonly asksFirst?: boolean } = {},
  ): Promise<void> {
    const { profile } = this.#init
    const plan = placeManifest({
      seed: this.#placed.seed,
      copies: manifestCopies(profile),
      candidates: this.#candidates,
    })
    const copies = plan.holders.map(() => chunk)
    const quorum = manifestQuorum(profile)
    const place = () => [segment, number] as const
    const kept = await this.#spread.send(copies, { ...plan, ...how, quorum }, place, this.#options)
    if (kept < quorum) {
      const what = segment === MANIFEST_SEGMENT ? 'the manifest' : 'the IPFS file'
      throw notDurable(what, kept, quorum, this.#spread.lastFailure)
    }
    this.#quorums.setCopies(segment, number, quorum)
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
      {
        object,
        profile: init.profile.name,
        ...(init.class === 'private' ? { maskRoot: maskRootOf(init.objectKey) } : {}),
      },
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

function notDurable(what: string, kept: number, quorum: number, cause: unknown): SubnetError {
  return new SubnetError('NOT_DURABLE', `${what}: ${kept} miners keep it, ${quorum} are needed`, {
    cause,
    data: { kept, quorum },
  })
}
