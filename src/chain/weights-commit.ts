/**
 * What a weights commit hides: BLAKE2b-256 over SCALE(hotkey, netuid, uids, values, salt, version key), as
 * `get_commit_hash` of the runtime (`subnets/weights.rs`) computes it. Equal on every chain, so both adapters use it.
 */
import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { concat } from 'uint8arrays'
import { SubnetError } from '../base/errors.js'
import { fromSs58 } from '../crypto/keys.js'
import type { WeightsReveal } from './chain.js'

const U16_MAX = 0xffff
const U64_MAX = 2n ** 64n - 1n

export interface WeightsCommitment {
  /** SS58. */
  readonly hotkey: string
  readonly netuid: number
  readonly reveal: WeightsReveal
}

/** 32 bytes. Throws `INVALID` for numbers that are not u16, or a version key that is not u64. */
export function weightsCommitHash({ hotkey, netuid, reveal }: WeightsCommitment): Uint8Array {
  const { uids, values, salt, versionKey } = reveal
  if (versionKey < 0n || versionKey > U64_MAX) throw new SubnetError('INVALID', 'a version key is a u64')
  const version = new Uint8Array(8)
  new DataView(version.buffer).setBigUint64(0, versionKey, true)
  const parts = [fromSs58(hotkey), words([netuid]), vector(uids), vector(values), vector(salt), version]
  return blake2AsU8a(concat(parts), 256)
}

/** SCALE `Vec<u16>`: a compact length, then little-endian words. */
function vector(numbers: readonly number[]): Uint8Array {
  return concat([compactLength(numbers.length), words(numbers)])
}

function words(numbers: readonly number[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(2 * numbers.length))
  for (const [i, number] of numbers.entries()) {
    if (!Number.isInteger(number) || number < 0 || number > U16_MAX)
      throw new SubnetError('INVALID', `${number} is not a u16`)
    bytes.setUint16(2 * i, number, true)
  }
  return new Uint8Array(bytes.buffer)
}

/** Modes of one, two and four bytes; longer lists fit no extrinsic. */
function compactLength(length: number): Uint8Array {
  if (length < 2 ** 6) return Uint8Array.of(length << 2)
  const bytes = new DataView(new ArrayBuffer(length < 2 ** 14 ? 2 : 4))
  if (length < 2 ** 14) bytes.setUint16(0, (length << 2) | 1, true)
  else bytes.setUint32(0, length * 4 + 2, true)
  return new Uint8Array(bytes.buffer)
}
