/** Options that commands share: settings under Bittensor's own names where it has one, and how output looks. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { isSubnetError } from '../base/errors.js'
import { createLogger, type Logger } from '../base/log.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/resolve.js'
import { flagOf, SETTINGS, type SettingName } from '../config/settings.js'

export interface OutputOptions {
  readonly json: boolean
  readonly debug: boolean
}

/** A command's own words are its output: less than a warning is for those who ask. */
const COMMAND_LOG_LEVEL = 'warn'

/** Which chain, and which subnet of it. */
export const CHAIN_SETTINGS: readonly SettingName[] = [
  'subtensor.network',
  'subtensor.chain_endpoint',
  'subtensor.devchain_port',
  'netuid',
]

/** Adds flags for these settings. They have no defaults here: variables and the file come before those. */
export function addSettings(command: Command, names: readonly SettingName[]): void {
  for (const name of names) addSetting(command, name, SETTINGS[name].fallback)
  command.option('--config <path>', 'settings file')
}

/** Of a command that uses `commandLogger`. */
export function addLogLevel(command: Command): void {
  addSetting(command, 'log.level', COMMAND_LOG_LEVEL)
}

/** For what is no node and ends by itself. */
export function commandLogger(config: Config): Logger {
  return createLogger(config.isSet('log.level') ? config.get('log.level') : COMMAND_LOG_LEVEL)
}

function addSetting(command: Command, name: SettingName, fallback: unknown): void {
  const { value, description } = SETTINGS[name]
  const shown = fallback === undefined ? '' : ` (default: ${fallback})`
  const option = new Option(`${flagOf(name)} ${value}`, description + shown)
  // Endpoints may also be given one flag each.
  if (name === 'subtensor.chain_endpoint') option.argParser(joined)
  command.addOption(option)
}

function joined(value: string, before: string | undefined): string {
  return before === undefined ? value : `${before},${value}`
}

export function addOutputOptions(command: Command): void {
  command.option('--json', 'print JSON instead of text', false)
  command.option('--debug', 'show stacks of errors', false)
}

export function addProgressOption(command: Command): void {
  const option = new Option('--progress <mode>', 'progress on stderr: a line on a terminal, NDJSON, or none')
  command.addOption(option.choices(['auto', 'json', 'off']).default('auto'))
}

/** The settings of this run of a command: flags, environment, file, defaults. */
export async function commandConfig(options: object): Promise<Config> {
  const flags = options as Readonly<Record<string, unknown>>
  const path = typeof flags.config === 'string' ? flags.config : undefined
  return await loadConfig({ flags, environment: process.env, path })
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It is not a whole number from ${min} to ${max}.`)
  }
}

/** A parser that throws `CONFIG`, as one of a word on the command line: what it says goes with the name of the option. */
export function asWord<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text)
    } catch (error) {
      throw isSubnetError(error, 'CONFIG') ? new InvalidArgumentError(`${error.message}.`) : error
    }
  }
}
