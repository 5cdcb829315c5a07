/**
 * Heads in the order the chain made them, for those who listen: a reorganisation announces the blocks that took the
 * place of others, from the first one on; a node that is merely behind the last one announces nothing again.
 */
import type { AbortOptions } from '../../base/abort.js'
import type { Logger } from '../../base/log.js'
import { Semaphore } from '../../base/semaphore.js'
import type { BlockHead } from '../chain.js'

/** Blocks whose hashes are remembered. GRANDPA undoes nothing older in practice; deeper, only the newest is announced. */
const REMEMBERED_MAX = 64
/** Heads that may wait for the one before them; the newest come again, so more are dropped. */
const WAITING_MAX = 8

export interface HeadTrackComponents {
  readonly logger: Logger
  /** The block with this number, on the chain that is the best one now. */
  readonly headAt: (number: number, options: AbortOptions) => Promise<BlockHead>
}

export class HeadTrack {
  readonly #components: HeadTrackComponents
  readonly #listeners = new Set<(head: BlockHead) => void>()
  readonly #known = new Map<number, string>()
  readonly #turn = new Semaphore({ permitsMax: 1, waitersMax: WAITING_MAX })
  #head: BlockHead | undefined

  constructor(components: HeadTrackComponents) {
    this.#components = components
  }

  get head(): BlockHead | undefined {
    return this.#head
  }

  onHead(listener: (head: BlockHead) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Takes in what the node says is the best block. `parentHash`, if given, spares a question. */
  async see(head: BlockHead, options: AbortOptions = {}, parentHash?: string): Promise<void> {
    await this.#turn.run(() => this.#see(head, options, parentHash), options)
  }

  async #see(head: BlockHead, options: AbortOptions, parentHash: string | undefined): Promise<void> {
    const last = this.#head
    this.#head = head
    if (this.#known.get(head.number) === head.hash) return
    const follows = last === undefined || (parentHash === last.hash && head.number === last.number + 1)
    const replaced = follows ? [] : await this.#replaced(head, options)
    for (const each of [...replaced, head]) this.#announce(each)
  }

  /** Blocks below `head` that stand where others were announced, lowest first. */
  async #replaced(head: BlockHead, options: AbortOptions): Promise<BlockHead[]> {
    const replaced: BlockHead[] = []
    const announced = Math.max(...this.#known.keys())
    for (let number = Math.min(head.number - 1, announced); this.#known.has(number); number -= 1) {
      const now = await this.#components.headAt(number, options)
      if (this.#known.get(number) === now.hash) break
      replaced.unshift(now)
    }
    // Also those above that exist no more.
    for (const number of this.#known.keys()) if (number > head.number) this.#known.delete(number)
    return replaced
  }

  #announce(head: BlockHead): void {
    this.#known.set(head.number, head.hash)
    this.#known.delete(head.number - REMEMBERED_MAX)
    for (const listener of this.#listeners) {
      try {
        listener(head)
      } catch (error) {
        // A listener's failure is its own; the connection and the other listeners go on.
        this.#components.logger.error({ err: error, block: head.number }, 'a listener for new heads failed')
      }
    }
  }
}
