/**
 * The ledger sweeper forgets leases some time after they have ended, with all that is known by them: the object's row and
 * segments, the miner's chunks and losses. A page of the ledger at a time, round and round: where it is it does not
 * remember, a restart begins anew. What ended lately stays, for a miner that was away.
 */
import type { Behavior } from '../../actor/behavior.js'
import { type PeriodicMessage, periodic } from '../../actor/periodic.js'
import type { Logger } from '../../base/log.js'
import type { Ledger } from './ledger.js'

/** Rows looked at in one turn. */
const ROWS_PER_TURN = 64
/** Leases forgotten in one turn, each a synced write; those of one object are not parted. */
const LEASES_PER_TURN = 256

export interface LedgerSweeperComponents {
  readonly ledger: Pick<Ledger, 'endedObjects' | 'forgetEnded' | 'openMiners' | 'leftLeases' | 'forgetLeft'>
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly logger: Logger
}

export interface LedgerSweeperInit {
  /** Between two turns. */
  readonly intervalMs: number
  /** That a lease stays after its end. */
  readonly keptBlocks: number
}

export function ledgerSweeper(
  components: LedgerSweeperComponents,
  init: LedgerSweeperInit,
): Behavior<PeriodicMessage> {
  const { intervalMs } = init
  const sweep = new LedgerSweep(components, init)
  return periodic({
    firstPauseMs: intervalMs,
    run: async (signal) => {
      await sweep.turn(signal)
      return intervalMs
    },
    onFailure: (error) => {
      // What stays only takes room: the next turn tries again.
      components.logger.warn({ err: error }, 'could not forget ended leases')
      return intervalMs
    },
  })
}

export class LedgerSweep {
  readonly #components: LedgerSweeperComponents
  readonly #init: Pick<LedgerSweeperInit, 'keptBlocks'>
  /** Last object that was looked at. */
  #object: Uint8Array | undefined
  /** Miners of this round whose leases are still to be looked at, and the last lease that was. */
  #miners: string[] = []
  #lease: Uint8Array | undefined

  constructor(components: LedgerSweeperComponents, init: Pick<LedgerSweeperInit, 'keptBlocks'>) {
    this.#components = components
    this.#init = init
  }

  /** One page: of the objects, or when they are through, of one miner's leases. Resolves with how many were forgotten. */
  async turn(signal?: AbortSignal): Promise<number> {
    const { head, logger } = this.#components
    const endedBlock = head.block - this.#init.keptBlocks
    if (endedBlock < 0) return 0
    const [miner] = this.#miners
    const leases =
      miner === undefined
        ? await this.#objects(endedBlock, signal)
        : await this.#leases(miner, endedBlock, signal)
    if (leases > 0) logger.info({ leases }, 'forgot leases that have ended')
    return leases
  }

  async #objects(endedBlock: number, signal?: AbortSignal): Promise<number> {
    const { ledger } = this.#components
    const { ended, last } = await ledger.endedObjects(endedBlock, this.#object, ROWS_PER_TURN)
    let leases = 0
    for (const object of ended) {
      signal?.throwIfAborted()
      leases += await ledger.forgetEnded(object, endedBlock)
      this.#object = object
      if (leases >= LEASES_PER_TURN) return leases
    }
    this.#object = last
    if (last === undefined) this.#miners = ledger.openMiners()
    return leases
  }

  /** Those that no object's row names: what was released while the miner was away for good, or never counted. */
  async #leases(miner: string, endedBlock: number, signal?: AbortSignal): Promise<number> {
    const { ledger } = this.#components
    const { left, last } = await ledger.leftLeases(miner, this.#lease, ROWS_PER_TURN)
    let leases = 0
    for (const object of left) {
      signal?.throwIfAborted()
      if (await ledger.forgetLeft(miner, object, endedBlock)) leases += 1
    }
    this.#lease = last
    if (last === undefined) this.#miners.shift()
    return leases
  }
}
