/** The miner's side of `retrieve`: who may open a stream and with what right. What happens on it is `exchange.ts`. */
import { SubnetError } from '../../src/base/errors.js'
import { Semaphore } from '../../src/base/semaphore.js'
import type { WireDomain } from '../common/signed.js'
import type { Authority } from '../hello/attestation.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Order } from '../order/order.js'
import { checkOrder, checkOrderStands, OPEN_BYTES_MAX } from '../order/order.js'
import {
  BODIES_BYTES_MAX,
  type ChunkRange,
  type Confirmed,
  type OrderAccount,
  RetrieveExchange,
  type Right,
} from './exchange.js'
import { RETRIEVE, retrieveOpenSchema } from './messages.js'
import type { Receipt } from './receipt.js'
import { receiptCheck } from './receipt.js'

export interface AccountRequest {
  /** A receipt given earlier, whose signature is good: what it confirms was sent, though we may have forgotten it. */
  readonly receipt?: Receipt | undefined
  /** Called when a receipt, on whatever stream, has made room. */
  readonly onRoom: () => void
}

export interface RetrieveHandler {
  /** The account of an order, for one stream. `REFUSED` when too much of what was sent under it was never confirmed. */
  account(order: Order, request: AccountRequest): Promise<OrderAccount>
  /** `NOT_FOUND` if the chunk is not held, `REFUSED` when the order is used up, `INVALID` for leaves it has not. */
  read(order: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
  /** Called when the stream ends, with what was sent under the order. */
  served(order: Order, bytes: number): Promise<void>
  /** As `read`, for a peer that shows no order; `BUSY` when its allowance is used up. */
  readWithoutOrder(peerId: string, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange>
}

export interface RetrieveServerComponents extends PeerComponents {
  readonly authority: Authority
  readonly handler: RetrieveHandler
}

export interface RetrieveServerInit {
  readonly domain: WireDomain
  /** Our own hotkey. */
  readonly miner: Uint8Array
}

/** Streams that may wait for one: all that the connection limit allows. */
const BODIES_WAITING_MAX = 4_096

export function serveRetrieve(components: RetrieveServerComponents, init: RetrieveServerInit): void {
  const memory = new Semaphore({ permitsMax: BODIES_BYTES_MAX, waitersMax: BODIES_WAITING_MAX })
  serve(components, RETRIEVE, ['client', 'validator'], async (frames, session) => {
    const { authority, handler, clock } = components
    const { order, receipt } = await frames.readMessage(retrieveOpenSchema, 'open', {
      headerBytesMax: OPEN_BYTES_MAX,
    })
    if (order !== undefined) {
      checkOrder(order, {
        domain: init.domain,
        authority,
        verb: 'get',
        client: session.key,
        miner: init.miner,
      })
    }
    if (order === undefined) {
      if (receipt !== undefined) throw new SubnetError('INVALID', 'open: a receipt without an order')
      await frames.writeMessage({ type: 'opened' })
      const right = ofStranger(session.peerId, handler)
      await new RetrieveExchange({ frames, right, memory, clock }).run()
      return
    }
    const scheme = session.role === 'client' ? 'ed25519' : 'sr25519'
    const check = receiptCheck(order, init.domain, scheme)
    if (receipt !== undefined) check(receipt)
    let exchange: RetrieveExchange | undefined
    const account = await handler.account(order, { receipt, onRoom: () => exchange?.wake() })
    try {
      await frames.writeMessage({ type: 'opened' })
      const right = ofOrder(order, authority, handler, { account, check })
      exchange = new RetrieveExchange({ frames, right, memory, clock })
      await exchange.run()
    } finally {
      account.close()
    }
  })
}

function ofOrder(order: Order, authority: Authority, handler: RetrieveHandler, confirmed: Confirmed): Right {
  return {
    confirmed,
    check: () => checkOrderStands(order, authority),
    read: (digest, firstLeaf, leaves) => handler.read(order, digest, firstLeaf, leaves),
    served: (bytes) => handler.served(order, bytes),
  }
}

function ofStranger(peerId: string, handler: RetrieveHandler): Right {
  return {
    check: () => undefined,
    read: (digest, firstLeaf, leaves) => handler.readWithoutOrder(peerId, digest, firstLeaf, leaves),
    // Taken from the allowance at each read; nothing is kept of it.
    served: async () => undefined,
  }
}
