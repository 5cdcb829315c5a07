/**
 * Bittensor's own wallet files, read and written in place: `<path>/<name>/hotkeys/<hotkey>` and `coldkeypub.txt`.
 * Plain files with a `secretSeed` only; encrypted files and mnemonics are refused. A file that exists is never
 * replaced, whatever is in it.
 */
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { toString as bytesToText, fromString } from 'uint8arrays'
import * as z from 'zod'
import { SubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { cryptoReady, fromSs58, type Signer, sr25519Signer, toSs58 } from '../crypto/keys.js'

/** Where a wallet lies, in the words of Bittensor's `--wallet.*`. */
export interface WalletLocation {
  /** The directory of all wallets. */
  readonly path: string
  readonly name: string
  readonly hotkey: string
}

const SEED_BYTES = 32
/** Bittensor's number for sr25519; a file without one is sr25519. */
const SR25519 = 1
/** In front of a file encrypted with libsodium's secretbox. */
const ENCRYPTED_MARK = '$NACL'

const keyFile = z.object({
  publicKey: z.string().nullish(),
  secretSeed: z.string().nullish(),
  ss58Address: z.string().nullish(),
  cryptoType: z.number().nullish(),
})
type KeyFile = z.infer<typeof keyFile>

export function hotkeyPath(location: WalletLocation): string {
  return join(walletPath(location), 'hotkeys', fileName(location.hotkey))
}

export function coldkeyPubPath(location: WalletLocation): string {
  return join(walletPath(location), 'coldkeypub.txt')
}

/** Rejects with `NOT_FOUND` when there is no such file and `CONFIG` when its key cannot be used. */
export async function loadHotkey(location: WalletLocation): Promise<Signer> {
  const path = hotkeyPath(location)
  const file = await readKeyFile(path)
  const seed = /^(?:0x)?([0-9a-f]{64})$/i.exec(file.secretSeed ?? '')?.[1]
  if (seed === undefined) {
    throw unusable(path, 'has no secretSeed of 32 bytes (a phrase alone is not supported yet)')
  }
  await cryptoReady()
  const signer = sr25519Signer(fromString(seed.toLowerCase(), 'base16'))
  const { ss58Address, publicKey } = file
  const otherAddress = ss58Address != null && ss58Address !== toSs58(signer.publicKey)
  if (otherAddress || (publicKey != null && publicKey.toLowerCase() !== hex(signer.publicKey))) {
    throw unusable(path, 'names another public key than its secretSeed has')
  }
  return signer
}

/** SS58 of the owner. Rejects as `loadHotkey`. */
export async function loadColdkeyAddress(location: WalletLocation): Promise<string> {
  const path = coldkeyPubPath(location)
  const { ss58Address } = await readKeyFile(path)
  try {
    return toSs58(fromSs58(ss58Address ?? ''))
  } catch (cause) {
    throw unusable(path, 'has no ss58Address', cause)
  }
}

/** Makes a new hotkey and its file (0600). Rejects with `CONFIG` when a file is there already. */
export async function createHotkey(
  location: WalletLocation,
  components: { readonly random: Random },
): Promise<Signer> {
  const seed = components.random.bytes(SEED_BYTES)
  await cryptoReady()
  const signer = sr25519Signer(seed)
  const text = keyFileText(signer.publicKey, hex(seed))
  await writeNew(hotkeyPath(location), text, components.random)
  return signer
}

/** Writes `coldkeypub.txt` for an owner's address. Rejects with `CONFIG` when a file is there already. */
export async function writeColdkeyPub(
  location: WalletLocation,
  address: string,
  components: { readonly random: Random },
): Promise<void> {
  const text = keyFileText(fromSs58(address), null)
  await writeNew(coldkeyPubPath(location), text, components.random)
}

function walletPath(location: WalletLocation): string {
  return join(location.path, fileName(location.name))
}

/** A name is one step of a path, never a way out of the wallet. */
function fileName(name: string): string {
  if (/^[^/\\\0]+$/.test(name) && name !== '.' && name !== '..') return name
  throw new SubnetError('CONFIG', `"${name}" cannot be the name of a wallet or hotkey`)
}

async function readKeyFile(path: string): Promise<KeyFile> {
  const text = await readText(path)
  if (text.startsWith(ENCRYPTED_MARK)) {
    throw unusable(path, 'is encrypted, which is not supported yet: give a hotkey without a password')
  }
  let file: KeyFile
  try {
    file = keyFile.parse(JSON.parse(text))
  } catch {
    // Without the cause: a parser's message may quote the file, and the file holds a secret.
    throw unusable(path, 'is empty, torn or no Bittensor key file')
  }
  if ((file.cryptoType ?? SR25519) !== SR25519) throw unusable(path, 'is no sr25519 key')
  return file
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    if (missing) throw new SubnetError('NOT_FOUND', `there is no key file ${path}`, { cause, data: { path } })
    throw unusable(path, 'cannot be read', cause)
  }
}

function keyFileText(publicKey: Uint8Array, secretSeed: string | null): string {
  return JSON.stringify({
    accountId: hex(publicKey),
    publicKey: hex(publicKey),
    privateKey: null,
    secretPhrase: null,
    secretSeed,
    ss58Address: toSs58(publicKey),
    cryptoType: SR25519,
  })
}

/** All or nothing, and nothing when the file exists: the complete, synced bytes get their name by a hard link. */
async function writeNew(path: string, text: string, random: Random): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${bytesToText(random.bytes(8), 'base16')}.tmp`)
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    try {
      await writeSynced(temporary, text)
      await link(temporary, path)
    } finally {
      await rm(temporary, { force: true })
    }
    await syncDirectory(directory)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw unusable(path, 'exists and is never replaced', cause)
    }
    throw new SubnetError('DISK', `cannot write ${path}`, { cause, data: { path } })
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

function hex(bytes: Uint8Array): string {
  return `0x${bytesToText(bytes, 'base16')}`
}

function unusable(path: string, why: string, cause?: unknown): SubnetError {
  return new SubnetError('CONFIG', `${path} ${why}; restore it or move it away`, { cause, data: { path } })
}
