/** A miner's partition in memory: shards that are really kept, a plan that is only remembered. */
import { SubnetError } from '../../src/base/errors.js'
import { createMemoryShard } from '../../src/shard/memory-shard.js'
import type { PartitionPlan, Share } from '../../src/shard/partition.js'
import type { PartitionStore } from '../../src/shard/partition-store.js'
import type { Shard, ShardUsage } from '../../src/shard/shard.js'

export class MemoryPartition implements PartitionStore {
  readonly #shards = new Map<string, Shard>()
  #plan: PartitionPlan | undefined
  /** Validators whose shard does not open. */
  readonly broken = new Set<string>()
  /** How often a plan was written down. */
  plansWritten = 0

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  plan(): PartitionPlan | undefined {
    return this.#plan
  }

  async setPlan(plan: PartitionPlan): Promise<void> {
    this.#plan = plan
    this.plansWritten += 1
  }

  async retire(validators: readonly string[]): Promise<string[]> {
    const retired: string[] = []
    for (const validator of validators) {
      if (!(await this.#shards.get(validator)?.isEmpty())) continue
      this.#shards.delete(validator)
      retired.push(validator)
    }
    return retired
  }

  async reopenFailed(): Promise<void> {}

  /** Puts a plan with these shares in force. */
  share(...shares: readonly (Omit<Share, 'drains'> & { readonly drains?: boolean })[]): void {
    const budgetBytes = shares.reduce((sum, { shareBytes }) => sum + shareBytes, 0)
    this.#plan = { budgetBytes, shares: shares.map((share) => ({ drains: false, ...share })) }
  }

  async open(validator: string): Promise<Shard> {
    if (this.broken.has(validator)) throw new SubnetError('DISK', 'the shard is torn')
    const shard = this.#shards.get(validator) ?? createMemoryShard()
    if (!this.#shards.has(validator)) await shard.start()
    this.#shards.set(validator, shard)
    return shard
  }

  /** Has this shard stand for a validator. */
  put(validator: string, shard: Shard): void {
    this.#shards.set(validator, shard)
  }

  get(validator: string): Shard | undefined {
    return this.#shards.get(validator)
  }

  all(): Iterable<Shard> {
    return this.#shards.values()
  }

  usage(): ReadonlyMap<string, ShardUsage> {
    return new Map([...this.#shards].map(([validator, shard]) => [validator, shard.usage()]))
  }
}
