/** What a miner does with a `retrieve` stream: leaves of chunks it holds, with their proof, within the order. */
import type { Order } from '../../../protocols/order/order.js'
import type { ChunkRange, RetrieveHandler } from '../../../protocols/retrieve/server.js'
import type { Ref } from '../../actor/behavior.js'
import { SubnetError } from '../../base/errors.js'
import { toSs58 } from '../../crypto/keys.js'
import { LEAF_BYTES, proveRange } from '../../crypto/merkle.js'
import type { ChunkInfo, Shard } from '../../shard/shard.js'
import type { KeeperMessage, ShardSource } from './keeper.js'
import { orderTerms } from './store-service.js'

/** All open shards, of current validators and of former ones. */
export interface AllShards extends ShardSource {
  all(): Iterable<Shard>
}

export interface RetrieveServiceComponents {
  readonly keeper: Ref<KeeperMessage>
  readonly shards: AllShards
}

export class RetrieveService implements RetrieveHandler {
  readonly #components: RetrieveServiceComponents

  constructor(components: RetrieveServiceComponents) {
    this.#components = components
  }

  async read(order: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange> {
    const { keeper, shards } = this.#components
    const { shard, info } = await findChunk(shards, digest, shards.get(toSs58(order.validator)))
    const leafCount = Math.ceil(info.sizeBytes / LEAF_BYTES)
    const endLeaf = leaves === 0 ? leafCount : firstLeaf + leaves
    if (firstLeaf >= leafCount || endLeaf > leafCount) {
      throw new SubnetError('INVALID', `the chunk has ${leafCount} leaves`)
    }
    const offset = firstLeaf * LEAF_BYTES
    const lengthBytes = Math.min(info.sizeBytes, endLeaf * LEAF_BYTES) - offset
    await keeper.ask('spend', { order: orderTerms(order), sizeBytes: lengthBytes })
    const bytes = await shard.read(digest, offset, lengthBytes)
    if (lengthBytes === info.sizeBytes) return { sizeBytes: info.sizeBytes, bytes, proof: [] }
    const leafHashes = await shard.leafHashes(digest)
    if (leafHashes === undefined) throw new SubnetError('NOT_FOUND', 'the chunk was dropped meanwhile')
    return { sizeBytes: info.sizeBytes, bytes, proof: proveRange(leafHashes, firstLeaf, endLeaf - firstLeaf) }
  }

  async served(order: Order, bytes: number): Promise<void> {
    const shard = this.#components.shards.get(toSs58(order.validator))
    await shard?.addOrderUse({ serial: order.serial, expiresBlock: order.expiresBlock }, bytes)
  }
}

/** The first shard that holds a chunk, beginning with the likely one. `NOT_FOUND` if none does. */
export async function findChunk(
  shards: AllShards,
  digest: Uint8Array,
  likely?: Shard,
): Promise<{ readonly shard: Shard; readonly info: ChunkInfo }> {
  const others = [...shards.all()].filter((shard) => shard !== likely)
  for (const shard of likely === undefined ? others : [likely, ...others]) {
    const info = await shard.describe(digest)
    if (info !== undefined) return { shard, info }
  }
  throw new SubnetError('NOT_FOUND', 'the chunk is not held here')
}
