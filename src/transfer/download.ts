/**
 * One object's way out: manifest by digest, then segment after segment from any k holders, verified, decoded, opened.
 * What leaves here is exactly what went in, or an error.
 */
import { pipe } from 'it-pipe'
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import type { SegmentCoder } from '../coding/coding-pool.js'
import { segmentAt, segmentCount } from '../redundancy/layout.js'
import type { Manifest, NodeReference } from '../redundancy/manifest.js'
import { openInline, parseManifestNode, parseManifestRoot } from '../redundancy/manifest.js'
import { CHUNK_SIZE } from '../redundancy/profiles.js'
import type { SegmentEntry } from '../redundancy/segment.js'
import { fetchSegment, type SegmentPlace } from './fetch.js'
import type { Holder } from './holder.js'
import { mapInOrder } from './in-flight.js'
import { Locator } from './locate.js'
import { firstOf } from './race.js'
import { RetrievePool } from './retrieve-pool.js'
import { HolderSearch, type HolderSearchComponents } from './search.js'

/** Chunks and plaintext in memory at once; at least two segments always go, so that the line does not idle. */
const IN_FLIGHT_BYTES_MAX = 32 * MIB

export interface DownloadComponents extends HolderSearchComponents {
  readonly orders: OrderClient
  readonly coding: SegmentCoder
}

/** How far a download is. */
export interface DownloadProgress {
  readonly doneBytes: number
  readonly totalBytes: number
  readonly peers: number
  readonly retries: number
}

export interface DownloadOptions extends AbortOptions {
  readonly onProgress?: (progress: DownloadProgress) => void
}

export class Download {
  readonly #components: DownloadComponents
  readonly #address: Uint8Array
  readonly #locator: Locator
  readonly #pool: RetrievePool

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
    return parseManifestRoot(await this.#fetchNode(0, this.#address, options))
  }

  /** The plaintext, in order. */
  async *read(
    manifest: Manifest,
    objectKey: Uint8Array,
    options: DownloadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    if (manifest.content.kind === 'inline') {
      yield openInline(manifest, objectKey)
      return
    }
    const { components, pool } = { components: this.#components, pool: this.#pool }
    const atOnce = Math.max(2, Math.floor(IN_FLIGHT_BYTES_MAX / (manifest.code.k * CHUNK_SIZE)))
    let doneBytes = 0
    const plaintexts = pipe(this.segments(manifest, options), (places) =>
      mapInOrder(
        places,
        atOnce,
        async (place, signal) => {
          const chunks = await fetchSegment(place, { pool, clock: components.clock }, { signal })
          const source = { shape: place.shape, entry: place.entry, chunks }
          return await components.coding.decode(source, objectKey, { signal })
        },
        options,
      ),
    )
    for await (const plaintext of plaintexts) {
      yield plaintext
      doneBytes += plaintext.length
      const { peers, retries } = pool
      options.onProgress?.({ doneBytes, totalBytes: manifest.sizeBytes, peers, retries })
    }
  }

  /** Holders of each manifest node, root first. */
  async manifestHolders({ content }: Manifest, options: AbortOptions = {}): Promise<(readonly Holder[])[]> {
    const nodes = content.kind === 'nodes' ? content.nodes.map(({ digest }) => digest) : []
    return await Promise.all(
      [this.#address, ...nodes].map((digest, number) => this.#locator.node(number, digest, options)),
    )
  }

  /** Every segment with its chunks' names and holders, in order. */
  async *segments(manifest: Manifest, options: AbortOptions = {}): AsyncGenerator<SegmentPlace> {
    const total = segmentCount(manifest)
    let index = 0
    for await (const entries of this.#entries(manifest, options)) {
      for (const [position, entry] of entries.entries()) {
        const holders = await this.#locator.segment(index, entries.slice(position), options)
        yield { shape: segmentAt(manifest, index), entry, holders }
        index += 1
      }
    }
    invariant(index === total, 'a parsed manifest lists every segment')
  }

  async close(reason?: Error): Promise<void> {
    await this.#pool.close(reason)
  }

  /** As many at once as one node lists. */
  async *#entries(manifest: Manifest, options: AbortOptions): AsyncGenerator<readonly SegmentEntry[]> {
    const { content } = manifest
    if (content.kind === 'inline') return
    if (content.kind === 'segments') {
      yield content.segments
      return
    }
    for (const [position, reference] of content.nodes.entries()) {
      const bytes = await this.#fetchNode(position + 1, reference.digest, options, reference)
      yield parseManifestNode(manifest, reference, bytes)
    }
  }

  /** A manifest node from the first holder that gives it. */
  async #fetchNode(
    number: number,
    digest: Uint8Array,
    options: AbortOptions,
    reference?: NodeReference,
  ): Promise<Uint8Array> {
    const holders = await this.#locator.node(number, digest, options)
    let failure: unknown
    const attempts = holders.map((holder) => async (signal: AbortSignal) => {
      try {
        return await this.#pool.request(holder, (stream) => stream.getWhole(digest, { signal }), { signal })
      } catch (error) {
        failure = error
        throw error
      }
    })
    const [bytes] = await firstOf(attempts, 1, this.#components.clock, options)
    if (bytes !== undefined) return bytes
    const what = reference === undefined ? 'the manifest' : `part ${number} of the manifest`
    throw new SubnetError('UNRECOVERABLE', `none of the ${holders.length} holders of ${what} gives it`, {
      cause: failure,
      data: { holders: holders.length },
    })
  }
}
