/**
 * Every setting of a node, once: its name in the file, on the command line and in the environment, what it may be, and
 * what it is when nobody says. Flags, variables and file entries all pass the same schema.
 */
import { z } from 'zod'
import { SubnetError } from '../base/errors.js'
import { parseBytes } from '../base/units.js'
import { PROFILE_NAMES, type ProfileName } from '../redundancy/profiles.js'
import {
  DEFAULT_CHAIN_ENDPOINT,
  DEFAULT_DEVCHAIN_BLOCK_MS,
  DEFAULT_DEVCHAIN_PORT,
  DEFAULT_LISTEN,
  DEFAULT_NETUID,
  DEFAULT_PROFILE,
  DEFAULT_THRESHOLD,
  DEFAULT_WALLET_HOTKEY,
  DEFAULT_WALLET_NAME,
  defaultDbRootPath,
  defaultWalletPath,
} from './defaults.js'

export interface Setting<T> {
  /** For people: one line, no full stop. */
  readonly description: string
  /** Placeholder of its value, e.g. `<size>`. */
  readonly value: string
  /** From text (flag, variable) or a file's scalar to the value. */
  readonly schema: z.ZodType<T>
  /** `undefined`: not set unless somebody sets it. */
  readonly fallback: T | undefined
}

/** As Bittensor's `--subtensor.network`, and our own. */
export const NETWORK_NAMES = ['finney', 'test', 'local', 'devchain'] as const
export type NetworkName = (typeof NETWORK_NAMES)[number]

const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

const text = z.coerce.string().min(1)
const size = z
  .union([z.number().int().positive(), z.string()])
  .transform((input, context) => (typeof input === 'number' ? input : readSize(input, context)))

/** By name; the same name with `--` is the flag, in capitals with `SUBNET_` and underscores the variable. */
export const SETTINGS = {
  netuid: setting('subnet to join', '<n>', z.coerce.number().int().min(1).max(0xffff), DEFAULT_NETUID),
  'subtensor.network': setting<NetworkName>(
    "network to join; devchain is this machine's own",
    '<name>',
    z.enum(NETWORK_NAMES),
    undefined,
  ),
  'subtensor.chain_endpoint': setting(
    'chain to use, as dev://host:port, wss://host:port or a network; several with commas are tried in turn',
    '<url>',
    text,
    DEFAULT_CHAIN_ENDPOINT,
  ),
  'subtensor.devchain_port': setting(
    "port of this machine's own devchain, used when no chain is named",
    '<n>',
    z.coerce.number().int().min(1).max(65_535),
    DEFAULT_DEVCHAIN_PORT,
  ),
  'subtensor.devchain_block_ms': setting(
    'milliseconds per block of that devchain, for the node that hosts it',
    '<n>',
    z.coerce.number().int().min(10).max(600_000),
    DEFAULT_DEVCHAIN_BLOCK_MS,
  ),
  'subtensor.devchain_path': setting(
    'directory of that devchain (default <db_root_path>/dev/chain)',
    '<path>',
    text,
    undefined,
  ),
  db_root_path: setting('directory under which nodes keep their data', '<path>', text, defaultDbRootPath()),
  node_name: setting('names this node and its directory (default <role>-1)', '<name>', text, undefined),
  capacity: setting('miner: bytes offered, such as 500GiB', '<size>', size, undefined),
  threshold: setting(
    'miner: share of the free disk offered without a capacity',
    '<share>',
    z.coerce.number().positive().max(1),
    DEFAULT_THRESHOLD,
  ),
  listen: setting('multiaddr to listen on', '<multiaddr>', text, DEFAULT_LISTEN),
  'wallet.name': setting('Bittensor wallet to use', '<name>', text, DEFAULT_WALLET_NAME),
  'wallet.hotkey': setting('hotkey in that wallet', '<name>', text, DEFAULT_WALLET_HOTKEY),
  'wallet.path': setting('directory of wallets', '<path>', text, defaultWalletPath()),
  profile: setting<ProfileName>(
    'redundancy profile of what is put',
    '<name>',
    z.enum(PROFILE_NAMES),
    DEFAULT_PROFILE,
  ),
  'log.level': setting('least level that is logged to stderr', '<level>', z.enum(LOG_LEVELS), 'info'),
} as const

export type SettingName = keyof typeof SETTINGS
export type SettingValue<N extends SettingName> = (typeof SETTINGS)[N] extends Setting<infer T> ? T : never

export const SETTING_NAMES = Object.keys(SETTINGS) as readonly SettingName[]

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(SETTINGS, name)
}

/** `--subtensor.chain_endpoint`. */
export function flagOf(name: SettingName): string {
  return `--${name}`
}

/** `SUBNET_SUBTENSOR_CHAIN_ENDPOINT`. */
export function variableOf(name: SettingName): string {
  return `SUBNET_${name.replaceAll('.', '_').toUpperCase()}`
}

function setting<T>(
  description: string,
  value: string,
  schema: z.ZodType<T>,
  fallback: T | undefined,
): Setting<T> {
  return { description, value, schema, fallback }
}

function readSize(input: string, context: z.RefinementCtx): number {
  try {
    return parseBytes(input)
  } catch (error) {
    if (!(error instanceof SubnetError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
    return z.NEVER
  }
}
