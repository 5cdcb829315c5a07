/**
 * The largest object that fits a network, whatever room its miners have: a lease names so many chunks, and a commit takes
 * so much manifest. Known before a byte is sent. Pure functions.
 */
import { LEASE_ENTRIES_MAX } from '../../protocols/lease/lease.js'
import { COMMIT_BYTES_MAX } from '../../protocols/order/messages.js'
import { SubnetError } from '../base/errors.js'
import { formatBytes } from '../base/units.js'
import { dagNodeCount } from '../redundancy/file-dag.js'
import { type ObjectClass, segmentSize } from '../redundancy/layout.js'
import { MANIFEST_BYTES_MAX } from '../redundancy/manifest.js'
import { groupCap, type Profile } from '../redundancy/profiles.js'

/** Entries of a lease that stay free for manifest nodes: a miner may hold a copy of each. */
const NODE_ENTRIES = COMMIT_BYTES_MAX / MANIFEST_BYTES_MAX
/** Chunks of segments that one miner may lease of one object. */
export const LEASE_CHUNKS_MAX = LEASE_ENTRIES_MAX - NODE_ENTRIES
/** Manifest bytes of a chunk (digest, audit root, size, their heads) and of a segment (salt, heads), rounded up. */
const MANIFEST_BYTES_PER_CHUNK = 75
const MANIFEST_BYTES_PER_SEGMENT = 48

/** What is to be put, and how. */
export interface PutShape {
  readonly class: ObjectClass
  readonly profile: Profile
}

/** Segments of such an object at miners whose operator groups these are. */
export function segmentsMax({ class: objectClass, profile }: PutShape, groups: readonly string[]): number {
  const sizes = new Map<string, number>()
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1)
  const cap = groupCap(profile)
  const fits = (segments: number): boolean => {
    // Of the blocks of an IPFS file, too, a miner may hold a copy of each.
    const fileNodes = objectClass === 'public' ? dagNodeCount(profile.k * segments) : 0
    const chunksMax = Math.max(0, LEASE_CHUNKS_MAX - fileNodes)
    const room = [...sizes.values()].map((miners) => Math.min(cap * segments, miners * chunksMax))
    return room.reduce((sum, chunks) => sum + chunks, 0) >= profile.n * segments
  }
  let low = 0
  let high = Math.floor(
    COMMIT_BYTES_MAX / (profile.n * MANIFEST_BYTES_PER_CHUNK + MANIFEST_BYTES_PER_SEGMENT),
  )
  // What fits gets no better with more segments, so the largest that fits is found by halving.
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (fits(middle)) low = middle
    else high = middle - 1
  }
  return low
}

/** Throws `INVALID`, with the largest size that fits, for an object of more segments. */
export function requireSegments(segments: number, max: number, put: PutShape, miners: number): void {
  if (segments <= max) return
  const largestBytes = max * segmentSize(put.class, put.profile.k)
  const text =
    `${miners} miners take at most ${formatBytes(largestBytes)} as one object under ${put.profile.name}: ` +
    `a lease names ${LEASE_ENTRIES_MAX} chunks, and a manifest has ${formatBytes(COMMIT_BYTES_MAX)}. ` +
    'Put it in parts, or where there are more miners'
  throw new SubnetError('INVALID', text, { data: { largestBytes, miners } })
}
