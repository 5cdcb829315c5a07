/**
 * Bittensor's encrypted key files: `$NACL`, a nonce, and a secretbox (XSalsa20-Poly1305) under a key that argon2i makes
 * of the password. Older forms are recognised so that they can be refused by name.
 */
import { toString as bytesToText, concat, fromString } from 'uint8arrays'
import { SubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { sodiumReady } from './sodium.js'

const MARK = new TextEncoder().encode('$NACL')
/** The one salt of all wallets (source: btwallet, `NACL_SALT`): files of different people share it, so passwords must not be weak. */
const SALT = fromString('137183dff15a09bc9c90b5518739e9b1', 'base16')
const KEY_BYTES = 32
const NONCE_BYTES = 24
const TAG_BYTES = 16

/** Makes a file's key of a password: 32 bytes. A port only so that tests need not pay for every one. */
export type StretchPassword = (password: string) => Promise<Uint8Array>

/** argon2i with SENSITIVE limits: 8 passes over 512 MiB, about 5 s here. Blocks the thread meanwhile. */
export const stretchPassword: StretchPassword = async (password) => {
  const sodium = await sodiumReady()
  return sodium.crypto_pwhash(
    KEY_BYTES,
    password,
    SALT,
    sodium.crypto_pwhash_argon2i_OPSLIMIT_SENSITIVE,
    sodium.crypto_pwhash_argon2i_MEMLIMIT_SENSITIVE,
    sodium.crypto_pwhash_ALG_ARGON2I13,
  )
}

/** How a key file is kept, by its first bytes. */
export type KeyFileForm = 'plain' | 'encrypted' | 'legacy'

export function keyFileForm(bytes: Uint8Array): KeyFileForm {
  const head = bytesToText(bytes.subarray(0, 14), 'latin1')
  if (head.startsWith('$NACL')) return 'encrypted'
  // Ansible vault and Fernet: what Bittensor wrote before 2023.
  return head.startsWith('$ANSIBLE_VAULT') || head.startsWith('gAAAAA') ? 'legacy' : 'plain'
}

/** The bytes of an encrypted file. */
export async function sealKeyFile(
  plain: Uint8Array,
  password: string,
  components: { readonly random: Random; readonly stretch?: StretchPassword },
): Promise<Uint8Array> {
  const sodium = await sodiumReady()
  const key = await (components.stretch ?? stretchPassword)(password)
  const nonce = components.random.bytes(NONCE_BYTES)
  return concat([MARK, nonce, sodium.crypto_secretbox_easy(plain, nonce, key)])
}

/** Rejects with `UNAUTHENTICATED` for a wrong password (a changed file looks the same), `INVALID` for a torn file. */
export async function openKeyFile(
  bytes: Uint8Array,
  password: string,
  stretch: StretchPassword = stretchPassword,
): Promise<Uint8Array> {
  const headBytes = MARK.length + NONCE_BYTES
  if (bytes.length <= headBytes + TAG_BYTES) throw new SubnetError('INVALID', 'it is torn')
  const sodium = await sodiumReady()
  const key = await stretch(password)
  try {
    return sodium.crypto_secretbox_open_easy(bytes.slice(headBytes), bytes.slice(MARK.length, headBytes), key)
  } catch {
    // libsodium throws an Error without a code for exactly this.
    throw new SubnetError('UNAUTHENTICATED', 'the password is wrong, or the file is damaged')
  }
}
