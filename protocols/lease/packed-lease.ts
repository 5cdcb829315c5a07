/**
 * A signed lease as it is kept beside all others of its object: its entries as one buffer, and the digest that signatures
 * are about. Its messages are made of the buffer: arrays and the codec's tokens are a burst of garbage when all miners sign.
 */
import { concat } from 'uint8arrays'
import { sha256 } from '../../src/crypto/hash.js'
import { encodeMessage } from '../common/schema.js'
import { LeaseEntryList } from './entry-list.js'
import type { Lease, LeaseEntry, SignedLease } from './lease.js'

/** A list of entries, in whatever form. */
export type LeaseEntries = Iterable<LeaseEntry> & { readonly length: number }

export interface PackedLease extends Omit<Lease, 'entries'> {
  readonly entries: LeaseEntryList
  readonly minerSignature: Uint8Array
  /** As `leaseDigest`. */
  readonly digest: Uint8Array
}

export function packLease({ lease, minerSignature }: SignedLease): PackedLease {
  const { entries, ...head } = lease
  const list = LeaseEntryList.of(entries)
  return { ...head, entries: list, minerSignature, digest: sha256(encodeWithEntries(head, list)) }
}

export function unpackLease({ minerSignature, digest: _, entries, ...head }: PackedLease): SignedLease {
  return { lease: { ...head, entries: [...entries] }, minerSignature }
}

/** As `encodeMessage` of the unpacked lease. */
export function encodePackedLease({ minerSignature, digest: _, entries, ...head }: PackedLease): Uint8Array {
  const lease = encodeWithEntries(head, entries)
  return spliced({ minerSignature }, 'lease', lease)
}

/** As `encodeMessage({ ...message, entries: [...entries] })`. */
export function encodeWithEntries(
  message: Readonly<Record<string, unknown>>,
  entries: LeaseEntries,
): Uint8Array {
  const list = entries instanceof LeaseEntryList ? entries : LeaseEntryList.of(entries)
  return spliced(message, 'entries', list.encode())
}

/** The message with one field more, whose value is encoded already. Names of fields are short and few, as in all messages. */
function spliced(message: Readonly<Record<string, unknown>>, field: string, value: Uint8Array): Uint8Array {
  // Canonical maps go by the length of their keys first.
  const isBefore = (key: string) => key.length < field.length || (key.length === field.length && key < field)
  const before = Object.fromEntries(Object.entries(message).filter(([key]) => isBefore(key)))
  // The head of a map, and of a key, is one byte; the place is held by a one-byte value.
  const at = encodeMessage(before).length + 1 + field.length
  const bytes = encodeMessage({ ...message, [field]: 0 })
  return concat([bytes.subarray(0, at), value, bytes.subarray(at + 1)])
}
