/**
 * Keys that sign: hotkeys are sr25519 (Bittensor's), client, object and publisher keys are ed25519.
 * Call `cryptoReady()` once before any sr25519 operation: its WASM loads asynchronously.
 */
import { createPrivateKey, createPublicKey, sign as nodeSign, verify as nodeVerify } from 'node:crypto'
import { decodeAddress, encodeAddress } from '@polkadot/util-crypto/address'
import { sr25519KeypairFromSeed, sr25519Sign, sr25519Verify, waitReady } from '@polkadot/wasm-crypto'
import { invariant, SubnetError } from '../base/errors.js'

export type SignatureScheme = 'sr25519' | 'ed25519'

export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
/** Bittensor's address format. */
export const SS58_PREFIX = 42

/** Something that signs for one public key. */
export interface Signer {
  readonly scheme: SignatureScheme
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** 64 bytes. sr25519 signatures are randomised: never use one as a seed or a retry's identity. */
  sign(message: Uint8Array): Uint8Array
}

export async function cryptoReady(): Promise<void> {
  const ready = await waitReady()
  invariant(ready, 'sr25519 WASM did not load')
}

/** A hotkey or coldkey from its 32-byte mini-secret (`secretSeed` of Bittensor's key files). */
export function sr25519Signer(seed: Uint8Array): Signer {
  invariant(seed.length === 32, 'an sr25519 seed has 32 bytes')
  return sr25519PairSigner(sr25519KeypairFromSeed(seed))
}

/** From the WASM's own form of a pair: 64 secret bytes (schnorrkel's `to_half_ed25519_bytes`), then the public key. */
export function sr25519PairSigner(pair: Uint8Array): Signer {
  const secret = pair.slice(0, 64)
  const publicKey = pair.slice(64)
  return { scheme: 'sr25519', publicKey, sign: (message) => sr25519Sign(publicKey, secret, message) }
}

// DER headers in front of the raw 32 bytes (RFC 8410).
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex')

/** A client, object or publisher key from its 32-byte seed (RFC 8032). */
export function ed25519Signer(seed: Uint8Array): Signer {
  invariant(seed.length === 32, 'an ed25519 seed has 32 bytes')
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, seed]),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const publicKey = Uint8Array.from(spki.subarray(SPKI_ED25519.length))
  return {
    scheme: 'ed25519',
    publicKey,
    sign: (message) => Uint8Array.from(nodeSign(null, message, privateKey)),
  }
}

/** Never throws: what is no signature, or no key, does not verify. */
export type Verify = (message: Uint8Array, signature: Uint8Array) => boolean

/** True only for a well-formed signature of exactly this message by exactly this key. Never throws. */
export function verifySignature(
  scheme: SignatureScheme,
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  return verifierOf(scheme, publicKey)(message, signature)
}

/** As `verifySignature`, for many messages of one key: an ed25519 key is read once, which costs as much as a check. */
export function verifierOf(scheme: SignatureScheme, publicKey: Uint8Array): Verify {
  if (publicKey.length !== PUBLIC_KEY_BYTES) return () => false
  let verify: Verify
  try {
    verify =
      scheme === 'sr25519'
        ? (message, signature) => sr25519Verify(signature, message, publicKey)
        : ed25519Verify(publicKey)
  } catch {
    // Bytes that are no key have signed nothing.
    return () => false
  }
  return (message, signature) => {
    if (signature.length !== SIGNATURE_BYTES) return false
    try {
      return verify(message, signature)
    } catch {
      // Both libraries throw on bytes that are no point of the curve: that is a signature that does not verify.
      return false
    }
  }
}

function ed25519Verify(publicKey: Uint8Array): Verify {
  const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, publicKey]), format: 'der', type: 'spki' })
  return (message, signature) => nodeVerify(null, message, key, signature)
}

/** SS58 text of a 32-byte public key, as wallets and explorers show it. */
export function toSs58(publicKey: Uint8Array): string {
  return encodeAddress(publicKey, SS58_PREFIX)
}

/** The 32 bytes behind an SS58 address; throws `INVALID` for any other text or prefix. */
export function fromSs58(address: string): Uint8Array {
  try {
    const publicKey = decodeAddress(address, false, SS58_PREFIX)
    // The library also takes hex and keys of other lengths: only the one text of a 32-byte key is an address here.
    if (publicKey.length === PUBLIC_KEY_BYTES && toSs58(publicKey) === address) return publicKey
  } catch (cause) {
    throw new SubnetError('INVALID', `"${address}" is not a hotkey address`, { cause })
  }
  throw new SubnetError('INVALID', `"${address}" is not a hotkey address`)
}
