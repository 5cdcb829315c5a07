/** From flags, environment and file to one value per setting, each with where it came from. Flag > variable > file > default. */
import { parseDocument } from 'yaml'
import { SubnetError } from '../base/errors.js'
import { nearest } from './nearest.js'
import {
  flagOf,
  isSettingName,
  SETTING_NAMES,
  SETTINGS,
  type Setting,
  type SettingName,
  type SettingValue,
  variableOf,
} from './settings.js'

export type Origin = 'flag' | 'environment' | 'file' | 'default'

export interface Resolved<N extends SettingName = SettingName> {
  readonly value: SettingValue<N> | undefined
  readonly origin: Origin
}

export interface Sources {
  /** By setting name, as typed; only those that were given. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Content of the settings file, if there is one. */
  readonly file?: { readonly path: string; readonly text: string } | undefined
}

export class Config {
  readonly #resolved: ReadonlyMap<SettingName, Resolved>

  constructor(resolved: ReadonlyMap<SettingName, Resolved>) {
    this.#resolved = resolved
  }

  /** The value of a setting that has a default. */
  get<N extends SettingName>(name: N): SettingValue<N> {
    const value = this.optional(name)
    if (value === undefined) throw new SubnetError('CONFIG', `${flagOf(name)} is needed`)
    return value
  }

  optional<N extends SettingName>(name: N): SettingValue<N> | undefined {
    return this.#resolved.get(name)?.value as SettingValue<N> | undefined
  }

  /** Did the operator say so, anywhere? */
  isSet(name: SettingName): boolean {
    return this.origin(name) !== 'default'
  }

  origin(name: SettingName): Origin {
    return this.#resolved.get(name)?.origin ?? 'default'
  }
}

/** Throws `CONFIG` naming the setting, where it was set and what is wrong; also for names that do not exist. */
export function resolveConfig(sources: Sources): Config {
  const file = sources.file === undefined ? new Map<SettingName, unknown>() : readFile(sources.file)
  refuseUnknownVariables(sources.environment)
  const resolved = new Map<SettingName, Resolved>()
  for (const name of SETTING_NAMES) {
    const variable = sources.environment[variableOf(name)]
    if (sources.flags[name] !== undefined) {
      resolved.set(name, { origin: 'flag', value: check(name, sources.flags[name], flagOf(name)) })
    } else if (variable !== undefined && variable !== '') {
      resolved.set(name, { origin: 'environment', value: check(name, variable, variableOf(name)) })
    } else if (file.has(name)) {
      resolved.set(name, {
        origin: 'file',
        value: check(name, file.get(name), `${name} in ${sources.file?.path}`),
      })
    } else {
      resolved.set(name, { origin: 'default', value: SETTINGS[name].fallback })
    }
  }
  return new Config(resolved)
}

/** A commented file with every setting and its default, ready to be edited. */
export function configTemplate(): string {
  const lines = ['# Settings of subnet-node. Command line and SUBNET_* variables win over this file.', '']
  for (const name of SETTING_NAMES) {
    const { description, fallback } = SETTINGS[name]
    lines.push(
      `# ${description}`,
      `#${name}: ${fallback === undefined ? '' : JSON.stringify(fallback)}`.trimEnd(),
      '',
    )
  }
  return lines.join('\n')
}

function check<N extends SettingName>(name: N, value: unknown, where: string): SettingValue<N> {
  const { schema } = SETTINGS[name] as unknown as Setting<SettingValue<N>>
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const known = issue?.code === 'invalid_value' ? issue.values.map(String) : []
  const text = `${where}: ${issue?.message ?? 'is wrong'}${suggestion(String(value), known)}`
  throw new SubnetError('CONFIG', text, { data: { setting: name } })
}

/** Dotted names may be written flat or as sections. */
function readFile(file: { readonly path: string; readonly text: string }): Map<SettingName, unknown> {
  const document = parseDocument(file.text)
  const [error] = document.errors
  if (error !== undefined) throw new SubnetError('CONFIG', `${file.path}: ${error.message}`)
  const entries = new Map<SettingName, unknown>()
  const walk = (value: unknown, prefix: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) {
      throw new SubnetError(
        'CONFIG',
        `${file.path}: ${prefix === '' ? 'it' : prefix} is not a list of settings`,
      )
    }
    for (const [key, entry] of Object.entries(value)) {
      const name = prefix === '' ? key : `${prefix}.${key}`
      if (isSettingName(name)) entries.set(name, entry)
      else if (SETTING_NAMES.some((known) => known.startsWith(`${name}.`))) walk(entry, name)
      else throw unknown(`${file.path}: ${name}`, name, SETTING_NAMES)
    }
  }
  const content: unknown = document.toJS()
  if (content !== null) walk(content, '')
  return entries
}

/** Variables that are read elsewhere. */
const OTHER_VARIABLES: readonly string[] = ['SUBNET_CONFIG', 'SUBNET_WALLET_PASSWORD']

function refuseUnknownVariables(environment: Sources['environment']): void {
  const known = [...SETTING_NAMES.map(variableOf), ...OTHER_VARIABLES]
  for (const name of Object.keys(environment)) {
    if (name.startsWith('SUBNET_') && !known.includes(name)) throw unknown(name, name, known)
  }
}

function unknown(where: string, name: string, known: readonly string[]): SubnetError {
  return new SubnetError('CONFIG', `${where} is no setting${suggestion(name, known)}`, {
    data: { setting: name },
  })
}

function suggestion(name: string, known: readonly string[]): string {
  const guess = nearest(name, known)
  return guess === undefined ? '' : `; did you mean ${guess}?`
}
