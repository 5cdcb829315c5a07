/**
 * The ledger: what this validator placed and with whom. One LevelDB per miner holds that miner's leases
 * (`miner-ledger.ts`), one more the objects and the requests already seen. Everything acknowledged is synced; the object's
 * row is written last, so an object is either counted whole or not at all.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeMessage, encodeMessage } from '../../../protocols/common/schema.js'
import { sameKey } from '../../../protocols/common/signed.js'
import { type KeptLease, LEASE_ENTRIES_MAX } from '../../../protocols/lease/lease.js'
import { SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import { toSs58 } from '../../crypto/keys.js'
import { type Database, openDatabase } from './ledger-database.js'
import type { LeasedChunk, ObjectRow, SegmentHolders } from './ledger-rows.js'
import {
  nonceKey,
  nonceRange,
  objectKey,
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

export class Ledger implements Startable {
  readonly #path: string
  #objects: Database | undefined
  readonly #remembering = new Set<string>()
  readonly #miners = new Map<string, Promise<MinerLedger>>()

  constructor(path: string) {
    this.#path = path
  }

  async start(): Promise<void> {
    await mkdir(join(this.#path, 'miners'), { recursive: true, mode: 0o700 })
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
    await this.#ofEach(row, (miner) => miner.wantRenewal(object, endBlock))
    await this.#db.put(objectKey(object), encodeMessage({ ...row, endBlock }), { sync: true })
  }

  /** Forgets the object; each of its miners is to be told. Durable when it resolves. */
  async release(object: Uint8Array, row: ObjectRow): Promise<void> {
    // The row last: as long as it is there the owner can ask again.
    await this.#ofEach(row, (miner) => miner.wantRelease(object))
    await this.#db.clear({ gte: segmentKey(object, 0), lt: segmentKey(object, row.segments) })
    await this.#db.del(objectKey(object), { sync: true })
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
