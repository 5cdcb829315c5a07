/**
 * The redundancy profiles and what follows from them. Plain numbers: who holds a chunk is `placement.ts`.
 * Source of the table and the rules: docs on storage, "From object to chunks".
 */
import { invariant } from '../base/errors.js'
import { MIB } from '../base/units.js'

/** Largest chunk, in bytes; every data chunk but an object's last has exactly this size. */
export const CHUNK_SIZE = MIB

/** Any k of n chunks give a segment back. */
export interface Code {
  readonly k: number
  readonly n: number
}

/** Thresholds are numbers of live chunks of one segment. */
export interface CodeThresholds extends Code {
  /** Repair starts at this many or fewer; `undefined`: nothing can be repaired. */
  readonly repairAt: number | undefined
  /** Repair goes to the urgent lane at this many or fewer; `undefined`: the profile has no such lane. */
  readonly urgentAt: number | undefined
}

export type ProfileName = 'single' | 'copies' | 'small' | 'standard' | 'high' | 'large'

export interface Profile extends CodeThresholds {
  readonly name: ProfileName
  /** Operator groups from which the profile's durability figures hold; below it stores and warns. */
  readonly fullStrengthGroups: number
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  single: { name: 'single', k: 1, n: 1, repairAt: undefined, urgentAt: undefined, fullStrengthGroups: 1 },
  copies: { name: 'copies', k: 1, n: 4, repairAt: 3, urgentAt: undefined, fullStrengthGroups: 6 },
  small: { name: 'small', k: 4, n: 10, repairAt: 8, urgentAt: undefined, fullStrengthGroups: 12 },
  standard: { name: 'standard', k: 8, n: 20, repairAt: 15, urgentAt: 11, fullStrengthGroups: 26 },
  high: { name: 'high', k: 10, n: 30, repairAt: 20, urgentAt: 14, fullStrengthGroups: 38 },
  large: { name: 'large', k: 16, n: 40, repairAt: 30, urgentAt: 20, fullStrengthGroups: 60 },
}

export const PROFILE_NAMES = Object.keys(PROFILES) as readonly ProfileName[]

export function isProfileName(name: string): name is ProfileName {
  return Object.hasOwn(PROFILES, name)
}

/** Chunks of a segment with only `dataChunks` of data: the parity count stays. */
export function shrinkCode(code: Code, dataChunks: number): Code {
  invariant(dataChunks >= 1 && dataChunks <= code.k, 'a segment has between 1 and k data chunks')
  return { k: dataChunks, n: dataChunks + code.n - code.k }
}

/** The profile's numbers for a segment with only `dataChunks` of data: every margin over k stays. */
export function shrinkProfile(profile: Profile, dataChunks: number): CodeThresholds {
  const missing = profile.k - dataChunks
  return {
    ...shrinkCode(profile, dataChunks),
    repairAt: profile.repairAt === undefined ? undefined : profile.repairAt - missing,
    urgentAt: profile.urgentAt === undefined ? undefined : profile.urgentAt - missing,
  }
}

/** Receipts for a segment below which it does not count as stored: half way between repair and complete. */
export function durableQuorum(code: CodeThresholds): number {
  return code.repairAt === undefined ? code.n : Math.ceil((code.n + code.repairAt) / 2)
}

/** Most chunks of a segment one operator group may hold: three groups may vanish together. */
export function groupCap(code: Code): number {
  return Math.max(1, Math.floor((code.n - code.k) / 3))
}

/** Fewest operator groups the code can be placed on within `groupCap`. */
export function groupsNeeded(code: Code): number {
  return Math.ceil(code.n / groupCap(code))
}

/** Full copies of a manifest and each of its list nodes: they outlive what the object outlives. */
export function manifestCopies(code: Code): number {
  return code.n - code.k + 1
}

/** Copies of the manifest below which the object does not count as stored; a small network has no room for more. */
export function manifestQuorum(profile: Profile): number {
  return Math.min(durableQuorum(shrinkProfile(profile, 1)), groupsNeeded(profile))
}
