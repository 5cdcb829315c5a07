/**
 * Placement as the validator decides it: which miners are offered, with which weight, and how much each may be sent.
 * A pure function; which chunk goes where follows from its answer by redundancy/placement.ts.
 */
import type { PlaceBody } from '../../../protocols/order/messages.js'
import { CANDIDATES_MAX } from '../../../protocols/order/messages.js'
import { SubnetError } from '../../base/errors.js'
import { formatBytes, GIB, MIB } from '../../base/units.js'
import { segmentSize } from '../../redundancy/layout.js'
import { MANIFEST_BYTES_MAX } from '../../redundancy/manifest.js'
import {
  CHUNK_SIZE,
  groupCap,
  groupsNeeded,
  manifestCopies,
  PROFILES,
  type Profile,
} from '../../redundancy/profiles.js'
import type { WatchedMiner } from './miner-watch.js'

// Sizes here are those of private segments. Public ones hold a little more, and their nodes above the leaves take less
// than a thousandth of what is allowed for spares: what is enough for the one class is enough for the other.

/** What an object of unknown size may grow to, if the miners have room for it. */
const UNKNOWN_SIZE_BYTES = 64 * GIB
/** Room in an order for chunks that come in another miner's stead, and for sending one twice: so many, and a part of its share. */
const SPARE_CHUNKS = 16
/** Enough while a third of the miners fail: the others then get half as much again. */
const SPARE_DIVISOR = 2
/** Manifest bytes per chunk: digest, audit root, size and their heads. */
const MANIFEST_BYTES_PER_CHUNK = 80

export interface OfferedMiner extends WatchedMiner {
  readonly group: string
  readonly weight: number
  /** What its order permits. */
  readonly maxBytes: number
}

export interface Offer {
  readonly miners: readonly OfferedMiner[]
  /** Set when the profile's durability figures do not hold in a network this small. */
  readonly warning?: string
}

/**
 * `groups` is the operator group of every member by hotkey, as `checkCommit` will see them. Throws `TOO_FEW_PEERS` with
 * the number of operators the profile needs, `NO_SPACE` with the bytes.
 */
export function offerMiners(
  live: readonly WatchedMiner[],
  groups: ReadonlyMap<string, string>,
  request: PlaceBody,
): Offer {
  const profile = PROFILES[request.profile]
  const groupOf = (miner: WatchedMiner) => groups.get(miner.member.hotkey) ?? miner.member.coldkey
  const usable = live
    .filter(({ capacity }) => request.continues === true || capacity.freeBytes >= CHUNK_SIZE)
    .sort((a, b) => b.capacity.freeBytes - a.capacity.freeBytes || a.member.uid - b.member.uid)
    .slice(0, CANDIDATES_MAX)
  const sizes = groupSizes(usable.map(groupOf))
  const operators = sizes.length
  requireOperators(profile, operators, live.length - usable.length)
  const chunksEach = chunksPerMiner(profile, sizes, request.sizeBytes ?? UNKNOWN_SIZE_BYTES)
  const miners = usable.map((miner) => ({
    ...miner,
    group: groupOf(miner),
    weight: Math.max(1, Math.floor(miner.capacity.freeBytes / MIB)),
    maxBytes: chunksEach * CHUNK_SIZE,
  }))
  // What is left to be sent of one that is continued nobody knows here: miners say themselves when they are full.
  if (request.sizeBytes !== undefined && request.continues !== true)
    requireRoom(profile, request.sizeBytes, miners)
  if (operators >= profile.fullStrengthGroups) return { miners }
  const warning = `${profile.name} has its full strength from ${profile.fullStrengthGroups} operators, there are ${operators}`
  return { miners, warning }
}

function requireOperators(profile: Profile, operators: number, full: number): void {
  const needed = groupsNeeded(profile)
  if (operators >= needed) return
  const rest = full === 0 ? '' : `, ${full} more miners are full`
  const text = `profile ${profile.name} needs ${needed} operators with room, there are ${operators}${rest}`
  throw new SubnetError('TOO_FEW_PEERS', text, { data: { needed, available: operators } })
}

function groupSizes(groups: readonly string[]): number[] {
  const sizes = new Map<string, number>()
  for (const group of groups) sizes.set(group, (sizes.get(group) ?? 0) + 1)
  return [...sizes.values()]
}

/** Chunks of one segment that placement may give one miner: a round gives each one more, groups at the cap aside. */
function chunksPerSegment(profile: Profile, sizes: readonly number[]): number {
  const cap = groupCap(profile)
  let rounds = 1
  while (rounds < cap && sizes.reduce((sum, size) => sum + Math.min(cap, rounds * size), 0) < profile.n)
    rounds += 1
  return rounds
}

/** Most chunks one miner can be given: its share of every segment, a copy of the manifest, and spares. */
function chunksPerMiner(profile: Profile, sizes: readonly number[], sizeBytes: number): number {
  const segments = Math.ceil(sizeBytes / segmentSize('private', profile.k))
  const manifestChunks =
    1 + Math.ceil((segments * profile.n * MANIFEST_BYTES_PER_CHUNK) / (MANIFEST_BYTES_MAX / 2))
  const share = segments * chunksPerSegment(profile, sizes)
  return share + Math.ceil(share / SPARE_DIVISOR) + manifestChunks + SPARE_CHUNKS
}

function requireRoom(profile: Profile, sizeBytes: number, miners: readonly OfferedMiner[]): void {
  const segments = Math.ceil(sizeBytes / segmentSize('private', profile.k))
  const parityBytes = segments * (profile.n - profile.k) * Math.min(CHUNK_SIZE, sizeBytes)
  const neededBytes = sizeBytes + parityBytes + manifestCopies(profile) * CHUNK_SIZE
  const freeBytes = miners.reduce(
    (sum, { capacity, maxBytes }) => sum + Math.min(capacity.freeBytes, maxBytes),
    0,
  )
  if (freeBytes >= neededBytes) return
  const text = `${formatBytes(neededBytes)} are needed under ${profile.name}, the miners have ${formatBytes(freeBytes)} free`
  throw new SubnetError('NO_SPACE', text, { data: { neededBytes, freeBytes } })
}
