/** What waits to be announced: the newest is next, the oldest gives way when there is too much. Each digest once. */

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
  readonly #keys = new Set<string>()
  /** Oldest first. */
  #waiting: Announcement[] = []

  constructor(max: number) {
    this.#max = max
  }

  get size(): number {
    return this.#waiting.length
  }

  push(what: Announcement): void {
    if (this.#keys.has(what.key)) return
    this.#keys.add(what.key)
    this.#waiting.push(what)
    this.#dropOldest()
  }

  /** Behind everything that waits; the last of them is the newest. */
  pushOlder(list: readonly Announcement[]): void {
    const added: Announcement[] = []
    for (const what of list) {
      if (this.#keys.has(what.key)) continue
      this.#keys.add(what.key)
      added.push(what)
    }
    this.#waiting = [...added, ...this.#waiting]
    this.#dropOldest()
  }

  /** The newest whose lease goes on after this block. */
  pop(block: number): Announcement | undefined {
    for (let what = this.#waiting.pop(); what !== undefined; what = this.#waiting.pop()) {
      this.#keys.delete(what.key)
      if (what.endBlock > block) return what
    }
    return undefined
  }

  #dropOldest(): void {
    const dropped = this.#waiting.splice(0, Math.max(0, this.#waiting.length - this.#max))
    for (const { key } of dropped) this.#keys.delete(key)
  }
}
