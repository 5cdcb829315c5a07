/** `subnet-node devchain`: the embedded chain alone, for nodes in other processes. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { createLogger } from '../../base/log.js'
import { systemRandom } from '../../base/random.js'
import { DEFAULT_DEVCHAIN_PORT } from '../../config/defaults.js'
import type { Config } from '../../config/resolve.js'
import { hostDevchain } from '../../node/devchain-host.js'
import { interruptSignal, whenAborted } from '../interrupt.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions, wholeNumber } from '../options.js'
import { Output } from '../output.js'

interface DevchainOptions extends OutputOptions {
  readonly host: string
  readonly port: number
  readonly fresh?: boolean
  readonly misbehave?: boolean
}

export function addDevchain(program: Command): void {
  const command = program
    .command('devchain')
    .description('run the embedded development chain; what happens on it is worth nothing')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 for any', wholeNumber(0, 65_535), DEFAULT_DEVCHAIN_PORT)
    .option('--fresh', 'forget what happened on it before', false)
    .option('--misbehave', 'let clients make it stall, reorganise, refuse and lose connections', false)
    .action(devchain)
  addSettings(command, [
    'subtensor.devchain_block_ms',
    'subtensor.devchain_path',
    'db_root_path',
    'log.level',
  ])
  addOutputOptions(command)
}

async function devchain(options: DevchainOptions): Promise<void> {
  const config = await commandConfig(options)
  const signal = interruptSignal()
  const logger = createLogger(config.get('log.level'), { role: 'devchain' })
  const { endpoint, parts } = await hostDevchain(
    { clock: systemClock, random: systemRandom, logger },
    {
      ...options,
      ...devchainDirectory(config, options.port),
      blockMs: config.get('subtensor.devchain_block_ms'),
    },
  )
  new Output(options).result({ endpoint }, `devchain at ${endpoint}\nCtrl-C ends it.`)
  await whenAborted(signal)
  await parts.stop()
}

/** Where the devchain of a port is kept: on a port of chance nobody would find it again, so it is not. */
export function devchainDirectory(config: Config, port: number): { readonly path?: string } {
  const given = config.optional('subtensor.devchain_path')
  if (given !== undefined) return { path: given }
  if (port === 0) return {}
  const name = port === DEFAULT_DEVCHAIN_PORT ? 'chain' : `chain-${port}`
  return { path: join(config.get('db_root_path'), 'dev', name) }
}
