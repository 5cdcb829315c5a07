/**
 * One object's way out: manifest by digest, then segment after segment from any k holders, verified, decoded, opened.
 * What leaves here is exactly what went in, or an error.
 */
import { pipe } from 'it-pipe'
import { concat } from 'uint8arrays'
import type { Authority } from '../../protocols/hello/attestation.js'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { AbortOptions } from '../base/abort.js'
import { invariant, isSubnetError, SubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import type { SegmentCoder } from '../coding/coding-pool.js'
import { FilePath } from '../redundancy/file-path.js'
import { segmentAt, segmentCount, segmentSize, spansOf } from '../redundancy/layout.js'
import type { Manifest } from '../redundancy/manifest.js'
import { openInline, parseManifestNode, parseManifestRoot } from '../redundancy/manifest.js'
import { dagNodesOfFile } from '../redundancy/manifest-dag.js'
import { CHUNK_SIZE } from '../redundancy/profiles.js'
import { openSpan, type SegmentEntry } from '../redundancy/segment.js'
import { fetchSegment, fetchSpan, type SegmentPlace, withFound } from './fetch.js'
import type { Holder } from './holder.js'
import { mapInOrder } from './in-flight.js'
import { Locator } from './locate.js'
import { firstOf } from './race.js'
import { RetrievePool, type RetrievePoolComponents } from './retrieve-pool.js'
import { HolderSearch, type HolderSearchComponents } from './search.js'

/** Chunks and plaintext in memory at once; at least two segments always go, so that the line does not idle. */
const IN_FLIGHT_BYTES_MAX = 16 * MIB

export interface DownloadComponents extends HolderSearchComponents, RetrievePoolComponents {
  readonly orders: Pick<OrderClient, 'locate'>
  /** Our newest head. */
  readonly authority: Pick<Authority, 'block'>
  readonly coding: SegmentCoder
}

/** How far a download is. */
export interface DownloadProgress {
  readonly doneBytes: number
  readonly totalBytes: number
  /** Bytes that came for it, those that were not needed in the end included. */
  readonly fetchedBytes: number
  readonly peers: number
  readonly retries: number
}

/** What the manifest counts as one of its parts. */
interface Part {
  /** In the order in which the validator names their holders: manifest root and list nodes, blocks of the IPFS file. */
  readonly number: number
  readonly digest: Uint8Array
  readonly what: string
}

/** Plaintext bytes from `start` on, up to and without `end` or up to the object's end: as `slice` counts them. */
export interface ByteRange {
  readonly start: number
  readonly end?: number
}

export interface DownloadOptions extends AbortOptions {
  /** Default: the whole object. Only what it takes is fetched: whole segments, and parts of chunks at its two ends. */
  readonly range?: ByteRange
  readonly onProgress?: (progress: DownloadProgress) => void
}

/** A block and who holds it. */
export interface BlockPlace {
  readonly digest: Uint8Array
  readonly sizeBytes: number
  readonly holders: readonly Holder[]
}

interface SegmentRange {
  readonly first: number
  readonly end: number
}

export class Download {
  readonly #components: DownloadComponents
  readonly #address: Uint8Array
  readonly #locator: Locator
  readonly #pool: RetrievePool
  /** Size of the manifest's root, once that is here. */
  #rootBytes = 0

  /** `validators` in the order in which they should be asked. */
  constructor(components: DownloadComponents, address: Uint8Array, validators: readonly KnownPeer[]) {
    this.#components = components
    this.#address = address
    const search = new HolderSearch(components)
    this.#locator = new Locator({ ...components, search }, address, validators)
    this.#pool = new RetrievePool(components)
  }

  /** Rejects with `NOT_FOUND` when no validator or miner knows the object, `UNRECOVERABLE` when no holder gives the manifest. */
  async manifest(options: AbortOptions = {}): Promise<Manifest> {
    const root = await this.#fetchPart({ number: 0, digest: this.#address, what: 'the manifest' }, options)
    this.#rootBytes = root.length
    return parseManifestRoot(root)
  }

  /**
   * The way from the root of a public object's IPFS file to its leaves. A manifest without list nodes names all of it;
   * of a longer one the dag-pb nodes are fetched, each when the reader comes to it.
   */
  filePath({ content, sizeBytes, fileDigest, ...manifest }: Manifest): FilePath {
    invariant(fileDigest !== undefined, 'the object is public')
    const built = content.kind === 'segments' ? dagNodesOfFile(manifest, content.segments) : []
    const first = content.kind === 'nodes' ? 1 + content.nodes.length : 1
    return new FilePath({ sizeBytes, rootDigest: fileDigest }, async (digest, number, options) => {
      const part = { number: first + number, digest, what: `block ${number} of the IPFS file` }
      return built[number]?.bytes ?? (await this.#fetchPart(part, options))
    })
  }

  /**
   * The plaintext, in order, a piece for each data chunk. `objectKey` is given exactly if the object is private; what is
   * read of a public one is under the root of its IPFS file. `INVALID` for a range that begins beyond the end.
   */
  async *read(
    manifest: Manifest,
    objectKey: Uint8Array | undefined,
    options: DownloadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const { start, end } = rangeIn(manifest.sizeBytes, options.range)
    if (manifest.content.kind === 'inline') {
      invariant(objectKey !== undefined, 'an inline object is private')
      yield openInline(manifest, objectKey).subarray(start, end)
      return
    }
    if (start === end) return
    const segmentBytes = segmentSize(manifest.class, manifest.code.k)
    const atOnce = Math.max(2, Math.floor(IN_FLIGHT_BYTES_MAX / (manifest.code.k * CHUNK_SIZE)))
    const wanted = { first: Math.floor(start / segmentBytes), end: Math.ceil(end / segmentBytes) }
    let doneBytes = 0
    const plaintexts = pipe(this.#checkedSegments(manifest, options, wanted), (places) =>
      mapInOrder(
        places,
        atOnce,
        async (place, signal) => {
          const from = place.shape.index * segmentBytes
          const own = { start: Math.max(start, from), end: Math.min(end, from + place.shape.plainBytes) }
          const isWhole = own.end - own.start === place.shape.plainBytes
          return isWhole
            ? [...(await this.#wholeSegment(place, objectKey, signal))]
            : [await this.#partOfSegment(manifest, place, own, objectKey, signal)]
        },
        options,
      ),
    )
    for await (const pieces of plaintexts) {
      // Each is let go of when it has been read: the reader may take its time.
      for (let piece = pieces.shift(); piece !== undefined; piece = pieces.shift()) {
        doneBytes += piece.length
        yield piece
      }
      const { fetchedBytes, peers, retries } = this.#pool
      options.onProgress?.({ doneBytes, totalBytes: end - start, fetchedBytes, peers, retries })
    }
  }

  /** Segments whose data chunks, if the object is public, are those of its IPFS file. */
  async *#checkedSegments(
    manifest: Manifest,
    options: AbortOptions,
    range: SegmentRange,
  ): AsyncGenerator<SegmentPlace> {
    const path = manifest.class === 'public' ? this.filePath(manifest) : undefined
    for await (const place of this.segments(manifest, options, range)) {
      const { index, k } = place.shape
      for (const [chunk, { digest }] of place.entry.chunks.slice(0, k).entries()) {
        await path?.check(index * manifest.code.k + chunk, digest, options)
      }
      yield place
    }
  }

  async #wholeSegment(
    place: SegmentPlace,
    objectKey: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    const { clock, coding } = this.#components
    const fetching = (where: SegmentPlace) => fetchSegment(where, { pool: this.#pool, clock }, { signal })
    const chunks = await this.#anywhere(place, fetching, signal)
    return await coding.decode({ shape: place.shape, entry: place.entry, chunks }, objectKey, { signal })
  }

  /** Fetches from the holders by lease, and if those are too few from whoever else says that he holds it. */
  async #anywhere<T>(
    place: SegmentPlace,
    fetching: (place: SegmentPlace) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    try {
      return await fetching(place)
    } catch (failure) {
      if (!isSubnetError(failure, 'UNRECOVERABLE')) throw failure
      const digests = place.entry.chunks.map(({ digest }) => digest)
      const { index } = place.shape
      const { holders, asked, answered } = await this.#locator.elsewhere(digests, index, { signal })
      try {
        return await fetching(withFound(place, holders, this.#pool))
      } catch (error) {
        if (!isSubnetError(error, 'UNRECOVERABLE')) throw error
        const text = `${error.message}; then ${answered} of all ${asked} miners said what they hold`
        throw new SubnetError('UNRECOVERABLE', text, {
          cause: error.cause,
          data: { ...error.data, asked, answered },
        })
      }
    }
  }

  /** Only the frames that the range touches. */
  async #partOfSegment(
    manifest: Manifest,
    place: SegmentPlace,
    { start, end }: Required<ByteRange>,
    objectKey: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { clock } = this.#components
    const spans = [...spansOf(manifest, start, end)]
    const isPublic = manifest.class === 'public'
    const frames = async (inner: AbortSignal) => {
      const parts = spans.map(async (span) => {
        const fetching = (where: SegmentPlace) =>
          fetchSpan(where, span, { pool: this.#pool, clock }, { signal: inner })
        const chunks = await (isPublic ? fetching(place) : this.#anywhere(place, fetching, inner))
        return openSpan(span, { entry: place.entry, chunks }, objectKey)
      })
      return concat(await Promise.all(parts))
    }
    if (!isPublic) return await frames(signal)
    // A part of a public chunk that is gone cannot be rebuilt alone, for nothing would say whether it is right.
    let failure: unknown
    const whole = async (inner: AbortSignal) => {
      try {
        const from = place.shape.index * segmentSize(manifest.class, manifest.code.k)
        return concat([...(await this.#wholeSegment(place, undefined, inner))]).subarray(
          start - from,
          end - from,
        )
      } catch (error) {
        failure = error
        throw error
      }
    }
    const [bytes] = await firstOf([frames, whole], 1, { clock, pace: this.#pool.pace }, { signal })
    if (bytes === undefined) throw failure
    return bytes
  }

  /**
   * Who holds what is kept in full copies: the manifest's nodes, root first, and the blocks of the IPFS file that its
   * segments list. To be called after `manifest`, with all segments.
   */
  async copiedBlocks(
    { content }: Manifest,
    segments: readonly SegmentPlace[],
    options: AbortOptions = {},
  ): Promise<BlockPlace[]> {
    const root = { digest: this.#address, sizeBytes: this.#rootBytes }
    const nodes = content.kind === 'nodes' ? content.nodes : []
    const fileNodes = segments.flatMap(({ entry }) => entry.dagNodes ?? [])
    return await Promise.all(
      [root, ...nodes, ...fileNodes].map(async ({ digest, sizeBytes }, number) => {
        return { digest, sizeBytes, holders: await this.#locator.node(number, digest, options) }
      }),
    )
  }

  /** Every segment, or those from `first` up to and without `end`, with its chunks' names and holders, in order. */
  async *segments(
    manifest: Manifest,
    options: AbortOptions = {},
    { first, end }: SegmentRange = { first: 0, end: segmentCount(manifest) },
  ): AsyncGenerator<SegmentPlace> {
    let index = first
    for await (const entries of this.#entries(manifest, options, { first, end })) {
      for (const [position, entry] of entries.entries()) {
        const holders = await this.#locator.segment(index, entries.slice(position), options)
        yield { shape: segmentAt(manifest, index), entry, holders }
        index += 1
      }
    }
    invariant(index === end, 'a parsed manifest lists every segment')
  }

  async close(reason?: Error): Promise<void> {
    await this.#pool.close(reason)
  }

  /** As many at once as one node lists. */
  async *#entries(
    manifest: Manifest,
    options: AbortOptions,
    { first, end }: SegmentRange,
  ): AsyncGenerator<readonly SegmentEntry[]> {
    const { content } = manifest
    if (content.kind === 'inline') return
    if (content.kind === 'segments') {
      yield content.segments.slice(first, end)
      return
    }
    for (const [position, reference] of content.nodes.entries()) {
      const { firstSegment, segmentCount: count } = reference
      if (firstSegment + count <= first || firstSegment >= end) continue
      const number = position + 1
      const part = { number, digest: reference.digest, what: `part ${number} of the manifest` }
      const bytes = await this.#fetchPart(part, options)
      const entries = parseManifestNode(manifest, reference, bytes)
      yield entries.slice(Math.max(0, first - firstSegment), end - firstSegment)
    }
  }

  /** From the first holder that gives it. */
  async #fetchPart({ number, digest, what }: Part, options: AbortOptions): Promise<Uint8Array> {
    const leased = await this.#locator.node(number, digest, options)
    const { bytes, failure } = await this.#fetchWhole(leased, digest, options)
    if (bytes !== undefined) return bytes
    // Nobody who leased it gives it: somebody else may have it.
    const { holders, asked, answered } = await this.#locator.elsewhere([digest], undefined, options)
    const found = holders[0] ?? []
    for (const holder of found) this.#pool.forgive(holder)
    const again = await this.#fetchWhole(found, digest, options)
    if (again.bytes !== undefined) return again.bytes
    const text =
      `none of the ${leased.length} holders of ${what} gives it; ` +
      `then ${answered} of all ${asked} miners answered, ${found.length} of them said that they hold it`
    throw new SubnetError('UNRECOVERABLE', text, {
      cause: again.failure ?? failure,
      data: { holders: leased.length, asked, answered },
    })
  }

  async #fetchWhole(
    holders: readonly Holder[],
    digest: Uint8Array,
    options: AbortOptions,
  ): Promise<{ readonly bytes: Uint8Array | undefined; readonly failure: unknown }> {
    let failure: unknown
    const attempts = holders.map((holder) => async (signal: AbortSignal) => {
      try {
        return await this.#pool.request(holder, (stream) => stream.getWhole(digest, { signal }), { signal })
      } catch (error) {
        failure = error
        throw error
      }
    })
    const pacing = { clock: this.#components.clock, pace: this.#pool.pace }
    const [bytes] = await firstOf(attempts, 1, pacing, options)
    return { bytes, failure }
  }
}

/** The part of it that the object has; `INVALID` if it begins beyond the end, or ends before it begins. */
export function rangeIn(sizeBytes: number, range: ByteRange | undefined): Required<ByteRange> {
  const { start, end = sizeBytes } = range ?? { start: 0 }
  const isRange = Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end
  if (!isRange || start > sizeBytes) {
    throw new SubnetError(
      'INVALID',
      `bytes ${start} to ${end} are no part of an object of ${sizeBytes} bytes`,
    )
  }
  return { start, end: Math.min(end, sizeBytes) }
}
