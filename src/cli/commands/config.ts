/** `subnet-node config init|show`: the settings file, and what is in force and why. */
import { writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { SubnetError } from '../../base/errors.js'
import { makeDirectory } from '../../base/make-directory.js'
import { defaultConfigPath } from '../../config/load.js'
import { configTemplate } from '../../config/resolve.js'
import { SETTING_NAMES } from '../../config/settings.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions } from '../options.js'
import { Output } from '../output.js'

interface ConfigOptions extends OutputOptions {
  readonly config?: string
}

interface ShowOptions extends ConfigOptions {
  readonly origin: boolean
}

export function addConfig(program: Command): void {
  const group = program.command('config').description('make or show the settings')
  const init = group
    .command('init')
    .description('write a commented settings file with every default')
    .option('--config <path>', 'file to write')
    .action(initConfig)
  addOutputOptions(init)
  const show = group
    .command('show')
    .description('show every setting in force')
    .option('--origin', 'also where each comes from', false)
    .action(showConfig)
  addSettings(show, SETTING_NAMES)
  addOutputOptions(show)
}

async function initConfig(options: ConfigOptions): Promise<void> {
  const path = options.config ?? defaultConfigPath()
  await makeDirectory(dirname(path), 0o700)
  await writeFile(path, configTemplate(), { flag: 'wx', mode: 0o600 }).catch(
    (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST')
        throw new SubnetError('CONFIG', `${path} exists already and is left as it is`)
      throw new SubnetError('DISK', `cannot write ${path}`, { cause })
    },
  )
  new Output(options).result(
    { path },
    `${path} is written: every line is a default, remove the # to change it`,
  )
}

async function showConfig(options: ShowOptions): Promise<void> {
  const config = await commandConfig(options)
  const rows = SETTING_NAMES.map((name) => ({
    name,
    value: config.optional(name),
    origin: config.origin(name),
  }))
  const width = Math.max(...rows.map(({ name }) => name.length))
  const lines = rows.map(({ name, value, origin }) => {
    const shown = value === undefined ? '(not set)' : String(value)
    return `${name.padEnd(width)}  ${options.origin ? `${origin.padEnd(11)}  ` : ''}${shown}`
  })
  new Output(options).result(rows, lines.join('\n'))
}
