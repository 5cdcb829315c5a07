/** `subnet-node --role miner|validator`: runs a node until it is told to end. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { systemClock } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import { createLogger, type Logger } from '../../base/log.js'
import { systemRandom } from '../../base/random.js'
import { formatBytes } from '../../base/units.js'
import type { WalletLocation } from '../../chain/wallet.js'
import { DEFAULT_DEVCHAIN_PORT, DEV_CAPACITY_BYTES, DEV_VISIT_INTERVAL_MS } from '../../config/defaults.js'
import type { Config } from '../../config/resolve.js'
import { flagOf } from '../../config/settings.js'
import { type HostedDevchain, hostOrJoinDevchain } from '../../node/devchain-host.js'
import { createNode, type NodeIdentity } from '../../node/node.js'
import { interruptSignal, whenAborted } from '../interrupt.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions } from '../options.js'
import { Output } from '../output.js'
import { serveParent } from '../supervised.js'

type ServingRole = 'miner' | 'validator'

interface RunOptions extends OutputOptions {
  readonly role?: ServingRole
}

export function addRun(program: Command): void {
  program
    .addOption(new Option('--role <role>', 'run a node of this role').choices(['miner', 'validator']))
    .action(async (options: RunOptions) => {
      if (options.role === undefined) program.help({ error: true })
      await run(options.role, options)
    })
  addSettings(program, [
    'subtensor.chain_endpoint',
    'netuid',
    'db_root_path',
    'node_name',
    'capacity',
    'threshold',
    'listen',
    'wallet.name',
    'wallet.hotkey',
    'wallet.path',
    'log.level',
  ])
  addOutputOptions(program)
}

async function run(role: ServingRole, options: RunOptions): Promise<void> {
  const output = new Output(options)
  const config = await commandConfig(options)
  const signal = interruptSignal()
  const logger = createLogger(config.get('log.level'), { role })
  const hosted = await ownDevchain(config, logger)
  const over = new AbortController()
  let failure: Error | undefined
  const capacityBytes = capacityOf(config)
  const node = createNode(
    {
      role,
      chain: config.get('subtensor.chain_endpoint'),
      netuid: config.get('netuid'),
      dataPath: join(config.get('db_root_path'), 'dev', config.optional('node_name') ?? `${role}-1`),
      listen: [config.get('listen')],
      threshold: config.get('threshold'),
      visitIntervalMs: DEV_VISIT_INTERVAL_MS,
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
      ...walletOf(config),
    },
    {
      logger,
      onFailure: (reason) => {
        failure = reason
        over.abort()
      },
    },
  )
  try {
    await node.start({ signal })
    announce(output, node.identity, config)
    serveParent(node)
    await Promise.race([whenAborted(signal), whenAborted(over.signal)])
    logger.info({}, 'stopping')
  } finally {
    await node.stop()
    await hosted?.parts.stop()
  }
  if (failure !== undefined) throw new SubnetError('INTERNAL', 'the node could not go on', { cause: failure })
}

/** Nobody named a chain: the first node on this machine brings one along, the others join it. */
async function ownDevchain(config: Config, logger: Logger): Promise<HostedDevchain | undefined> {
  if (config.isSet('subtensor.chain_endpoint')) return undefined
  const forBittensor = (['wallet.name', 'wallet.hotkey', 'wallet.path'] as const).find((name) =>
    config.isSet(name),
  )
  if (forBittensor !== undefined) {
    const text = `${flagOf(forBittensor)} needs ${flagOf('subtensor.chain_endpoint')}: the chain of this machine has its own keys`
    throw new SubnetError('CONFIG', text)
  }
  const components = { clock: systemClock, random: systemRandom, logger }
  const hosted = await hostOrJoinDevchain(components, { port: DEFAULT_DEVCHAIN_PORT })
  if (hosted !== undefined) logger.info({ endpoint: hosted.endpoint }, 'hosting a devchain for this machine')
  return hosted
}

function announce(output: Output, identity: NodeIdentity, config: Config): void {
  // A supervisor gets it over its own channel; its child's stdout is nobody's.
  if (process.send !== undefined) return
  const capacityBytes = capacityOf(config)
  const offer =
    capacityBytes === undefined
      ? `${config.get('threshold') * 100} % of the free disk`
      : formatBytes(capacityBytes)
  const rows = [
    `${identity.role} ${identity.uid} is up`,
    `  hotkey   ${identity.hotkey}`,
    `  peer     ${identity.peerId}`,
    `  address  ${identity.addresses.join(' ')}`,
    `  chain    ${config.get('subtensor.chain_endpoint')}`,
    ...(identity.role === 'miner' ? [`  offers   ${offer}`] : []),
    'Ctrl-C ends it cleanly.',
  ]
  output.result(identity, rows.join('\n'))
}

/** A share of the disk is meant for machines of miners by trade; on a devchain an absolute size is of more use. */
function capacityOf(config: Config): number | undefined {
  const dev = config.get('subtensor.chain_endpoint').startsWith('dev:')
  return config.optional('capacity') ?? (dev && !config.isSet('threshold') ? DEV_CAPACITY_BYTES : undefined)
}

/** Bittensor's wallet files are read only when the operator names a wallet. */
function walletOf(config: Config): { readonly wallet?: WalletLocation } {
  const named = config.isSet('wallet.name') || config.isSet('wallet.hotkey') || config.isSet('wallet.path')
  if (!named) return {}
  const [path, name, hotkey] = [
    config.get('wallet.path'),
    config.get('wallet.name'),
    config.get('wallet.hotkey'),
  ]
  return { wallet: { path, name, hotkey } }
}
