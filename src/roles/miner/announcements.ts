/**
 * What waits to be announced: the newest is next, the oldest gives way when there is too much. Each digest once, whatever
 * leases name it, until the last of them ends.
 */

/** One digest that a lease names. */
export interface Announcement {
  /** The digest as text. */
  readonly key: string
  readonly digest: Uint8Array
  /** Of the lease: how new it is, and until when it counts. */
  readonly startBlock: number
  readonly endBlock: number
}

export class NewestFirst {
  readonly #max: number
  /** Last block of any lease that names it, by key. */
  readonly #endBlocks = new Map<string, number>()
  /** Oldest first. */
  #waiting: Announcement[] = []

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#waiting.length
  }

  push(what: Announcement): void {
    if (!this.#isNew(what)) return
    this.#waiting.push(what)
    this.#dropOldest()
  }

  /** Behind everything that waits; the last of them is the newest. */
  pushOlder(list: readonly Announcement[]): void {
    const added = list.filter((what) => this.#isNew(what))
    this.#waiting = [...added, ...this.#waiting]
    this.#dropOldest()
  }

  /** Up to `max` of which a lease goes on after this block, the newest first. */
  take(max: number, block: number): Announcement[] {
    const taken: Announcement[] = []
    while (taken.length < max) {
      const what = this.#waiting.pop()
      if (what === undefined) break
      const endBlock = this.#endBlocks.get(what.key) ?? what.endBlock
      this.#endBlocks.delete(what.key)
      if (endBlock > block) taken.push({ ...what, endBlock })
    }
    return taken
  }

  /** False for what waits already: then it waits for this lease too. */
  #isNew({ key, endBlock }: Announcement): boolean {
    const known = this.#endBlocks.get(key)
    this.#endBlocks.set(key, Math.max(known ?? 0, endBlock))
    return known === undefined
  }

  #dropOldest(): void {
    const dropped = this.#waiting.splice(0, Math.max(0, this.#waiting.length - this.#max))
    for (const { key } of dropped) this.#endBlocks.delete(key)
  }
}
