/** The composition root of a client: a chain endpoint in, a running `StorageClient` out. It listens on nothing. */
import type { AbortOptions } from '../base/abort.js'
import { type Clock, systemClock } from '../base/clock.js'
import { invariant } from '../base/errors.js'
import { type Startable, sequence, step } from '../base/lifecycle.js'
import { type Logger, silentLogger } from '../base/log.js'
import { type Random, systemRandom } from '../base/random.js'
import type { Chain } from '../chain/chain.js'
import { connectChain } from '../chain/endpoint.js'
import { SubnetView } from '../chain/subnet-view.js'
import type { CodingPool } from '../coding/coding-pool.js'
import { inlineCoding } from '../coding/inline-coding.js'
import { WorkerCoding } from '../coding/worker-coding.js'
import { DEFAULT_LEASE_BLOCKS, DEFAULT_PROFILE, defaultCodingThreads } from '../config/defaults.js'
import { cryptoReady, ed25519Signer, type Signer } from '../crypto/keys.js'
import type { ProfileName } from '../redundancy/profiles.js'
import { StorageClient } from '../roles/client/client.js'
import { dhtSearch } from './dht-search.js'
import { Neighbours } from './neighbours.js'
import { createNetwork, type Network, requireNetuid } from './network.js'

export interface ClientInit {
  /** Endpoint such as `dev://127.0.0.1:9944`, or a chain of the embedder, who then starts and stops it. */
  readonly chain: string | Chain
  /** Subnet that the chain must be of; any by default. */
  readonly netuid?: number
  /** 32-byte seed of the client's own ed25519 key, the owner of what it puts. Default: a new one for this run. */
  readonly keySeed?: Uint8Array
  readonly defaultProfile?: ProfileName
  /** Blocks that objects are leased for unless a put says otherwise. */
  readonly defaultLeaseBlocks?: number
  /** Threads that encode and decode; 0 does it on the caller's. Default: one less than cores, at least 1, at most 4. */
  readonly codingThreads?: number
}

export interface ClientOptions {
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
}

/** Does nothing before `start`. */
export function createClient(init: ClientInit, options: ClientOptions = {}): SubnetClient {
  return new SubnetClient(init, {
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? silentLogger,
  })
}

interface Running {
  readonly parts: readonly Startable[]
  readonly chain: Chain
  readonly view: SubnetView
  readonly network: Network
  /** The client's own key. */
  readonly signer: Signer
  readonly storage: StorageClient
}

export class SubnetClient implements Startable {
  readonly #init: ClientInit
  readonly #options: Required<ClientOptions>
  #running: Running | undefined

  constructor(init: ClientInit, options: Required<ClientOptions>) {
    this.#init = init
    this.#options = options
  }

  /** Rejects with `CONFIG` or `CHAIN_UNAVAILABLE`; then nothing is left running. */
  async start(options: AbortOptions = {}): Promise<void> {
    invariant(this.#running === undefined, 'the client is started once')
    const { clock, random, logger } = this.#options
    await cryptoReady()
    const given = this.#init.chain
    const chain =
      typeof given === 'string' ? connectChain(given, { clock, random, logger }, this.#init) : given
    const view = new SubnetView({ chain, logger })
    const base = sequence([...(typeof given === 'string' ? [chain] : []), view])
    await base.start(options)
    try {
      requireNetuid(chain.constants, this.#init.netuid)
      const signer = ed25519Signer(this.#init.keySeed ?? random.bytes(32))
      const network = createNetwork(
        { clock, logger, chain, view, signer },
        { role: 'client', peerKeySeed: random.bytes(32), listen: [] },
      )
      const { net, reviewing } = network
      const neighbours = new Neighbours({ net, view, clock, random, logger })
      const findProviders = dhtSearch({ net, neighbours, clock })
      const coding = codingPool(this.#init.codingThreads ?? defaultCodingThreads())
      const storage = new StorageClient(
        { ...network, clock, random, view, signer, coding, findProviders },
        {
          domain: network.domain,
          epochs: chain.constants,
          defaultProfile: this.#init.defaultProfile ?? DEFAULT_PROFILE,
          defaultLeaseBlocks: this.#init.defaultLeaseBlocks ?? DEFAULT_LEASE_BLOCKS,
        },
      )
      const parts = sequence([coding, net, reviewing, step({ stop: () => neighbours.stop() })])
      await parts.start(options)
      this.#running = { parts: [base, parts], chain, view, network, signer, storage }
    } catch (error) {
      // The reason of the failed start is what the caller must see, not what the clean-up met.
      await base.stop().catch(() => undefined)
      throw error
    }
  }

  async stop(): Promise<void> {
    const [base, serving] = this.#running?.parts ?? []
    this.#running = undefined
    try {
      await serving?.stop()
    } finally {
      await base?.stop()
    }
  }

  /** put, get, stat. Throws `InvariantError` before `start` has resolved. */
  get storage(): StorageClient {
    return this.#started.storage
  }

  /** The subnet as the chain shows it now, and the way to its peers. */
  get subnet(): Pick<Running, 'chain' | 'view' | 'network' | 'signer'> {
    return this.#started
  }

  get #started(): Running {
    invariant(this.#running !== undefined, 'the client is running')
    return this.#running
  }
}

function codingPool(threads: number): CodingPool {
  return threads === 0 ? inlineCoding : new WorkerCoding({ threads })
}
