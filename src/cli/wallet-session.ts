/** The wallet of a command: which one, and the password of an encrypted key, from a file, a variable or the terminal. */
import { readFile } from 'node:fs/promises'
import { type Command, Option } from 'commander'
import { isSubnetError, SubnetError } from '../base/errors.js'
import { ENCRYPTED, type KeyKind, loadColdkey, loadHotkey, type WalletLocation } from '../chain/wallet.js'
import type { Config } from '../config/resolve.js'
import { flagOf, type SettingName } from '../config/settings.js'
import type { Signer } from '../crypto/keys.js'
import type { Output } from './output.js'
import { Prompt } from './prompt.js'

export const PASSWORD_VARIABLE = 'SUBNET_WALLET_PASSWORD'
/** All wallets share one salt, so a short password is soon found by those who have the file. */
const PASSWORD_CHARACTERS_MIN = 8

export const WALLET_SETTINGS = ['wallet.name', 'wallet.hotkey', 'wallet.path'] as const

export interface PasswordOptions {
  readonly passwordFile?: string
}

export function addPasswordOption(command: Command): void {
  const text = `file with the password of the key (or ${PASSWORD_VARIABLE}); asked for on a terminal otherwise`
  command.addOption(new Option('--password-file <path>', text))
}

export function walletLocation(config: Config): WalletLocation {
  const [path, name] = [config.get('wallet.path'), config.get('wallet.name')]
  return { path, name, hotkey: config.get('wallet.hotkey') }
}

/** For what spends or signs on a chain: it takes no wallet that the operator has not named. */
export function namedWallet(config: Config): WalletLocation {
  if (WALLET_SETTINGS.some((name: SettingName) => config.isSet(name))) return walletLocation(config)
  throw new SubnetError(
    'CONFIG',
    `say which wallet, with ${flagOf('wallet.name')} and ${flagOf('wallet.hotkey')}`,
  )
}

/** The key, unlocked. A plain one asks for nothing; `CONFIG` when a password is needed and nobody can be asked. */
export async function unlock(
  location: WalletLocation,
  kind: KeyKind,
  options: PasswordOptions,
  output: Output,
): Promise<Signer> {
  const load = kind === 'coldkey' ? loadColdkey : loadHotkey
  try {
    return await load(location)
  } catch (error) {
    if (!isSubnetError(error, 'CONFIG') || error.data.reason !== ENCRYPTED) throw error
  }
  const password = (await givenPassword(options)) ?? (await askPassword(`password of the ${kind}`))
  output.note(`unlocking the ${kind}, which takes some seconds`)
  return await load(location, { password })
}

/** For a key that is to be encrypted: asked for twice. */
export async function newPassword(kind: KeyKind, options: PasswordOptions): Promise<string> {
  const given = await givenPassword(options)
  const password = given ?? (await askPassword(`new password for the ${kind}`))
  if (password.length < PASSWORD_CHARACTERS_MIN) {
    const text = `a password has at least ${PASSWORD_CHARACTERS_MIN} characters: nothing was written`
    throw new SubnetError('CONFIG', text)
  }
  if (given === undefined && (await askPassword('the same again')) !== password) {
    throw new SubnetError('CONFIG', 'the two passwords differ: nothing was written')
  }
  return password
}

async function askPassword(question: string): Promise<string> {
  const prompt = new Prompt()
  if (prompt.interactive) return await prompt.secret(question)
  const text = `a password is needed and there is no terminal to ask at: give --password-file or ${PASSWORD_VARIABLE}`
  throw new SubnetError('CONFIG', text)
}

/** From the file or the variable, without asking. */
export async function givenPassword({ passwordFile }: PasswordOptions): Promise<string | undefined> {
  if (passwordFile === undefined) return process.env[PASSWORD_VARIABLE]
  const text = await readFile(passwordFile, 'utf8').catch((cause: unknown) => {
    throw new SubnetError('CONFIG', `cannot read the password file ${passwordFile}`, { cause })
  })
  // One line end is the editor's, not the password's.
  return text.replace(/\r?\n$/, '')
}
