/**
 * The validator role: a ledger of what it placed, a watch over the miners, the order server for clients, and audits.
 */
import { askCapacity } from '../../../protocols/capacity/client.js'
import type { Capacity } from '../../../protocols/capacity/messages.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { Authority } from '../../../protocols/hello/attestation.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { serveOrders } from '../../../protocols/order/server.js'
import type { Ref } from '../../actor/behavior.js'
import type { ActorSystem } from '../../actor/system.js'
import { type AbortOptions, deadline } from '../../base/abort.js'
import { isSubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import type { Random } from '../../base/random.js'
import type { Chain } from '../../chain/chain.js'
import type { SubnetView } from '../../chain/subnet-view.js'
import type { Signer } from '../../crypto/keys.js'
import { Auditor, type AuditReport } from './auditor.js'
import { HandOver } from './hand-over.js'
import { Ledger } from './ledger.js'
import { ledgerSweeper } from './ledger-sweeper.js'
import { type MinerWatchMessage, minerWatch, type WatchedMiner } from './miner-watch.js'
import { OrderService } from './order-service.js'
import { OwnerService } from './owner-service.js'
import { type WeightProvider, WeightRounds } from './weight-rounds.js'
import { WeightSetter } from './weight-setter.js'

/** Between two turns of the sweep: 64 rows each, so a million objects are through in two days. */
const SWEEP_INTERVAL_MS = 10_000
/** A week of 12-second blocks, as long as a miner keeps what may be renewed. */
const ENDED_KEPT_BLOCKS = 50_400
/** Time for one visit to a miner: its capacity, and what waits for it. */
const VISIT_TIMEOUT_MS = 15_000

export interface ValidatorComponents extends PeerComponents {
  readonly actors: ActorSystem
  readonly chain: Chain
  readonly view: SubnetView
  readonly authority: Authority
  readonly signer: Signer
  readonly random: Random
  readonly logger: Logger
}

export interface ValidatorInit {
  readonly domain: WireDomain
  /** Directory of the ledger. */
  readonly path: string
  /** Between two visits to a miner. */
  readonly visitIntervalMs: number
  /** Directory of the salts of hidden weights. */
  readonly weightsPath: string
  /** Where weights come from; without it, only what is hidden already is revealed. */
  readonly weightTarget: WeightProvider | undefined
}

export class Validator implements Startable {
  readonly #components: ValidatorComponents
  readonly #ledger: Ledger
  readonly #auditor: Auditor
  readonly #handOver: HandOver
  readonly #watch: Ref<MinerWatchMessage>
  readonly #init: ValidatorInit
  #weights: WeightRounds | undefined
  #forgottenBlock = 0
  #unsubscribe: (() => void) | undefined

  constructor(components: ValidatorComponents, init: ValidatorInit) {
    const { actors, signer, authority } = components
    this.#components = components
    this.#init = init
    this.#ledger = new Ledger(init.path)
    this.#auditor = new Auditor({ ...components, ledger: this.#ledger }, init.domain)
    this.#handOver = new HandOver({ ...components, ledger: this.#ledger, head: components.view }, init.domain)
    this.#watch = actors.spawn({
      id: 'miners',
      behavior: minerWatch(
        { visit: (miner, signal) => this.#visit(miner, signal) },
        { intervalMs: init.visitIntervalMs },
      ),
      restart: 'permanent',
      mailbox: { max: 1_024, policy: 'reject' },
      tasksMax: 1,
    })
    const handler = new OrderService({ ...components, ledger: this.#ledger, watch: this.#watch }, init.domain)
    const own = { domain: init.domain, validator: signer.publicKey }
    const owners = new OwnerService({ ...components, ledger: this.#ledger, watch: this.#watch })
    serveOrders({ ...components, authority, handler, owners }, own)
  }

  async start(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    await this.#ledger.start()
    this.#sweepLedger()
    this.#unsubscribe = this.#components.view.onChange(() => this.#onMetagraph())
    this.#onMetagraph()
    this.#weights = this.#weightRounds()
    await this.#weights.start()
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    await this.#weights?.stop()
    await this.#ledger.stop()
  }

  /** Miners that answered lately, with what they said. */
  async miners(): Promise<readonly WatchedMiner[]> {
    return (await this.#watch.ask('live', {})).miners
  }

  /** Challenges every miner that holds a lease of ours, now. */
  async audit(options: AbortOptions = {}): Promise<AuditReport[]> {
    return await this.#auditor.auditAll(options)
  }

  #sweepLedger(): void {
    const { actors, view, logger } = this.#components
    actors.spawn({
      id: 'ledger-sweeper',
      behavior: ledgerSweeper(
        { ledger: this.#ledger, head: view, logger },
        { intervalMs: SWEEP_INTERVAL_MS, keptBlocks: ENDED_KEPT_BLOCKS },
      ),
      restart: 'permanent',
      mailbox: { max: 1, policy: 'conflate', key: ({ type }) => type },
      tasksMax: 1,
    })
  }

  #weightRounds(): WeightRounds {
    const { signer: hotkey } = this.#components
    const { weightsPath: path, weightTarget } = this.#init
    const setter = new WeightSetter(this.#components, { hotkey, path })
    const target: WeightProvider = weightTarget ?? (async () => undefined)
    return new WeightRounds({ ...this.#components, setter, target })
  }

  /**
   * Everyone without a permit may be a miner; whoever is none does not speak the protocol. Miners answer only who has a
   * permit: without one nobody is watched, and with it all are visited at once.
   */
  #onMetagraph(): void {
    const { view, signer, logger } = this.#components
    const isPermitted = view.member(signer.publicKey)?.validatorPermit === true
    const members = (isPermitted ? view.members() : []).flatMap((member) =>
      member.validatorPermit || member.endpoint === undefined
        ? []
        : [{ ...member, endpoint: member.endpoint }],
    )
    this.#watch.send({ type: 'members', members })
    const { block } = view
    if (block <= this.#forgottenBlock) return
    this.#forgottenBlock = block
    this.#ledger.forgetNonces(block).catch((error: unknown) => {
      // Old nonces only take room: the next block tries again.
      if (!isSubnetError(error, 'STOPPED')) logger.warn({ err: error }, 'could not forget old requests')
    })
  }

  async #visit(miner: KnownPeer, signal: AbortSignal): Promise<Capacity> {
    const { clock, logger } = this.#components
    using scope = deadline(clock, VISIT_TIMEOUT_MS, `visit to ${miner.peerId}`, signal)
    const capacity = await askCapacity(this.#components, miner, scope)
    try {
      await this.#handOver.give(miner, scope)
      if (capacity.lastLoss !== undefined) await this.#handOver.hear(miner, capacity.lastLoss, scope)
    } catch (error) {
      signal.throwIfAborted()
      if (!isSubnetError(error)) throw error
      // It answered, so it lives, and may be offered; the next visit hands over the rest.
      logger.debug({ err: error, peer: miner.peerId }, 'something still waits for a miner')
    }
    return capacity
  }
}
