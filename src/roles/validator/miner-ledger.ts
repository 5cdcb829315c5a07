/**
 * What the ledger knows of one miner: the leases it signed, each chunk they name, which of these it has lost by its own
 * word, and what it has not been told yet. A LevelDB of its own. Which leases count is the ledger's to know.
 *
 * | key | value |
 * | --- | --- |
 * | `lease/` object | the lease with its signatures |
 * | `chunk/` digest object | audit root, size, end of the lease: one for each lease that names the chunk |
 * | `lost/` digest | number of the loss, block at which it was heard of: as long as a lease names the chunk |
 * | `lost-in/` object segment index | digest: a place of the object that is lost at this miner |
 * | `unconfirmed/`, `renewal/`, `release/` object | waits for the miner |
 * | `losses-heard` | number of the newest loss that it has told of |
 */
import { blockField, decodeMessage, encodeMessage, integer } from '../../../protocols/common/schema.js'
import { sameKey } from '../../../protocols/common/signed.js'
import type { KeptLease, Lease } from '../../../protocols/lease/lease.js'
import { keptLeaseSchema } from '../../../protocols/lease/lease.js'
import { Semaphore } from '../../base/semaphore.js'
import type { Database, Operation } from './ledger-database.js'
import { after, pages } from './ledger-database.js'
import {
  chunkKey,
  type LeasedChunk,
  lossSchema,
  lostInKey,
  readChunkRow,
  readLostInKey,
  writeChunkValue,
} from './ledger-rows.js'

const lossNumberField = integer(0, Number.MAX_SAFE_INTEGER)

const LEASE = Buffer.from('lease/')
const UNCONFIRMED = Buffer.from('unconfirmed/')
const RENEWAL = Buffer.from('renewal/')
const RELEASE = Buffer.from('release/')
const CHUNK = Buffer.from('chunk/')
const LOST = Buffer.from('lost/')
const LOST_IN = Buffer.from('lost-in/')
const LOSSES_HEARD = Buffer.from('losses-heard')
const NOTHING = new Uint8Array(0)

/** Changes that may wait for the one before; the next is refused with `BUSY`. */
const CHANGES_WAITING_MAX = 4_096

/** How far a miner's losses are known at a moment. */
export interface Hearing {
  /** Number of the newest loss that it has told of; 0 before the first. */
  readonly heard: number
  /** Rises with every lease the miner signs anew: what it told before is not said of that one. */
  readonly leases: number
}

/** What a miner tells in one answer. */
export interface ToldLosses {
  /** Number and digest, as in `capacity`. */
  readonly losses: readonly (readonly [number, Uint8Array])[]
  readonly heard: number
  /** Our head. */
  readonly block: number
}

/** A chunk that a miner has lost by its own word. */
export interface ChunkLoss {
  readonly digest: Uint8Array
  /** The miner's number of the loss. */
  readonly number: number
  /** Our head when we heard of it. */
  readonly block: number
}

/** A place of an object that a miner has leased and lost. */
export interface LostShare {
  readonly segment: number
  readonly index: number
  readonly digest: Uint8Array
}

export class MinerLedger {
  readonly #database: Database
  /** A change reads what it replaces: one at a time. */
  readonly #turn = new Semaphore({ permitsMax: 1, waitersMax: CHANGES_WAITING_MAX })
  #leases = 0
  /** There may be rows of losses: most miners have none, and a question for each chunk is saved. */
  #hasLosses: boolean

  private constructor(database: Database, hasLosses: boolean) {
    this.#database = database
    this.#hasLosses = hasLosses
  }

  /** Takes over the open database. */
  static async of(database: Database): Promise<MinerLedger> {
    const [first] = await database.keys({ gte: LOST, lt: after(LOST), limit: 1 }).all()
    return new MinerLedger(database, first !== undefined)
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  /** Replaces the lease of this object. What it names is held again, whatever was told before. Durable when it resolves. */
  async record(kept: KeptLease): Promise<void> {
    await this.#turn.run(async () => {
      this.#leases += 1
      const { object, entries } = kept.lease
      const operations: Operation[] = [
        ...(await this.#forgetting(object)),
        ...chunkRows(kept.lease),
        put(keyOf(LEASE, object), encodeMessage(kept)),
        put(keyOf(UNCONFIRMED, object), NOTHING),
      ]
      for (const digest of await this.#lostAmong(entries.map(([name]) => name))) {
        operations.push(...(await this.#finding(digest)))
      }
      await this.#database.batch(operations, { sync: true })
    })
  }

  /** The lease of an object that is held elsewhere now, and all that waits for it. */
  async forget(object: Uint8Array): Promise<void> {
    await this.#turn.run(async () => {
      await this.#database.batch([...(await this.#forgetting(object))], { sync: true })
    })
  }

  /** As `forget`, if the lease ended at this block or earlier, or there is none; false for one that did not. */
  async forgetEnded(object: Uint8Array, endedBlock: number): Promise<boolean> {
    return await this.#turn.run(async () => {
      const kept = await this.#lease(object)
      if (kept !== undefined && kept.lease.endBlock > endedBlock) return false
      await this.#database.batch([...(await this.#forgetting(object))], { sync: true })
      return true
    })
  }

  /** Objects of leases in the order of the keys, behind `last`. */
  async objects(last: Uint8Array | undefined, limit: number): Promise<Uint8Array[]> {
    const gt = last === undefined ? LEASE : keyOf(LEASE, last)
    const keys = await this.#database.keys({ gt, lt: after(LEASE), limit }).all()
    return keys.map((key) => Uint8Array.from(key.subarray(LEASE.length)))
  }

  async *leases(): AsyncGenerator<KeptLease> {
    for await (const object of this.#objects(LEASE)) {
      const kept = await this.#lease(object)
      if (kept !== undefined) yield kept
    }
  }

  /** Every chunk that a lease names and that is not lost, once, with the lease of it that ends last; page by page. */
  async *chunks(): AsyncGenerator<readonly LeasedChunk[]> {
    let last: LeasedChunk | undefined
    for await (const rows of pages(this.#database, CHUNK)) {
      const complete: LeasedChunk[] = []
      for (const [key, value] of rows) {
        const chunk = readChunkRow(key.subarray(CHUNK.length), value)
        if (last !== undefined && sameKey(last.digest, chunk.digest)) {
          if (chunk.endBlock > last.endBlock) last = chunk
          continue
        }
        if (last !== undefined) complete.push(last)
        last = chunk
      }
      yield await this.#unlessLost(complete)
    }
    if (last !== undefined) yield await this.#unlessLost([last])
  }

  async hearing(): Promise<Hearing> {
    const leases = this.#leases
    const bytes = await this.#database.get(LOSSES_HEARD)
    return { heard: bytes === undefined ? 0 : decodeMessage(lossNumberField, bytes, 'ledger losses'), leases }
  }

  /**
   * Marks those of the chunks lost that a lease names, wherever it names them, unless the miner has signed a lease since
   * it was asked: then it may have them again, and is to be asked again. Returns how many. Durable when it resolves.
   */
  async markLost({ losses, heard, block }: ToldLosses, since: Hearing): Promise<number> {
    return await this.#turn.run(async () => {
      if (since.leases !== this.#leases) return 0
      const marks: Operation[] = []
      const inObjects = new Map<string, Uint8Array>()
      for (const [number, digest] of losses) {
        const objects = await this.#namedBy(digest)
        for (const object of objects) inObjects.set(hex(object), object)
        if (objects.length > 0) marks.push(put(keyOf(LOST, digest), encodeMessage({ number, block })))
      }
      const told = new Set(losses.map(([, digest]) => hex(digest)))
      // Places first: a crash before the marks leaves the loss unheard, and it is told again.
      for (const object of inObjects.values()) await this.#markPlaces(object, told)
      this.#hasLosses ||= marks.length > 0
      await this.#database.batch([...marks, put(LOSSES_HEARD, encodeMessage(heard))], { sync: true })
      return marks.length
    })
  }

  /** What the miner has lost by its own word and not signed for since. */
  async *lost(): AsyncGenerator<ChunkLoss> {
    for await (const rows of pages(this.#database, LOST)) {
      for (const [key, value] of rows) {
        const digest = Uint8Array.from(key.subarray(LOST.length))
        yield { digest, ...decodeMessage(lossSchema, value, 'ledger loss') }
      }
    }
  }

  /** Places of the object that are lost here: of so many segments, and of what is kept in full copies. */
  async lostIn(object: Uint8Array, firstSegment: number, segments: number): Promise<LostShare[]> {
    if (!this.#hasLosses) return []
    const prefix = keyOf(LOST_IN, object)
    const ranges = [
      { gte: prefix, lt: lostInKey(prefix, 0, 0) },
      { gte: lostInKey(prefix, firstSegment, 0), lt: lostInKey(prefix, firstSegment + segments, 0) },
    ]
    const rows = await Promise.all(ranges.map((range) => this.#database.iterator(range).all()))
    return rows.flat().map(([key, digest]) => ({
      ...readLostInKey(key.subarray(prefix.length)),
      digest: Uint8Array.from(digest),
    }))
  }

  /** Leases whose countersignature the miner has not acknowledged, read one by one: each may have 8,192 entries. */
  async *unconfirmed(): AsyncGenerator<KeptLease> {
    for await (const object of this.#objects(UNCONFIRMED)) {
      const kept = await this.#lease(object)
      if (kept !== undefined) yield kept
    }
  }

  async confirmed(object: Uint8Array): Promise<void> {
    await this.#database.del(keyOf(UNCONFIRMED, object))
  }

  /** The miner is to be told of a later end. Durable when it resolves. */
  async wantRenewal(object: Uint8Array, endBlock: number): Promise<void> {
    await this.#database.put(keyOf(RENEWAL, object), encodeMessage(endBlock), { sync: true })
  }

  /** The miner is to be told that the object is released. Durable when it resolves. */
  async wantRelease(object: Uint8Array): Promise<void> {
    await this.#database.put(keyOf(RELEASE, object), NOTHING, { sync: true })
  }

  /** Leases that the miner has not signed with their later end, and that end. */
  async *renewals(): AsyncGenerator<{ readonly kept: KeptLease; readonly endBlock: number }> {
    for await (const object of this.#objects(RENEWAL)) {
      const [kept, endBlock] = await Promise.all([this.#lease(object), this.#renewalOf(object)])
      if (kept !== undefined && endBlock !== undefined) yield { kept, endBlock }
    }
  }

  /**
   * The miner signed the longer lease, or (`undefined`) never will. It is the same lease: what it has lost of it stays
   * lost. A renewal asked for meanwhile still waits.
   */
  async renewed(object: Uint8Array, endBlock: number, kept?: KeptLease): Promise<void> {
    await this.#turn.run(async () => {
      const isDone = (await this.#renewalOf(object)) === endBlock
      const lease =
        kept === undefined ? [] : [put(keyOf(LEASE, object), encodeMessage(kept)), ...chunkRows(kept.lease)]
      const waits = isDone ? [del(keyOf(RENEWAL, object))] : []
      await this.#database.batch([...lease, ...waits], { sync: true })
    })
  }

  /** Objects whose release the miner has not acknowledged. */
  releases(): AsyncGenerator<Uint8Array> {
    return this.#objects(RELEASE)
  }

  /** With it goes the lease. */
  async released(object: Uint8Array): Promise<void> {
    await this.#turn.run(async () => {
      // Recorded again meanwhile, it is another lease.
      if ((await this.#database.get(keyOf(RELEASE, object))) === undefined) return
      await this.#database.batch([...(await this.#forgetting(object))], { sync: true })
    })
  }

  async *#objects(kind: Uint8Array): AsyncGenerator<Uint8Array> {
    for await (const rows of pages(this.#database, kind)) {
      for (const [key] of rows) yield Uint8Array.from(key.subarray(kind.length))
    }
  }

  async #lease(object: Uint8Array): Promise<KeptLease | undefined> {
    const bytes = await this.#database.get(keyOf(LEASE, object))
    return bytes === undefined ? undefined : decodeMessage(keptLeaseSchema, bytes, 'ledger lease')
  }

  async #renewalOf(object: Uint8Array): Promise<number | undefined> {
    const bytes = await this.#database.get(keyOf(RENEWAL, object))
    return bytes === undefined ? undefined : decodeMessage(blockField, bytes, 'ledger renewal')
  }

  /** Takes away the lease of an object with all that is known by it, and what is wanted of it. */
  async #forgetting(object: Uint8Array): Promise<Operation[]> {
    const kept = await this.#lease(object)
    const operations = [LEASE, UNCONFIRMED, RENEWAL, RELEASE].map((kind) => del(keyOf(kind, object)))
    if (kept === undefined) return operations
    const digests = distinct(kept.lease)
    operations.push(...digests.map((digest) => del(keyOf(CHUNK, chunkKey(digest, object)))))
    const lost = await this.#lostAmong(digests)
    if (lost.length === 0) return operations
    const places = await this.#database.keys(rangeOf(keyOf(LOST_IN, object))).all()
    operations.push(...places.map(del))
    for (const digest of lost) {
      // Another lease names it too: it stays lost there.
      if ((await this.#namedBy(digest, 2)).length === 1) operations.push(del(keyOf(LOST, digest)))
    }
    return operations
  }

  /** Takes back that a chunk is lost, in every lease that names it. */
  async #finding(digest: Uint8Array): Promise<Operation[]> {
    const operations = [del(keyOf(LOST, digest))]
    for (const object of await this.#namedBy(digest)) {
      for await (const places of pages(this.#database, keyOf(LOST_IN, object))) {
        for (const [key, name] of places) if (sameKey(name, digest)) operations.push(del(key))
      }
    }
    return operations
  }

  async #markPlaces(object: Uint8Array, told: ReadonlySet<string>): Promise<void> {
    const kept = await this.#lease(object)
    const places = (kept?.lease.entries ?? []).filter(([digest]) => told.has(hex(digest)))
    const prefix = keyOf(LOST_IN, object)
    await this.#database.batch(
      places.map(([digest, , , segment, index]) => put(lostInKey(prefix, segment, index), digest)),
    )
  }

  /** Objects whose leases name the chunk. */
  async #namedBy(digest: Uint8Array, limit = -1): Promise<Uint8Array[]> {
    const prefix = keyOf(CHUNK, digest)
    const keys = await this.#database.keys({ ...rangeOf(prefix), limit }).all()
    return keys.map((key) => Uint8Array.from(key.subarray(prefix.length)))
  }

  async #lostAmong(digests: readonly Uint8Array[]): Promise<Uint8Array[]> {
    if (!this.#hasLosses) return []
    const rows = await this.#database.getMany(digests.map((digest) => keyOf(LOST, digest)))
    return digests.filter((_, index) => rows[index] !== undefined)
  }

  async #unlessLost(chunks: readonly LeasedChunk[]): Promise<readonly LeasedChunk[]> {
    const lost = new Set((await this.#lostAmong(chunks.map(({ digest }) => digest))).map(hex))
    return lost.size === 0 ? chunks : chunks.filter(({ digest }) => !lost.has(hex(digest)))
  }
}

function chunkRows({ object, entries, endBlock }: Lease): Operation[] {
  return entries.map(([digest, auditRoot, sizeBytes]) =>
    put(keyOf(CHUNK, chunkKey(digest, object)), writeChunkValue({ auditRoot, sizeBytes, endBlock })),
  )
}

function distinct({ entries }: Lease): Uint8Array[] {
  return [...new Map(entries.map(([digest]) => [hex(digest), digest])).values()]
}

function keyOf(kind: Uint8Array, name: Uint8Array): Uint8Array {
  return Buffer.concat([kind, name])
}

function rangeOf(prefix: Uint8Array): { readonly gt: Uint8Array; readonly lt: Uint8Array } {
  return { gt: prefix, lt: after(prefix) }
}

function put(key: Uint8Array, value: Uint8Array): Operation {
  return { type: 'put', key, value }
}

function del(key: Uint8Array): Operation {
  return { type: 'del', key }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
