/** What is known of an object without reading it, computed from its manifest and from who answers. */
import type { ObjectClass } from '../../redundancy/layout.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { manifestQuorum, type ProfileName } from '../../redundancy/profiles.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import type { Holder } from '../../transfer/holder.js'
import { fileCidOf } from './access.js'

/** What is known of an object without reading it. */
export interface ObjectStatus {
  readonly class: ObjectClass
  /** The CID by which IPFS knows the object; public objects only. */
  readonly fileCid?: string
  readonly sizeBytes: number
  /** Bytes at the holders, the copies of the manifest included. */
  readonly storedBytes: number
  readonly profile: ProfileName
  readonly segments: number
  readonly createdUnixSeconds: number
  /** Holders by leases, and how many of them answered just now. */
  readonly holders: number
  readonly holdersReachable: number
  /** Of the weakest segment, or of the manifest where there is no segment: chunks at reachable holders, in all, and needed. */
  readonly weakest: { readonly live: number; readonly n: number; readonly k: number }
  readonly health: 'healthy' | 'degraded' | 'lost'
}

/** A manifest node and who holds it. */
export interface NodePlace {
  readonly sizeBytes: number
  readonly holders: readonly Holder[]
}

/** `nodes` of the manifest, root first; `holders` in all; `reachable`: peer ids that answered. */
export function objectStatus(
  manifest: Manifest,
  places: readonly SegmentPlace[],
  nodes: readonly NodePlace[],
  holders: number,
  reachable: ReadonlySet<string>,
): ObjectStatus {
  const { code, sizeBytes } = manifest
  let weakest = { live: code.n, n: code.n, k: code.k }
  // All there is of it is the manifest: it lies in there, or it is public and empty.
  if (places.length === 0) {
    const root = nodes[0]?.holders ?? []
    const live = root.filter(({ peerId }) => reachable.has(peerId)).length
    weakest = { live, n: Math.max(root.length, manifestQuorum(code)), k: 1 }
  }
  let storedBytes = nodes.reduce((sum, node) => sum + node.sizeBytes * node.holders.length, 0)
  for (const [place, { shape, entry, holders: chunkHolders }] of places.entries()) {
    const live = chunkHolders.filter((chunk) => chunk.some(({ peerId }) => reachable.has(peerId))).length
    // The first one always: a segment may have fewer chunks than the profile says, each with the same margin.
    if (place === 0 || live - shape.k < weakest.live - weakest.k) weakest = { live, n: shape.n, k: shape.k }
    for (const [chunk, { sizeBytes }] of entry.chunks.entries()) {
      storedBytes += sizeBytes * (chunkHolders[chunk]?.length ?? 0)
    }
  }
  const margin = weakest.live - weakest.k
  const health = margin < 0 ? 'lost' : weakest.live < weakest.n ? 'degraded' : 'healthy'
  return {
    class: manifest.class,
    ...fileCidOf(manifest),
    sizeBytes,
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
