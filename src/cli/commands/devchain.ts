/** `subnet-node devchain`: the embedded chain alone, for nodes in other processes. */
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { createLogger } from '../../base/log.js'
import { systemRandom } from '../../base/random.js'
import { DEFAULT_DEVCHAIN_PORT } from '../../config/defaults.js'
import { hostDevchain } from '../../node/devchain-host.js'
import { interruptSignal, whenAborted } from '../interrupt.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions, wholeNumber } from '../options.js'
import { Output } from '../output.js'

interface DevchainOptions extends OutputOptions {
  readonly host: string
  readonly port: number
}

export function addDevchain(program: Command): void {
  const command = program
    .command('devchain')
    .description('run the embedded development chain; what happens on it is worth nothing and ends with it')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 for any', wholeNumber(0, 65_535), DEFAULT_DEVCHAIN_PORT)
    .action(devchain)
  addSettings(command, ['log.level'])
  addOutputOptions(command)
}

async function devchain(options: DevchainOptions): Promise<void> {
  const config = await commandConfig(options)
  const signal = interruptSignal()
  const logger = createLogger(config.get('log.level'), { role: 'devchain' })
  const { endpoint, parts } = await hostDevchain(
    { clock: systemClock, random: systemRandom, logger },
    options,
  )
  new Output(options).result({ endpoint }, `devchain at ${endpoint}\nCtrl-C ends it.`)
  await whenAborted(signal)
  await parts.stop()
}
