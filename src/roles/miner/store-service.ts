/**
 * What a miner does with a `store` stream and with the leases that come of it: room from the keeper, bytes to the
 * shard, its signature under what it holds.
 */
import { toString as bytesToText, equals } from 'uint8arrays'
import { decodeMessage, encodeMessage } from '../../../protocols/common/schema.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import { sameKey } from '../../../protocols/common/signed.js'
import type { KeptLease, Lease, SignedLease } from '../../../protocols/lease/lease.js'
import { checkLeaseCounted, keptLeaseSchema, signLease } from '../../../protocols/lease/lease.js'
import type { LeaseHandler, Renewal } from '../../../protocols/lease/server.js'
import type { Order } from '../../../protocols/order/order.js'
import type { LeaseRequest, Reservation, StoreHandler } from '../../../protocols/store/server.js'
import type { Ref } from '../../actor/behavior.js'
import { SubnetError } from '../../base/errors.js'
import { Semaphore } from '../../base/semaphore.js'
import type { Signer } from '../../crypto/keys.js'
import { toSs58 } from '../../crypto/keys.js'
import type { ChunkExpiry, Shard } from '../../shard/shard.js'
import type { KeeperMessage, OrderTerms, ShardSource } from './keeper.js'

/** Changes of leases that wait for a release to end; the next is refused with `BUSY`. */
const CHANGES_WAITING_MAX = 1_024

export interface StoreServiceInit {
  readonly domain: WireDomain
  /** Blocks that the chunks of a released lease are kept: what was released by mistake is not gone at once. */
  readonly trashBlocks: number
}

export interface StoreServiceComponents {
  readonly keeper: Ref<KeeperMessage>
  readonly shards: ShardSource
  readonly signer: Signer
  /** Our newest head. */
  readonly head: { readonly block: number }
  /** Told of every lease that counts from now on. */
  readonly onCounted: (lease: Lease) => void
}

export class StoreService implements StoreHandler, LeaseHandler {
  readonly #components: StoreServiceComponents
  readonly #domain: WireDomain
  readonly #trashBlocks: number
  /** A release looks at all leases before it lowers an expiry: no lease may begin to cover a chunk in between. */
  readonly #change = new Semaphore({ permitsMax: 1, waitersMax: CHANGES_WAITING_MAX })

  constructor(components: StoreServiceComponents, init: StoreServiceInit) {
    this.#components = components
    this.#domain = init.domain
    this.#trashBlocks = init.trashBlocks
  }

  async reserve(order: Order, sizeBytes: number): Promise<Reservation> {
    const { keeper } = this.#components
    const shard = this.#shard(order.validator)
    const ticket = await keeper.ask('reserve', { order: orderTerms(order), sizeBytes })
    return {
      keep: async (chunk) => {
        let usedBytes = 0
        try {
          const outcome = await shard.put({
            ...chunk,
            expiresBlock: order.expiresBlock,
            order: { serial: order.serial, expiresBlock: order.expiresBlock },
          })
          usedBytes = chunk.sizeBytes
          return outcome
        } finally {
          keeper.send({ type: 'settle', ticket, usedBytes })
        }
      },
      release: () => {
        keeper.send({ type: 'settle', ticket, usedBytes: 0 })
      },
    }
  }

  /**
   * What is about to expire is not called held: a put that comes back to it may outlast it. Sent again, its expiry is
   * the new order's. "About to" is half of what the new order has left.
   */
  async have(order: Order, digests: readonly Uint8Array[]): Promise<boolean[]> {
    const shard = this.#shard(order.validator)
    const { block } = this.#components.head
    const neededBlock = block + (order.expiresBlock - block) / 2
    const held: boolean[] = []
    for (const digest of digests) {
      const chunk = await shard.describe(digest)
      held.push(chunk !== undefined && chunk.expiresBlock >= neededBlock)
    }
    return held
  }

  async lease(order: Order, request: LeaseRequest): Promise<SignedLease> {
    if (request.endBlock > order.leaseEndBlock) {
      throw new SubnetError('REFUSED', `the order permits leases until block ${order.leaseEndBlock}`)
    }
    const shard = this.#shard(order.validator)
    for (const [digest, auditRoot, sizeBytes] of request.entries) {
      const held = await shard.describe(digest)
      if (held === undefined)
        throw new SubnetError('NOT_FOUND', `chunk ${bytesToText(digest, 'hex')} is not held`)
      if (held.sizeBytes !== sizeBytes || !equals(held.auditRoot, auditRoot)) {
        throw new SubnetError('MISMATCH', `chunk ${bytesToText(digest, 'hex')} is not what the lease says`)
      }
    }
    const counted = await this.#counted(shard, request.object)
    if (counted !== undefined) {
      const { entries, endBlock } = counted.lease
      const same = [
        encodeMessage([entries, endBlock]),
        encodeMessage([request.entries, request.endBlock]),
      ] as const
      if (equals(...same)) return counted
      throw new SubnetError('REFUSED', 'the object has a lease that counts')
    }
    const signed = signLease(this.#components.signer, this.#domain, {
      object: request.object,
      validator: order.validator,
      miner: this.#components.signer.publicKey,
      entries: [...request.entries],
      startBlock: this.#components.head.block,
      endBlock: request.endBlock,
    })
    await this.#keepLease(shard, signed)
    return signed
  }

  async confirm(validator: Uint8Array, object: Uint8Array, validatorSignature: Uint8Array): Promise<void> {
    const shard = this.#shard(validator)
    const kept = await this.#kept(shard, validator, object)
    checkLeaseCounted(kept.lease, validatorSignature, this.#domain)
    if (kept.validatorSignature === undefined) {
      await this.#keepLease(shard, { ...kept, validatorSignature })
      this.#components.onCounted(kept.lease)
    }
  }

  async renew(validator: Uint8Array, renewal: Renewal): Promise<Uint8Array> {
    const { object, endBlock, validatorSignature } = renewal
    const shard = this.#shard(validator)
    const kept = await this.#kept(shard, validator, object)
    if (endBlock < kept.lease.endBlock)
      throw new SubnetError('INVALID', `renew: the lease goes on until block ${kept.lease.endBlock} already`)
    const signed = signLease(this.#components.signer, this.#domain, { ...kept.lease, endBlock })
    checkLeaseCounted(signed.lease, validatorSignature, this.#domain)
    await this.#keepLease(shard, { ...signed, validatorSignature })
    return signed.minerSignature
  }

  async release(validator: Uint8Array, object: Uint8Array): Promise<void> {
    const shard = this.#shard(validator)
    const { lease } = await this.#kept(shard, validator, object)
    const expiresBlock = this.#components.head.block + this.#trashBlocks
    await this.#change.run(async () => {
      const digests = lease.entries.map(([digest]) => digest)
      await shard.endLease(object, await keptUntil(shard, object, digests, expiresBlock))
    })
  }

  async #kept(shard: Shard, validator: Uint8Array, object: Uint8Array): Promise<KeptLease> {
    const bytes = await shard.lease(object)
    if (bytes === undefined) throw new SubnetError('NOT_FOUND', 'no lease for this object')
    const kept = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    if (!sameKey(kept.lease.validator, validator))
      throw new SubnetError('REFUSED', 'the lease is of another validator')
    return kept
  }

  /** A lease that counts and goes on. Anybody with an order may ask for another one: it must not take its place. */
  async #counted(shard: Shard, object: Uint8Array): Promise<SignedLease | undefined> {
    const bytes = await shard.lease(object)
    if (bytes === undefined) return undefined
    const { validatorSignature, ...signed } = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    const goesOn = signed.lease.endBlock > this.#components.head.block
    return validatorSignature !== undefined && goesOn ? signed : undefined
  }

  async #keepLease(
    shard: Shard,
    kept: SignedLease & { readonly validatorSignature?: Uint8Array },
  ): Promise<void> {
    const { object, endBlock, entries } = kept.lease
    const digests = entries.map(([digest]) => digest)
    await this.#change.run(() => shard.putLease({ object, bytes: encodeMessage(kept), endBlock, digests }))
  }

  #shard(validator: Uint8Array): Shard {
    const address = toSs58(validator)
    const shard = this.#components.shards.get(address)
    if (shard === undefined)
      throw new SubnetError('NO_SPACE', `there is no shard for ${address} in the partition plan`)
    return shard
  }
}

/**
 * Until when each of the digests is still needed: the last end of the other objects' leases that name it, and at least
 * `expiresBlock`. Public objects share chunks, and a client may lease chunks that another one stored: a release must not
 * take them from it. Reads every lease of the shard, so a release costs as much as there are.
 */
async function keptUntil(
  shard: Shard,
  object: Uint8Array,
  digests: readonly Uint8Array[],
  expiresBlock: number,
): Promise<ChunkExpiry[]> {
  const kept = new Map(
    digests.map((digest) => [bytesToText(digest, 'hex'), { digest, expiresBlock }] as const),
  )
  for await (const bytes of shard.leases()) {
    const { lease } = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    if (equals(lease.object, object)) continue
    for (const [digest] of lease.entries) {
      const key = bytesToText(digest, 'hex')
      const own = kept.get(key)
      if (own !== undefined && own.expiresBlock < lease.endBlock)
        kept.set(key, { digest: own.digest, expiresBlock: lease.endBlock })
    }
  }
  return [...kept.values()]
}

export function orderTerms(order: Order): OrderTerms {
  return {
    serial: bytesToText(order.serial, 'hex'),
    validator: toSs58(order.validator),
    maxBytes: order.maxBytes,
    client: bytesToText(order.client, 'hex'),
  }
}
