/**
 * The order: a validator's signed permission for one client to put or get so many bytes at one miner. A miner checks it
 * before it reads or sends a body, and counts what is used of it under its serial.
 */
import { z } from 'zod'
import { SubnetError } from '../../src/base/errors.js'
import type { Signer } from '../../src/crypto/keys.js'
import { verifySignature } from '../../src/crypto/keys.js'
import { blockField, integer, publicKeyField, serialField, signatureField } from '../common/schema.js'
import type { WireDomain } from '../common/signed.js'
import { sameKey, taggedBytes } from '../common/signed.js'
import type { Authority } from '../hello/attestation.js'

export const orderVerbSchema = z.enum(['put', 'get'])
export type OrderVerb = z.infer<typeof orderVerbSchema>

/** Largest use one order may grant: 1 PiB, so that sums stay exact. */
export const ORDER_BYTES_MAX = 2 ** 50
/** Largest message that presents an order, bytes; an order has about 330. Nothing larger is read before it is checked. */
export const OPEN_BYTES_MAX = 1024

export const orderSchema = z.strictObject({
  verb: orderVerbSchema,
  /** Who may use it. */
  client: publicKeyField,
  /** Where. */
  miner: publicKeyField,
  /** Who pays: the validator whose shard the bytes go to or come from. */
  validator: publicKeyField,
  maxBytes: integer(1, ORDER_BYTES_MAX),
  serial: serialField,
  expiresBlock: blockField,
  /** Last block of the lease that a put may ask for; equals `expiresBlock` in a get. */
  leaseEndBlock: blockField,
  signature: signatureField,
})

export type Order = z.infer<typeof orderSchema>

export function signOrder(
  validator: Signer,
  domain: WireDomain,
  fields: Omit<Order, 'validator' | 'signature'>,
): Order {
  const unsigned = { ...fields, validator: validator.publicKey }
  return { ...unsigned, signature: validator.sign(orderBytes(unsigned, domain)) }
}

export interface OrderCheck {
  readonly domain: WireDomain
  readonly authority: Authority
  readonly verb: OrderVerb
  /** Key of the session that presents the order. */
  readonly client: Uint8Array
  /** Our own hotkey. */
  readonly miner: Uint8Array
}

/** Throws `REFUSED` (other client, other miner, other verb, expired, signer without permit) or `BAD_SIGNATURE`. */
export function checkOrder(order: Order, check: OrderCheck): void {
  const refuse = (why: string): never => {
    throw new SubnetError('REFUSED', `order: ${why}`)
  }
  if (order.verb !== check.verb) refuse(`it permits ${order.verb}, not ${check.verb}`)
  if (!sameKey(order.miner, check.miner)) refuse('it is for another miner')
  if (!sameKey(order.client, check.client)) refuse('it is for another client')
  checkOrderStands(order, check.authority)
  if (!verifySignature('sr25519', order.validator, orderBytes(order, check.domain), order.signature)) {
    throw new SubnetError('BAD_SIGNATURE', 'order: the signature does not verify')
  }
}

/**
 * Throws `REFUSED` once the order has expired or its signer has no permit any more. Asked again at every request on a
 * stream: a stream may outlive its order, what was used of an order is forgotten when it expires, and a validator that has
 * left the subnet gives nothing away.
 */
export function checkOrderStands(order: Order, authority: Pick<Authority, 'block' | 'isValidator'>): void {
  if (order.expiresBlock < authority.block) {
    throw new SubnetError('REFUSED', `order: it expired at block ${order.expiresBlock}`)
  }
  if (!authority.isValidator(order.validator)) {
    throw new SubnetError('REFUSED', 'order: its signer has no validator permit')
  }
}

function orderBytes(order: Omit<Order, 'signature'>, domain: WireDomain): Uint8Array {
  return taggedBytes('subnet-order/0', domain, [
    order.verb,
    order.client,
    order.miner,
    order.validator,
    order.maxBytes,
    order.serial,
    order.expiresBlock,
    order.leaseEndBlock,
  ])
}
