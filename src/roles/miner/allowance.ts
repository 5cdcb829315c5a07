/**
 * What a miner gives without an order: so many bytes an hour to one peer and to all together, so that data outlives the
 * validators and a stranger still cannot empty the line. Peer ids cost nothing: against many of them only the sum holds.
 */
import type { Clock } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import { GIB, MIB } from '../../base/units.js'

export interface AllowanceInit {
  /** Of one peer; also what it may take at once after an hour of nothing. */
  readonly peerBytesPerHour: number
  /** Of all peers. */
  readonly totalBytesPerHour: number
  /** Peers remembered; the one that asked longest ago is forgotten, and only the sum still knows what it took. */
  readonly peersMax: number
}

export const ALLOWANCE: AllowanceInit = {
  peerBytesPerHour: 256 * MIB,
  totalBytesPerHour: 4 * GIB,
  peersMax: 4_096,
}

const HOUR_MS = 3_600_000

interface Bucket {
  readonly leftBytes: number
  readonly atMs: number
}

export class Allowance {
  readonly #clock: Clock
  readonly #init: AllowanceInit
  /** The one that took longest ago first. */
  readonly #peers = new Map<string, Bucket>()
  #total: Bucket

  constructor(clock: Clock, init: AllowanceInit = ALLOWANCE) {
    this.#clock = clock
    this.#init = init
    this.#total = { leftBytes: init.totalBytesPerHour, atMs: clock.monotonicMs() }
  }

  /** Takes from the peer's allowance and from everybody's. Throws `BUSY`, with `retryAfterMs`, and takes nothing. */
  take(peerId: string, bytes: number): void {
    const { peerBytesPerHour, totalBytesPerHour, peersMax } = this.#init
    const peer = this.#taken(this.#peers.get(peerId), peerBytesPerHour, bytes, 'this peer')
    const total = this.#taken(this.#total, totalBytesPerHour, bytes, 'everybody')
    this.#total = total
    this.#peers.delete(peerId)
    this.#peers.set(peerId, peer)
    const [oldest] = this.#peers.keys()
    if (this.#peers.size > peersMax && oldest !== undefined) this.#peers.delete(oldest)
  }

  /** The bucket, refilled up to now, without these bytes. */
  #taken(bucket: Bucket | undefined, perHour: number, bytes: number, whose: string): Bucket {
    const nowMs = this.#clock.monotonicMs()
    const refill = bucket === undefined ? perHour : ((nowMs - bucket.atMs) * perHour) / HOUR_MS
    const leftBytes = Math.min(perHour, (bucket?.leftBytes ?? 0) + refill) - bytes
    if (leftBytes >= 0) return { leftBytes, atMs: nowMs }
    throw new SubnetError('BUSY', `what is given without an order is used up for ${whose}`, {
      data: { retryAfterMs: Math.ceil((-leftBytes * HOUR_MS) / perHour) },
    })
  }
}
