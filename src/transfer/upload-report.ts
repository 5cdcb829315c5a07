/** What an upload says of itself when it is done: where the object is, who holds how much of it, what that took. */
import { toString as bytesToText } from 'uint8arrays'
import { sameKey } from '../../protocols/common/signed.js'
import { MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { PackedLease } from '../../protocols/lease/packed-lease.js'
import type { Placed } from '../../protocols/order/messages.js'
import { toSs58 } from '../crypto/keys.js'
import type { ObjectClass } from '../redundancy/layout.js'

/** What one miner was given. A chunk counts once, however often the object has it. */
export interface HolderReport {
  /** SS58. */
  readonly hotkey: string
  readonly peerId: string
  readonly chunks: number
  readonly bytes: number
  readonly holdsManifest: boolean
}

export interface UploadReport {
  /** Digest of the manifest. */
  readonly address: Uint8Array
  readonly class: ObjectClass
  /** The CID by which IPFS knows the object; public objects only. */
  readonly fileCid?: string
  readonly sizeBytes: number
  readonly storedBytes: number
  /** Bytes of bodies that left this machine, those that were sent twice included. */
  readonly sentBytes: number
  /** Bytes that miners held from an earlier run. */
  readonly reusedBytes: number
  readonly segments: number
  readonly endBlock: number
  /** Receipts of the weakest segment, and how many a complete one has. */
  readonly weakestReceipts: number
  readonly fullReceipts: number
  readonly holders: readonly HolderReport[]
  readonly retries: number
  /** The network is smaller than the profile's full strength. */
  readonly warning?: string
}

export function holderReports(leases: readonly PackedLease[], placed: Placed): HolderReport[] {
  return leases.map(({ miner, entries }) => {
    const candidate = placed.candidates.find(({ hotkey }) => sameKey(hotkey, miner))
    // A public object may have the same chunk in many places; the miner has it once.
    const sizes = new Map<string, number>()
    let holdsManifest = false
    for (const [digest, , sizeBytes, segment] of entries) {
      sizes.set(bytesToText(digest, 'base64'), sizeBytes)
      holdsManifest ||= segment === MANIFEST_SEGMENT
    }
    return {
      hotkey: toSs58(miner),
      peerId: candidate?.peerId ?? '',
      chunks: sizes.size,
      bytes: [...sizes.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0),
      holdsManifest,
    }
  })
}
