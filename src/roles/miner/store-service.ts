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
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { Semaphore } from '../../base/semaphore.js'
import { sha256 } from '../../crypto/hash.js'
import type { Signer } from '../../crypto/keys.js'
import { toSs58 } from '../../crypto/keys.js'
import type { EndedChunks, Shard } from '../../shard/shard.js'
import type { DiskHealth } from './disk-watch.js'
import type { KeeperMessage, OrderTerms, ShardSource, Ticket } from './keeper.js'
import { shrinkTrash } from './sweeper.js'

/** Changes of leases that wait for a release to end; the next is refused with `BUSY`. */
const CHANGES_WAITING_MAX = 1_024

export interface StoreServiceInit {
  readonly domain: WireDomain
  /** Blocks that chunks are kept after their lease was released or has ended, and a lease that it can be renewed. */
  readonly trashBlocks: number
}

export interface StoreServiceComponents {
  readonly keeper: Ref<KeeperMessage>
  readonly shards: ShardSource
  readonly signer: Signer
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly health: Pick<DiskHealth, 'checkWrites'>
  /** Told that the disk failed. */
  readonly onDiskFailure: () => void
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
    const { keeper, health, onDiskFailure } = this.#components
    health.checkWrites()
    const shard = this.#shard(order.validator)
    const ticket = await keeper.ask('reserve', { order: orderTerms(order), sizeBytes })
    await this.#makeRoom(shard, ticket)
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
        } catch (error) {
          if (isSubnetError(error, 'DISK')) onDiskFailure()
          throw error
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
   * What is held is kept as long as the order: a put that comes back to it, or that outlasted its first order, will
   * lease it only at its end. That costs the order as much as sending it again, so that nothing stays for ever without a
   * lease; when the order has not so much left, only what lasts for half of its life is called held.
   */
  async have(order: Order, digests: readonly Uint8Array[]): Promise<boolean[]> {
    const { keeper, head, health } = this.#components
    health.checkWrites()
    const shard = this.#shard(order.validator)
    const { expiresBlock, serial } = order
    const chunks = await Promise.all(digests.map((digest) => shard.describe(digest)))
    const ending = chunks.filter((chunk) => chunk !== undefined && chunk.expiresBlock < expiresBlock)
    const sizeBytes = ending.reduce((sum, chunk) => sum + (chunk?.sizeBytes ?? 0), 0)
    if (sizeBytes > 0) {
      try {
        await keeper.ask('spend', { order: orderTerms(order), sizeBytes })
      } catch (error) {
        if (!isSubnetError(error, 'REFUSED')) throw error
        const neededBlock = head.block + (expiresBlock - head.block) / 2
        return chunks.map((chunk) => chunk !== undefined && chunk.expiresBlock >= neededBlock)
      }
      await shard.addOrderUse({ serial, expiresBlock }, sizeBytes)
    }
    return await shard.extend(digests, expiresBlock)
  }

  async lease(order: Order, request: LeaseRequest): Promise<SignedLease> {
    this.#components.health.checkWrites()
    if (request.endBlock > order.leaseEndBlock) {
      throw new SubnetError('REFUSED', `the order permits leases until block ${order.leaseEndBlock}`)
    }
    const shard = this.#shard(order.validator)
    for (const [digest, auditRoot, sizeBytes] of request.entries) {
      // In the trash: another object that had it was released since it was put.
      const held = (await shard.describe(digest)) ?? (await shard.trashed(digest))
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
    }
    const signed = signLease(this.#components.signer, this.#domain, {
      object: request.object,
      validator: order.validator,
      miner: this.#components.signer.publicKey,
      entries: [...request.entries],
      startBlock: this.#components.head.block,
      endBlock: request.endBlock,
    })
    // Anybody with an order may ask: only the validator's signature lets it take the place of one that counts.
    const name = counted === undefined ? request.object : successorOf(request.object)
    await this.#keepLease(shard, signed, { name })
    return signed
  }

  async confirm(validator: Uint8Array, object: Uint8Array, validatorSignature: Uint8Array): Promise<void> {
    this.#components.health.checkWrites()
    const shard = this.#shard(validator)
    const kept = await this.#kept(shard, validator, object)
    const successor = await this.#successor(shard, object)
    if (successor !== undefined && this.#isCounted(successor.lease, validatorSignature)) {
      await this.#keepLease(shard, { ...successor, validatorSignature })
      await this.#forgetSuccessor(shard, object)
      this.#components.onCounted(successor.lease)
      return
    }
    checkLeaseCounted(kept.lease, validatorSignature, this.#domain)
    if (kept.validatorSignature === undefined) {
      await this.#keepLease(shard, { ...kept, validatorSignature })
      this.#components.onCounted(kept.lease)
    }
  }

  async renew(validator: Uint8Array, renewal: Renewal): Promise<Uint8Array> {
    this.#components.health.checkWrites()
    const { object, endBlock, validatorSignature } = renewal
    const shard = this.#shard(validator)
    const kept = await this.#kept(shard, validator, object)
    if (endBlock < kept.lease.endBlock)
      throw new SubnetError('INVALID', `renew: the lease goes on until block ${kept.lease.endBlock} already`)
    const signed = signLease(this.#components.signer, this.#domain, { ...kept.lease, endBlock })
    checkLeaseCounted(signed.lease, validatorSignature, this.#domain)
    const lost = await this.#missing(shard, signed.lease)
    await this.#keepLease(shard, { ...signed, validatorSignature }, { lost })
    // Signed for and not there: said before the renewed lease is audited.
    for (const digest of lost) await shard.lose(digest, endBlock)
    return signed.minerSignature
  }

  async release(validator: Uint8Array, object: Uint8Array): Promise<void> {
    this.#components.health.checkWrites()
    const shard = this.#shard(validator)
    const { lease } = await this.#kept(shard, validator, object)
    const successor = await this.#successor(shard, object)
    const trashUntilBlock = this.#components.head.block + this.#trashBlocks
    await this.#change.run(async () => {
      const entries = [...lease.entries, ...(successor?.lease.entries ?? [])]
      const digests = entries.map(([digest]) => digest)
      const ended = await endedChunks(shard, object, digests, this.#components.head.block)
      await shard.endLease(object, ended, trashUntilBlock)
      await this.#forgetSuccessor(shard, object)
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

  /** The lease that is to take the place of the object's, once it counts. */
  async #successor(shard: Shard, object: Uint8Array): Promise<SignedLease | undefined> {
    const bytes = await shard.lease(successorOf(object))
    return bytes === undefined ? undefined : decodeMessage(keptLeaseSchema, bytes, 'kept lease')
  }

  /** What it names is the object's lease's to keep, or to end. */
  async #forgetSuccessor(shard: Shard, object: Uint8Array): Promise<void> {
    await shard.endLease(successorOf(object), { trash: [], keep: [] }, this.#components.head.block)
  }

  #isCounted(lease: Lease, validatorSignature: Uint8Array): boolean {
    try {
      checkLeaseCounted(lease, validatorSignature, this.#domain)
      return true
    } catch (error) {
      if (isSubnetError(error, 'BAD_SIGNATURE')) return false
      throw error
    }
  }

  /** A lease that counts and goes on. */
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
    { name = kept.lease.object, lost = [] }: KeepOptions = {},
  ): Promise<void> {
    const { endBlock, entries } = kept.lease
    const digests = entries.map(([digest]) => digest).filter((digest) => !lost.includes(digest))
    const row = {
      object: name,
      bytes: encodeMessage(kept),
      endBlock,
      forgetsBlock: endBlock + this.#trashBlocks,
    }
    await this.#change.run(() => shard.putLease({ ...row, digests }))
  }

  /** What of a lease is not on the disk. `NOT_FOUND` if nothing of it is: there is nothing to renew. */
  async #missing(shard: Shard, { entries }: Lease): Promise<Uint8Array[]> {
    const missing: Uint8Array[] = []
    for (const [digest] of entries) {
      const held = (await shard.describe(digest)) ?? (await shard.trashed(digest))
      if (held === undefined) missing.push(digest)
    }
    if (missing.length === entries.length) throw new SubnetError('NOT_FOUND', 'nothing of the lease is held')
    return missing
  }

  /** Trash gives way before the body is read; what was reserved is given back if it cannot. */
  async #makeRoom(shard: Shard, ticket: Ticket): Promise<void> {
    try {
      await shrinkTrash(shard, ticket.trashBytesMax)
    } catch (error) {
      this.#components.keeper.send({ type: 'settle', ticket, usedBytes: 0 })
      throw error
    }
  }

  #shard(validator: Uint8Array): Shard {
    const address = toSs58(validator)
    const shard = this.#components.shards.get(address)
    if (shard === undefined)
      throw new SubnetError('NO_SPACE', `there is no shard for ${address} in the partition plan`)
    return shard
  }
}

interface KeepOptions {
  /** Under which it is kept: the object's by default. */
  readonly name?: Uint8Array
  /** What of it is not on the disk. */
  readonly lost?: readonly Uint8Array[]
}

/** Under which a lease waits to take the place of the object's: a row as any other, which ends by itself if it never does. */
function successorOf(object: Uint8Array): Uint8Array {
  return sha256(encodeMessage(['miner-lease-successor/0', object]))
}

/**
 * What becomes of each digest when this object's lease ends: what another object's lease names at this block stays until
 * the last of those ends. Public objects share chunks, and a client may lease chunks that another one stored: a release
 * must not take them from it. Reads every lease of the shard, so a release costs as much as there are.
 */
async function endedChunks(
  shard: Shard,
  object: Uint8Array,
  digests: readonly Uint8Array[],
  block: number,
): Promise<EndedChunks> {
  const trash = new Map(digests.map((digest) => [bytesToText(digest, 'hex'), digest]))
  const keep = new Map<string, EndedChunks['keep'][0]>()
  for await (const bytes of shard.leases()) {
    const { lease } = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    if (equals(lease.object, object) || lease.endBlock <= block) continue
    for (const [digest] of lease.entries) {
      const key = bytesToText(digest, 'hex')
      const known = keep.get(key)
      if (!trash.delete(key) && known === undefined) continue
      keep.set(key, { digest, expiresBlock: Math.max(lease.endBlock, known?.expiresBlock ?? 0) })
    }
  }
  return { trash: [...trash.values()], keep: [...keep.values()] }
}

export function orderTerms(order: Order): OrderTerms {
  return {
    serial: bytesToText(order.serial, 'hex'),
    validator: toSs58(order.validator),
    maxBytes: order.maxBytes,
    client: bytesToText(order.client, 'hex'),
  }
}
