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

/** `copies`: holders of each manifest node, root first; `reachable`: peer ids that answered. */
export function objectStatus(
  manifest: Manifest,
  places: readonly SegmentPlace[],
  copies: readonly (readonly Holder[])[],
  holders: number,
  reachable: ReadonlySet<string>,
): ObjectStatus {
  const { code, sizeBytes } = manifest
  let weakest = { live: code.n, n: code.n, k: code.k }
  // All there is of it is the manifest: it lies in there, or it is public and empty.
  if (places.length === 0) {
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
