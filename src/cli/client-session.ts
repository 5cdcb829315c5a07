/** Runs one client command: a started client in, whatever happens a stopped one out; and the list of what it has put. */
import { join } from 'node:path'
import type { Command } from 'commander'
import { deadline } from '../base/abort.js'
import { systemClock } from '../base/clock.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import { chainEndpoint } from '../config/chain-endpoint.js'
import type { Config } from '../config/resolve.js'
import type { SettingName } from '../config/settings.js'
import { createClient, type SubnetClient } from '../node/client.js'
import { ObjectCatalogue } from '../node/object-catalogue.js'
import { interruptSignal } from './interrupt.js'
import {
  addLogLevel,
  addOutputOptions,
  addSettings,
  CHAIN_SETTINGS,
  commandConfig,
  commandLogger,
  type OutputOptions,
  wholeNumber,
} from './options.js'
import { Output } from './output.js'

/** Without a chain for so long, a command says what it waits for. */
const SAY_WAITING_MS = 2_000
/** Between two attempts to reach the chain. */
const TRY_AGAIN_MS = 500
/** Time for the chain to answer, unless `--timeout` says otherwise. */
const CHAIN_TIMEOUT_SECONDS = 30

export interface ClientCommandOptions extends OutputOptions {
  readonly timeout: number
}

/** Flags that every client command has. */
export function addClientOptions(command: Command, more: readonly SettingName[] = []): void {
  addSettings(command, [...CHAIN_SETTINGS, ...more, 'db_root_path'])
  addLogLevel(command)
  command.option(
    '--timeout <seconds>',
    'how long to wait for the chain',
    wholeNumber(1, 3_600),
    CHAIN_TIMEOUT_SECONDS,
  )
  addOutputOptions(command)
}

/** What this machine's client has put. */
export function openCatalogue(config: Config): ObjectCatalogue {
  return new ObjectCatalogue(join(config.get('db_root_path'), 'client', 'objects'))
}

/** The subnet as records on this machine name it. */
export function subnetOf(client: SubnetClient): string {
  const { genesisHash, netuid } = client.subnet.chain.constants
  return `${genesisHash}/${netuid}`
}

/** About when the chain will be at a block, Unix time. */
export function timeOfBlock(block: number, client: SubnetClient): number {
  const { view, chain } = client.subnet
  return Math.round(systemClock.nowMs() + (block - view.block) * chain.constants.blockMs)
}

export async function withClient(
  options: ClientCommandOptions,
  work: (client: SubnetClient, signal: AbortSignal, config: Config) => Promise<void>,
): Promise<void> {
  await withClientOf(options, await commandConfig(options), work)
}

/**
 * As `withClient`, for the capability that a user wrote: itself, or a name or id that `ls` shows. Rejects with `INVALID`
 * for what can be none before anything is contacted.
 */
export async function withObject(
  text: string,
  options: ClientCommandOptions,
  work: (capability: string, client: SubnetClient, signal: AbortSignal, config: Config) => Promise<void>,
): Promise<void> {
  const config = await commandConfig(options)
  const capabilityOn = await openCatalogue(config).find(text)
  await withClientOf(options, config, (client, signal) =>
    work(capabilityOn(subnetOf(client)), client, signal, config),
  )
}

async function withClientOf(
  options: ClientCommandOptions,
  config: Config,
  work: (client: SubnetClient, signal: AbortSignal, config: Config) => Promise<void>,
): Promise<void> {
  const signal = interruptSignal()
  const client = await startedClient(options, config, signal)
  try {
    await work(client, signal, config)
  } finally {
    await client.stop()
  }
}

/** Rejects with `CHAIN_UNAVAILABLE`, and says what to do, when the chain does not answer in time. */
async function startedClient(
  options: ClientCommandOptions,
  config: Config,
  signal: AbortSignal,
): Promise<SubnetClient> {
  const endpoint = chainEndpoint(config)
  const output = new Output(options)
  using scope = deadline(systemClock, options.timeout * 1_000, 'waiting for the chain', signal)
  const notice = systemClock.after(SAY_WAITING_MS, () => {
    const text = `waiting for the chain at ${endpoint}, for at most ${options.timeout} s (--timeout)`
    output.report({ waitingFor: 'chain', endpoint, timeoutSeconds: options.timeout }, text)
  })
  try {
    for (;;) {
      const client = createClient(
        { chain: endpoint, netuid: config.get('netuid'), defaultProfile: config.get('profile') },
        { clock: systemClock, logger: commandLogger(config) },
      )
      try {
        await client.start(scope)
        return client
      } catch (error) {
        signal.throwIfAborted()
        const isOver = scope.signal.aborted
        if (!isOver && !isSubnetError(error, 'CHAIN_UNAVAILABLE')) throw error
        if (isOver) throw noChain(endpoint, options.timeout, error)
        // Its own patience is shorter than the user's; the next start says whether that is over too.
        await systemClock.sleep(TRY_AGAIN_MS, scope).catch(() => undefined)
      }
    }
  } finally {
    notice.cancel()
  }
}

function noChain(endpoint: string, timeoutSeconds: number, cause: unknown): SubnetError {
  const text =
    `the chain at ${endpoint} has not answered in ${timeoutSeconds} s. Start it (\`subnet-node devchain\`, or a ` +
    'validator or miner on this machine), name another one with --subtensor.chain_endpoint, or see what ' +
    '`subnet-node doctor` says'
  return new SubnetError('CHAIN_UNAVAILABLE', text, { cause, data: { endpoint, timeoutSeconds } })
}
