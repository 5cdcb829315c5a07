/**
 * The leases of an upload, from every miner that keeps part of it. One that does not sign drops out with its chunks; one
 * that is slow about it is waited for only while a segment would miss it.
 */
import { type DAG_SEGMENT, LEASE_ENTRIES_MAX, type MANIFEST_SEGMENT } from '../../protocols/lease/lease.js'
import type { LeaseEntries, PackedLease } from '../../protocols/lease/packed-lease.js'
import type { LeaseTerms } from '../../protocols/store/client.js'
import type { AbortOptions } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import { sendAll } from './long-tail.js'
import type { StorePool } from './store-pool.js'

/** Receipts that each part of an object needs to be durable: each segment, and each block stored in full copies. */
export class Quorums {
  readonly #segments = new Map<number, number>()
  /** By what the copies are of, in the words of a lease: manifest nodes, blocks of the IPFS file. */
  readonly #copies = new Map<number, Map<number, number>>()

  setSegment(segment: number, quorum: number): void {
    this.#segments.set(segment, quorum)
  }

  setCopies(kind: typeof MANIFEST_SEGMENT | typeof DAG_SEGMENT, number: number, quorum: number): void {
    const copies = this.#copies.get(kind) ?? new Map()
    this.#copies.set(kind, copies.set(number, quorum))
  }

  /** Whether these receipts are enough for all parts. */
  areMetBy(entries: Iterable<LeaseEntries>): boolean {
    const segments = new Map(this.#segments)
    const copies = new Map([...this.#copies].map(([kind, numbers]) => [kind, new Map(numbers)]))
    for (const own of entries) {
      for (const [, , , segment, index] of own) {
        const numbers = copies.get(segment)
        if (numbers === undefined) take(segments, segment)
        else take(numbers, index)
      }
    }
    return segments.size === 0 && [...copies.values()].every(({ size }) => size === 0)
  }
}

export interface LeaseRound extends Omit<LeaseTerms, 'entries'> {
  /** Per candidate, what it keeps. */
  readonly entries: readonly LeaseEntries[]
  readonly quorums: Quorums
}

/** Those that came, in the order of the candidates; whether they are enough is the validator's judgement. */
export async function collectLeases(
  { entries, quorums, object, endBlock }: LeaseRound,
  { pool, clock }: { readonly pool: Pick<StorePool, 'lease'>; readonly clock: Clock },
  options: AbortOptions,
): Promise<PackedLease[]> {
  const signers = [...entries.keys()].filter((candidate) => entriesOf(candidate).length > 0)
  const leases = new Map<number, PackedLease>()
  function entriesOf(candidate: number): LeaseEntries {
    return entries[candidate] ?? []
  }
  for (const { length } of signers.map(entriesOf)) {
    if (length <= LEASE_ENTRIES_MAX) continue
    const text = `one miner would hold ${length} chunks, a lease names ${LEASE_ENTRIES_MAX}`
    throw new SubnetError('INVALID', text)
  }
  await sendAll(
    {
      holders: signers,
      spares: [],
      held: new Set(),
      isEnough: () => quorums.areMetBy([...leases.keys()].map(entriesOf)),
    },
    {
      clock,
      slow: new Set(),
      send: async (candidate) => {
        const terms = { object, entries: entriesOf(candidate), endBlock }
        const lease = await pool.lease(candidate, terms, options)
        leases.set(candidate, lease)
      },
      onKept: () => undefined,
      onMoved: () => undefined,
    },
    options,
  )
  return signers.flatMap((candidate) => leases.get(candidate) ?? [])
}

function take(missing: Map<number, number>, part: number): void {
  const count = missing.get(part)
  if (count === undefined) return
  if (count > 1) missing.set(part, count - 1)
  else missing.delete(part)
}
