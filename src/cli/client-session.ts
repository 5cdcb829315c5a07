/** Runs one client command: a started client in, whatever happens a stopped one out. */
import type { Command } from 'commander'
import { systemClock } from '../base/clock.js'
import { createLogger } from '../base/log.js'
import { chainEndpoint } from '../config/chain-endpoint.js'
import type { Config } from '../config/resolve.js'
import type { SettingName } from '../config/settings.js'
import { createClient, type SubnetClient } from '../node/client.js'
import { interruptSignal } from './interrupt.js'
import { addOutputOptions, addSettings, commandConfig } from './options.js'

/** Flags that every client command has. */
export function addClientOptions(command: Command, more: readonly SettingName[] = []): void {
  addSettings(command, [
    'subtensor.network',
    'subtensor.chain_endpoint',
    'subtensor.devchain_port',
    'netuid',
    ...more,
    'log.level',
  ])
  addOutputOptions(command)
}

export async function withClient(
  options: object,
  work: (client: SubnetClient, signal: AbortSignal, config: Config) => Promise<void>,
): Promise<void> {
  const config = await commandConfig(options)
  const signal = interruptSignal()
  const client = createClient(
    {
      chain: chainEndpoint(config),
      netuid: config.get('netuid'),
      defaultProfile: config.get('profile'),
    },
    // A command's own words are its output: less than a warning is for those who ask.
    {
      clock: systemClock,
      logger: createLogger(config.isSet('log.level') ? config.get('log.level') : 'warn'),
    },
  )
  await client.start({ signal })
  try {
    await work(client, signal, config)
  } finally {
    await client.stop()
  }
}
