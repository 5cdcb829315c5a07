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
import { segmentAt, segmentCount, segmentSize, spansOf } from '../redundancy/layout.js'
import type { Manifest, NodeReference } from '../redundancy/manifest.js'
import { openInline, parseManifestNode, parseManifestRoot } from '../redundancy/manifest.js'
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
const IN_FLIGHT_BYTES_MAX = 32 * MIB

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
    const root = await this.#fetchNode(0, this.#address, options)
    this.#rootBytes = root.length
    return parseManifestRoot(root)
  }

  /** The plaintext, in order, a piece for each segment. `INVALID` for a range that begins beyond the end. */
  async *read(
    manifest: Manifest,
    objectKey: Uint8Array,
    options: DownloadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const { start, end } = rangeIn(manifest.sizeBytes, options.range)
    if (manifest.content.kind === 'inline') {
      yield openInline(manifest, objectKey).subarray(start, end)
      return
    }
    if (start === end) return
    const segmentBytes = segmentSize(manifest.class, manifest.code.k)
    const atOnce = Math.max(2, Math.floor(IN_FLIGHT_BYTES_MAX / (manifest.code.k * CHUNK_SIZE)))
    const wanted = { first: Math.floor(start / segmentBytes), end: Math.ceil(end / segmentBytes) }
    let doneBytes = 0
    const plaintexts = pipe(this.segments(manifest, options, wanted), (places) =>
      mapInOrder(
        places,
        atOnce,
        async (place, signal) => {
          const from = place.shape.index * segmentBytes
          const own = { start: Math.max(start, from), end: Math.min(end, from + place.shape.plainBytes) }
          const isWhole = own.end - own.start === place.shape.plainBytes
          return isWhole
            ? await this.#wholeSegment(place, objectKey, signal)
            : await this.#partOfSegment(manifest, place, own, objectKey, signal)
        },
        options,
      ),
    )
    for await (const plaintext of plaintexts) {
      yield plaintext
      doneBytes += plaintext.length
      const { fetchedBytes, peers, retries } = this.#pool
      options.onProgress?.({ doneBytes, totalBytes: end - start, fetchedBytes, peers, retries })
    }
  }

  async #wholeSegment(place: SegmentPlace, objectKey: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
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
    objectKey: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { clock } = this.#components
    const spans = [...spansOf(manifest, start, end)]
    const parts = await Promise.all(
      spans.map(async (span) => {
        const fetching = (where: SegmentPlace) =>
          fetchSpan(where, span, { pool: this.#pool, clock }, { signal })
        const chunks = await this.#anywhere(place, fetching, signal)
        return openSpan(span, { entry: place.entry, chunks }, objectKey)
      }),
    )
    return concat(parts)
  }

  /** Size and holders of each manifest node, root first. To be called after `manifest`. */
  async manifestNodes(
    { content }: Manifest,
    options: AbortOptions = {},
  ): Promise<{ readonly sizeBytes: number; readonly holders: readonly Holder[] }[]> {
    const root = { digest: this.#address, sizeBytes: this.#rootBytes }
    const nodes = content.kind === 'nodes' ? content.nodes : []
    return await Promise.all(
      [root, ...nodes].map(async ({ digest, sizeBytes }, number) => {
        return { sizeBytes, holders: await this.#locator.node(number, digest, options) }
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
      const bytes = await this.#fetchNode(position + 1, reference.digest, options, reference)
      const entries = parseManifestNode(manifest, reference, bytes)
      yield entries.slice(Math.max(0, first - firstSegment), end - firstSegment)
    }
  }

  /** A manifest node from the first holder that gives it. */
  async #fetchNode(
    number: number,
    digest: Uint8Array,
    options: AbortOptions,
    reference?: NodeReference,
  ): Promise<Uint8Array> {
    const leased = await this.#locator.node(number, digest, options)
    const { bytes, failure } = await this.#fetchWhole(leased, digest, options)
    if (bytes !== undefined) return bytes
    // Nobody who leased it gives it: somebody else may have it.
    const { holders, asked, answered } = await this.#locator.elsewhere([digest], undefined, options)
    const found = holders[0] ?? []
    for (const holder of found) this.#pool.forgive(holder)
    const again = await this.#fetchWhole(found, digest, options)
    if (again.bytes !== undefined) return again.bytes
    const what = reference === undefined ? 'the manifest' : `part ${number} of the manifest`
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
