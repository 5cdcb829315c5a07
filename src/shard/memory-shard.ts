/**
 * The `Shard` in memory: for tests, for the simulator, and as the model the one on disk is compared with. Written
 * without its parts on purpose. What it holds outlives stop and start, as a disk's would, but not the process.
 */
import { compare, concat, toString as toText } from 'uint8arrays'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import type {
  ChunkInfo,
  EndedChunks,
  HeldChunk,
  LeaseRow,
  Loss,
  NewChunk,
  OrderUse,
  Shard,
  ShardUsage,
} from './shard.js'

interface KeptChunk {
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
  readonly #chunks = new Map<string, KeptChunk>()
  readonly #trash = new Map<string, KeptChunk>()
  readonly #losses = new Map<string, Loss & { readonly untilBlock: number }>()
  #lastLoss = 0
  #scrubbed: Uint8Array | undefined
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
    const held = this.#onDisk(chunk.digest)
    if (held) {
      this.#hold(chunk.digest, chunk.expiresBlock)
    } else {
      if (this.usage().diskBytes + body.length > this.#capacityBytes)
        throw new SubnetError('NO_SPACE', 'no room')
      this.#losses.delete(keyOf(chunk.digest))
      const info = copyOf(chunk)
      this.#chunks.set(keyOf(chunk.digest), { info, leafHashes: Uint8Array.from(chunk.leafHashes), body })
    }
    if (chunk.order !== undefined) this.#charge(chunk.order, chunk.sizeBytes)
    return held ? 'present' : 'stored'
  }

  async extend(digests: readonly Uint8Array[], expiresBlock: number): Promise<boolean[]> {
    this.#check()
    return digests.map((digest) => {
      const isHeld = this.#chunks.has(keyOf(digest))
      if (isHeld) this.#hold(digest, expiresBlock)
      return isHeld
    })
  }

  async describe(digest: Uint8Array): Promise<ChunkInfo | undefined> {
    const held = this.#find(digest)
    return held === undefined ? undefined : copyOf(held.info)
  }

  async find(digest: Uint8Array): Promise<HeldChunk | undefined> {
    const info = await this.describe(digest)
    if (info === undefined) return undefined
    return {
      info,
      read: (offset, lengthBytes, options) => this.read(info.digest, offset, lengthBytes, options),
    }
  }

  async trashed(digest: Uint8Array): Promise<ChunkInfo | undefined> {
    this.#check()
    const trash = this.#trash.get(keyOf(digest))
    return trash === undefined ? undefined : copyOf(trash.info)
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
    this.#trash.delete(keyOf(digest))
    return this.#chunks.delete(keyOf(digest))
  }

  async expire(block: number, limit: number, trashUntilBlock?: number): Promise<number> {
    this.#check()
    const due = [
      ...this.#entries(this.#chunks, ({ info }) => info.expiresBlock, trashUntilBlock),
      ...this.#entries(this.#leases, ({ endBlock, forgetsBlock }) => forgetsBlock ?? endBlock),
      // An order is refused only after its last block.
      ...this.#entries(this.#orders, ({ expiresBlock }) => expiresBlock + 1),
      ...this.#entries(this.#losses, ({ untilBlock }) => untilBlock),
    ]
    const ordered = [...due.sort(byBlock), ...this.#entries(this.#trash, ({ info }) => info.expiresBlock)]
    const forgotten = ordered.filter((entry) => entry.block <= block).slice(0, limit)
    for (const { forget } of forgotten) forget()
    return forgotten.length
  }

  async shrinkTrash(bytesMax: number, limit: number): Promise<number> {
    this.#check()
    let dropped = 0
    const oldest = this.#entries(this.#trash, ({ info }) => info.expiresBlock).sort(byBlock)
    for (const { forget } of oldest.slice(0, limit)) {
      if (this.usage().trashBytes <= bytesMax) break
      forget()
      dropped += 1
    }
    return dropped
  }

  usage(): ShardUsage {
    const [bytes, trashBytes] = [bytesOf(this.#chunks), bytesOf(this.#trash)]
    const lostChunks = this.#losses.size
    return { chunks: this.#chunks.size, bytes, trashBytes, diskBytes: bytes + trashBytes, lostChunks }
  }

  async *chunks(after?: Uint8Array): AsyncIterable<ChunkInfo> {
    this.#check()
    const infos = [...this.#chunks.values()].map(({ info }) => copyOf(info))
    const wanted = infos.filter(({ digest }) => after === undefined || compare(digest, after) > 0)
    yield* wanted.sort((a, b) => compare(a.digest, b.digest))
  }

  async lose(digest: Uint8Array, untilBlock: number): Promise<boolean> {
    await this.remove(digest)
    const before = this.#losses.get(keyOf(digest))
    const number = before?.number ?? this.#lastLoss + 1
    this.#lastLoss = Math.max(this.#lastLoss, number)
    this.#losses.set(keyOf(digest), {
      number,
      digest: Uint8Array.from(digest),
      untilBlock: Math.max(untilBlock, before?.untilBlock ?? 0),
    })
    return before === undefined
  }

  async losses(afterNumber: number, limit: number): Promise<{ last: number; losses: Loss[] }> {
    this.#check()
    const losses = [...this.#losses.values()]
      .filter(({ number }) => number > afterNumber)
      .sort((a, b) => a.number - b.number)
      .slice(0, limit)
      .map(({ number, digest }) => ({ number, digest: digest.slice() }))
    return { last: this.#lastLoss, losses }
  }

  async scrubbed(): Promise<Uint8Array | undefined> {
    this.#check()
    return this.#scrubbed?.slice()
  }

  async markScrubbed(digest: Uint8Array): Promise<void> {
    this.#check()
    this.#scrubbed = digest.slice()
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
    if (lease.digests.some((digest) => !this.#onDisk(digest))) {
      throw new SubnetError('NOT_FOUND', 'the lease names a chunk that is not held')
    }
    for (const digest of lease.digests) this.#hold(digest, lease.endBlock)
    this.#leases.set(keyOf(lease.object), { ...lease, bytes: Uint8Array.from(lease.bytes) })
  }

  async endLease(
    object: Uint8Array,
    { trash, keep }: EndedChunks,
    trashUntilBlock: number,
  ): Promise<boolean> {
    this.#check()
    if (!this.#leases.delete(keyOf(object))) return false
    for (const digest of trash) this.#throwAway(keyOf(digest), trashUntilBlock)
    for (const { digest, expiresBlock } of keep) {
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

  failure(): undefined {}

  async isEmpty(): Promise<boolean> {
    this.#check()
    const maps: readonly ReadonlyMap<string, unknown>[] = [
      this.#chunks,
      this.#trash,
      this.#losses,
      this.#leases,
      this.#orders,
    ]
    return maps.every(({ size }) => size === 0)
  }

  #entries<V>(map: Map<string, V>, blockOf: (value: V) => number, trashUntilBlock?: number): Due[] {
    return [...map].map(([key, value]) => ({
      block: blockOf(value),
      forget: () => {
        if (trashUntilBlock === undefined) map.delete(key)
        else this.#throwAway(key, trashUntilBlock)
      },
    }))
  }

  #throwAway(key: string, untilBlock: number): void {
    const held = this.#chunks.get(key)
    if (held === undefined) return
    this.#chunks.delete(key)
    this.#trash.set(key, { ...held, info: { ...held.info, expiresBlock: untilBlock } })
  }

  #onDisk(digest: Uint8Array): boolean {
    return this.#chunks.has(keyOf(digest)) || this.#trash.has(keyOf(digest))
  }

  #find(digest: Uint8Array): KeptChunk | undefined {
    this.#check()
    return this.#chunks.get(keyOf(digest))
  }

  /** A held chunk at least until a block, one from the trash until then. */
  #hold(digest: Uint8Array, expiresBlock: number): void {
    const key = keyOf(digest)
    const held = this.#chunks.get(key)
    const chunk = held ?? this.#trash.get(key)
    if (chunk === undefined || (held !== undefined && held.info.expiresBlock >= expiresBlock)) return
    this.#trash.delete(key)
    this.#chunks.set(key, { ...chunk, info: { ...chunk.info, expiresBlock } })
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

interface Due {
  readonly block: number
  readonly forget: () => void
}

function byBlock(a: Due, b: Due): number {
  return a.block - b.block
}

function bytesOf(chunks: ReadonlyMap<string, KeptChunk>): number {
  let bytes = 0
  for (const { body } of chunks.values()) bytes += body.length
  return bytes
}

function keyOf(id: Uint8Array): string {
  return toText(id, 'hex')
}

function copyOf({ digest, auditRoot, sizeBytes, expiresBlock }: ChunkInfo): ChunkInfo {
  return { digest: Uint8Array.from(digest), auditRoot: Uint8Array.from(auditRoot), sizeBytes, expiresBlock }
}
