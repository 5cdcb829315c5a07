/**
 * The lease: per object and miner, the miner's signed promise to hold these chunks until a block (it holds), and the
 * validator's countersignature (it counts). Nothing without both ever earns.
 */
import { z } from 'zod'
import { SubnetError } from '../../src/base/errors.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { Signer } from '../../src/crypto/keys.js'
import { verifySignature } from '../../src/crypto/keys.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import {
  blockField,
  digestField,
  encodeMessage,
  integer,
  list,
  publicKeyField,
  signatureField,
} from '../common/schema.js'
import type { WireDomain } from '../common/signed.js'
import { taggedBytes } from '../common/signed.js'

/** Entries of one lease: 8 GiB of one object at one miner. */
export const LEASE_ENTRIES_MAX = 8_192
/** An encoded lease, bytes: 8,192 entries of at most 84 bytes, and the head. */
export const LEASE_BYTES_MAX = 704 * 1024
/** The `segment` of entries that are the manifest's own nodes; their `index` counts the nodes, the root is 0. */
export const MANIFEST_SEGMENT = -1
/** The `segment` of entries that are blocks of a public object's IPFS file, numbered as the manifest lists them. */
export const DAG_SEGMENT = -2

export const leaseEntrySchema = z.tuple([
  /** digest */ digestField,
  /** auditRoot */ digestField,
  /** size, bytes */ integer(1, CHUNK_SIZE),
  /** segment, MANIFEST_SEGMENT or DAG_SEGMENT */ integer(DAG_SEGMENT, 2 ** 31),
  /** index of the chunk in its segment, or number of the node */ integer(0, 2 ** 31),
])

export type LeaseEntry = z.infer<typeof leaseEntrySchema>

export const leaseSchema = z.strictObject({
  /** Digest of the object's manifest. */
  object: digestField,
  validator: publicKeyField,
  miner: publicKeyField,
  entries: list(leaseEntrySchema, 1, LEASE_ENTRIES_MAX),
  startBlock: blockField,
  endBlock: blockField,
})

export type Lease = z.infer<typeof leaseSchema>

export const signedLeaseSchema = z.strictObject({ lease: leaseSchema, minerSignature: signatureField })
export type SignedLease = z.infer<typeof signedLeaseSchema>

/** What both sides keep: a lease, which counts from the countersignature on. */
export const keptLeaseSchema = z.strictObject({
  lease: leaseSchema,
  minerSignature: signatureField,
  validatorSignature: signatureField.optional(),
})
export type KeptLease = z.infer<typeof keptLeaseSchema>

/** A lease, or what names it: all that a signature under it is about. */
export type LeaseName = Lease | (Pick<Lease, 'validator' | 'miner'> & { readonly digest: Uint8Array })

/** Names a lease in later messages. */
export function leaseDigest(lease: Lease): Uint8Array {
  return sha256(encodeMessage(lease))
}

export function signLease(miner: Signer, domain: WireDomain, lease: Lease): SignedLease {
  return { lease, minerSignature: miner.sign(heldBytes(lease, domain)) }
}

export function countersignLease(validator: Signer, domain: WireDomain, lease: LeaseName): Uint8Array {
  return validator.sign(countedBytes(lease, domain))
}

/** Throws `BAD_SIGNATURE` unless the miner named in the lease signed it. */
export function checkLeaseHeld(
  { lease, minerSignature }: { readonly lease: LeaseName; readonly minerSignature: Uint8Array },
  domain: WireDomain,
): void {
  if (!verifySignature('sr25519', lease.miner, heldBytes(lease, domain), minerSignature)) {
    throw new SubnetError('BAD_SIGNATURE', "lease: the miner's signature does not verify")
  }
}

/** Throws `BAD_SIGNATURE` unless the validator named in the lease countersigned it. */
export function checkLeaseCounted(
  lease: LeaseName,
  validatorSignature: Uint8Array,
  domain: WireDomain,
): void {
  if (!verifySignature('sr25519', lease.validator, countedBytes(lease, domain), validatorSignature)) {
    throw new SubnetError('BAD_SIGNATURE', "lease: the validator's countersignature does not verify")
  }
}

function heldBytes(lease: LeaseName, domain: WireDomain): Uint8Array {
  return taggedBytes('subnet-lease-held/0', domain, [digestOf(lease)])
}

function countedBytes(lease: LeaseName, domain: WireDomain): Uint8Array {
  return taggedBytes('subnet-lease-counted/0', domain, [digestOf(lease)])
}

function digestOf(lease: LeaseName): Uint8Array {
  return 'digest' in lease ? lease.digest : leaseDigest(lease)
}
