/**
 * Bittensor's own wallets, read and written in place: `<path>/<name>/coldkey`, `coldkeypub.txt` and `hotkeys/<hotkey>`,
 * plain or encrypted. A file that exists is replaced only where the caller says `overwrite`, whatever is in it. What is
 * in a file is `key-file.ts`; who is asked for a password is the caller's affair.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile, writeNewFile } from '../base/durable-file.js'
import { isSubnetError, SubnetError, toSubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import { keyFileForm, openKeyFile, sealKeyFile } from '../crypto/key-file-cipher.js'
import { fromSeed, type KeyMaterial, SEED_BYTES } from '../crypto/key-material.js'
import { cryptoReady, fromSs58, type Signer, toSs58 } from '../crypto/keys.js'
import type { StretchPassword } from '../crypto/stretch-password.js'
import { keyFileText, parseAddress, parseKeyFile, publicKeyFileText } from './key-file.js'

/** Where a wallet lies, in the words of Bittensor's `--wallet.*`. */
export interface WalletLocation {
  /** The directory of all wallets. */
  readonly path: string
  readonly name: string
  readonly hotkey: string
}

/** The two secrets of a wallet. */
export type KeyKind = 'coldkey' | 'hotkey'

export interface UnlockOptions {
  /** For an encrypted file; a plain one needs none. */
  readonly password?: string
  readonly stretch?: StretchPassword
}

export interface WriteOptions extends UnlockOptions {
  /** Replace what is there. */
  readonly overwrite?: boolean
}

/** `data.reason` of the `CONFIG` for an encrypted file without a password. */
export const ENCRYPTED = 'encrypted'

export function hotkeyPath(location: WalletLocation): string {
  return join(walletPath(location), 'hotkeys', fileName(location.hotkey))
}

export function coldkeyPath(location: WalletLocation): string {
  return join(walletPath(location), 'coldkey')
}

export function coldkeyPubPath(location: WalletLocation): string {
  return join(walletPath(location), 'coldkeypub.txt')
}

/**
 * Rejects with `NOT_FOUND` when there is no such file, `CONFIG` when its key cannot be used (`data.reason` is `ENCRYPTED`
 * when a password is missing), `UNAUTHENTICATED` for a wrong password.
 */
export async function loadHotkey(location: WalletLocation, options: UnlockOptions = {}): Promise<Signer> {
  return await loadKey(hotkeyPath(location), options)
}

/** SS58 of the hotkey, also of an encrypted one that lies with its address beside it. Rejects as `loadHotkey`. */
export async function loadHotkeyAddress(location: WalletLocation): Promise<string> {
  const path = hotkeyPath(location)
  const { state, address } = await describeKey(path, `${path}${PUB_SUFFIX}`)
  if (address !== undefined && state !== 'unusable') return address
  // It says why not.
  return toSs58((await loadHotkey(location)).publicKey)
}

/** The key that pays. Rejects as `loadHotkey`. Keep it no longer than it is needed. */
export async function loadColdkey(location: WalletLocation, options: UnlockOptions = {}): Promise<Signer> {
  return await loadKey(coldkeyPath(location), options)
}

/** SS58 of the owner, from `coldkeypub.txt`. Rejects as `loadHotkey`. */
export async function loadColdkeyAddress(location: WalletLocation): Promise<string> {
  const path = coldkeyPubPath(location)
  const bytes = await readKeyFile(path)
  return await inFile(path, async () => parseAddress(bytes))
}

/** Makes a new hotkey from a seed and its plain file (0600). Rejects with `CONFIG` when a file is there already. */
export async function createHotkey(
  location: WalletLocation,
  components: { readonly random: Random },
): Promise<Signer> {
  const seed = components.random.bytes(SEED_BYTES)
  await cryptoReady()
  const material = fromSeed(seed)
  await writeKey(location, 'hotkey', material, components)
  return material.signer
}

/** Writes a secret's file, encrypted when there is a password. Rejects with `CONFIG` when one is there already. */
export async function writeKey(
  location: WalletLocation,
  kind: KeyKind,
  material: KeyMaterial,
  components: { readonly random: Random },
  options: WriteOptions = {},
): Promise<void> {
  const path = kind === 'hotkey' ? hotkeyPath(location) : coldkeyPath(location)
  const text = keyFileText(material)
  const { password, stretch } = options
  const content =
    password === undefined
      ? text
      : await sealKeyFile(new TextEncoder().encode(text), password, {
          ...components,
          ...(stretch === undefined ? {} : { stretch }),
        })
  await write(path, content, components.random, options)
  // An encrypted hotkey is still to be known by its address, as in Bittensor's own wallets.
  if (kind === 'hotkey' && password !== undefined) {
    await replaceFile(`${path}${PUB_SUFFIX}`, publicKeyFileText(material.signer.publicKey), components.random)
  }
}

/** Writes `coldkeypub.txt` for an owner's address. Rejects with `CONFIG` when a file is there already. */
export async function writeColdkeyPub(
  location: WalletLocation,
  address: string,
  components: { readonly random: Random },
  options: { readonly overwrite?: boolean } = {},
): Promise<void> {
  await write(coldkeyPubPath(location), publicKeyFileText(fromSs58(address)), components.random, options)
}

/** How a key's file stands. `unusable`: empty, torn or of a form that is not read. */
export type KeyState = 'absent' | 'plain' | 'encrypted' | 'unusable'

export interface KeyEntry {
  readonly state: KeyState
  /** SS58, where it can be known without a password. */
  readonly address?: string
}

export interface HotkeyEntry extends KeyEntry {
  readonly name: string
}

export interface WalletEntry {
  readonly name: string
  readonly coldkey: KeyEntry
  /** By name. */
  readonly hotkeys: readonly HotkeyEntry[]
}

const PUB_SUFFIX = 'pub.txt'

/** Every wallet under a directory, by name. Asks for no password; an absent directory has none. */
export async function listWallets(path: string): Promise<WalletEntry[]> {
  const names = await namesIn(path, 'directory')
  return await Promise.all(names.map((name) => describeWallet({ path, name })))
}

/** What is in one wallet. */
export async function describeWallet(location: Omit<WalletLocation, 'hotkey'>): Promise<WalletEntry> {
  const at = { ...location, hotkey: 'default' }
  const directory = join(walletPath(at), 'hotkeys')
  const names = (await namesIn(directory, 'file')).filter((name) => !name.endsWith(PUB_SUFFIX))
  const hotkeys = names.map(async (name) => {
    const path = join(directory, name)
    return { name, ...(await describeKey(path, `${path}${PUB_SUFFIX}`)) }
  })
  const coldkey = await describeKey(coldkeyPath(at), coldkeyPubPath(at))
  return { name: location.name, coldkey, hotkeys: await Promise.all(hotkeys) }
}

/** True when the coldkey's secret lies there without a password: whoever reads this disk can spend what it owns. */
export async function coldkeyUnlocked(location: WalletLocation): Promise<boolean> {
  const { state } = await describeKey(coldkeyPath(location), coldkeyPubPath(location))
  return state === 'plain'
}

async function describeKey(path: string, pubPath: string): Promise<KeyEntry> {
  const pub = addressIn(await bytesAt(pubPath))
  const bytes = await bytesAt(path)
  const known = pub === undefined ? {} : { address: pub }
  if (bytes === undefined) return { state: 'absent', ...known }
  const form = keyFileForm(bytes)
  if (form !== 'plain') return { state: form === 'encrypted' ? 'encrypted' : 'unusable', ...known }
  const address = addressIn(bytes)
  return address === undefined ? { state: 'unusable', ...known } : { state: 'plain', address }
}

/** A list shows what is there; what is wrong with it is said by whoever loads it. */
function addressIn(bytes: Uint8Array | undefined): string | undefined {
  try {
    return bytes === undefined ? undefined : parseAddress(bytes)
  } catch (error) {
    if (isSubnetError(error, 'INVALID')) return undefined
    throw error
  }
}

/** Empty for a file that cannot be read, which then is no key either. */
async function bytesAt(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readKeyFile(path)
  } catch (error) {
    if (isSubnetError(error, 'NOT_FOUND')) return undefined
    if (isSubnetError(error, 'CONFIG')) return new Uint8Array(0)
    throw error
  }
}

async function loadKey(path: string, { password, stretch }: UnlockOptions): Promise<Signer> {
  await cryptoReady()
  const bytes = await readKeyFile(path)
  return await inFile(path, async () => {
    const form = keyFileForm(bytes)
    if (form === 'legacy') {
      throw new SubnetError('INVALID', 'it is encrypted in a form older than 2023, let btcli rewrite it')
    }
    if (form === 'plain') return (await parseKeyFile(bytes)).signer
    if (password === undefined) {
      const text = `${path} is encrypted: a password is needed`
      throw new SubnetError('CONFIG', text, { data: { path, reason: ENCRYPTED } })
    }
    return (await parseKeyFile(await openKeyFile(bytes, password, stretch))).signer
  })
}

/** What is wrong inside a file is said with its name, and what to do. */
async function inFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const { code, message } = toSubnetError(error)
    if (code === 'UNAUTHENTICATED') {
      throw new SubnetError(code, `${path}: ${message}`, { data: { path }, retryable: false })
    }
    if (code !== 'INVALID') throw error
    const text = `${path} cannot be used: ${message}; restore it or move it away`
    throw new SubnetError('CONFIG', text, { data: { path } })
  }
}

async function write(
  path: string,
  content: string | Uint8Array,
  random: Random,
  { overwrite = false }: { readonly overwrite?: boolean },
): Promise<void> {
  await (overwrite ? replaceFile : writeNewFile)(path, content, random)
}

/** In order; an absent directory has none. Hidden entries, such as temporary files, are none. */
async function namesIn(path: string, kind: 'file' | 'directory'): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return []
    throw unusable(path, 'cannot be read', cause)
  })
  return entries
    .filter(
      (entry) => !entry.name.startsWith('.') && (kind === 'file' ? !entry.isDirectory() : !entry.isFile()),
    )
    .map(({ name }) => name)
    .sort()
}

function walletPath(location: WalletLocation): string {
  return join(location.path, fileName(location.name))
}

/** A name is one step of a path, never a way out of the wallet. */
function fileName(name: string): string {
  if (/^[^/\\\0]+$/.test(name) && name !== '.' && name !== '..') return name
  throw new SubnetError('CONFIG', `"${name}" cannot be the name of a wallet or hotkey`)
}

async function readKeyFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    if (missing) throw new SubnetError('NOT_FOUND', `there is no key file ${path}`, { cause, data: { path } })
    throw unusable(path, 'cannot be read', cause)
  }
}

function unusable(path: string, why: string, cause?: unknown): SubnetError {
  return new SubnetError('CONFIG', `${path} ${why}; restore it or move it away`, { cause, data: { path } })
}
