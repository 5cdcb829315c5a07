/** What an upload says of itself when it is done: where the object is, who holds how much of it, what that took. */
import { sameKey } from '../../protocols/common/signed.js'
import { MANIFEST_SEGMENT, type SignedLease } from '../../protocols/lease/lease.js'
import type { Placed } from '../../protocols/order/messages.js'
import { toSs58 } from '../crypto/keys.js'

/** What one miner was given. */
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

export function holderReports(leases: readonly SignedLease[], placed: Placed): HolderReport[] {
  return leases.map(({ lease }) => {
    const candidate = placed.candidates.find(({ hotkey }) => sameKey(hotkey, lease.miner))
    return {
      hotkey: toSs58(lease.miner),
      peerId: candidate?.peerId ?? '',
      chunks: lease.entries.length,
      bytes: lease.entries.reduce((sum, [, , sizeBytes]) => sum + sizeBytes, 0),
      holdsManifest: lease.entries.some(([, , , segment]) => segment === MANIFEST_SEGMENT),
    }
  })
}
