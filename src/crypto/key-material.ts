/**
 * Where an sr25519 key comes from: a phrase of words, a seed, or its expanded private key, and keys derived from one.
 * Wait for `cryptoReady` first. It knows nothing of files.
 */
import {
  bip39ToMiniSecret,
  bip39Validate,
  sr25519DeriveKeypairHard,
  sr25519DeriveKeypairSoft,
  sr25519KeypairFromSeed,
} from '@polkadot/wasm-crypto'
import { fromString } from 'uint8arrays'
import { SubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { PUBLIC_KEY_BYTES, type Signer, sr25519PairSigner } from './keys.js'
import { sodiumReady } from './sodium.js'

/** A key with all that is known of its origin. Secret. */
export interface KeyMaterial {
  readonly signer: Signer
  /** 64 bytes: schnorrkel's scalar and nonce, as Bittensor and substrate-interface write them. */
  readonly privateKey: Uint8Array
  /** 32 bytes; absent for keys that were derived or given as private key. */
  readonly seed?: Uint8Array
  /** BIP-39, words separated by one space. */
  readonly phrase?: string
}

export type PhraseWords = 12 | 24
const ENTROPY_BYTES: Readonly<Record<PhraseWords, number>> = { 12: 16, 24: 32 }
export const SEED_BYTES = 32
export const PRIVATE_KEY_BYTES = 64
/** Order of ristretto255's group (RFC 9496, section 4): scalars are below it. */
const GROUP_ORDER = 2n ** 252n + 27_742_317_777_372_353_535_851_937_790_883_648_493n

/** Fresh words in BIP-39's English list. */
export async function newPhrase(random: Random, words: PhraseWords = 12): Promise<string> {
  // The word list costs 40 ms to load, and only those who make a wallet need it.
  const { entropyToMnemonic } = await import('@polkadot/util-crypto/mnemonic/bip39')
  return entropyToMnemonic(random.bytes(ENTROPY_BYTES[words]))
}

/**
 * The key of a phrase (BIP-39 words to a mini-secret as Substrate does, source: substrate-bip39), without a password.
 * Throws `INVALID` for words that are none or whose checksum is wrong.
 */
export function fromPhrase(phrase: string): KeyMaterial {
  const words = phrase.trim().toLowerCase().split(/\s+/)
  const text = words.join(' ')
  if (!bip39Validate(text)) {
    throw invalid(`these ${words.length} words are no mnemonic: a word is misspelt, missing or out of order`)
  }
  return { ...fromSeed(bip39ToMiniSecret(text, '')), phrase: text }
}

/** The key of a 32-byte mini-secret. */
export function fromSeed(seed: Uint8Array): KeyMaterial {
  if (seed.length !== SEED_BYTES) throw invalid(`a seed has ${SEED_BYTES} bytes, not ${seed.length}`)
  return { ...ofPair(sr25519KeypairFromSeed(seed)), seed }
}

/** The key of an expanded private key; throws `INVALID` for bytes that are none. */
export async function fromPrivateKey(privateKey: Uint8Array): Promise<KeyMaterial> {
  if (privateKey.length !== PRIVATE_KEY_BYTES) {
    throw invalid(`a private key has ${PRIVATE_KEY_BYTES} bytes, not ${privateKey.length}`)
  }
  const scalar = toNumber(privateKey.subarray(0, 32))
  if (scalar === 0n || scalar >= GROUP_ORDER) throw invalid('these 64 bytes are no sr25519 private key')
  const { crypto_scalarmult_ristretto255_base: timesBase } = await sodiumReady()
  const publicKey = timesBase(privateKey.slice(0, 32))
  const pair = new Uint8Array(PRIVATE_KEY_BYTES + PUBLIC_KEY_BYTES)
  pair.set(toBytes(scalar * 8n))
  pair.set(privateKey.subarray(32), 32)
  pair.set(publicKey, PRIVATE_KEY_BYTES)
  return ofPair(pair)
}

/**
 * From what people keep: words, a seed of 64 hex digits, a private key of 128, or one of the first two with a path, as
 * in `<words>//hard/soft`. Throws `INVALID`, never quoting the secret.
 */
export async function fromSecretText(text: string): Promise<KeyMaterial> {
  const [, secret = '', path = ''] = /^([^/]*)(\/.*)?$/s.exec(text.trim()) ?? []
  const hex = /^(?:0x)?([0-9a-f]+)$/i.exec(secret.trim())?.[1]?.toLowerCase()
  if (hex !== undefined && hex.length === 2 * PRIVATE_KEY_BYTES && path === '') {
    return await fromPrivateKey(fromString(hex, 'base16'))
  }
  if (hex !== undefined && hex.length !== 2 * SEED_BYTES) {
    throw invalid('hex is a seed of 64 digits, or without a path a private key of 128')
  }
  const root = hex === undefined ? fromPhrase(secret) : fromSeed(fromString(hex, 'base16'))
  return path === '' ? root : await derive(root, path)
}

/** The key at a path such as `//Alice` or `//a/b` (source: Substrate's `DeriveJunction`). Throws `INVALID`. */
async function derive(root: KeyMaterial, path: string): Promise<KeyMaterial> {
  const { keyExtractPath } = await import('@polkadot/util-crypto/key')
  let junctions: ReturnType<typeof keyExtractPath>['path']
  try {
    junctions = keyExtractPath(path).path
  } catch {
    // Without the cause, which quotes its input.
    throw invalid('this is no derivation path: write it like //hard/soft')
  }
  let pair = toPair(root)
  for (const { chainCode, isHard } of junctions) {
    pair = isHard ? sr25519DeriveKeypairHard(pair, chainCode) : sr25519DeriveKeypairSoft(pair, chainCode)
  }
  return ofPair(pair)
}

/** Of a pair in the WASM's form: scalar times cofactor, nonce, public key (schnorrkel's `to_half_ed25519_bytes`). */
function ofPair(pair: Uint8Array): KeyMaterial {
  const privateKey = pair.slice(0, PRIVATE_KEY_BYTES)
  privateKey.set(toBytes(toNumber(pair.subarray(0, 32)) / 8n))
  return { signer: sr25519PairSigner(pair), privateKey }
}

function toPair({ privateKey, signer }: KeyMaterial): Uint8Array {
  const pair = new Uint8Array(PRIVATE_KEY_BYTES + PUBLIC_KEY_BYTES)
  pair.set(toBytes(toNumber(privateKey.subarray(0, 32)) * 8n))
  pair.set(privateKey.subarray(32), 32)
  pair.set(signer.publicKey, PRIVATE_KEY_BYTES)
  return pair
}

/** Little-endian, 32 bytes. */
function toNumber(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => value * 256n + BigInt(byte), 0n)
}

function toBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))
}

function invalid(why: string): SubnetError {
  return new SubnetError('INVALID', why)
}
