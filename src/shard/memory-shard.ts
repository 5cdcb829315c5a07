/**
 * The `Shard` in memory: for tests, for the simulator, and as the model the one on disk is compared with. Written
 * without its parts on purpose. What it holds outlives stop and start, as a disk's would, but not the process.
 */
import { compare, concat, toString as toText } from 'uint8arrays'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import type { ChunkExpiry, ChunkInfo, LeaseRow, NewChunk, OrderUse, Shard, ShardUsage } from './shard.js'

interface HeldChunk {
  readonly info: ChunkInfo
  readonly leafHashes: Uint8Array
  readonly body: Uint8Array
}

/** `capacityBytes`: bodies beyond it are refused with `NO_SPACE`, as by a full disk. */
export function createMemoryShard(init: { readonly capacityBytes?: number } = {}): Shard {
  return new MemoryShard(init.capacityBytes ?? Number.POSITIVE_INFINITY)
}

class MemoryShard implements Shard {
  readonly #capacityBytes: number
  readonly #chunks = new Map<string, HeldChunk>()
  readonly #leases = new Map<string, LeaseRow>()
  readonly #orders = new Map<string, { usedBytes: number; expiresBlock: number }>()
  #running = false

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes
  }

  async start(): Promise<void> {
    invariant(!this.#running, 'a shard that runs is not started')
    this.#running = true
  }

  async stop(): Promise<void> {
    this.#running = false
  }

  async put(chunk: NewChunk, options: AbortOptions = {}): Promise<'stored' | 'present'> {
    this.#check()
    options.signal?.throwIfAborted()
    const body = concat([...chunk.body])
    invariant(chunk.sizeBytes > 0 && body.length === chunk.sizeBytes, 'a chunk has a body of its size')
    const held = this.#chunks.has(keyOf(chunk.digest))
    if (held) {
      this.#raise(chunk.digest, chunk.expiresBlock)
    } else {
      if (this.usage().bytes + body.length > this.#capacityBytes) throw new SubnetError('NO_SPACE', 'no room')
      const info = copyOf(chunk)
      this.#chunks.set(keyOf(chunk.digest), { info, leafHashes: Uint8Array.from(chunk.leafHashes), body })
    }
    if (chunk.order !== undefined) this.#charge(chunk.order, chunk.sizeBytes)
    return held ? 'present' : 'stored'
  }

  async describe(digest: Uint8Array): Promise<ChunkInfo | undefined> {
    const held = this.#find(digest)
    return held === undefined ? undefined : copyOf(held.info)
  }

  async leafHashes(digest: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#find(digest)?.leafHashes.slice()
  }

  async read(
    digest: Uint8Array,
    offset: number,
    lengthBytes: number,
    options: AbortOptions = {},
  ): Promise<Uint8Array> {
    const body = this.#find(digest)?.body
    if (body === undefined) throw new SubnetError('NOT_FOUND', 'the chunk is not held')
    if (offset < 0 || lengthBytes < 0 || offset + lengthBytes > body.length) {
      throw new SubnetError('INVALID', `the chunk has ${body.length} bytes`)
    }
    options.signal?.throwIfAborted()
    return body.slice(offset, offset + lengthBytes)
  }

  async remove(digest: Uint8Array): Promise<boolean> {
    this.#check()
    return this.#chunks.delete(keyOf(digest))
  }

  async expire(block: number, limit: number): Promise<number> {
    this.#check()
    const due = [
      ...this.#entries(this.#chunks, ({ info }) => info.expiresBlock),
      ...this.#entries(this.#leases, ({ endBlock }) => endBlock),
      // An order is refused only after its last block.
      ...this.#entries(this.#orders, ({ expiresBlock }) => expiresBlock + 1),
    ]
    const oldest = due.filter((entry) => entry.block <= block).sort((a, b) => a.block - b.block)
    const forgotten = oldest.slice(0, limit)
    for (const { forget } of forgotten) forget()
    return forgotten.length
  }

  usage(): ShardUsage {
    let bytes = 0
    for (const { body } of this.#chunks.values()) bytes += body.length
    return { chunks: this.#chunks.size, bytes, diskBytes: bytes }
  }

  async *chunks(): AsyncIterable<ChunkInfo> {
    this.#check()
    const infos = [...this.#chunks.values()].map(({ info }) => copyOf(info))
    yield* infos.sort((a, b) => compare(a.digest, b.digest))
  }

  async orderUse(serial: Uint8Array): Promise<number> {
    this.#check()
    return this.#orders.get(keyOf(serial))?.usedBytes ?? 0
  }

  async addOrderUse(order: OrderUse, bytes: number): Promise<void> {
    this.#check()
    this.#charge(order, bytes)
  }

  async putLease(lease: LeaseRow): Promise<void> {
    this.#check()
    if (lease.digests.some((digest) => !this.#chunks.has(keyOf(digest)))) {
      throw new SubnetError('NOT_FOUND', 'the lease names a chunk that is not held')
    }
    for (const digest of lease.digests) this.#raise(digest, lease.endBlock)
    this.#leases.set(keyOf(lease.object), { ...lease, bytes: Uint8Array.from(lease.bytes) })
  }

  async endLease(object: Uint8Array, chunks: readonly ChunkExpiry[]): Promise<boolean> {
    this.#check()
    if (!this.#leases.delete(keyOf(object))) return false
    for (const { digest, expiresBlock } of chunks) {
      const held = this.#chunks.get(keyOf(digest))
      if (held === undefined || held.info.expiresBlock <= expiresBlock) continue
      this.#chunks.set(keyOf(digest), { ...held, info: { ...held.info, expiresBlock } })
    }
    return true
  }

  async lease(object: Uint8Array): Promise<Uint8Array | undefined> {
    this.#check()
    return this.#leases.get(keyOf(object))?.bytes.slice()
  }

  async *leases(): AsyncIterable<Uint8Array> {
    this.#check()
    for (const key of [...this.#leases.keys()].sort()) {
      const lease = this.#leases.get(key)
      if (lease !== undefined) yield lease.bytes.slice()
    }
  }

  #entries<V>(map: Map<string, V>, blockOf: (value: V) => number): { block: number; forget: () => void }[] {
    return [...map].map(([key, value]) => ({ block: blockOf(value), forget: () => map.delete(key) }))
  }

  #find(digest: Uint8Array): HeldChunk | undefined {
    this.#check()
    return this.#chunks.get(keyOf(digest))
  }

  #raise(digest: Uint8Array, expiresBlock: number): void {
    const held = this.#chunks.get(keyOf(digest))
    if (held === undefined || held.info.expiresBlock >= expiresBlock) return
    this.#chunks.set(keyOf(digest), { ...held, info: { ...held.info, expiresBlock } })
  }

  #charge({ serial, expiresBlock }: OrderUse, bytes: number): void {
    const before = this.#orders.get(keyOf(serial)) ?? { usedBytes: 0, expiresBlock: 0 }
    this.#orders.set(keyOf(serial), {
      usedBytes: before.usedBytes + bytes,
      expiresBlock: Math.max(before.expiresBlock, expiresBlock),
    })
  }

  #check(): void {
    if (!this.#running) throw new SubnetError('STOPPED', 'the shard is not running')
  }
}

function keyOf(id: Uint8Array): string {
  return toText(id, 'hex')
}

function copyOf({ digest, auditRoot, sizeBytes, expiresBlock }: ChunkInfo): ChunkInfo {
  return { digest: Uint8Array.from(digest), auditRoot: Uint8Array.from(auditRoot), sizeBytes, expiresBlock }
}
