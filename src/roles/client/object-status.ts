/** What is known of an object without reading it, computed from its manifest and from who answers. */
import { toString as bytesToText } from 'uint8arrays'
import type { ObjectClass } from '../../redundancy/layout.js'
import type { Manifest } from '../../redundancy/manifest.js'
import { manifestQuorum, type ProfileName } from '../../redundancy/profiles.js'
import type { BlockPlace } from '../../transfer/download.js'
import type { SegmentPlace } from '../../transfer/fetch.js'
import { fileCidOf } from './access.js'

/** What is known of an object without reading it. */
export interface ObjectStatus {
  readonly class: ObjectClass
  /** The CID by which IPFS knows the object; public objects only. */
  readonly fileCid?: string
  readonly sizeBytes: number
  /** Bytes at the holders, the copies of the manifest and of the IPFS file included. */
  readonly storedBytes: number
  readonly profile: ProfileName
  readonly segments: number
  readonly createdUnixSeconds: number
  /** Holders by leases, and how many of them answered just now. */
  readonly holders: number
  readonly holdersReachable: number
  /** Of the weakest segment, or of the manifest where there is no segment: chunks at reachable holders, in all, and needed. */
  readonly weakest: { readonly live: number; readonly n: number; readonly k: number }
  /** All segments, the weakest first: so many have so many chunks, and can lose so many of them still. */
  readonly segmentHealth: readonly SegmentHealth[]
  /** Of what is kept in full copies, the manifest and an IPFS file's blocks, the one with the fewest: at reachable holders, in all. */
  readonly copies: { readonly live: number; readonly held: number }
  readonly health: 'healthy' | 'degraded' | 'lost'
}

/** Segments that are equally well. */
export interface SegmentHealth {
  readonly segments: number
  /** Chunks at reachable holders that have not said that they lost them; in all; needed. */
  readonly live: number
  readonly n: number
  readonly k: number
  /** Chunks that can be lost still. */
  readonly canLose: number
}

/** `copied`: what is kept in full copies, the manifest's root first; `holders` in all; `reachable`: peer ids that answered. */
export function objectStatus(
  manifest: Manifest,
  places: readonly SegmentPlace[],
  copied: readonly BlockPlace[],
  holders: number,
  reachable: ReadonlySet<string>,
): ObjectStatus {
  const { code, sizeBytes } = manifest
  let weakest = { live: code.n, n: code.n, k: code.k }
  // All there is of it is the manifest: it lies in there, or it is public and empty.
  if (places.length === 0) {
    const root = copied[0]?.holders ?? []
    const live = root.filter(({ peerId }) => reachable.has(peerId)).length
    weakest = { live, n: Math.max(root.length, manifestQuorum(code)), k: 1 }
  }
  const groups = new Map<string, SegmentHealth>()
  const isLive = (block: BlockPlace['holders']) => block.some(({ peerId }) => reachable.has(peerId))
  for (const [place, { shape, holders: chunkHolders }] of places.entries()) {
    const live = chunkHolders.filter(isLive).length
    const { n, k } = shape
    const { segments } = groups.get(`${live} ${n} ${k}`) ?? { segments: 0 }
    const health = { segments: segments + 1, live, n, k, canLose: Math.max(0, live - k) }
    groups.set(`${live} ${n} ${k}`, health)
    // The first one always: a segment may have fewer chunks than the profile says, each with the same margin.
    if (place === 0 || live - shape.k < weakest.live - weakest.k) weakest = { live, n: shape.n, k: shape.k }
  }
  const copies = fewestCopies(copied, reachable)
  const margin = copies.live === 0 ? -1 : weakest.live - weakest.k
  const health = margin < 0 ? 'lost' : weakest.live < weakest.n ? 'degraded' : 'healthy'
  return {
    class: manifest.class,
    ...fileCidOf(manifest),
    sizeBytes,
    storedBytes: storedBytesOf([...copied, ...places.flatMap(chunksOf)]),
    profile: code.name,
    segments: places.length,
    createdUnixSeconds: manifest.createdUnixSeconds,
    holders,
    holdersReachable: reachable.size,
    weakest,
    segmentHealth: [...groups.values()].sort((a, b) => a.live - a.k - (b.live - b.k)),
    copies,
    health,
  }
}

function fewestCopies(copied: readonly BlockPlace[], reachable: ReadonlySet<string>): ObjectStatus['copies'] {
  const counts = copied.map(({ holders }) => {
    return { live: holders.filter(({ peerId }) => reachable.has(peerId)).length, held: holders.length }
  })
  return counts.reduce(
    (fewest, next) => (next.live < fewest.live ? next : fewest),
    counts[0] ?? { live: 0, held: 0 },
  )
}

function chunksOf({ entry, holders }: SegmentPlace): BlockPlace[] {
  return entry.chunks.map(({ digest, sizeBytes }, chunk) => {
    return { digest, sizeBytes, holders: holders[chunk] ?? [] }
  })
}

/** A public object may have the same chunk in many places; a miner has it once. */
function storedBytesOf(blocks: readonly BlockPlace[]): number {
  const counted = new Map<string, Set<string>>()
  let storedBytes = 0
  for (const { digest, sizeBytes, holders } of blocks) {
    const key = bytesToText(digest, 'base64')
    const known = counted.get(key) ?? new Set()
    counted.set(key, known)
    for (const { peerId } of holders) {
      if (!known.has(peerId)) storedBytes += sizeBytes
      known.add(peerId)
    }
  }
  return storedBytes
}
