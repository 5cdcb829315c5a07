/**
 * The leases of an upload, from every miner that keeps part of it. One that does not sign drops out with its chunks; one
 * that is slow about it is waited for only while a segment would miss it.
 */
import {
  LEASE_ENTRIES_MAX,
  type LeaseEntry,
  MANIFEST_SEGMENT,
  type SignedLease,
} from '../../protocols/lease/lease.js'
import type { LeaseTerms } from '../../protocols/store/client.js'
import type { AbortOptions } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import { sendAll } from './long-tail.js'
import type { StorePool } from './store-pool.js'

/** Receipts that each part of an object needs to be durable: each segment, and each node of its manifest. */
export class Quorums {
  readonly #segments = new Map<number, number>()
  readonly #nodes = new Map<number, number>()

  setSegment(segment: number, quorum: number): void {
    this.#segments.set(segment, quorum)
  }

  setNode(node: number, quorum: number): void {
    this.#nodes.set(node, quorum)
  }

  /** Whether these receipts are enough for all parts. */
  areMetBy(entries: Iterable<readonly LeaseEntry[]>): boolean {
    const missing = { segments: new Map(this.#segments), nodes: new Map(this.#nodes) }
    for (const own of entries) {
      for (const [, , , segment, index] of own) {
        if (segment === MANIFEST_SEGMENT) take(missing.nodes, index)
        else take(missing.segments, segment)
      }
    }
    return missing.segments.size === 0 && missing.nodes.size === 0
  }
}

export interface LeaseRound extends Omit<LeaseTerms, 'entries'> {
  /** Per candidate, what it keeps. */
  readonly entries: readonly (readonly LeaseEntry[])[]
  readonly quorums: Quorums
}

/** Those that came, in the order of the candidates; whether they are enough is the validator's judgement. */
export async function collectLeases(
  { entries, quorums, object, endBlock }: LeaseRound,
  { pool, clock }: { readonly pool: Pick<StorePool, 'lease'>; readonly clock: Clock },
  options: AbortOptions,
): Promise<SignedLease[]> {
  const signers = [...entries.keys()].filter((candidate) => entriesOf(candidate).length > 0)
  const leases = new Map<number, SignedLease>()
  function entriesOf(candidate: number): readonly LeaseEntry[] {
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
