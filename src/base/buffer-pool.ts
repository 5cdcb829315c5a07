/**
 * Buffers of one size that are used again. A fresh buffer of a chunk's size costs a third of what hashing it does: its
 * pages are mapped and cleared anew each time, and the collector has to run for them. It clears nothing.
 */
import { release } from './release.js'

export interface BufferPoolInit {
  readonly sizeBytes: number
  /** Buffers kept for the next time. What is in use is not counted: the user bounds it. */
  readonly freeMax: number
}

export class BufferPool {
  readonly #init: BufferPoolInit
  readonly #free: Uint8Array[] = []

  constructor(init: BufferPoolInit) {
    this.#init = init
  }

  /** A buffer with whatever was in it before. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.#init.sizeBytes)
  }

  /** Nobody may read or write it any more. One of another size is let go. */
  give(buffer: Uint8Array): void {
    if (buffer.length === this.#init.sizeBytes && this.#free.length < this.#init.freeMax)
      this.#free.push(buffer)
  }

  /** Gives what is kept back to the system. Nobody may have a view of any of it, as `release` says. */
  clear(): void {
    for (const buffer of this.#free.splice(0)) release(buffer)
  }
}
