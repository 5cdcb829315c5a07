/** What a validator does for the owner of an object: keeps it for longer, or lets it go. The miners hear of it on a visit. */
import type { ReleaseBody, Released, RenewBody, Renewed } from '../../../protocols/order/messages.js'
import type { OwnerHandler } from '../../../protocols/order/server.js'
import type { Ref } from '../../actor/behavior.js'
import { SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { Semaphore } from '../../base/semaphore.js'
import { toSs58 } from '../../crypto/keys.js'
import { manifestCid } from '../../redundancy/capability.js'
import type { Ledger } from './ledger.js'
import type { ObjectRow } from './ledger-rows.js'
import type { MinerWatchMessage } from './miner-watch.js'

/** The last block a message can name. */
const BLOCK_MAX = 0xffffffff

/** Requests that may wait for their turn; the next is refused with `BUSY`. */
const CHANGES_WAITING_MAX = 1_024

export interface OwnerServiceComponents {
  readonly ledger: Ledger
  readonly watch: Pick<Ref<MinerWatchMessage>, 'send'>
  /** Our newest head. */
  readonly view: { readonly block: number }
  readonly logger: Logger
}

export class OwnerService implements OwnerHandler {
  readonly #components: OwnerServiceComponents
  /** One change at a time: a renewal must not bring back the row that a release has removed. */
  readonly #turn = new Semaphore({ permitsMax: 1, waitersMax: CHANGES_WAITING_MAX })

  constructor(components: OwnerServiceComponents) {
    this.#components = components
  }

  async ownerOf(object: Uint8Array): Promise<Uint8Array> {
    return (await this.#row(object)).owner
  }

  renew(body: RenewBody): Promise<Omit<Renewed, 'type'>> {
    return this.#turn.run(() => this.#renew(body))
  }

  release(body: ReleaseBody): Promise<Omit<Released, 'type'>> {
    return this.#turn.run(() => this.#release(body))
  }

  async #renew({ object, leaseBlocks }: RenewBody): Promise<Omit<Renewed, 'type'>> {
    const { ledger, view, logger } = this.#components
    const row = await this.#row(object)
    if (row.endBlock <= view.block) {
      throw new SubnetError('NOT_FOUND', `the leases of the object ended at block ${row.endBlock}`)
    }
    const endBlock = Math.min(view.block + leaseBlocks, BLOCK_MAX)
    const miners = row.miners.length
    // It never ends earlier than was promised.
    if (endBlock <= row.endBlock) return { endBlock: row.endBlock, miners }
    await ledger.renew(object, row, endBlock)
    this.#look(row)
    logger.info({ object: manifestCid(object), endBlock, miners }, 'object renewed')
    return { endBlock, miners }
  }

  async #release({ object }: ReleaseBody): Promise<Omit<Released, 'type'>> {
    const { ledger, logger } = this.#components
    const row = await this.#row(object)
    await ledger.release(object, row)
    this.#look(row)
    const miners = row.miners.length
    logger.info({ object: manifestCid(object), miners }, 'object released')
    return { miners }
  }

  async #row(object: Uint8Array): Promise<ObjectRow> {
    const row = await this.#components.ledger.object(object)
    if (row === undefined) throw new SubnetError('NOT_FOUND', 'this validator does not know the object')
    return row
  }

  #look({ miners }: ObjectRow): void {
    for (const miner of miners) this.#components.watch.send({ type: 'look', hotkey: toSs58(miner) })
  }
}
