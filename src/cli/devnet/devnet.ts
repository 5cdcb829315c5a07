/** A whole subnet on this machine: the embedded chain in this process, every node in a process of its own. */
import { join } from 'node:path'
import type { AbortOptions } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import { Semaphore } from '../../base/semaphore.js'
import { Devchain } from '../../chain/devchain/devchain.js'
import { DevchainServer } from '../../chain/devchain/devchain-server.js'
import { DEVCHAIN_DEFAULTS, type GenesisNeuron } from '../../chain/devchain/genesis.js'
import { toSs58 } from '../../crypto/keys.js'
import { DEV_VALIDATOR_STAKE_RAO } from '../../node/membership.js'
import { loadOrCreateWallet, ownWallet } from '../../node/node.js'
import { NodeProcess } from './node-process.js'

/** Node processes that start at the same time: loading is CPU, and two cores do not load seventeen at once. */
const STARTS_AT_ONCE = 4
/** Until every validator has heard from every miner. */
const SETTLE_TIMEOUT_MS = 60_000
const SETTLE_LOOK_MS = 200

export interface DevnetComponents {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface DevnetInit {
  /** Directory of this run. */
  readonly path: string
  readonly miners: number
  readonly validators: number
  /** As on the command line, e.g. `512MiB`. */
  readonly capacity: string
  /** Port of the chain; another one is taken if it is in use. */
  readonly port: number
}

export interface DevnetNode {
  readonly name: string
  readonly role: 'miner' | 'validator'
  /** SS58. */
  readonly hotkey: string
  /** The latest process of this node. */
  process: NodeProcess
}

/** What a validator says of a miner it has heard from. */
export interface HeardMiner {
  readonly hotkey: string
  readonly heldBytes: number
  readonly heldChunks: number
}

export class Devnet {
  readonly #components: DevnetComponents
  readonly #init: DevnetInit
  readonly #names: readonly string[]
  readonly #nodes = new Map<string, DevnetNode>()
  #chain: { readonly devchain: Devchain; readonly server: DevchainServer } | undefined

  constructor(components: DevnetComponents, init: DevnetInit) {
    this.#components = components
    this.#init = init
    this.#names = [
      ...Array.from({ length: init.validators }, (_, i) => `validator-${i + 1}`),
      ...Array.from({ length: init.miners }, (_, i) => `miner-${i + 1}`),
    ]
  }

  /** What other processes give as `--subtensor.chain_endpoint`. */
  get endpoint(): string {
    return this.#started.server.endpoint
  }

  get genesisHash(): string {
    return this.#started.devchain.constants.genesisHash
  }

  get nodes(): readonly DevnetNode[] {
    return this.#names.flatMap((name) => this.#nodes.get(name) ?? [])
  }

  /** Resolves when every validator has heard from every miner. `onStarted` is told as nodes come up. */
  async start(
    options: AbortOptions & { readonly onStarted?: (up: number, all: number) => void } = {},
  ): Promise<void> {
    const names = this.#names
    await this.#startChain(names)
    await this.#startAll(names, (name) => this.#startNode(name, options), options)
    await this.settled(this.#init.miners, options)
  }

  /** Waits until every validator has heard from this many miners. */
  async settled(miners: number, options: AbortOptions = {}): Promise<void> {
    const { clock } = this.#components
    const endMs = clock.monotonicMs() + SETTLE_TIMEOUT_MS
    for (;;) {
      const counts = await Promise.all(
        this.validators.map(async (node) => (await this.heard(node, options)).length),
      )
      if (counts.every((count) => count === miners)) return
      if (clock.monotonicMs() > endMs) {
        throw new SubnetError('TIMEOUT', `validators hear from ${counts.join(', ')} of ${miners} miners`)
      }
      await clock.sleep(SETTLE_LOOK_MS, options)
    }
  }

  /** Miners this validator heard from at its last visit. */
  async heard(validator: DevnetNode, options: AbortOptions = {}): Promise<readonly HeardMiner[]> {
    return (await validator.process.ask('miners', options)) as readonly HeardMiner[]
  }

  get validators(): readonly DevnetNode[] {
    return this.nodes.filter(({ role }) => role === 'validator')
  }

  get miners(): readonly DevnetNode[] {
    return this.nodes.filter(({ role }) => role === 'miner')
  }

  /** Starts killed nodes again, with the data they have. `onStarted` is told as they come up. */
  async restart(
    nodes: readonly DevnetNode[],
    options: AbortOptions & { readonly onStarted?: (up: number, all: number) => void } = {},
  ): Promise<void> {
    await this.#startAll(
      nodes.map(({ name }) => name),
      async (name) => {
        const node = this.#nodes.get(name)
        if (node !== undefined) node.process = await this.#spawn(name, options)
      },
      options,
    )
  }

  /** Ends all nodes, then the chain. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.process.stop()))
    await this.#chain?.server.stop()
    await this.#chain?.devchain.stop()
    this.#chain = undefined
  }

  get #started(): { readonly devchain: Devchain; readonly server: DevchainServer } {
    if (this.#chain === undefined) throw new SubnetError('STOPPED', 'the devnet is not running')
    return this.#chain
  }

  /** A few at a time. When one fails, those that are starting are waited for, so that `stop` finds them all. */
  async #startAll(
    names: readonly string[],
    start: (name: string) => Promise<void>,
    options: AbortOptions & { readonly onStarted?: (up: number, all: number) => void },
  ): Promise<void> {
    const gate = new Semaphore({ permitsMax: STARTS_AT_ONCE, waitersMax: names.length })
    let up = 0
    const starts = names.map((name) =>
      gate.run(async () => {
        await start(name)
        up += 1
        options.onStarted?.(up, names.length)
      }, options),
    )
    const results = await Promise.allSettled(starts)
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  /** A chain on which every node is registered from the start, each under its own owner. */
  async #startChain(names: readonly string[]): Promise<void> {
    const { random } = this.#components
    const neurons: GenesisNeuron[] = []
    for (const name of names) {
      const { hotkey, coldkey } = await loadOrCreateWallet(ownWallet(this.#pathOf(name)), random)
      const stakeRao = roleOf(name) === 'validator' ? DEV_VALIDATOR_STAKE_RAO : 0n
      neurons.push({ hotkey: toSs58(hotkey.publicKey), coldkey, stakeRao })
    }
    const name = `devnet-${Buffer.from(random.bytes(8)).toString('hex')}`
    const devchain = new Devchain(this.#components, { genesis: { ...DEVCHAIN_DEFAULTS, name, neurons } })
    await devchain.start()
    const server = await this.#serve(devchain)
    this.#chain = { devchain, server }
  }

  /** On the wished port, or any other when somebody has it. */
  async #serve(devchain: Devchain): Promise<DevchainServer> {
    const wished = new DevchainServer({ ...this.#components, devchain }, { port: this.#init.port })
    try {
      await wished.start()
      return wished
    } catch (error) {
      if (!isSubnetError(error, 'CONFIG') || error.data.reason !== 'EADDRINUSE') throw error
      const other = new DevchainServer({ ...this.#components, devchain }, { port: 0 })
      await other.start()
      return other
    }
  }

  async #startNode(name: string, options: AbortOptions): Promise<void> {
    const process = await this.#spawn(name, options)
    this.#nodes.set(name, { name, role: roleOf(name), hotkey: process.identity.hotkey, process })
  }

  async #spawn(name: string, options: AbortOptions): Promise<NodeProcess> {
    const args = [
      ...['--role', roleOf(name), '--node_name', name],
      ...['--db_root_path', this.#init.path, '--subtensor.chain_endpoint', this.endpoint],
      ...(roleOf(name) === 'miner' ? ['--capacity', this.#init.capacity] : []),
    ]
    return await NodeProcess.start(
      this.#components.clock,
      { name, args, logPath: join(this.#init.path, `${name}.log`) },
      options,
    )
  }

  /** Where `--role` with this root and name keeps its data. */
  #pathOf(name: string): string {
    return join(this.#init.path, 'dev', name)
  }
}

function roleOf(name: string): 'miner' | 'validator' {
  return name.startsWith('miner') ? 'miner' : 'validator'
}
