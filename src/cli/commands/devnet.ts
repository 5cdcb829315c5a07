/** `subnet-node devnet`: a whole subnet on this machine; with `--drill` it shows first that it works. */
import type { Command } from 'commander'
import { systemClock } from '../../base/clock.js'
import { invariant } from '../../base/errors.js'
import { systemRandom } from '../../base/random.js'
import { parseBytes } from '../../base/units.js'
import { DEFAULT_CHAIN_ENDPOINT, DEFAULT_DEVCHAIN_PORT } from '../../config/defaults.js'
import { Devnet } from '../devnet/devnet.js'
import { runDrill } from '../devnet/drill.js'
import {
  createRunDirectory,
  keepRunDirectory,
  removeLeftovers,
  removeRunDirectory,
} from '../devnet/run-directory.js'
import { Screen } from '../devnet/screen.js'
import { interruptSignal, whenAborted } from '../interrupt.js'
import {
  addLogLevel,
  addOutputOptions,
  addSettings,
  commandConfig,
  commandLogger,
  type OutputOptions,
  wholeNumber,
} from '../options.js'
import { openSource } from '../put-source.js'

interface DevnetOptions extends OutputOptions {
  readonly miners: number
  readonly validators: number
  readonly capacity: string
  readonly port: number
  readonly drill: boolean
  readonly once: boolean
  readonly kill: number
  readonly file?: string
  readonly seed?: string
  readonly keep: boolean
}

export function addDevnet(program: Command): void {
  const command = program
    .command('devnet')
    .description(
      'run a whole subnet on this machine: chain, validators and miners, each a process of its own',
    )
    .option('--miners <n>', 'miners', wholeNumber(1, 200), 14)
    .option('--validators <n>', 'validators', wholeNumber(1, 50), 3)
    .option('--capacity <size>', 'bytes each miner offers', '512MiB')
    .option(
      '--port <n>',
      'port of the chain; another one if it is taken',
      wholeNumber(0, 65_535),
      DEFAULT_DEVCHAIN_PORT,
    )
    .option('--drill', 'store a file, kill miners, read it back, audit, restart them', false)
    .option('--once', 'with --drill: end after it; the exit code says whether it succeeded', false)
    .option('--kill <n>', 'with --drill: miners to kill', wholeNumber(0, 200), 6)
    .option('--file <path>', 'with --drill: file to store (default 64 MiB made from a seed)')
    .option('--seed <text>', 'with --drill: seed of that file (default: a new one)')
    .option('--keep', 'leave data and logs behind', false)
    .action(devnet)
  addSettings(command, ['db_root_path', 'profile'])
  addLogLevel(command)
  addOutputOptions(command)
}

async function devnet(options: DevnetOptions): Promise<void> {
  // Said wrong on the command line, it is better said before seventeen processes start.
  parseBytes(options.capacity)
  if (options.file !== undefined) (await openSource(options.file)).stream.destroy()
  const signal = interruptSignal()
  const screen = new Screen(systemClock, options)
  const config = await commandConfig(options)
  const root = config.get('db_root_path')
  const leftovers = await removeLeftovers(root)
  if (leftovers > 0) screen.print(`Removed what ${leftovers} devnet that was killed had left.`)
  const path = await createRunDirectory(root)
  const { miners, validators, capacity, port } = options
  const network = new Devnet(
    {
      clock: systemClock,
      random: systemRandom,
      logger: commandLogger(config),
    },
    { path, miners, validators, capacity, port },
  )
  let succeeded = false
  try {
    await startNetwork(network, screen, options, path, signal)
    const drilled = options.drill
      ? await drill(network, screen, { ...options, profile: config.get('profile') }, path, signal)
      : undefined
    if (!options.once) await stayUp(network, screen, drilled, signal)
    succeeded = true
  } catch (error) {
    // Ended before it was done. What else breaks while everything ends is not the reason.
    signal.throwIfAborted()
    throw error
  } finally {
    await network.stop()
    const failed = !succeeded && !signal.aborted
    if (options.keep || failed) {
      await keepRunDirectory(path)
      screen.print(`Data and logs are in ${path}`)
    } else await removeRunDirectory(path)
  }
}

async function startNetwork(
  network: Devnet,
  screen: Screen,
  options: DevnetOptions,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  screen.print('', screen.bold('subnet-node: a storage subnet on this machine'), '')
  await screen.step('network', async (live) => {
    await network.start({ signal, onStarted: (up, all) => live(`${up} of ${all} nodes are up`) })
    const { endpoint, genesisHash, nodes } = network
    const facts = {
      endpoint,
      genesisHash,
      path,
      nodes: nodes.map(({ name, role, hotkey, process }) => ({ name, role, hotkey, pid: process.pid })),
    }
    const lines = [
      `${options.validators} validators and ${options.miners} miners, each its own process`,
      `chain ${endpoint}  genesis ${genesisHash.slice(0, 18)}…`,
      `data  ${path}`,
    ]
    return { facts, lines }
  })
}

async function drill(
  network: Devnet,
  screen: Screen,
  options: DevnetOptions & { readonly profile: string },
  path: string,
  signal: AbortSignal,
): Promise<string> {
  invariant(network.miners.length > 0, 'a devnet has miners')
  const seed = options.seed ?? Buffer.from(systemRandom.bytes(6)).toString('hex')
  const capability = await runDrill(
    network,
    screen,
    { path, file: options.file, seed, profile: options.profile, kill: options.kill },
    signal,
  )
  screen.print('', screen.bold('Everything went in, everything came out.'))
  return capability
}

/** `capability`: of the drill's file, if there was a drill. */
async function stayUp(
  network: Devnet,
  screen: Screen,
  capability: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const where =
    network.endpoint === DEFAULT_CHAIN_ENDPOINT ? '' : ` --subtensor.chain_endpoint ${network.endpoint}`
  screen.print(
    '',
    'The network stays up. From a second terminal, in this directory:',
    '',
    `  npx subnet-node put README.md${where}`,
    `  npx subnet-node get '${capability ?? '<capability>'}' -o copy${where}`,
    `  npx subnet-node status${where}`,
    '',
    'Ctrl-C ends it.',
  )
  await whenAborted(signal)
  screen.print('', 'Ending every process…')
}
