/**
 * The `Shard` on disk: a directory with a LevelDB index and, beside it, the bodies. Here are its life and its reads;
 * every change goes through `shard-writer.ts`, which alone decides when an answer is true. Bodies are not values of the
 * index because LevelDB would write each of them three to seven times.
 */
import { join } from 'node:path'
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError, toSubnetError } from '../base/errors.js'
import { MIB } from '../base/units.js'
import { BodyFiles } from './body-files.js'
import type { DiskFiles } from './disk-files.js'
import { nodeFiles } from './disk-files.js'
import {
  type ChunkRow,
  chunkKey,
  chunkRange,
  decodeChunkRow,
  decodeExpiryKey,
  decodeLease,
  decodeLossCount,
  decodeOrderRow,
  type ExpiryEntry,
  expiryRange,
  INDEX_VERSION,
  idOfKey,
  keptRange,
  leaseKey,
  leaseRange,
  leavesKey,
  lossCountKey,
  lossRange,
  numberOfLossKey,
  orderKey,
  scrubKey,
  trashKey,
  trashRange,
  versionKey,
} from './index-codec.js'
import { type IndexDb, type OpenIndex, openLevelIndex } from './level-index.js'
import {
  endLease,
  extendChunks,
  forgetExpired,
  keepLease,
  loseChunk,
  markScrubbed,
  putChunk,
  removeChunk,
  useOrder,
} from './mutations.js'
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
import { ShardWriter } from './shard-writer.js'

export interface LevelShardComponents {
  readonly files: DiskFiles
  readonly openIndex: OpenIndex
}

export interface LevelShardInit {
  /** The shard's directory: of this shard alone, made if absent. */
  readonly path: string
  readonly bodyFileBytes?: number
  readonly reserveBytes?: number
  readonly overlapBytes?: number
}

export const LEVEL_SHARD_DEFAULTS = {
  /** Large enough that few are made and deleted, small enough that emptying a sparse one is short work. */
  bodyFileBytes: 64 * MIB,
  /** What new bodies leave free on the disk: room for the index, and to move bodies when a file is emptied. */
  reserveBytes: 128 * MIB,
  /** A few chunks: their writing takes as long as a sync. */
  overlapBytes: 4 * MIB,
} as const

const MACHINE: LevelShardComponents = { files: nodeFiles, openIndex: openLevelIndex }

/** `start` fails with `DATA_DIR` when the directory is in use or of another version, `DISK` when it cannot be read. */
export function createLevelShard(init: LevelShardInit, components: LevelShardComponents = MACHINE): Shard {
  return new LevelShard(components, { ...LEVEL_SHARD_DEFAULTS, ...init })
}

/** What exists between start and stop. */
interface Session {
  readonly index: IndexDb
  readonly bodies: BodyFiles
  readonly writer: ShardWriter
}

class LevelShard implements Shard {
  readonly #components: LevelShardComponents
  readonly #init: Required<LevelShardInit>
  readonly #inFlight = new Set<Promise<unknown>>()
  #session: Session | undefined
  #stopping: Promise<void> | undefined
  #lastUsage: ShardUsage = { chunks: 0, bytes: 0, trashBytes: 0, diskBytes: 0, lostChunks: 0 }

  constructor(components: LevelShardComponents, init: Required<LevelShardInit>) {
    this.#components = components
    this.#init = init
  }

  async start(options: AbortOptions = {}): Promise<void> {
    invariant(this.#session === undefined, 'a shard that runs is not started')
    await this.#stopping
    options.signal?.throwIfAborted()
    this.#session = await this.#open().catch((error: unknown) => {
      throw toSubnetError(error, 'DISK', `the shard ${this.#init.path} does not open`)
    })
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#close().finally(() => {
      this.#stopping = undefined
    })
    return this.#stopping
  }

  put(chunk: NewChunk, options?: AbortOptions): Promise<'stored' | 'present'> {
    return this.#run(async (writer) => {
      const bodyBytes = chunk.body.reduce((sum, piece) => sum + piece.length, 0)
      invariant(chunk.sizeBytes > 0 && bodyBytes === chunk.sizeBytes, 'a chunk has a body of its size')
      return await writer.run(putChunk(chunk), options)
    })
  }

  remove(digest: Uint8Array): Promise<boolean> {
    return this.#run((writer) => writer.run(removeChunk(digest)))
  }

  expire(block: number, limit: number, trashUntilBlock?: number): Promise<number> {
    return this.#run(async (writer, { index }) => {
      const entries: ExpiryEntry[] = []
      for (const range of [expiryRange(block), trashRange(block)]) {
        if (entries.length === limit) break
        for await (const [key] of index.entries({ ...range, limit: limit - entries.length }))
          entries.push(decodeExpiryKey(key))
      }
      return entries.length === 0 ? 0 : await writer.run(forgetExpired(entries, trashUntilBlock))
    })
  }

  shrinkTrash(bytesMax: number, limit: number): Promise<number> {
    return this.#run(async (writer, { index }) => {
      const entries: ExpiryEntry[] = []
      let excessBytes = writer.usage().trashBytes - bytesMax
      if (excessBytes <= 0) return 0
      for await (const [key] of index.entries({ ...trashRange(), limit })) {
        const entry = decodeExpiryKey(key)
        const value = await index.get(trashKey(entry.id))
        // Revived meanwhile.
        if (value === undefined) continue
        entries.push(entry)
        excessBytes -= decodeChunkRow(value).sizeBytes
        if (excessBytes <= 0) break
      }
      return entries.length === 0 ? 0 : await writer.run(forgetExpired(entries))
    })
  }

  lose(digest: Uint8Array, untilBlock: number): Promise<boolean> {
    return this.#run((writer) => writer.run(loseChunk(digest, untilBlock)))
  }

  losses(afterNumber: number, limit: number): Promise<{ last: number; losses: Loss[] }> {
    return this.#run(async (_, { index }) => {
      const { last } = decodeLossCount(await index.get(lossCountKey))
      const losses: Loss[] = []
      for await (const [key, digest] of index.entries({ ...lossRange(afterNumber), limit }))
        losses.push({ number: numberOfLossKey(key), digest })
      return { last, losses }
    })
  }

  scrubbed(): Promise<Uint8Array | undefined> {
    return this.#run((_, { index }) => index.get(scrubKey))
  }

  markScrubbed(digest: Uint8Array): Promise<void> {
    return this.#run((writer) => writer.run(markScrubbed(digest)))
  }

  addOrderUse(order: OrderUse, bytes: number): Promise<void> {
    return this.#run((writer) => writer.run(useOrder(order, bytes)))
  }

  putLease(lease: LeaseRow): Promise<void> {
    return this.#run((writer) => writer.run(keepLease(lease)))
  }

  endLease(object: Uint8Array, chunks: EndedChunks, trashUntilBlock: number): Promise<boolean> {
    return this.#run((writer) => writer.run(endLease(object, chunks, trashUntilBlock)))
  }

  extend(digests: readonly Uint8Array[], expiresBlock: number): Promise<boolean[]> {
    return this.#run(async (writer, session) => {
      const rows = await Promise.all(digests.map((digest) => chunkRow(session, digest)))
      const isLater = rows.some((row) => row !== undefined && row.expiresBlock < expiresBlock)
      if (!isLater) return rows.map((row) => row !== undefined)
      return await writer.run(extendChunks(digests, expiresBlock))
    })
  }

  describe(digest: Uint8Array): Promise<ChunkInfo | undefined> {
    return this.#run(async (_, session) => {
      const row = await chunkRow(session, digest)
      return row === undefined ? undefined : infoOf(Uint8Array.from(digest), row)
    })
  }

  trashed(digest: Uint8Array): Promise<ChunkInfo | undefined> {
    return this.#run(async (_, { index }) => {
      const value = await index.get(trashKey(digest))
      return value === undefined ? undefined : infoOf(Uint8Array.from(digest), decodeChunkRow(value))
    })
  }

  leafHashes(digest: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#run(async (_, { index }) => {
      const [held, leaves] = await index.getMany([chunkKey(digest), leavesKey(digest)])
      return held === undefined ? undefined : leaves
    })
  }

  find(digest: Uint8Array): Promise<HeldChunk | undefined> {
    const id = Uint8Array.from(digest)
    return this.#run(async (_, session) => {
      const row = await chunkRow(session, id)
      if (row === undefined) return undefined
      return {
        info: infoOf(id, row),
        read: (offset, lengthBytes, options) =>
          this.#run((_, now) => readBody(now, id, row, { offset, lengthBytes, ...options })),
      }
    })
  }

  async read(digest: Uint8Array, offset: number, lengthBytes: number, options?: AbortOptions) {
    const chunk = await this.find(digest)
    if (chunk === undefined) throw notHeld()
    return await chunk.read(offset, lengthBytes, options)
  }

  usage(): ShardUsage {
    return this.#session?.writer.usage() ?? this.#lastUsage
  }

  async *chunks(after?: Uint8Array): AsyncIterable<ChunkInfo> {
    for await (const [key, value] of this.#running().index.entries(chunkRange(after))) {
      yield infoOf(idOfKey(key), decodeChunkRow(value))
    }
  }

  orderUse(serial: Uint8Array): Promise<number> {
    return this.#run(async (_, { index }) => {
      const value = await index.get(orderKey(serial))
      return value === undefined ? 0 : decodeOrderRow(value).usedBytes
    })
  }

  lease(object: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#run(async (_, { index }) => {
      const value = await index.get(leaseKey(object))
      return value === undefined ? undefined : decodeLease(value).bytes
    })
  }

  async *leases(): AsyncIterable<Uint8Array> {
    for await (const [, value] of this.#running().index.entries(leaseRange)) yield decodeLease(value).bytes
  }

  failure(): SubnetError | undefined {
    return this.#session?.writer.failure
  }

  isEmpty(): Promise<boolean> {
    return this.#run(async (_, { index }) => {
      for await (const _ of index.entries({ ...keptRange, limit: 1 })) return false
      return true
    })
  }

  /** Does work that `stop` waits for. */
  async #run<T>(work: (writer: ShardWriter, session: Session) => Promise<T>): Promise<T> {
    const session = this.#running()
    const running = work(session.writer, session)
    this.#inFlight.add(running)
    try {
      return await running
    } finally {
      this.#inFlight.delete(running)
    }
  }

  #running(): Session {
    if (this.#session === undefined) throw new SubnetError('STOPPED', 'the shard is not running')
    return this.#session
  }

  async #open(): Promise<Session> {
    const { files, openIndex } = this.#components
    const { path } = this.#init
    const bodiesPath = join(path, 'bodies')
    await files.makeDir(bodiesPath)
    const index = await openIndex(join(path, 'index'))
    const bodies = new BodyFiles(files, bodiesPath)
    const writer = new ShardWriter({ files, index, bodies }, this.#init)
    try {
      await files.syncDir(path)
      await checkVersion(index, path)
      await writer.recover()
      return { index, bodies, writer }
    } catch (error) {
      // The reason of the failed start is what the caller must see, not what the clean-up met.
      await Promise.allSettled([bodies.close(), index.close()])
      throw error
    }
  }

  async #close(): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    this.#lastUsage = session.writer.usage()
    this.#session = undefined
    await Promise.allSettled(this.#inFlight)
    await session.writer.close()
    this.#lastUsage = session.writer.usage()
    try {
      await session.bodies.close()
    } finally {
      await session.index.close()
    }
  }
}

async function checkVersion(index: IndexDb, path: string): Promise<void> {
  const version = await index.get(versionKey)
  if (version === undefined) await index.write([{ key: versionKey, value: Uint8Array.of(INDEX_VERSION) }])
  else if (version[0] !== INDEX_VERSION) {
    throw new SubnetError(
      'DATA_DIR',
      `the shard ${path} has layout ${version[0]}, this program ${INDEX_VERSION}`,
    )
  }
}

async function chunkRow({ index }: Session, digest: Uint8Array): Promise<ChunkRow | undefined> {
  const value = await index.get(chunkKey(digest))
  return value === undefined ? undefined : decodeChunkRow(value)
}

function notHeld(): SubnetError {
  return new SubnetError('NOT_FOUND', 'the chunk is not held')
}

interface Part extends AbortOptions {
  readonly offset: number
  readonly lengthBytes: number
}

/** Of the chunk that `row` was read for. */
async function readBody(
  session: Session,
  digest: Uint8Array,
  row: ChunkRow,
  { offset, lengthBytes, signal }: Part,
): Promise<Uint8Array> {
  if (offset < 0 || lengthBytes < 0 || offset + lengthBytes > row.sizeBytes) {
    throw new SubnetError('INVALID', `the chunk has ${row.sizeBytes} bytes`)
  }
  let { file, offset: start } = row
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await session.bodies.read({ file, offset: start + offset }, lengthBytes)
    } catch (error) {
      const now = await chunkRow(session, digest)
      if (now === undefined) throw notHeld()
      // Its file was emptied and deleted between the look and the read: it is somewhere else by now.
      if (now.file === file) throw error
      file = now.file
      start = now.offset
    }
  }
}

function infoOf(digest: Uint8Array, { auditRoot, sizeBytes, expiresBlock }: ChunkRow): ChunkInfo {
  return { digest, auditRoot, sizeBytes, expiresBlock }
}
