/** A miner that may have a chunk: leased, with a validator's order to read, or found without any validator. */
import type { Holder as LeasedHolder } from '../../protocols/order/messages.js'
import type { Order } from '../../protocols/order/order.js'

export interface Holder extends Omit<LeasedHolder, 'order'> {
  /** Absent for one that was found: it gives what its allowance for strangers permits. */
  readonly order?: Order
}
