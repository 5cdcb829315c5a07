/**
 * The chunks of one segment on their way, each to its holder, and to a spare when that one fails or is slow: the time
 * most of the segment took says what slow is, so a slow line hurries nobody and a stuck miner holds nobody up.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Clock, Timer } from '../base/clock.js'
import { isSubnetError } from '../base/errors.js'
import { percentile } from './pace.js'

/** The part of the chunks that must be kept before the others can be called slow. */
const MOST = 0.5
/** Slow: this many times the median of those that are kept … */
const SLOW_FACTOR = 3
/** … and at least so long. */
const SLOW_MS_MIN = 2_000
/** A chunk for which no spare is left is waited for this many times longer, if the segment can do without it. */
const PATIENCE_FACTOR = 4

export interface LongTailPlan {
  /** For each chunk the candidate that gets it first. */
  readonly holders: readonly number[]
  /** Who takes one in another's stead, in order. */
  readonly spares: readonly number[]
  /** With so many kept, may the rest be given up? */
  readonly isEnough: (kept: number) => boolean
  /** Chunks that count as kept from the start. */
  readonly held: ReadonlySet<number>
}

export interface LongTailComponents {
  readonly clock: Clock
  /** Candidates that were overtaken and have not answered since; shared by the segments of one upload. */
  readonly slow: Set<number>
  /** Resolves when the chunk is durable at the candidate. */
  readonly send: (candidate: number, chunk: number) => Promise<void>
  readonly onKept: (candidate: number, chunk: number) => void
  /** A chunk goes to one more candidate; `failure` is undefined if the one before is only slow. */
  readonly onMoved: (failure: unknown) => void
}

interface Chunk {
  readonly index: number
  /** Candidates that have it and have not answered. */
  readonly asked: Set<number>
  /** When it was last offered to one more. */
  offeredMs: number
  state: 'open' | 'kept' | 'given up'
}

/** Sends all chunks; resolves with how many are kept, rejects only with the signal's reason or a defect. */
export function sendAll(
  plan: LongTailPlan,
  components: LongTailComponents,
  options: AbortOptions,
): Promise<number> {
  return new Promise((resolve, reject) => {
    new LongTail(plan, components, { resolve, reject }, options.signal).start()
  })
}

interface Settle {
  readonly resolve: (kept: number) => void
  readonly reject: (error: unknown) => void
}

class LongTail {
  readonly #plan: LongTailPlan
  readonly #components: LongTailComponents
  readonly #settle: Settle
  readonly #signal: AbortSignal | undefined
  readonly #spares: number[]
  readonly #chunks: Chunk[]
  readonly #keptMs: number[] = []
  #kept = 0
  #timer: Timer | undefined
  #over = false

  constructor(
    plan: LongTailPlan,
    components: LongTailComponents,
    settle: Settle,
    signal: AbortSignal | undefined,
  ) {
    this.#plan = plan
    this.#components = components
    this.#settle = settle
    this.#signal = signal
    this.#spares = [...plan.spares]
    this.#chunks = plan.holders.map((_, index) => ({
      index,
      asked: new Set(),
      offeredMs: 0,
      state: plan.held.has(index) ? 'kept' : 'open',
    }))
    this.#kept = plan.held.size
  }

  start(): void {
    const open = this.#chunks.filter(({ state }) => state === 'open')
    for (const chunk of open) this.#offer(chunk, this.#quick(this.#plan.holders[chunk.index] as number))
    this.#check()
  }

  /** The holder, or a spare in its place while it owes us an answer: then it is the last of the spares. */
  #quick(holder: number): number {
    const { slow } = this.#components
    if (!slow.has(holder)) return holder
    const at = this.#spares.findIndex((spare) => !slow.has(spare))
    const [spare] = at < 0 ? [] : this.#spares.splice(at, 1)
    if (spare === undefined) return holder
    this.#spares.push(holder)
    return spare
  }

  #offer(chunk: Chunk, candidate: number): void {
    const { clock, send } = this.#components
    const sinceMs = clock.monotonicMs()
    chunk.offeredMs = sinceMs
    chunk.asked.add(candidate)
    send(candidate, chunk.index).then(
      () => this.#keep(chunk, candidate, clock.monotonicMs() - sinceMs),
      (error: unknown) => this.#fail(chunk, candidate, error),
    )
  }

  /** Also called for who comes too late: its copy is not counted, and it is slow no more. */
  #keep(chunk: Chunk, candidate: number, elapsedMs: number): void {
    this.#components.slow.delete(candidate)
    chunk.asked.delete(candidate)
    if (this.#over || chunk.state !== 'open') return
    chunk.state = 'kept'
    this.#kept += 1
    this.#keptMs.push(elapsedMs)
    this.#components.onKept(candidate, chunk.index)
    this.#check()
  }

  #fail(chunk: Chunk, candidate: number, error: unknown): void {
    this.#components.slow.delete(candidate)
    chunk.asked.delete(candidate)
    if (this.#over || chunk.state !== 'open') return
    if (this.#signal?.aborted === true) this.#end(() => this.#settle.reject(this.#signal?.reason))
    else if (!isSubnetError(error)) this.#end(() => this.#settle.reject(error))
    else {
      this.#components.onMoved(error)
      const spare = this.#spares.shift()
      if (spare !== undefined) this.#offer(chunk, spare)
      else if (chunk.asked.size === 0) chunk.state = 'given up'
      this.#check()
    }
  }

  /** What follows from the state of things now: the end, or a chunk to be offered again, and when to look next. */
  #check(): void {
    this.#timer?.cancel()
    if (this.#over) return
    const slowMs = this.#slowMs
    let nextMs = Number.POSITIVE_INFINITY
    for (const chunk of this.#chunks) {
      if (slowMs === undefined || chunk.state !== 'open') continue
      if (this.#leftMs(chunk, slowMs) <= 0) this.#overtake(chunk)
      if (chunk.state === 'open') nextMs = Math.min(nextMs, this.#leftMs(chunk, slowMs))
    }
    if (this.#chunks.every(({ state }) => state !== 'open')) this.#end(() => this.#settle.resolve(this.#kept))
    else if (nextMs !== Number.POSITIVE_INFINITY) {
      this.#timer = this.#components.clock.after(Math.max(1, nextMs), () => this.#check())
    }
  }

  /** From when on a chunk is slow; `undefined` while too few are kept to say. */
  get #slowMs(): number | undefined {
    if (this.#keptMs.length === 0 || this.#kept <= this.#chunks.length * MOST) return undefined
    return Math.max(SLOW_MS_MIN, SLOW_FACTOR * percentile(this.#keptMs, 0.5))
  }

  /** Until something is to be done for a chunk; infinite if it can only be waited for. */
  #leftMs(chunk: Chunk, slowMs: number): number {
    const waitedMs = this.#components.clock.monotonicMs() - chunk.offeredMs
    if (this.#spares.length > 0) return slowMs - waitedMs
    if (!this.#plan.isEnough(this.#kept)) return Number.POSITIVE_INFINITY
    return slowMs * PATIENCE_FACTOR - waitedMs
  }

  #overtake(chunk: Chunk): void {
    for (const candidate of chunk.asked) this.#components.slow.add(candidate)
    const spare = this.#spares.shift()
    if (spare === undefined) {
      chunk.state = 'given up'
      return
    }
    this.#components.onMoved(undefined)
    this.#offer(chunk, spare)
  }

  #end(settle: () => void): void {
    this.#over = true
    this.#timer?.cancel()
    settle()
  }
}
