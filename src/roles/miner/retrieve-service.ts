/**
 * What a miner does with `retrieve` and `have`: leaves of chunks it holds, with their proof, within the order or the
 * allowance; and which chunks those are.
 */
import { webcrypto } from 'node:crypto'
import { equals } from 'uint8arrays'
import type { HaveHandler } from '../../../protocols/have/server.js'
import type { Order } from '../../../protocols/order/order.js'
import type { ChunkRange, OrderAccount } from '../../../protocols/retrieve/exchange.js'
import type { AccountRequest, RetrieveHandler } from '../../../protocols/retrieve/server.js'
import type { Ref } from '../../actor/behavior.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import { toSs58 } from '../../crypto/keys.js'
import { hasLeaves, LEAF_BYTES, proveRange } from '../../crypto/merkle.js'
import type { HeldChunk, Shard } from '../../shard/shard.js'
import type { Allowance } from './allowance.js'
import type { DiskHealth } from './disk-watch.js'
import { checkSure, type Inspector } from './inspector.js'
import type { KeeperMessage, OrderTerms, ShardSource } from './keeper.js'
import type { Receipts } from './receipts.js'
import { orderTerms } from './store-service.js'

const { subtle } = webcrypto
/** One in so many whole chunks that are given out is hashed once more: enough to find a rotten one that is asked for. */
const CHECKED_EVERY = 16

/** All open shards, of current validators and of former ones. */
export interface AllShards extends ShardSource {
  all(): Iterable<Shard>
}

export interface RetrieveServiceComponents {
  readonly keeper: Ref<KeeperMessage>
  readonly shards: AllShards
  /** For those who show no order. */
  readonly allowance: Allowance
  readonly receipts: Pick<Receipts, 'account'>
  readonly health: Pick<DiskHealth, 'checkReads'>
  readonly inspector: Pick<Inspector, 'inspect'>
}

/** What is asked for, and the shard where it is likely to be. */
interface Wanted {
  readonly digest: Uint8Array
  readonly firstLeaf: number
  readonly leaves: number
  readonly likely: Shard | undefined
}

export class RetrieveService implements RetrieveHandler, HaveHandler {
  readonly #components: RetrieveServiceComponents
  /** Orders are read under many thousand times; an address costs more to write than a chunk to look up. */
  readonly #terms = new WeakMap<Order, OrderTerms>()
  #wholeReads = 0

  constructor(components: RetrieveServiceComponents) {
    this.#components = components
  }

  async account(order: Order, request: AccountRequest): Promise<OrderAccount> {
    return await this.#components.receipts.account(order, request)
  }

  async read(order: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange> {
    const { keeper, shards } = this.#components
    const terms = this.#termsOf(order)
    const likely = shards.get(terms.validator)
    return await this.#range({ digest, firstLeaf, leaves, likely }, async (sizeBytes) => {
      await keeper.ask('spend', { order: terms, sizeBytes })
    })
  }

  async readWithoutOrder(
    peerId: string,
    digest: Uint8Array,
    firstLeaf: number,
    leaves: number,
  ): Promise<ChunkRange> {
    return await this.#range({ digest, firstLeaf, leaves, likely: undefined }, async (sizeBytes) =>
      this.#components.allowance.take(peerId, sizeBytes),
    )
  }

  async served(order: Order, bytes: number): Promise<void> {
    const shard = this.#components.shards.get(toSs58(order.validator))
    await shard?.addOrderUse({ serial: order.serial, expiresBlock: order.expiresBlock }, bytes)
  }

  async have(digests: readonly Uint8Array[]): Promise<readonly boolean[]> {
    this.#components.health.checkReads()
    const held: boolean[] = []
    for (const digest of digests) {
      held.push(await isHeld(this.#components.shards.all(), digest))
    }
    return held
  }

  #termsOf(order: Order): OrderTerms {
    const terms = this.#terms.get(order) ?? orderTerms(order)
    this.#terms.set(order, terms)
    return terms
  }

  /** `spend` is told the size before the bytes are read, and refuses by throwing. */
  async #range(
    { digest, firstLeaf, leaves, likely }: Wanted,
    spend: (sizeBytes: number) => Promise<void>,
  ): Promise<ChunkRange> {
    const { shards, health, inspector } = this.#components
    health.checkReads()
    const { shard, chunk } = await findChunk(shards, digest, likely)
    const { info } = chunk
    const leafCount = Math.ceil(info.sizeBytes / LEAF_BYTES)
    const endLeaf = leaves === 0 ? leafCount : firstLeaf + leaves
    if (firstLeaf >= leafCount || endLeaf > leafCount) {
      throw new SubnetError('INVALID', `the chunk has ${leafCount} leaves`)
    }
    const offset = firstLeaf * LEAF_BYTES
    const lengthBytes = Math.min(info.sizeBytes, endLeaf * LEAF_BYTES) - offset
    await spend(lengthBytes)
    const bytes = await this.#read(shard, chunk, offset, lengthBytes)
    if (lengthBytes === info.sizeBytes) {
      // On another thread, while it is sent: the reader checks it anyway, this is for the next one.
      this.#wholeReads += 1
      if (this.#wholeReads % CHECKED_EVERY === 1)
        subtle.digest('SHA-256', bytes).then(
          async (found) => {
            if (!equals(new Uint8Array(found), digest)) await inspector.inspect(shard, digest)
          },
          // Out of memory: what is not looked at now is scrubbed later.
          () => undefined,
        )
      return { sizeBytes: info.sizeBytes, bytes, proof: [] }
    }
    const leafHashes = await shard.leafHashes(digest)
    if (leafHashes === undefined) throw new SubnetError('NOT_FOUND', 'the chunk was dropped meanwhile')
    if (!hasLeaves(bytes, leafHashes, firstLeaf)) {
      await inspector.inspect(shard, digest)
      throw new SubnetError('NOT_FOUND', 'the chunk is not on the disk as it was')
    }
    return { sizeBytes: info.sizeBytes, bytes, proof: proveRange(leafHashes, firstLeaf, endLeaf - firstLeaf) }
  }

  /** A chunk that cannot be read is looked at before the answer is given: it is lost, or the disk does not work. */
  async #read(shard: Shard, chunk: HeldChunk, offset: number, lengthBytes: number): Promise<Uint8Array> {
    const { health, inspector } = this.#components
    const { digest } = chunk.info
    try {
      return await chunk.read(offset, lengthBytes)
    } catch (error) {
      if (!isSubnetError(error, 'DISK')) throw error
      const finding = await inspector.inspect(shard, digest)
      health.checkReads()
      checkSure(finding)
      if (finding !== 'whole')
        throw new SubnetError('NOT_FOUND', 'the chunk cannot be read', { cause: error })
      return await shard.read(digest, offset, lengthBytes)
    }
  }
}

/** The first shard that holds a chunk, beginning with the likely one. `NOT_FOUND` if none does. */
export async function findChunk(
  shards: AllShards,
  digest: Uint8Array,
  likely?: Shard,
): Promise<{ readonly shard: Shard; readonly chunk: HeldChunk }> {
  const others = [...shards.all()].filter((shard) => shard !== likely)
  for (const shard of likely === undefined ? others : [likely, ...others]) {
    const chunk = await shard.find(digest)
    if (chunk !== undefined) return { shard, chunk }
  }
  throw new SubnetError('NOT_FOUND', 'the chunk is not held here')
}

async function isHeld(shards: Iterable<Shard>, digest: Uint8Array): Promise<boolean> {
  for (const shard of shards) if ((await shard.describe(digest)) !== undefined) return true
  return false
}
