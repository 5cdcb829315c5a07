/**
 * A whole subnet in one process: an in-process devchain and real nodes over TCP on loopback, their data in a temporary
 * directory. Miners are `miner-0`, `miner-1`, …, validators `validator-0`, …; each node is its own operator.
 */
import '../../src/base/platform.js'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.js'
import { type Logger, silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import type { Chain } from '../../src/chain/chain.js'
import { Devchain } from '../../src/chain/devchain/devchain.js'
import type { GenesisSpec } from '../../src/chain/devchain/genesis.js'
import { localChain } from '../../src/chain/endpoint.js'
import { type Signer, sr25519Signer, toSs58 } from '../../src/crypto/keys.js'
import { type ClientOptions, createClient, type SubnetClient } from '../../src/node/client.js'
import { createNode, loadOrCreateWallet, ownWallet, type SubnetNode } from '../../src/node/node.js'
import type { AllowanceInit } from '../../src/roles/miner/allowance.js'
import type { WatchedMiner } from '../../src/roles/validator/miner-watch.js'
import { type Tamper, tampered } from './tamper.js'
import { type TempDir, tempDir } from './temp-dir.js'
import { until } from './until.js'

export interface LocalNetworkInit {
  readonly miners: number
  readonly validators: number
  /** What every miner offers. Default 256 MiB. */
  readonly capacityBytes?: number
  /** By name: miners that offer something else. */
  readonly capacities?: Readonly<Record<string, number>>
  /** What every miner gives without an order. Default: as in production. */
  readonly allowance?: AllowanceInit
  /** By name: nodes that misbehave. */
  readonly tampers?: Readonly<Record<string, Tamper>>
  /** Names that get the first uids, in this order. */
  readonly firstUids?: readonly string[]
  /** What the devchain is to start with besides. */
  readonly genesis?: Partial<Pick<GenesisSpec, 'tempo' | 'parameters'>>
  /** Whether nodes see the faucet. Default true; without, one that was pruned does not come back, as on a real chain. */
  readonly faucet?: boolean
  readonly logger?: Logger
  /** Validators that have a permit at once, those with the most stake. Default: all. */
  readonly permits?: number
}

const VALIDATOR_STAKE_RAO = 1_000_000_000_000n
/** Short, so that tests do not wait for blocks. */
const BLOCK_MS = 100
const VISIT_INTERVAL_MS = 500

interface Running {
  readonly node: SubnetNode
  readonly chain: Chain
}

export class LocalNetwork implements AsyncDisposable {
  readonly devchain: Devchain
  readonly #init: LocalNetworkInit
  readonly #directory: TempDir
  readonly #nodes = new Map<string, Running>()
  readonly #clients = new Map<SubnetClient, Chain>()
  readonly #hotkeys: ReadonlyMap<string, Signer>

  private constructor(
    init: LocalNetworkInit,
    directory: TempDir,
    devchain: Devchain,
    hotkeys: ReadonlyMap<string, Signer>,
  ) {
    this.#init = init
    this.#directory = directory
    this.devchain = devchain
    this.#hotkeys = hotkeys
  }

  /** Resolves when every validator has heard from every miner. */
  static async start(init: LocalNetworkInit): Promise<LocalNetwork> {
    const directory = await tempDir()
    const all = [...numbered('validator', init.validators), ...numbered('miner', init.miners)]
    const names = [...new Set([...(init.firstUids ?? []), ...all])]
    const hotkeys = new Map<string, Signer>()
    const neurons = await Promise.all(
      names.map(async (name) => {
        const wallet = ownWallet(join(directory.path, name))
        const { hotkey, coldkey } = await loadOrCreateWallet(wallet, seededRandom(name))
        hotkeys.set(name, hotkey)
        const stakeRao = name.startsWith('validator') ? VALIDATOR_STAKE_RAO : 0n
        return { hotkey: toSs58(hotkey.publicKey), coldkey, stakeRao }
      }),
    )
    const devchain = new Devchain(
      { clock: systemClock, random: seededRandom('devchain'), logger: silentLogger },
      {
        genesis: {
          name: 'test',
          netuid: 1,
          blockMs: BLOCK_MS,
          tempo: 20,
          ...init.genesis,
          parameters: {
            ...init.genesis?.parameters,
            ...(init.permits === undefined ? {} : { maxAllowedValidators: init.permits }),
          },
          neurons,
        },
      },
    )
    await devchain.start()
    const network = new LocalNetwork(init, directory, devchain, hotkeys)
    try {
      await Promise.all(names.map((name) => network.startNode(name)))
      await network.ready()
      return network
    } catch (error) {
      await network[Symbol.asyncDispose]()
      throw error
    }
  }

  get miners(): readonly string[] {
    return [...this.#nodes.keys()].filter((name) => name.startsWith('miner')).sort()
  }

  get validators(): readonly string[] {
    return [...this.#nodes.keys()].filter((name) => name.startsWith('validator')).sort()
  }

  /** A running node. */
  node(name: string): SubnetNode {
    const running = this.#nodes.get(name)
    if (running === undefined) throw new Error(`${name} is not running`)
    return running.node
  }

  /** The keys of a node, whether it runs or not. */
  async keysOf(name: string): Promise<{ readonly hotkey: Signer; readonly coldkey: Signer }> {
    const random = seededRandom(name)
    const wallet = ownWallet(join(this.#directory.path, name))
    // The first thing that a new wallet draws.
    const coldkey = sr25519Signer(random.bytes(32))
    return { hotkey: (await loadOrCreateWallet(wallet, random)).hotkey, coldkey }
  }

  /** By SS58 address. */
  nameOf(hotkey: string): string {
    for (const [name, { publicKey }] of this.#hotkeys) if (toSs58(publicKey) === hotkey) return name
    throw new Error(`${hotkey} is nobody's hotkey`)
  }

  /** Where a node has its data. */
  dataPath(name: string): string {
    return join(this.#directory.path, name)
  }

  /** The faucet stakes as much for it again, so many times: in effect at the next epoch. */
  async stake(name: string, times: number): Promise<void> {
    const hotkey = this.#hotkeys.get(name)
    if (hotkey === undefined) throw new Error(`there is no ${name}`)
    const chain = await this.#chain()
    try {
      await chain.faucet?.stake(hotkey, VALIDATOR_STAKE_RAO * BigInt(times))
    } finally {
      await chain.stop()
    }
  }

  /** Starts a node with the data it has. */
  async startNode(name: string): Promise<void> {
    const chain = await this.#chain()
    const { capacities, capacityBytes, allowance, tampers, logger } = this.#init
    const node = createNode(
      {
        role: name.startsWith('miner') ? 'miner' : 'validator',
        chain,
        dataPath: this.dataPath(name),
        capacityBytes: capacities?.[name] ?? capacityBytes ?? 256 * MIB,
        visitIntervalMs: VISIT_INTERVAL_MS,
        ...(allowance === undefined ? {} : { allowance }),
      },
      { logger: logger ?? silentLogger, random: seededRandom(`node ${name}`) },
    )
    const tamper = tampers?.[name]
    await (tamper === undefined ? node.start() : tampered(tamper, () => node.start()))
    this.#nodes.set(name, { node, chain })
  }

  async stopNode(name: string): Promise<void> {
    const running = this.#nodes.get(name)
    this.#nodes.delete(name)
    await running?.node.stop()
    await running?.chain.stop()
  }

  /** Runs `work` while these nodes are stopped, and has them back afterwards. */
  async without(names: readonly string[], work: () => Promise<void>): Promise<void> {
    await Promise.all(names.map((name) => this.stopNode(name)))
    try {
      await work()
    } finally {
      await Promise.all(names.map((name) => this.startNode(name)))
      await this.ready()
    }
  }

  /** A client that knows nothing but the chain. */
  async client(options: ClientOptions = {}): Promise<SubnetClient> {
    const chain = await this.#chain()
    const client = createClient({ chain }, { logger: this.#init.logger ?? silentLogger, ...options })
    await client.start()
    this.#clients.set(client, chain)
    return client
  }

  async stopClient(client: SubnetClient): Promise<void> {
    const chain = this.#clients.get(client)
    this.#clients.delete(client)
    await client.stop()
    await chain?.stop()
  }

  /** Every running validator has heard from every running miner, where that listens now, and from no other. */
  async ready(): Promise<void> {
    const miners = this.miners.length
    await until(
      async () => {
        const heard = await Promise.all(this.validators.map((name) => this.node(name).miners()))
        const complete = heard.filter(
          (list) => list.length === miners && list.every(({ member }) => this.#listens(member)),
        ).length
        return complete >= Math.min(heard.length, this.#init.permits ?? heard.length)
      },
      { deadlineMs: 60_000, title: `validators hear from ${miners} miners` },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#clients.keys()].map((client) => this.stopClient(client)))
    await Promise.all([...this.#nodes.keys()].map((name) => this.stopNode(name)))
    await this.devchain.stop()
    await this.#directory[Symbol.asyncDispose]()
  }

  /** Not where it was before a restart. */
  #listens({ hotkey, endpoint }: WatchedMiner['member']): boolean {
    const running = this.#nodes.get(this.nameOf(hotkey))
    const own = running?.node.identity.addresses ?? []
    return endpoint.addresses.some((address) => own.some((each) => each.startsWith(`${address}/`)))
  }

  async #chain(): Promise<Chain> {
    const chain = localChain(this.devchain, { clock: systemClock })
    await chain.start()
    return this.#init.faucet === false ? withoutFaucet(chain) : chain
  }
}

function withoutFaucet(chain: Chain): Chain {
  return new Proxy(chain, {
    get(target, name) {
      const value: unknown = name === 'faucet' ? undefined : Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function numbered(role: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${role}-${i}`)
}
