/** Reads the settings file and joins it with flags and environment. */
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { SubnetError } from '../base/errors.js'
import { type Config, resolveConfig } from './resolve.js'

export const CONFIG_VARIABLE = 'SUBNET_CONFIG'

/** Where the file is looked for when nobody names one. */
export function defaultConfigPath(): string {
  return join(process.env.XDG_CONFIG_HOME ?? join(homedir(), '.config'), 'subnet-node', 'config.yml')
}

export interface LoadConfigInit {
  /** By setting name, as typed. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** From `--config`; wins over the variable. */
  readonly path?: string | undefined
}

/** A file that was named must exist; the default one need not. Throws `CONFIG`. */
export async function loadConfig(init: LoadConfigInit): Promise<Config> {
  const named = init.path ?? init.environment[CONFIG_VARIABLE]
  const path = named ?? defaultConfigPath()
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' && named === undefined) return undefined
    throw new SubnetError('CONFIG', `cannot read the settings file ${path}`, { cause })
  })
  const file = text === undefined ? undefined : { path, text }
  return resolveConfig({ flags: init.flags, environment: init.environment, file })
}
