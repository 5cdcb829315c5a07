/**
 * What a devchain can be told to do wrong, so that tests see how its users bear it: stand still, drop blocks, refuse, stay
 * silent, lose connections. Nothing of it happens by itself.
 */
import { type Random, randomFraction } from '../../base/random.js'
import type { Refusal } from './refusals.js'

export type Misdeed =
  /** Make no blocks, or make them again. */
  | { readonly kind: 'stall'; readonly on: boolean }
  /** Leave requests over WebSocket without an answer, or answer again. */
  | { readonly kind: 'silence'; readonly on: boolean }
  /** Drop the newest blocks and make the first of them anew; their operations wait again. */
  | { readonly kind: 'reorg'; readonly depth: number }
  /** Refuse so many submissions in the pool, with any reason and code. */
  | { readonly kind: 'refuse'; readonly reason: Refusal; readonly code: number; readonly times: number }
  /** End all connections now. */
  | { readonly kind: 'drop' }
  /** End a connection at one request in so many, at random; 0 for never. */
  | { readonly kind: 'close'; readonly oneIn: number }

export class Misbehaviour {
  readonly #random: Random
  readonly #dropListeners = new Set<() => void>()
  #stalled = false
  #silent = false
  #closeOneIn = 0
  #refusal: { readonly reason: Refusal; readonly code: number } | undefined
  #refusalsLeft = 0

  constructor(random: Random) {
    this.#random = random
  }

  get stalled(): boolean {
    return this.#stalled
  }

  get silent(): boolean {
    return this.#silent
  }

  /** All but a reorg, which is the authority's own work. */
  apply(misdeed: Exclude<Misdeed, { readonly kind: 'reorg' }>): void {
    if (misdeed.kind === 'stall') this.#stalled = misdeed.on
    else if (misdeed.kind === 'silence') this.#silent = misdeed.on
    else if (misdeed.kind === 'close') this.#closeOneIn = misdeed.oneIn
    else if (misdeed.kind === 'refuse') {
      this.#refusal = { reason: misdeed.reason, code: misdeed.code }
      this.#refusalsLeft = misdeed.times
    } else for (const listener of this.#dropListeners) listener()
  }

  /** What to refuse this submission with, if it is to be refused. */
  nextRefusal(): { readonly reason: Refusal; readonly code: number } | undefined {
    if (this.#refusalsLeft === 0) return undefined
    this.#refusalsLeft -= 1
    return this.#refusal
  }

  /** Whether this request ends its connection. */
  closesNow(): boolean {
    return this.#closeOneIn > 0 && randomFraction(this.#random) * this.#closeOneIn < 1
  }

  onDrop(listener: () => void): () => void {
    this.#dropListeners.add(listener)
    return () => this.#dropListeners.delete(listener)
  }
}
