/**
 * The miner role: shards on disk, a keeper who says how much fits, and servers for store, retrieve, have, challenge,
 * lease and capacity. It answers; on its own it does its housekeeping and announces what it holds.
 */

import { join as joinPath } from 'node:path'
import { type Capacity, LOSSES_MAX } from '../../../protocols/capacity/messages.js'
import { type CapacityHandler, serveCapacity } from '../../../protocols/capacity/server.js'
import { serveChallenge } from '../../../protocols/challenge/server.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import { serveHave } from '../../../protocols/have/server.js'
import type { Authority } from '../../../protocols/hello/attestation.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { Session } from '../../../protocols/hello/sessions.js'
import { serveLeases } from '../../../protocols/lease/server.js'
import { serveRetrieve } from '../../../protocols/retrieve/server.js'
import { serveStore } from '../../../protocols/store/server.js'
import type { Ref } from '../../actor/behavior.js'
import type { ActorSystem } from '../../actor/system.js'
import type { AbortOptions } from '../../base/abort.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import { fromSs58, type Signer, toSs58 } from '../../crypto/keys.js'
import type { Net } from '../../net/net.js'
import { nodeFiles } from '../../shard/disk-files.js'
import { probeBytes, probeDisk } from '../../shard/disk-probe.js'
import { openLevelIndex } from '../../shard/level-index.js'
import { createPartitionStore, type PartitionStore } from '../../shard/partition-store.js'
import { type AdvertiserMessage, advertiser } from './advertiser.js'
import { Allowance, type AllowanceInit } from './allowance.js'
import { DiskHealth, type DiskTrouble, type DiskWatchMessage, diskWatch } from './disk-watch.js'
import { readDrawn } from './drawn-chunk.js'
import type { Housekeeping } from './housekeeping.js'
import { Inspector } from './inspector.js'
import { type KeeperMessage, keeper } from './keeper.js'
import { type PartitionerComponents, type PartitionerMessage, partitioner, replan } from './partitioner.js'
import { Prover } from './prover.js'
import { Receipts, type Traffic } from './receipts.js'
import { RetrieveService } from './retrieve-service.js'
import { scrubber } from './scrubber.js'
import { StoreService } from './store-service.js'
import { sweeper } from './sweeper.js'

/**
 * Messages that may wait for the keeper. A `settle` that found no room would be lost, and the room it gives back with it,
 * so this is above all that 512 connections can have under way: 4 store streams of 8 chunks and a request, and 8 asks.
 */
const KEEPER_MAILBOX_MAX = 32_768
/** Reads of order use at once. */
const KEEPER_TASKS_MAX = 64
/** Leases that may wait to be announced; one that is dropped is found by the advertiser's next walk. */
const ADVERTISER_MAILBOX_MAX = 64
/** Questions whether the disk works; the inspector asks one at a time, failed puts as often as they like. */
const DISK_WATCH_MAILBOX_MAX = 64

/** An actor that does one thing after the other, and to which all its messages say the same. */
const LONELY = {
  restart: 'permanent',
  mailbox: { max: 1, policy: 'conflate', key: (message: { readonly type: string }) => message.type },
  tasksMax: 1,
} as const

export interface MinerComponents extends PeerComponents {
  readonly net: Pick<Net, 'provide'>
  readonly actors: ActorSystem
  readonly view: SubnetView
  readonly authority: Authority
  readonly signer: Signer
  readonly random: Random
  readonly logger: Logger
}

export interface MinerInit {
  readonly domain: WireDomain
  /** The node's data directory. */
  readonly path: string
  /** Share of the free disk offered when no capacity is given. */
  readonly threshold: number
  readonly capacityBytes?: number | undefined
  /** Between two looks at stakes and free space. */
  readonly replanIntervalMs: number
  readonly housekeeping: Housekeeping
  /** What is given without an order; `ALLOWANCE` by default. */
  readonly allowance?: AllowanceInit | undefined
  /** The chain's block time. */
  readonly blockMs: number
}

/** What a miner holds for one validator, and what readers with its orders got and confirmed. */
export interface HeldShard extends Traffic {
  /** SS58. */
  readonly validator: string
  readonly chunks: number
  readonly heldBytes: number
  /** Released or ended, and kept until its time is over or its room is needed. */
  readonly trashBytes: number
  /** Chunks that the disk did not give back, as long as their leases would run. */
  readonly lostChunks: number
}

/** What a miner says of itself. */
export interface HeldStatus {
  readonly budgetBytes: number
  readonly shards: readonly HeldShard[]
  /** What is refused because of the disk, and why; `undefined` while it works. */
  readonly diskTrouble: DiskTrouble | undefined
}

export class Miner implements Startable {
  readonly #components: MinerComponents
  readonly #init: MinerInit
  readonly #store: PartitionStore
  readonly #receipts: Receipts
  readonly #keeper: Ref<KeeperMessage>
  readonly #health = new DiskHealth()
  readonly #inspector: Inspector
  #diskWatch: Ref<DiskWatchMessage> | undefined
  #advertiser: Ref<AdvertiserMessage> | undefined
  #partitioner: Ref<PartitionerMessage> | undefined
  #validators = ''
  #unsubscribe: (() => void) | undefined

  constructor(components: MinerComponents, init: MinerInit) {
    const { actors, signer, view, logger, clock } = components
    const { domain } = init
    this.#components = components
    this.#init = init
    this.#store = createPartitionStore({ path: init.path }, { logger })
    this.#receipts = new Receipts(
      { clock, logger, head: view, openIndex: openLevelIndex },
      joinPath(init.path, 'receipts'),
    )
    this.#keeper = actors.spawn({
      id: 'keeper',
      behavior: keeper(this.#store),
      restart: 'permanent',
      mailbox: { max: KEEPER_MAILBOX_MAX, policy: 'reject' },
      tasksMax: KEEPER_TASKS_MAX,
    })
    const own = { domain, miner: signer.publicKey }
    this.#inspector = new Inspector({ diskWorks: () => this.#diskWorks(), logger })
    const trashBlocks = this.#trashBlocks
    const disk = { health: this.#health, inspector: this.#inspector }
    const shared = { keeper: this.#keeper, shards: this.#store, signer, logger, ...disk }
    const storing = new StoreService(
      {
        ...shared,
        head: view,
        onCounted: (lease) => this.#advertiser?.send({ type: 'counted', lease }),
        onDiskFailure: () => this.#diskWatch?.send({ type: 'look' }),
      },
      { domain, trashBlocks },
    )
    const allowance = new Allowance(clock, init.allowance)
    const reading = new RetrieveService({ ...shared, allowance, receipts: this.#receipts })
    serveStore({ ...components, handler: storing }, own)
    serveLeases({ ...components, handler: storing })
    serveRetrieve({ ...components, handler: reading }, own)
    serveHave({ ...components, handler: reading })
    serveChallenge({ ...components, handler: new Prover(shared, domain) })
    serveCapacity({ ...components, handler: this.#claims() })
  }

  async start(options: AbortOptions = {}): Promise<void> {
    const { actors, view, logger } = this.#components
    await this.#store.start(options)
    try {
      await this.#receipts.start()
    } catch (error) {
      // The reason of the failed start is what the caller must see, not what the clean-up met.
      await this.#store.stop().catch(() => undefined)
      throw error
    }
    const parts: PartitionerComponents = {
      store: this.#store,
      logger,
      validators: () => view.validators(),
    }
    const init = { ...this.#init, intervalMs: this.#init.replanIntervalMs }
    this.#validators = this.#validatorNames()
    // The first plan is made before the first stream can come.
    await replan(parts, init)
    this.#partitioner = actors.spawn({ ...LONELY, id: 'partitioner', behavior: partitioner(parts, init) })
    this.#keepHouse()
    this.#advertiser = actors.spawn({
      id: 'advertiser',
      behavior: advertiser({ net: this.#components.net, shards: this.#store, view, logger }),
      restart: 'permanent',
      mailbox: { max: ADVERTISER_MAILBOX_MAX, policy: 'drop-oldest' },
      // One announcement, and the walk.
      tasksMax: 2,
    })
    this.#unsubscribe = view.onChange(() => this.#replanIfValidatorsChanged())
    // They may have changed while the first plan was made.
    this.#replanIfValidatorsChanged()
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    try {
      await this.#receipts.stop()
    } finally {
      await this.#store.stop()
    }
  }

  /** The budget, and every shard with what is in it. */
  held(): HeldStatus {
    const shards = [...this.#store.usage()].map(([validator, { chunks, bytes, trashBytes, lostChunks }]) => {
      const traffic = this.#receipts.traffic(fromSs58(validator))
      return { validator, chunks, heldBytes: bytes, trashBytes, lostChunks, ...traffic }
    })
    return { budgetBytes: this.#store.plan()?.budgetBytes ?? 0, shards, diskTrouble: this.#health.trouble }
  }

  get #trashBlocks(): number {
    return Math.ceil(this.#init.housekeeping.trashMs / this.#init.blockMs)
  }

  /** What the miner does for its disk unasked. */
  #keepHouse(): void {
    const { actors, view, clock, random, logger } = this.#components
    const { path, housekeeping } = this.#init
    const shards = this.#store
    this.#diskWatch = actors.spawn({
      id: 'disk-watch',
      behavior: diskWatch(
        {
          health: this.#health,
          clock,
          logger,
          probeWrites: () => probeDisk(nodeFiles, path, probeBytes(random)),
          probeReads: () => readDrawn(shards.all(), random),
          reopen: () => shards.reopenFailed(),
        },
        { intervalMs: housekeeping.diskIntervalMs, timeoutMs: housekeeping.diskTimeoutMs },
      ),
      restart: 'permanent',
      mailbox: { max: DISK_WATCH_MAILBOX_MAX, policy: 'reject' },
      tasksMax: 1,
    })
    const sweeping = { intervalMs: housekeeping.sweepIntervalMs, trashBlocks: this.#trashBlocks }
    actors.spawn({ ...LONELY, id: 'sweeper', behavior: sweeper({ shards, head: view, logger }, sweeping) })
    const scrubbing = { shards, inspector: this.#inspector, clock, random, logger }
    actors.spawn({
      ...LONELY,
      id: 'scrubber',
      behavior: scrubber(scrubbing, { periodMs: housekeeping.scrubPeriodMs }),
    })
  }

  async #diskWorks(): Promise<boolean> {
    // Not started yet, or stopped: nobody can say.
    return (await this.#diskWatch?.ask('works', {})) ?? false
  }

  #replanIfValidatorsChanged(): void {
    const names = this.#validatorNames()
    if (names === this.#validators) return
    this.#validators = names
    this.#partitioner?.send({ type: 'replan' })
  }

  #validatorNames(): string {
    return this.#components.view
      .validators()
      .map(({ hotkey }) => hotkey)
      .join()
  }

  /** What it says of itself to whoever asks. */
  #claims(): CapacityHandler {
    return {
      capacity: (asker) => this.#capacity(asker),
      losses: async (asker, after) => {
        const shard = this.#store.get(toSs58(asker.key))
        const { last, losses } = (await shard?.losses(after, LOSSES_MAX)) ?? { last: 0, losses: [] }
        return { last, losses: losses.map(({ number, digest }) => [number, digest]) }
      },
    }
  }

  async #capacity(asker: Session): Promise<Capacity> {
    const held = [...this.#store.usage().values()]
    const validator = toSs58(asker.key)
    const room = await this.#keeper.ask('room', { validator })
    const lastLoss = (await this.#store.get(validator)?.losses(0, 1))?.last ?? 0
    const lostChunks = held.reduce((sum, shard) => sum + shard.lostChunks, 0)
    return {
      budgetBytes: this.#store.plan()?.budgetBytes ?? 0,
      ...(lostChunks === 0 ? {} : { lostChunks }),
      heldBytes: held.reduce((sum, { bytes }) => sum + bytes, 0),
      heldChunks: held.reduce((sum, { chunks }) => sum + chunks, 0),
      // What it cannot take now it does not offer.
      freeBytes: this.#health.trouble === undefined ? room.freeBytes : 0,
      ...(lastLoss === 0 ? {} : { lastLoss }),
    }
  }
}
