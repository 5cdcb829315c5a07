/**
 * A signed lease as it is kept beside all others of its object: its entries as one buffer, and the digest that signatures
 * are about. One at a time is made a message of, or of a message.
 */
import { LeaseEntryList } from './entry-list.js'
import { type Lease, leaseDigest, type SignedLease } from './lease.js'

export interface PackedLease extends Omit<Lease, 'entries'> {
  readonly entries: LeaseEntryList
  readonly minerSignature: Uint8Array
  /** As `leaseDigest`. */
  readonly digest: Uint8Array
}

export function packLease({ lease, minerSignature }: SignedLease): PackedLease {
  const { entries, ...head } = lease
  return { ...head, entries: LeaseEntryList.of(entries), minerSignature, digest: leaseDigest(lease) }
}

export function unpackLease({ minerSignature, digest: _, entries, ...head }: PackedLease): SignedLease {
  return { lease: { ...head, entries: [...entries] }, minerSignature }
}
