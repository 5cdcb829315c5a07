/**
 * Capabilities: what someone holds decides what they can do with an object.
 *
 *   subnet:<manifest cid>                    verify: fetch and check chunks; of a public object, all it takes to read
 *   subnet:<manifest cid>#mask=<mask root>   repair: also rebuild chunks; shows ciphertext only
 *   subnet:<manifest cid>#<object key>       read (and repair: the mask root follows from the key), renew and release
 *   subnet:<manifest cid>#own=<owner key>    renew and release; of a public object, which has no other key
 *
 * The cid is the CIDv1 (dag-cbor, sha2-256) of the address in base32, secrets are 32 bytes in unpadded base64url. They
 * stand in the fragment, which no program sends to a server. One text per capability: no other spelling is accepted.
 */
import * as dagCbor from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { fromString } from 'uint8arrays/from-string'
import { toString as toText } from 'uint8arrays/to-string'
import { invariant, SubnetError } from '../base/errors.js'
import { DIGEST_BYTES } from '../crypto/hash.js'

export type Capability =
  | { readonly kind: 'verify'; readonly address: Uint8Array }
  | { readonly kind: 'repair'; readonly address: Uint8Array; readonly maskRoot: Uint8Array }
  | { readonly kind: 'read'; readonly address: Uint8Array; readonly objectKey: Uint8Array }
  | { readonly kind: 'own'; readonly address: Uint8Array; readonly ownerKey: Uint8Array }

const SCHEME = 'subnet:'
const MASK_LABEL = 'mask='
const OWN_LABEL = 'own='
const SHA2_256_CODE = 0x12
/** Object keys, owner keys and mask roots alike. */
const SECRET_BYTES = 32
const SECRET_CHARS = 43

/** The CID people and IPFS tools know a manifest by. */
export function manifestCid(address: Uint8Array): string {
  invariant(address.length === DIGEST_BYTES, 'an address has 32 bytes')
  return CID.createV1(dagCbor.code, Digest.create(SHA2_256_CODE, address)).toString()
}

export function formatCapability(capability: Capability): string {
  const bare = SCHEME + manifestCid(capability.address)
  if (capability.kind === 'verify') return bare
  const { label, secret } = labelled(capability)
  invariant(secret.length === SECRET_BYTES, 'a secret has 32 bytes')
  return `${bare}#${label}${toText(secret, 'base64url')}`
}

function labelled(capability: Exclude<Capability, { kind: 'verify' }>): {
  label: string
  secret: Uint8Array
} {
  switch (capability.kind) {
    case 'read':
      return { label: '', secret: capability.objectKey }
    case 'repair':
      return { label: MASK_LABEL, secret: capability.maskRoot }
    case 'own':
      return { label: OWN_LABEL, secret: capability.ownerKey }
  }
}

/** Throws `INVALID` saying what is wrong. No part of the text is repeated: any of it may be a misplaced key. */
export function parseCapability(text: string): Capability {
  if (!text.startsWith(SCHEME)) refuse(`it must start with "${SCHEME}"`)
  const hash = text.indexOf('#')
  const address = parseCid(text.slice(SCHEME.length, hash < 0 ? undefined : hash))
  if (hash < 0) return { kind: 'verify', address }
  const fragment = text.slice(hash + 1)
  if (fragment.startsWith(MASK_LABEL)) {
    return { kind: 'repair', address, maskRoot: parseSecret(fragment.slice(MASK_LABEL.length), 'mask root') }
  }
  if (fragment.startsWith(OWN_LABEL)) {
    return { kind: 'own', address, ownerKey: parseSecret(fragment.slice(OWN_LABEL.length), 'owner key') }
  }
  return { kind: 'read', address, objectKey: parseSecret(fragment, 'key') }
}

function parseCid(text: string): Uint8Array {
  const what = 'the part before "#" must be the CID of a manifest (version 1, dag-cbor, sha2-256, base32)'
  let cid: CID
  try {
    cid = CID.parse(text)
  } catch {
    // Without the cause: its message repeats the text.
    refuse(what)
  }
  const { code, digest } = cid.multihash
  const isManifest = cid.code === dagCbor.code && code === SHA2_256_CODE && digest.length === DIGEST_BYTES
  // The codec also reads other bases.
  if (!isManifest || cid.toString() !== text) refuse(what)
  return new Uint8Array(digest)
}

function parseSecret(text: string, what: string): Uint8Array {
  if (text.length !== SECRET_CHARS) {
    refuse(`the ${what} after "#" must have ${SECRET_CHARS} characters, not ${text.length}`)
  }
  const malformed = `the ${what} after "#" must be 32 bytes in base64url`
  let bytes: Uint8Array
  try {
    bytes = fromString(text, 'base64url')
  } catch {
    // Without the cause: its message may repeat the secret.
    refuse(malformed)
  }
  // The codec takes padding, which would leave 31 bytes.
  if (toText(bytes, 'base64url') !== text) refuse(malformed)
  return new Uint8Array(bytes)
}

function refuse(why: string): never {
  throw new SubnetError('INVALID', `not a capability: ${why}`)
}
