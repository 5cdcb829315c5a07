/**
 * The ledger: what this validator placed and with whom. One LevelDB per miner holds that miner's leases
 * (`miner-ledger.ts`), one more the objects and the requests already seen. Everything acknowledged is synced; the object's
 * row is written last, so an object is either counted whole or not at all.
 */
import { join } from 'node:path'
import { decodeMessage, encodeMessage } from '../../../protocols/common/schema.js'
import { sameKey } from '../../../protocols/common/signed.js'
import { type KeptLease, LEASE_ENTRIES_MAX } from '../../../protocols/lease/lease.js'
import { SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import { makeDirectory } from '../../base/make-directory.js'
import { fromSs58, toSs58 } from '../../crypto/keys.js'
import { type Database, openDatabase } from './ledger-database.js'
import type { LeasedChunk, ObjectRow, SegmentHolders } from './ledger-rows.js'
import {
  nonceKey,
  nonceRange,
  objectKey,
  objectOfKey,
  objectRange,
  objectRowSchema,
  segmentHoldersSchema,
  segmentKey,
} from './ledger-rows.js'
import { type ChunkLoss, type Hearing, type LostShare, MinerLedger, type ToldLosses } from './miner-ledger.js'

/** A placed object with its leases, ready to be counted. */
export interface LedgerEntry {
  readonly object: Uint8Array
  readonly row: ObjectRow
  /** Holders of each segment's chunks, by position in `row.miners`. */
  readonly segments: Iterable<SegmentHolders>
  /** Gone through once. */
  readonly leases: Iterable<KeptLease>
}

/** A page of objects, and where the next one begins. */
export interface EndedPage {
  readonly ended: readonly Uint8Array[]
  readonly last: Uint8Array | undefined
}

/** A page of leases that no row names, and where the next one begins. */
export interface LeftPage {
  readonly left: readonly Uint8Array[]
  readonly last: Uint8Array | undefined
}

export class Ledger implements Startable {
  readonly #path: string
  #objects: Database | undefined
  readonly #remembering = new Set<string>()
  readonly #miners = new Map<string, Promise<MinerLedger>>()
  /** By object: settles when the last change of it that was begun has ended. */
  readonly #changing = new Map<string, Promise<void>>()

  constructor(path: string) {
    this.#path = path
  }

  async start(): Promise<void> {
    await makeDirectory(join(this.#path, 'miners'), 0o700)
    this.#objects = await openDatabase(join(this.#path, 'objects'))
  }

  async stop(): Promise<void> {
    const objects = this.#objects
    this.#objects = undefined
    // One that does not open has told whoever asked for it.
    const opened = await Promise.allSettled(this.#miners.values())
    this.#miners.clear()
    const miners = opened.map((result) => (result.status === 'fulfilled' ? result.value : undefined))
    await Promise.all([...miners, objects].map((database) => database?.close()))
  }

  /** True the first time; the nonce is kept until its request has expired anyway. */
  async rememberNonce(nonce: Uint8Array, expiresBlock: number): Promise<boolean> {
    const key = nonceKey(expiresBlock, nonce)
    const name = Buffer.from(key).toString('hex')
    // Two copies may come at the same moment, before either is on disk.
    if (this.#remembering.has(name)) return false
    this.#remembering.add(name)
    try {
      if ((await this.#db.get(key)) !== undefined) return false
      await this.#db.put(key, new Uint8Array(0), { sync: true })
      return true
    } finally {
      this.#remembering.delete(name)
    }
  }

  /** Drops nonces of requests that expired before this block. */
  async forgetNonces(block: number): Promise<void> {
    await this.#db.clear(nonceRange(block))
  }

  /** Durable when it resolves. Recording the same object again replaces its row and its leases. */
  async record(entry: LedgerEntry): Promise<void> {
    await this.#alone(entry.object, () => this.#record(entry))
  }

  async object(object: Uint8Array): Promise<ObjectRow | undefined> {
    const bytes = await this.#db.get(objectKey(object))
    return bytes === undefined ? undefined : decodeMessage(objectRowSchema, bytes, 'ledger row')
  }

  /** Holders of these segments; fewer than asked for at the end of the object. */
  async segments(object: Uint8Array, first: number, count: number): Promise<SegmentHolders[]> {
    const range = { gte: segmentKey(object, first), lt: segmentKey(object, first + count) }
    const holders: SegmentHolders[] = []
    for await (const bytes of this.#db.values(range)) {
      holders.push(decodeMessage(segmentHoldersSchema, bytes, 'ledger segment'))
    }
    return holders
  }

  /** All leases of a miner that count. */
  async *leases(miner: string): AsyncGenerator<KeptLease> {
    for await (const kept of (await this.#miner(miner)).leases()) if (await this.#counts(kept)) yield kept
  }

  /**
   * Chunks that leases of the miner name, each once, without those that it has lost; in pages, so that whoever goes
   * through millions keeps nobody waiting. Some may be of a lease that does not count: ask `counts` of what is used.
   */
  async *chunks(miner: string): AsyncGenerator<readonly LeasedChunk[]> {
    yield* (await this.#miner(miner)).chunks()
  }

  /** Whether the miner's lease of the object counts. */
  async counts(object: Uint8Array, miner: Uint8Array): Promise<boolean> {
    // Not without its object's row, which is written last, nor once the object was recorded again without this miner.
    const row = await this.object(object)
    return row?.miners.some((other) => sameKey(other, miner)) ?? false
  }

  /** To be asked before the miner is: how far its losses are known. */
  async hearing(miner: string): Promise<Hearing> {
    return await (await this.#miner(miner)).hearing()
  }

  /** As `MinerLedger.markLost`. */
  async markLost(miner: string, told: ToldLosses, since: Hearing): Promise<number> {
    return await (await this.#miner(miner)).markLost(told, since)
  }

  /** Chunks that the miner has lost by its own word and not signed for since. */
  async *lost(miner: string): AsyncGenerator<ChunkLoss> {
    yield* (await this.#miner(miner)).lost()
  }

  /** As `MinerLedger.lostIn`. */
  async lostIn(
    miner: string,
    object: Uint8Array,
    firstSegment: number,
    segments: number,
  ): Promise<readonly LostShare[]> {
    return await (await this.#miner(miner)).lostIn(object, firstSegment, segments)
  }

  /** Leases whose countersignature the miner has not acknowledged. */
  async *unconfirmed(miner: string): AsyncGenerator<KeptLease> {
    for await (const kept of (await this.#miner(miner)).unconfirmed())
      if (await this.#counts(kept)) yield kept
  }

  async confirmed(miner: string, object: Uint8Array): Promise<void> {
    await (await this.#miner(miner)).confirmed(object)
  }

  /** Raises the end of the object; each of its miners is to be told. Durable when it resolves. */
  async renew(object: Uint8Array, row: ObjectRow, endBlock: number): Promise<void> {
    await this.#alone(object, async () => {
      await this.#ofEach(row, (miner) => miner.wantRenewal(object, endBlock))
      await this.#db.put(objectKey(object), encodeMessage({ ...row, endBlock }), { sync: true })
    })
  }

  /** Forgets the object; each of its miners is to be told. Durable when it resolves. */
  async release(object: Uint8Array, row: ObjectRow): Promise<void> {
    await this.#alone(object, async () => {
      // The row last: as long as it is there the owner can ask again.
      await this.#ofEach(row, (miner) => miner.wantRelease(object))
      await this.#drop(object, row)
    })
  }

  /** Of so many objects behind `after` those that ended at this block or earlier; `last` of all, unless there are no more. */
  async endedObjects(endedBlock: number, after: Uint8Array | undefined, limit: number): Promise<EndedPage> {
    const rows = await this.#db.iterator({ ...objectRange(after), limit }).all()
    const ended = rows.flatMap(([key, value]) => {
      const { endBlock } = decodeMessage(objectRowSchema, value, 'ledger row')
      return endBlock <= endedBlock ? [objectOfKey(key)] : []
    })
    const [last] = rows[limit - 1] ?? []
    return { ended, last: last === undefined ? undefined : objectOfKey(last) }
  }

  /**
   * Forgets an object, and its leases, if all of them ended at this block or earlier; else the leases that did. Resolves
   * with how many. Cut off in between it is done by another call: the row is last.
   */
  async forgetEnded(object: Uint8Array, endedBlock: number): Promise<number> {
    return await this.#alone(object, async () => {
      const row = await this.object(object)
      // Renewed or recorded anew meanwhile.
      if (row === undefined || row.endBlock > endedBlock) return 0
      let forgotten = 0
      for (const miner of row.miners) {
        if (await (await this.#miner(toSs58(miner))).forgetEnded(object, endedBlock)) forgotten += 1
      }
      if (forgotten === row.miners.length) await this.#drop(object, row)
      return forgotten
    })
  }

  /** Miners whose ledgers are open: at least all that were visited. */
  openMiners(): string[] {
    return [...this.#miners.keys()]
  }

  /** Of so many leases of the miner behind `after` the objects of those that do not count; `last` as `endedObjects`. */
  async leftLeases(miner: string, after: Uint8Array | undefined, limit: number): Promise<LeftPage> {
    const objects = await (await this.#miner(miner)).objects(after, limit)
    const key = fromSs58(miner)
    const left: Uint8Array[] = []
    for (const object of objects) if (!(await this.counts(object, key))) left.push(object)
    return { left, last: objects.length < limit ? undefined : objects.at(-1) }
  }

  /** Forgets a lease that does not count and ended at this block or earlier. */
  async forgetLeft(miner: string, object: Uint8Array, endedBlock: number): Promise<boolean> {
    return await this.#alone(object, async () => {
      if (await this.counts(object, fromSs58(miner))) return false
      return await (await this.#miner(miner)).forgetEnded(object, endedBlock)
    })
  }

  /** Leases that the miner has not signed with their later end, and that end. */
  async *renewals(miner: string): AsyncGenerator<{ readonly kept: KeptLease; readonly endBlock: number }> {
    for await (const renewal of (await this.#miner(miner)).renewals()) {
      if (await this.#counts(renewal.kept)) yield renewal
    }
  }

  /** As `MinerLedger.renewed`. */
  async renewed(miner: string, object: Uint8Array, endBlock: number, kept?: KeptLease): Promise<void> {
    await (await this.#miner(miner)).renewed(object, endBlock, kept)
  }

  /** Objects whose release the miner has not acknowledged. */
  async *releases(miner: string): AsyncGenerator<Uint8Array> {
    yield* (await this.#miner(miner)).releases()
  }

  /** With it goes the lease. */
  async released(miner: string, object: Uint8Array): Promise<void> {
    await (await this.#miner(miner)).released(object)
  }

  async #record(entry: LedgerEntry): Promise<void> {
    const before = await this.object(entry.object)
    for (const leases of inTurns(entry.leases)) {
      await Promise.all(
        leases.map(async (kept) => (await this.#miner(toSs58(kept.lease.miner))).record(kept)),
      )
    }
    // Chained: rows lie in the database's own memory, not as objects of ours until all are made.
    const rows = this.#db.batch()
    let segment = 0
    for (const holders of entry.segments) {
      rows.put(segmentKey(entry.object, segment), encodeMessage(holders))
      segment += 1
    }
    await rows.put(objectKey(entry.object), encodeMessage(entry.row)).write({ sync: true })
    const isIn = (miner: Uint8Array) => entry.row.miners.some((other) => sameKey(other, miner))
    const dropped = (before?.miners ?? []).filter((miner) => !isIn(miner))
    await Promise.all(dropped.map(async (miner) => (await this.#miner(toSs58(miner))).forget(entry.object)))
  }

  /** Changes of one object one after the other: what is forgotten must not have been recorded anew meanwhile. */
  async #alone<T>(object: Uint8Array, work: () => Promise<T>): Promise<T> {
    const name = Buffer.from(object).toString('hex')
    const running = (this.#changing.get(name) ?? Promise.resolve()).then(work)
    const ended = running.then(
      () => undefined,
      () => undefined,
    )
    this.#changing.set(name, ended)
    try {
      return await running
    } finally {
      if (this.#changing.get(name) === ended) this.#changing.delete(name)
    }
  }

  async #drop(object: Uint8Array, { segments }: ObjectRow): Promise<void> {
    await this.#db.clear({ gte: segmentKey(object, 0), lt: segmentKey(object, segments) })
    await this.#db.del(objectKey(object), { sync: true })
  }

  async #ofEach(row: ObjectRow, work: (miner: MinerLedger) => Promise<void>): Promise<void> {
    await Promise.all(row.miners.map(async (miner) => work(await this.#miner(toSs58(miner)))))
  }

  async #counts({ lease }: KeptLease): Promise<boolean> {
    return await this.counts(lease.object, lease.miner)
  }

  get #db(): Database {
    if (this.#objects === undefined) throw new SubnetError('STOPPED', 'the ledger is closed')
    return this.#objects
  }

  async #miner(hotkey: string): Promise<MinerLedger> {
    if (this.#objects === undefined) throw new SubnetError('STOPPED', 'the ledger is closed')
    let opening = this.#miners.get(hotkey)
    if (opening === undefined) {
      opening = openDatabase(join(this.#path, 'miners', hotkey)).then(MinerLedger.of)
      this.#miners.set(hotkey, opening)
      // Whoever waits for it gets the reason; the next one tries again.
      opening.catch(() => this.#miners.delete(hotkey))
    }
    return await opening
  }
}

/**
 * As many at once as have no more entries together than one may have: each is a synced write, so small ones do not wait for
 * one another, and large ones do not lie in memory all at once.
 */
function* inTurns(leases: Iterable<KeptLease>): Generator<readonly KeptLease[]> {
  let turn: KeptLease[] = []
  let entries = 0
  for (const kept of leases) {
    const { length } = kept.lease.entries
    if (turn.length > 0 && entries + length > LEASE_ENTRIES_MAX) {
      yield turn
      turn = []
      entries = 0
    }
    turn.push(kept)
    entries += length
  }
  if (turn.length > 0) yield turn
}
