/** `subnet-node --role miner|validator`: runs a node until it is told to end. */
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { systemClock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { createLogger, type Logger } from '../../base/log.js'
import { systemRandom } from '../../base/random.js'
import { formatBytes } from '../../base/units.js'
import type { WalletLocation } from '../../chain/wallet.js'
import { nodeAddresses } from '../../config/addresses.js'
import { chainDirectory, chainEndpoint, isDevchain, namesChain } from '../../config/chain-endpoint.js'
import { DEV_CAPACITY_BYTES, DEV_VISIT_INTERVAL_MS } from '../../config/defaults.js'
import type { Config } from '../../config/resolve.js'
import { flagOf } from '../../config/settings.js'
import { type HostedDevchain, hostOrJoinDevchain } from '../../node/devchain-host.js'
import {
  createNode,
  type NodeIdentity,
  type NodeInit,
  type NodeOptions,
  type NodeStatus,
  type SubnetNode,
} from '../../node/node.js'
import type { DiskTrouble } from '../../roles/miner/disk-watch.js'
import { DEVNET_HOUSEKEEPING } from '../../roles/miner/housekeeping.js'
import { IN_USE } from '../../shard/data-lock.js'
import { interruptSignal, whenAborted } from '../interrupt.js'
import { addOutputOptions, addSettings, commandConfig, type OutputOptions } from '../options.js'
import { Output } from '../output.js'
import { serveParent } from '../supervised.js'
import { addPasswordOption, givenPassword, type PasswordOptions } from '../wallet-session.js'
import { weightsPath } from '../weights-path.js'
import { devchainDirectory } from './devchain.js'

/** Names tried before giving up: more nodes of a role than one machine has uids for. */
const NAMES_MAX = 256

type ServingRole = 'miner' | 'validator'

interface RunOptions extends OutputOptions, PasswordOptions {
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
    'subtensor.network',
    'subtensor.chain_endpoint',
    'subtensor.devchain_port',
    'subtensor.devchain_block_ms',
    'subtensor.devchain_path',
    'netuid',
    'db_root_path',
    'node_name',
    'capacity',
    'threshold',
    'listen',
    'announce',
    'axon.ip',
    'axon.port',
    'axon.external_ip',
    'axon.external_port',
    'wallet.name',
    'wallet.hotkey',
    'wallet.path',
    'log.level',
  ])
  addPasswordOption(program)
  addOutputOptions(program)
}

async function run(role: ServingRole, options: RunOptions): Promise<void> {
  const output = new Output(options)
  const config = await commandConfig(options)
  const walletPassword = await givenPassword(options)
  const init = { role, ...(walletPassword === undefined ? {} : { walletPassword }) }
  const signal = interruptSignal()
  const logger = createLogger(config.get('log.level'), { role })
  let node: SubnetNode | undefined
  // Before anybody can know of the process: unhandled, the signal would end it.
  serveStatusSignal(() => node, output)
  const hosted = await ownDevchain(config, logger)
  let failure: Error | undefined
  try {
    const over = new AbortController()
    node = await startUnderFreeName(init, config, signal, {
      logger,
      onFailure: (reason) => {
        failure = reason
        over.abort()
      },
    })
    announce(output, node.identity, config, hosted)
    serveParent(node)
    await Promise.race([whenAborted(signal), whenAborted(over.signal)])
    logger.info({}, 'stopping')
  } finally {
    await node?.stop()
    await hosted?.parts.stop()
  }
  if (failure !== undefined) throw new SubnetError('INTERNAL', 'the node could not go on', { cause: failure })
}

/** Two nodes of a role on one machine need no names: the second is `<role>-2`. A name that was given is not changed. */
async function startUnderFreeName(
  init: Pick<NodeInit, 'role' | 'walletPassword'>,
  config: Config,
  signal: AbortSignal,
  options: NodeOptions,
): Promise<SubnetNode> {
  const given = config.optional('node_name')
  for (let number = 1; ; number += 1) {
    const name = given ?? `${init.role}-${number}`
    const node = createNode({ ...init, ...nodeInit(init.role, name, config) }, options)
    try {
      await node.start({ signal })
      return node
    } catch (error) {
      const inUse = isSubnetError(error, 'DATA_DIR') && error.data.reason === IN_USE
      if (!inUse || given !== undefined || number === NAMES_MAX) throw error
      options.logger?.info({ name }, 'this name is in use on this machine: trying the next')
    }
  }
}

function nodeInit(role: ServingRole, name: string, config: Config): NodeInit {
  const capacityBytes = capacityOf(config)
  const { listen, announce } = nodeAddresses(config)
  return {
    role,
    chain: chainEndpoint(config),
    netuid: config.get('netuid'),
    dataPath: join(config.get('db_root_path'), chainDirectory(config), name),
    weightsPath: weightsPath(config),
    listen: [listen],
    ...(announce === undefined ? {} : { announce }),
    threshold: config.get('threshold'),
    ...(isDevchain(config)
      ? { visitIntervalMs: DEV_VISIT_INTERVAL_MS, housekeeping: DEVNET_HOUSEKEEPING }
      : {}),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    ...walletOf(config),
  }
}

/** `kill -USR2 <pid>`: what the node knows of itself, on stderr. */
function serveStatusSignal(running: () => SubnetNode | undefined, output: Output): void {
  process.on('SIGUSR2', () => {
    const node = running()
    if (node === undefined) {
      output.report({ state: 'starting' }, 'starting')
      return
    }
    node.status().then(
      (status) => output.report(status, statusText(status)),
      // It stops at this moment.
      (error: unknown) => output.failure(error),
    )
  })
}

function statusText(status: NodeStatus): string {
  const { role, uid, hotkey, block, membersBlock, registered, validatorPermit, members, validators } = status
  const shards = status.shards?.map(
    ({ validator, chunks, heldBytes, trashBytes, lostChunks, servedBytes, receiptedBytes }) =>
      `  shard    ${validator}  ${chunks} chunks, ${formatBytes(heldBytes)}, trash ${formatBytes(trashBytes)}` +
      `; served ${formatBytes(servedBytes)}, confirmed ${formatBytes(receiptedBytes)}` +
      (lostChunks === 0 ? '' : `, ${lostChunks} LOST`),
  )
  return [
    `${role} ${uid}  ${hotkey}`,
    `  chain    block ${block}, members as of block ${membersBlock}`,
    `  subnet   ${members} members, ${validators} validators with a permit`,
    `  itself   ${registered ? 'registered' : 'NOT registered'}${validatorPermit ? ', with a permit' : ''}`,
    ...(status.minersUp === undefined ? [] : [`  miners   ${status.minersUp} answered lately`]),
    ...(status.budgetBytes === undefined ? [] : [`  offers   ${formatBytes(status.budgetBytes)}`]),
    ...(status.diskTrouble === undefined ? [] : [`  disk     ${diskText(status.diskTrouble)}`]),
    ...(shards ?? []),
  ].join('\n')
}

function diskText({ refuses, reason }: DiskTrouble): string {
  return `${refuses === 'everything' ? 'DOES NOT WORK' : 'TAKES NOTHING, IS READ'}: ${reason}`
}

/** Nobody named a chain: the first node on this machine brings one along, the others join it. */
async function ownDevchain(config: Config, logger: Logger): Promise<HostedDevchain | undefined> {
  if (namesChain(config)) return undefined
  const forBittensor = (['wallet.name', 'wallet.hotkey', 'wallet.path'] as const).find((name) =>
    config.isSet(name),
  )
  if (forBittensor !== undefined) {
    const text = `${flagOf(forBittensor)} needs ${flagOf('subtensor.network')} or ${flagOf('subtensor.chain_endpoint')}: the chain of this machine has its own keys`
    throw new SubnetError('CONFIG', text)
  }
  const components = { clock: systemClock, random: systemRandom, logger }
  const hosted = await hostOrJoinDevchain(components, {
    port: config.get('subtensor.devchain_port'),
    ...devchainDirectory(config, config.get('subtensor.devchain_port')),
    blockMs: config.get('subtensor.devchain_block_ms'),
  })
  const endpoint = chainEndpoint(config)
  if (hosted !== undefined)
    logger.info(
      { endpoint },
      'hosting a devchain for this machine: it stops with this process, and goes on with the next',
    )
  else logger.info({ endpoint }, 'joining the devchain that another process of this machine hosts')
  return hosted
}

function announce(
  output: Output,
  identity: NodeIdentity,
  config: Config,
  hosted: HostedDevchain | undefined,
): void {
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
    `  chain    ${chainEndpoint(config)}${hosted === undefined ? '' : ', hosted by this process'}`,
    ...(identity.role === 'miner' ? [`  offers   ${offer}`] : []),
    'Ctrl-C ends it cleanly.',
  ]
  output.result(identity, rows.join('\n'))
}

/** A share of the disk is meant for machines of miners by trade; on a devchain an absolute size is of more use. */
export function capacityOf(config: Config): number | undefined {
  const byDefault = isDevchain(config) && !config.isSet('threshold') ? DEV_CAPACITY_BYTES : undefined
  return config.optional('capacity') ?? byDefault
}

/** On a devchain, Bittensor's wallet files are read only when the operator names a wallet. */
export function walletOf(config: Config): { readonly wallet?: WalletLocation } {
  const named = config.isSet('wallet.name') || config.isSet('wallet.hotkey') || config.isSet('wallet.path')
  if (!named && isDevchain(config)) return {}
  const [path, name, hotkey] = [
    config.get('wallet.path'),
    config.get('wallet.name'),
    config.get('wallet.hotkey'),
  ]
  return { wallet: { path, name, hotkey } }
}
