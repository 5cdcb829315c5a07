/**
 * The composition root of a serving node: settings and ports in, a running miner or validator out. Everything is wired
 * here by hand and nowhere else.
 */
import { join as joinPath } from 'node:path'
import type { WireDomain } from '../../protocols/common/signed.js'
import { ActorSystem } from '../actor/system.js'
import type { AbortOptions } from '../base/abort.js'
import { type Clock, systemClock } from '../base/clock.js'
import { invariant, isSubnetError, SubnetError } from '../base/errors.js'
import { type Startable, sequence, step } from '../base/lifecycle.js'
import { type Logger, silentLogger } from '../base/log.js'
import { pathExists } from '../base/make-directory.js'
import { type Random, systemRandom } from '../base/random.js'
import type { Chain } from '../chain/chain.js'
import { connectChain } from '../chain/endpoint.js'
import { SubnetView } from '../chain/subnet-view.js'
import {
  coldkeyPath,
  coldkeyUnlocked,
  createHotkey,
  loadColdkeyAddress,
  loadHotkey,
  type WalletLocation,
  writeColdkeyPub,
} from '../chain/wallet.js'
import {
  DEFAULT_LISTEN,
  DEFAULT_THRESHOLD,
  DEFAULT_WALLET_HOTKEY,
  DEFAULT_WALLET_NAME,
} from '../config/defaults.js'
import { cryptoReady, type Signer, sr25519Signer, toSs58 } from '../crypto/keys.js'
import { listenFailure, tcpAddressOf } from '../net/listening.js'
import type { AllowanceInit } from '../roles/miner/allowance.js'
import type { DiskTrouble } from '../roles/miner/disk-watch.js'
import { type Housekeeping, MAINNET_HOUSEKEEPING } from '../roles/miner/housekeeping.js'
import { type HeldShard, Miner, type MinerComponents } from '../roles/miner/miner.js'
import type { AuditReport } from '../roles/validator/auditor.js'
import type { WatchedMiner } from '../roles/validator/miner-watch.js'
import { Validator, type ValidatorComponents } from '../roles/validator/validator.js'
import type { WeightProvider } from '../roles/validator/weight-rounds.js'
import { dataLock } from '../shard/data-lock.js'
import { claimDataDirectory } from './data-stamp.js'
import { Membership } from './membership.js'
import { Neighbours } from './neighbours.js'
import { createNetwork, requireNetuid } from './network.js'
import { loadOrCreatePeerKey } from './peer-key.js'

export interface NodeInit {
  readonly role: 'miner' | 'validator'
  /** Endpoint such as `dev://127.0.0.1:9944`, or a chain of the embedder, who then starts and stops it. */
  readonly chain: string | Chain
  /** Subnet that the chain must be of; any by default. */
  readonly netuid?: number
  /** Keys, shards and ledger of this node; made if absent. One running node per directory. */
  readonly dataPath: string
  /** Bittensor wallet; by default one inside `dataPath`, made at the first start. */
  readonly wallet?: WalletLocation
  /** Of an encrypted hotkey in `wallet`. */
  readonly walletPassword?: string
  /** Multiaddrs to listen on. Default: loopback, any port. */
  readonly listen?: readonly string[]
  /** Multiaddr others reach the node at, when it is not one it listens on: behind NAT, or listening on all addresses. */
  readonly announce?: string
  /** Miner: bytes offered. */
  readonly capacityBytes?: number
  /** Miner: share of the free disk offered when no capacity is given. */
  readonly threshold?: number
  /** Miner: what readers without an order get. */
  readonly allowance?: AllowanceInit
  /** Miner: between two looks at stakes and free space. */
  readonly replanIntervalMs?: number
  /** Miner: how often it looks after its disk; `MAINNET_HOUSEKEEPING` by default. */
  readonly housekeeping?: Housekeeping
  /** Validator: between two visits to each miner. */
  readonly visitIntervalMs?: number
  /** Validator: directory of the salts of hidden weights, which whoever else sets weights with this hotkey must share. */
  readonly weightsPath?: string
  /** Validator: what weights it wants, asked once an epoch. */
  readonly weightTarget?: WeightProvider
}

export interface NodeOptions {
  readonly clock?: Clock
  readonly random?: Random
  readonly logger?: Logger
  /** Called once if the node cannot go on; it has stopped serving and should be stopped. */
  readonly onFailure?: (reason: Error) => void
}

/** Who a running node is. */
export interface NodeIdentity {
  readonly role: 'miner' | 'validator'
  readonly uid: number
  /** SS58. */
  readonly hotkey: string
  readonly coldkey: string
  readonly peerId: string
  readonly addresses: readonly string[]
}

/** A running node as it sees itself. */
export interface NodeStatus extends NodeIdentity {
  readonly genesisHash: string
  /** Newest block seen, and the block its list of members is of. */
  readonly block: number
  readonly membersBlock: number
  readonly registered: boolean
  readonly validatorPermit: boolean
  readonly members: number
  readonly validators: number
  /** Validator: miners that answered lately. */
  readonly minersUp?: number
  /** Miner: bytes offered, and what is held for whom. */
  readonly budgetBytes?: number
  readonly shards?: readonly HeldShard[]
  /** Miner: what it refuses because of its disk, and why; absent while that works. */
  readonly diskTrouble?: DiskTrouble
}

const REPLAN_INTERVAL_MS = 10 * 60_000
const VISIT_INTERVAL_MS = 10_000

/** A miner or validator. Does nothing before `start`. */
export function createNode(init: NodeInit, options: NodeOptions = {}): SubnetNode {
  return new SubnetNode(init, {
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
    logger: options.logger ?? silentLogger,
    onFailure: options.onFailure ?? (() => undefined),
  })
}

/** What the node stands on once it is a member of the subnet. */
interface Base {
  readonly chain: Chain
  readonly view: SubnetView
  readonly hotkey: Signer
  readonly coldkey: string
  readonly membership: Membership
  readonly peerKeySeed: Uint8Array
  readonly parts: Startable
}

interface Running {
  readonly identity: Omit<NodeIdentity, 'uid'>
  readonly base: Base
  readonly serving: Startable
  readonly role: Miner | Validator
}

export class SubnetNode implements Startable {
  readonly #init: NodeInit
  readonly #options: Required<NodeOptions>
  #running: Running | undefined

  constructor(init: NodeInit, options: Required<NodeOptions>) {
    this.#init = init
    this.#options = options
  }

  /** Throws `InvariantError` before `start` has resolved. */
  get identity(): NodeIdentity {
    const { identity, base } = this.#started
    // A devchain that began anew may have given it another uid.
    return { ...identity, uid: base.membership.uid }
  }

  /** Rejects with `CONFIG`, `DATA_DIR`, `DISK`, `CHAIN_UNAVAILABLE` or `CHAIN_REFUSED`; then nothing is left running. */
  async start(options: AbortOptions = {}): Promise<void> {
    invariant(this.#running === undefined, 'the node is started once')
    const base = await this.#startBase(options)
    try {
      this.#running = await this.#startServing(base, options)
    } catch (error) {
      // The reason of the failed start is what the caller must see, not what the clean-up met.
      await base.parts.stop().catch(() => undefined)
      throw error
    }
  }

  async stop(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    try {
      await running?.serving.stop()
    } finally {
      await running?.base.parts.stop()
    }
  }

  /** What the node knows of itself and the subnet now; nothing is asked over the network. */
  async status(): Promise<NodeStatus> {
    const { base, role } = this.#started
    const { chain, view } = base
    const { identity } = this
    const member = view.member(identity.hotkey)
    return {
      ...identity,
      genesisHash: chain.constants.genesisHash,
      block: view.block,
      membersBlock: view.membersBlock,
      registered: member !== undefined,
      validatorPermit: member?.validatorPermit ?? false,
      members: view.members().length,
      validators: view.validators().length,
      ...(role instanceof Validator ? { minersUp: (await role.miners()).length } : minerStatus(role)),
    }
  }

  /** Miners that answered this validator lately. Empty for a miner. */
  async miners(): Promise<readonly WatchedMiner[]> {
    const { role } = this.#started
    return role instanceof Validator ? await role.miners() : []
  }

  /** Challenges every miner that holds a lease of this validator, now. Empty for a miner. */
  async audit(options: AbortOptions = {}): Promise<readonly AuditReport[]> {
    const { role } = this.#started
    return role instanceof Validator ? await role.audit(options) : []
  }

  get #started(): Running {
    invariant(this.#running !== undefined, 'the node is running')
    return this.#running
  }

  /** Keys, chain, membership, view: everything before the network. */
  async #startBase(options: AbortOptions): Promise<Base> {
    const { role, dataPath } = this.#init
    const { clock, random, logger } = this.#options
    await this.#requirePorts()
    await cryptoReady()
    const given = this.#init.chain
    const chain =
      typeof given === 'string' ? connectChain(given, { clock, random, logger }, this.#init) : given
    const view = new SubnetView({ chain, logger })
    // Nothing in the directory is read or written before it is certain that nobody else does.
    const lock = dataLock(dataPath)
    await lock.start(options)
    try {
      const peerKeySeed = await loadOrCreatePeerKey(dataPath, random)
      const { hotkey, coldkey } = await this.#keys()
      const membership = new Membership({ chain, view, logger }, { role, hotkey, coldkey })
      const joining = step({
        start: async (startOptions) => {
          requireNetuid(chain.constants, this.#init.netuid)
          const { genesisHash } = chain.constants
          await claimDataDirectory(dataPath, { role, hotkey: toSs58(hotkey.publicKey), genesisHash })
          await membership.join(startOptions)
        },
      })
      const parts = sequence([
        step({ stop: () => lock.stop() }),
        ...(typeof given === 'string' ? [chain] : []),
        joining,
        view,
      ])
      await parts.start(options)
      return { chain, view, hotkey, coldkey, membership, peerKeySeed, parts }
    } catch (error) {
      await lock.stop()
      throw error
    }
  }

  /** A node that cannot listen leaves no new directory behind. One that there is may be of a node that runs and listens. */
  async #requirePorts(): Promise<void> {
    // Of one that cannot be looked at, the lock says why.
    if (await pathExists(this.#init.dataPath).catch(() => true)) return
    for (const listen of this.#listen) {
      const address = tcpAddressOf(listen)
      const failure = address && (await listenFailure(address))
      if (failure === undefined) continue
      const text = `cannot listen on ${listen}: ${failure.message}`
      throw new SubnetError('CONFIG', text, { cause: failure, data: { listen: this.#listen } })
    }
  }

  get #listen(): readonly string[] {
    return this.#init.listen ?? [DEFAULT_LISTEN]
  }

  async #startServing(base: Base, options: AbortOptions): Promise<Running> {
    const { clock, random, logger, onFailure } = this.#options
    const { chain, view, hotkey, coldkey, membership, peerKeySeed } = base
    const network = createNetwork(
      { clock, logger, chain, view, signer: hotkey },
      {
        role: this.#init.role,
        peerKeySeed,
        listen: this.#listen,
        announce: this.#init.announce,
      },
    )
    const { net, reviewing, domain } = network
    const actors = new ActorSystem({ clock, log: logger }, { onFailure })
    const components = { ...network, clock, random, logger, actors, chain, view, signer: hotkey }
    const role =
      this.#init.role === 'miner'
        ? this.#miner(components, domain, chain.constants.blockMs)
        : this.#validator(components, domain)
    const keeping = membership.keep(() => ({ peerId: net.peerId, addresses: net.addresses() }))
    // Stopped in reverse: nobody new comes in, then actors end, then the stores close.
    const neighbours = new Neighbours(components)
    const serving = sequence([role, step({ stop: () => actors.stop() }), net, reviewing, keeping, neighbours])
    await serving.start(options)
    const identity = {
      role: this.#init.role,
      hotkey: toSs58(hotkey.publicKey),
      coldkey,
      peerId: net.peerId,
      addresses: net.addresses(),
    }
    return { identity, base, serving, role }
  }

  #miner(components: MinerComponents, domain: WireDomain, blockMs: number): Miner {
    return new Miner(components, {
      domain,
      path: this.#init.dataPath,
      threshold: this.#init.threshold ?? DEFAULT_THRESHOLD,
      capacityBytes: this.#init.capacityBytes,
      replanIntervalMs: this.#init.replanIntervalMs ?? REPLAN_INTERVAL_MS,
      housekeeping: this.#init.housekeeping ?? MAINNET_HOUSEKEEPING,
      allowance: this.#init.allowance,
      blockMs,
    })
  }

  #validator(components: ValidatorComponents, domain: WireDomain): Validator {
    return new Validator(components, {
      domain,
      path: joinPath(this.#init.dataPath, 'ledger'),
      visitIntervalMs: this.#init.visitIntervalMs ?? VISIT_INTERVAL_MS,
      weightsPath: this.#init.weightsPath ?? joinPath(this.#init.dataPath, 'weights'),
      weightTarget: this.#init.weightTarget,
    })
  }

  /** The wallet's hotkey and its owner's address; a wallet inside the data directory is made at the first start. */
  async #keys(): Promise<{ readonly hotkey: Signer; readonly coldkey: string }> {
    const { wallet, walletPassword, dataPath } = this.#init
    if (wallet !== undefined) {
      if (await coldkeyUnlocked(wallet)) {
        const { logger } = this.#options
        const text =
          'the coldkey lies beside the hotkey without a password: a node needs coldkeypub.txt only, move the file "coldkey" away'
        logger.warn({ path: coldkeyPath(wallet) }, text)
      }
      const unlocking = walletPassword === undefined ? {} : { password: walletPassword }
      return { hotkey: await loadHotkey(wallet, unlocking), coldkey: await loadColdkeyAddress(wallet) }
    }
    return await loadOrCreateWallet(ownWallet(dataPath), this.#options.random)
  }
}

function minerStatus(miner: Miner): Pick<NodeStatus, 'budgetBytes' | 'shards' | 'diskTrouble'> {
  const { budgetBytes, shards, diskTrouble } = miner.held()
  return { budgetBytes, shards, ...(diskTrouble === undefined ? {} : { diskTrouble }) }
}

/** Where a node keeps its own keys when no wallet is given. */
export function ownWallet(dataPath: string): WalletLocation {
  return { path: joinPath(dataPath, 'wallets'), name: DEFAULT_WALLET_NAME, hotkey: DEFAULT_WALLET_HOTKEY }
}

/** Keys for a devchain: what they own is worth nothing, so the coldkey's secret is not even kept. */
export async function loadOrCreateWallet(
  wallet: WalletLocation,
  random: Random,
): Promise<{ readonly hotkey: Signer; readonly coldkey: string }> {
  await cryptoReady()
  const orCreate = async <T>(loaded: Promise<T>, create: () => Promise<T>): Promise<T> => {
    try {
      return await loaded
    } catch (error) {
      if (!isSubnetError(error, 'NOT_FOUND')) throw error
      return await create()
    }
  }
  const coldkey = await orCreate(loadColdkeyAddress(wallet), async () => {
    const address = toSs58(sr25519Signer(random.bytes(32)).publicKey)
    await writeColdkeyPub(wallet, address, { random })
    return address
  })
  return { hotkey: await orCreate(loadHotkey(wallet), () => createHotkey(wallet, { random })), coldkey }
}
