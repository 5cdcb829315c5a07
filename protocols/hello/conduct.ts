/**
 * How peers behave. One that sends what no honest peer sends is cut off each time; one that goes on and on is not heard for
 * a while, so that it cannot have every fault checked anew. Not a reputation: it is forgotten after a minute.
 */
import type { Clock } from '../../src/base/clock.js'
import type { ErrorCode } from '../../src/base/errors.js'
import { isSubnetError } from '../../src/base/errors.js'
import { type Rate, RateLimit } from '../../src/base/rate-limit.js'

/** An honest peer of another version, or one with bad memory, makes a few. */
export const FAULTS: Rate = { perSecond: 0.25, burst: 16 }
/** How long one that makes more is not heard: the longest that the wire can name. */
export const FAULTS_PAUSE_MS = 60_000

/** What the sender must have known to be wrong. A refusal for what is spent, expired or full is no fault. */
const FAULT_CODES: ReadonlySet<ErrorCode> = new Set(['INVALID', 'BAD_SIGNATURE', 'MISMATCH'])

export class Conduct {
  readonly #clock: Clock
  readonly #namesMax: number
  readonly #faults: RateLimit
  /** The pause that began first comes first. */
  readonly #pauseEndMs = new Map<string, number>()

  /** Remembers `namesMax` peers and keys; beyond that the one that was longest without a fault. */
  constructor(clock: Clock, namesMax: number) {
    this.#clock = clock
    this.#namesMax = namesMax
    this.#faults = new RateLimit(clock, { ...FAULTS, keysMax: namesMax })
  }

  /** Counts what a stream of these names, a peer and its key, ended with. */
  note(names: readonly string[], error: unknown): void {
    // What a third one said to us is not this one's doing.
    if (!isSubnetError(error) || !FAULT_CODES.has(error.code) || error.data.peer !== undefined) return
    for (const name of names) if (this.#faults.take(name) > 0) this.#pause(name)
  }

  /** Milliseconds for which these are not heard; 0 if they are. */
  pauseMs(names: readonly string[]): number {
    const nowMs = this.#clock.monotonicMs()
    return Math.max(0, ...names.map((name) => (this.#pauseEndMs.get(name) ?? nowMs) - nowMs))
  }

  #pause(name: string): void {
    this.#pauseEndMs.delete(name)
    this.#pauseEndMs.set(name, this.#clock.monotonicMs() + FAULTS_PAUSE_MS)
    const [first] = this.#pauseEndMs.keys()
    if (this.#pauseEndMs.size > this.#namesMax && first !== undefined) this.#pauseEndMs.delete(first)
  }
}
