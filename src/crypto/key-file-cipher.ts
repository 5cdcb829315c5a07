/**
 * Bittensor's encrypted key files: `$NACL`, a nonce, and a secretbox (XSalsa20-Poly1305) under a key that argon2i makes
 * of the password. Older forms are recognised so that they can be refused by name.
 */
import { toString as bytesToText, concat } from 'uint8arrays'
import { SubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { sodiumReady } from './sodium.js'
import { type StretchPassword, stretchPassword } from './stretch-password.js'

const MARK = new TextEncoder().encode('$NACL')
const NONCE_BYTES = 24
const TAG_BYTES = 16

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
