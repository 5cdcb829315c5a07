/** Runs one command that needs the chain alone: a started chain in, whatever happens a stopped one out. */
import type { Command } from 'commander'
import { systemClock } from '../base/clock.js'
import { systemRandom } from '../base/random.js'
import type { Chain } from '../chain/chain.js'
import { connectChain } from '../chain/endpoint.js'
import { chainEndpoint, isDevchain } from '../config/chain-endpoint.js'
import type { Config } from '../config/resolve.js'
import type { SettingName } from '../config/settings.js'
import { cryptoReady } from '../crypto/keys.js'
import { interruptSignal } from './interrupt.js'
import {
  addLogLevel,
  addOutputOptions,
  addSettings,
  CHAIN_SETTINGS,
  commandConfig,
  commandLogger,
} from './options.js'

export interface ChainSession {
  readonly chain: Chain
  readonly config: Config
  readonly signal: AbortSignal
}

/** Flags that every such command has. */
export function addChainOptions(command: Command, more: readonly SettingName[] = []): void {
  addSettings(command, [...CHAIN_SETTINGS, ...more])
  addLogLevel(command)
  addOutputOptions(command)
}

export async function withChain(
  options: object,
  work: (session: ChainSession) => Promise<void>,
  { anySubnet = false }: { readonly anySubnet?: boolean } = {},
): Promise<void> {
  const config = await commandConfig(options)
  const signal = interruptSignal()
  await cryptoReady()
  const netuid = anySubnet ? subnetOfEvery(config) : config.get('netuid')
  const components = { clock: systemClock, random: systemRandom, logger: commandLogger(config) }
  const chain = connectChain(chainEndpoint(config), components, { netuid })
  await chain.start({ signal })
  try {
    await work({ chain, config, signal })
  } finally {
    await chain.stop()
  }
}

/** A subnet that is surely there: the devchain's first, or the real chain's root. */
function subnetOfEvery(config: Config): number | undefined {
  return isDevchain(config) ? undefined : 0
}
