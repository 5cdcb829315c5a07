/**
 * The ledger: what this validator placed and with whom. One LevelDB per miner holds that miner's leases, one more the
 * objects and the requests already seen. Everything acknowledged is synced; the object's row is written last, so an
 * object is either counted whole or not at all.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Level } from 'level'
import { blockField, decodeMessage, encodeMessage, integer } from '../../../protocols/common/schema.js'
import { sameKey } from '../../../protocols/common/signed.js'
import type { KeptLease } from '../../../protocols/lease/lease.js'
import { keptLeaseSchema } from '../../../protocols/lease/lease.js'
import { SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import { KIB, MIB } from '../../base/units.js'
import { toSs58 } from '../../crypto/keys.js'
import type { ObjectRow, SegmentHolders } from './ledger-rows.js'
import {
  nonceKey,
  nonceRange,
  objectKey,
  objectRowSchema,
  segmentHoldersSchema,
  segmentKey,
} from './ledger-rows.js'

const lossNumberField = integer(0, Number.MAX_SAFE_INTEGER)

type Database = Level<Uint8Array, Uint8Array>

/** 256 of these are open at once on a full subnet: about 1.5 MiB and 4 files each. */
const DATABASE_OPTIONS = {
  keyEncoding: 'view',
  valueEncoding: 'view',
  writeBufferSize: MIB,
  cacheSize: 256 * KIB,
  maxOpenFiles: 64,
} as const

const UNCONFIRMED = Buffer.from('unconfirmed/')
const RENEWAL = Buffer.from('renewal/')
const RELEASE = Buffer.from('release/')
const LEASE = Buffer.from('lease/')
const LOST = Buffer.from('lost/')
/** Number of the newest loss the miner has told of. */
const LOSSES_HEARD = Buffer.from('losses-heard')

/** A placed object with its leases, ready to be counted. */
export interface LedgerEntry {
  readonly object: Uint8Array
  readonly row: ObjectRow
  /** Holders of each segment's chunks, by position in `row.miners`. */
  readonly segments: readonly SegmentHolders[]
  readonly leases: readonly KeptLease[]
}

export class Ledger implements Startable {
  readonly #path: string
  #objects: Database | undefined
  readonly #remembering = new Set<string>()
  readonly #miners = new Map<string, Promise<Database>>()

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
    await Promise.all(
      entry.leases.map(async (kept) => {
        const database = await this.#miner(toSs58(kept.lease.miner))
        await database.batch(
          [
            { type: 'put', key: leaseKey(kept.lease.object), value: encodeMessage(kept) },
            { type: 'put', key: unconfirmedKey(kept.lease.object), value: new Uint8Array(0) },
            // What was wanted of an earlier lease is not wanted of this one.
            { type: 'del', key: renewalKey(kept.lease.object) },
            { type: 'del', key: releaseKey(kept.lease.object) },
            // It has signed for them anew.
            ...kept.lease.entries.map(([digest]) => ({ type: 'del' as const, key: lostKey(digest) })),
          ],
          { sync: true },
        )
      }),
    )
    await this.#db.batch(
      [
        ...entry.segments.map((holders, segment) => ({
          type: 'put' as const,
          key: segmentKey(entry.object, segment),
          value: encodeMessage(holders),
        })),
        { type: 'put' as const, key: objectKey(entry.object), value: encodeMessage(entry.row) },
      ],
      { sync: true },
    )
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
    const database = await this.#miner(miner)
    for await (const bytes of database.values({ gte: LEASE, lt: after(LEASE) })) {
      const kept = decodeMessage(keptLeaseSchema, bytes, 'ledger lease')
      if (await this.#counts(kept)) yield kept
    }
  }

  /** Number of the newest loss that this miner told of and that is marked here; 0 before the first. */
  async lossesHeard(miner: string): Promise<number> {
    const database = await this.#miner(miner)
    const bytes = await database.get(LOSSES_HEARD)
    return bytes === undefined ? 0 : decodeMessage(lossNumberField, bytes, 'ledger losses')
  }

  /**
   * Marks those of the chunks lost that a lease of the miner names, and remembers that it was told up to this number.
   * Reads all leases of the miner. Durable when it resolves; returns how many were marked.
   */
  async markLost(miner: string, digests: readonly Uint8Array[], heard: number): Promise<number> {
    const database = await this.#miner(miner)
    const told = new Map(digests.map((digest) => [Buffer.from(digest).toString('hex'), digest]))
    const leased = new Set<string>()
    if (told.size > 0) {
      for await (const { lease } of this.leases(miner)) {
        for (const [digest] of lease.entries) {
          const name = Buffer.from(digest).toString('hex')
          if (told.has(name)) leased.add(name)
        }
      }
    }
    const marks = [...told].filter(([name]) => leased.has(name))
    await database.batch(
      [
        ...marks.map(([, digest]) => ({
          type: 'put' as const,
          key: lostKey(digest),
          value: new Uint8Array(0),
        })),
        { type: 'put', key: LOSSES_HEARD, value: encodeMessage(heard) },
      ],
      { sync: true },
    )
    return marks.length
  }

  /** Digests of the chunks, in hex, that the miner has lost by its own word and not signed for since. */
  async lost(miner: string): Promise<ReadonlySet<string>> {
    const database = await this.#miner(miner)
    const keys = await database.keys({ gte: LOST, lt: after(LOST) }).all()
    return new Set(keys.map((key) => Buffer.from(key.subarray(LOST.length)).toString('hex')))
  }

  /** Leases whose countersignature the miner has not acknowledged, read one by one: each may have 8,192 entries. */
  async *unconfirmed(miner: string): AsyncGenerator<KeptLease> {
    const database = await this.#miner(miner)
    for await (const key of database.keys({ gte: UNCONFIRMED, lt: after(UNCONFIRMED) })) {
      const bytes = await database.get(leaseKey(key.subarray(UNCONFIRMED.length)))
      if (bytes === undefined) continue
      const kept = decodeMessage(keptLeaseSchema, bytes, 'ledger lease')
      if (await this.#counts(kept)) yield kept
    }
  }

  async confirmed(miner: string, object: Uint8Array): Promise<void> {
    const database = await this.#miner(miner)
    await database.del(unconfirmedKey(object))
  }

  /** Raises the end of the object; each of its miners is to be told. Durable when it resolves. */
  async renew(object: Uint8Array, row: ObjectRow, endBlock: number): Promise<void> {
    await this.#tell(row, { type: 'put', key: renewalKey(object), value: encodeMessage(endBlock) })
    await this.#db.put(objectKey(object), encodeMessage({ ...row, endBlock }), { sync: true })
  }

  /** Forgets the object; each of its miners is to be told. Durable when it resolves. */
  async release(object: Uint8Array, row: ObjectRow): Promise<void> {
    // The row last: as long as it is there the owner can ask again.
    await this.#tell(row, { type: 'put', key: releaseKey(object), value: new Uint8Array(0) })
    await this.#db.clear({ gte: segmentKey(object, 0), lt: segmentKey(object, row.segments) })
    await this.#db.del(objectKey(object), { sync: true })
  }

  /** Leases that the miner has not signed with their later end, and that end. */
  async *renewals(miner: string): AsyncGenerator<{ readonly kept: KeptLease; readonly endBlock: number }> {
    const database = await this.#miner(miner)
    for await (const [key, value] of database.iterator({ gte: RENEWAL, lt: after(RENEWAL) })) {
      const bytes = await database.get(leaseKey(key.subarray(RENEWAL.length)))
      if (bytes === undefined) continue
      const kept = decodeMessage(keptLeaseSchema, bytes, 'ledger lease')
      const endBlock = decodeMessage(blockField, value, 'ledger renewal')
      if (await this.#counts(kept)) yield { kept, endBlock }
    }
  }

  /** The miner signed the longer lease, or (`undefined`) never will. A renewal asked for meanwhile still waits. */
  async renewed(miner: string, object: Uint8Array, endBlock: number, kept?: KeptLease): Promise<void> {
    const database = await this.#miner(miner)
    const waiting = await database.get(renewalKey(object))
    const done = waiting !== undefined && decodeMessage(blockField, waiting, 'ledger renewal') === endBlock
    await database.batch(
      [
        ...(kept === undefined
          ? []
          : [{ type: 'put' as const, key: leaseKey(object), value: encodeMessage(kept) }]),
        ...(done ? [{ type: 'del' as const, key: renewalKey(object) }] : []),
      ],
      { sync: true },
    )
  }

  /** Objects whose release the miner has not acknowledged. */
  async *releases(miner: string): AsyncGenerator<Uint8Array> {
    const database = await this.#miner(miner)
    for await (const key of database.keys({ gte: RELEASE, lt: after(RELEASE) })) {
      yield Uint8Array.from(key.subarray(RELEASE.length))
    }
  }

  /** With it goes the lease. */
  async released(miner: string, object: Uint8Array): Promise<void> {
    const database = await this.#miner(miner)
    // Recorded again meanwhile, it is another lease.
    if ((await database.get(releaseKey(object))) === undefined) return
    const bytes = await database.get(leaseKey(object))
    const entries =
      bytes === undefined ? [] : decodeMessage(keptLeaseSchema, bytes, 'ledger lease').lease.entries
    const keys = [releaseKey, renewalKey, unconfirmedKey, leaseKey].map((keyOf) => keyOf(object))
    keys.push(...entries.map(([digest]) => lostKey(digest)))
    await database.batch(
      keys.map((key) => ({ type: 'del', key })),
      { sync: true },
    )
  }

  async #tell(row: ObjectRow, operation: { type: 'put'; key: Uint8Array; value: Uint8Array }): Promise<void> {
    await Promise.all(
      row.miners.map(async (miner) => {
        const database = await this.#miner(toSs58(miner))
        await database.batch([operation], { sync: true })
      }),
    )
  }

  /** Not without its object's row, which is written last, nor once the object was recorded again without this miner. */
  async #counts({ lease }: KeptLease): Promise<boolean> {
    const row = await this.object(lease.object)
    return row?.miners.some((miner) => sameKey(miner, lease.miner)) ?? false
  }

  get #db(): Database {
    if (this.#objects === undefined) throw new SubnetError('STOPPED', 'the ledger is closed')
    return this.#objects
  }

  async #miner(hotkey: string): Promise<Database> {
    if (this.#objects === undefined) throw new SubnetError('STOPPED', 'the ledger is closed')
    let opening = this.#miners.get(hotkey)
    if (opening === undefined) {
      opening = openDatabase(join(this.#path, 'miners', hotkey))
      this.#miners.set(hotkey, opening)
      // Whoever waits for it gets the reason; the next one tries again.
      opening.catch(() => this.#miners.delete(hotkey))
    }
    return await opening
  }
}

async function openDatabase(path: string): Promise<Database> {
  const database: Database = new Level(path, DATABASE_OPTIONS)
  try {
    await database.open()
  } catch (cause) {
    throw new SubnetError('DATA_DIR', `cannot open the database ${path}: is another node using it?`, {
      cause,
    })
  }
  return database
}

function leaseKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([LEASE, object])
}

function unconfirmedKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([UNCONFIRMED, object])
}

function renewalKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([RENEWAL, object])
}

function releaseKey(object: Uint8Array): Uint8Array {
  return Buffer.concat([RELEASE, object])
}

function lostKey(digest: Uint8Array): Uint8Array {
  return Buffer.concat([LOST, digest])
}

/** The first key after all that begin with `prefix`. */
function after(prefix: Uint8Array): Uint8Array {
  const next = Uint8Array.from(prefix)
  next[next.length - 1] = (next.at(-1) ?? 0) + 1
  return next
}
