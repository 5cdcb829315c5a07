/**
 * The receipt: a client's cumulative signature over the bytes it really got under one order. Whoever was sent bytes by a
 * miner confirms them with it, and the miner shows the newest one to the order's validator. It says nothing of a put.
 */
import { z } from 'zod'
import { SubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import type { SignatureScheme, Signer } from '../../src/crypto/keys.js'
import { verifierOf } from '../../src/crypto/keys.js'
import { integer, signatureField } from '../common/schema.js'
import type { WireDomain } from '../common/signed.js'
import { taggedBytes } from '../common/signed.js'
import type { Order } from '../order/order.js'
import { ORDER_BYTES_MAX } from '../order/order.js'

/** What a miner sends beyond the newest receipt before it stops. */
export const RECEIPT_GAP_BYTES_MAX = 8 * MIB
/**
 * A client signs when it has this much unconfirmed. With the body that passes it and the credit of 4 MiB that is on the
 * way, an honest client stays within the gap; and one signature for 3 MiB is not felt.
 */
export const RECEIPT_STEP_BYTES = 3 * MIB

export const receiptSchema = z.strictObject({
  /** Got under the order in all, over all its streams. */
  bytes: integer(1, ORDER_BYTES_MAX),
  signature: signatureField,
})

export type Receipt = z.infer<typeof receiptSchema>

/** `client` is the key that the order names. */
export function signReceipt(client: Signer, domain: WireDomain, order: Order, bytes: number): Receipt {
  return { bytes, signature: client.sign(receiptBytes(domain, order, bytes)) }
}

/**
 * What checks the receipts of an order: throws `INVALID` for more bytes than the order permits, `BAD_SIGNATURE` unless the
 * order's client signed.
 */
export function receiptCheck(
  order: Order,
  domain: WireDomain,
  scheme: SignatureScheme,
): (receipt: Receipt) => void {
  const verify = verifierOf(scheme, order.client)
  return ({ bytes, signature }) => {
    if (bytes > order.maxBytes) throw new SubnetError('INVALID', 'receipt: more bytes than the order permits')
    if (!verify(receiptBytes(domain, order, bytes), signature)) {
      throw new SubnetError('BAD_SIGNATURE', 'receipt: the signature does not verify')
    }
  }
}

export interface TallyComponents {
  /** The key that the order names as its client. */
  readonly signer: Signer
  readonly domain: WireDomain
}

/** The client's count of one order, shared by all streams that use it: what it got, and what of that it has signed. */
export class OrderTally {
  readonly order: Order
  readonly #components: TallyComponents
  #gotBytes = 0
  #newest: Receipt | undefined

  constructor(order: Order, components: TallyComponents) {
    this.order = order
    this.#components = components
  }

  get newest(): Receipt | undefined {
    return this.#newest
  }

  /** Counts bytes that were verified. */
  add(bytes: number): void {
    this.#gotBytes += bytes
  }

  /** Got and not signed for. */
  get unconfirmedBytes(): number {
    return this.#gotBytes - (this.#newest?.bytes ?? 0)
  }

  /** A new receipt, if at least `stepBytes` were got since the last one. */
  sign(stepBytes: number): Receipt | undefined {
    if (this.unconfirmedBytes < stepBytes) return undefined
    const { signer, domain } = this.#components
    this.#newest = signReceipt(signer, domain, this.order, this.#gotBytes)
    return this.#newest
  }
}

function receiptBytes(domain: WireDomain, order: Order, bytes: number): Uint8Array {
  return taggedBytes('subnet-receipt/0', domain, [order.validator, order.miner, order.serial, bytes])
}
