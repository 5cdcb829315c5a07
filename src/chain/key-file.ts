/**
 * The text of one of Bittensor's key files: JSON with the key and what it was made of. It knows no paths, passwords or
 * directories; failures are `INVALID`, and never quote what is in it.
 */
import { toString as bytesToText, fromString } from 'uint8arrays'
import * as z from 'zod'
import { isSubnetError, SubnetError } from '../base/errors.js'
import { fromPhrase, fromPrivateKey, fromSeed, type KeyMaterial } from '../crypto/key-material.js'
import { fromSs58, toSs58 } from '../crypto/keys.js'

/** Bittensor's number for sr25519; a file without one is sr25519. */
const SR25519 = 1

const text = z.string().nullish()
const keyFile = z.object({
  publicKey: text,
  privateKey: text,
  secretPhrase: text,
  secretSeed: text,
  ss58Address: text,
  cryptoType: z.number().nullish(),
})
type KeyFile = z.infer<typeof keyFile>

/** With no field that older wallets do not know: they refuse a file with a number in it, and take no type for sr25519. */
export function keyFileText({ signer, privateKey, seed, phrase }: KeyMaterial): string {
  return JSON.stringify({
    ...publicFields(signer.publicKey),
    privateKey: hex(privateKey),
    ...(phrase === undefined ? {} : { secretPhrase: phrase }),
    ...(seed === undefined ? {} : { secretSeed: hex(seed) }),
  })
}

/** Of a file such as `coldkeypub.txt`. */
export function publicKeyFileText(publicKey: Uint8Array): string {
  return JSON.stringify(publicFields(publicKey))
}

/** The key in it, from the first there is of phrase, seed and private key, as Bittensor loads it. */
export async function parseKeyFile(bytes: Uint8Array): Promise<KeyMaterial> {
  const file = parse(bytes)
  const { secretPhrase, secretSeed, privateKey } = file
  const material =
    secretPhrase != null
      ? fromPhrase(secretPhrase)
      : secretSeed != null
        ? fromSeed(bytesOf('secretSeed', secretSeed))
        : privateKey != null
          ? await fromPrivateKey(bytesOf('privateKey', privateKey))
          : undefined
  if (material === undefined) throw invalid('it has no secret, neither phrase, seed nor private key')
  const { publicKey } = material.signer
  const otherAddress = file.ss58Address != null && file.ss58Address !== toSs58(publicKey)
  if (otherAddress || (file.publicKey != null && file.publicKey.toLowerCase() !== hex(publicKey))) {
    throw invalid('it names another public key than its secret has')
  }
  return material
}

/** The SS58 address in it, whether or not the secret is there too. */
export function parseAddress(bytes: Uint8Array): string {
  const { ss58Address } = parse(bytes)
  if (ss58Address == null) throw invalid('it has no ss58Address')
  try {
    return toSs58(fromSs58(ss58Address))
  } catch (error) {
    if (!isSubnetError(error, 'INVALID')) throw error
    throw invalid('its ss58Address is none')
  }
}

function parse(bytes: Uint8Array): KeyFile {
  let file: KeyFile
  try {
    file = keyFile.parse(JSON.parse(bytesToText(bytes)))
  } catch {
    // Without the cause: a parser's message may quote the file, and the file holds a secret.
    throw invalid('it is empty, torn or no Bittensor key file')
  }
  if ((file.cryptoType ?? SR25519) !== SR25519) throw invalid('it is no sr25519 key')
  return file
}

function publicFields(publicKey: Uint8Array): Readonly<Record<string, string>> {
  return { accountId: hex(publicKey), publicKey: hex(publicKey), ss58Address: toSs58(publicKey) }
}

function bytesOf(field: string, value: string): Uint8Array {
  const digits = /^(?:0x)?((?:[0-9a-f]{2})+)$/i.exec(value)?.[1]
  if (digits === undefined) throw invalid(`its ${field} is not hex`)
  return fromString(digits.toLowerCase(), 'base16')
}

function hex(bytes: Uint8Array): string {
  return `0x${bytesToText(bytes, 'base16')}`
}

function invalid(why: string): SubnetError {
  return new SubnetError('INVALID', why)
}
