/**
 * What all actors of one system share: clock, log, whose turn it is, and the tasks that outlived their actor. Cells that
 * are ready take one step each, round and round. Steps run as microtasks, so an idle node answers at once; after a
 * bounded number the event loop gets its turn, so no load starves I/O. The order follows from the order of events alone.
 */
import type { Clock } from '../base/clock.js'
import type { Logger } from '../base/log.js'

/** Between two turns of the event loop: about 1 ms of small messages, as long as the loop's timer needs to come back. */
export const STEPS_PER_TURN_MAX = 2_048

export class Kernel {
  readonly clock: Clock
  readonly log: Logger
  readonly #ready: { step(): void }[] = []
  readonly #settling = new Set<Promise<void>>()
  #stepsLeft = STEPS_PER_TURN_MAX
  #armed = false

  constructor(clock: Clock, log: Logger) {
    this.clock = clock
    this.log = log
  }

  /** Has `step` called once, in its turn. */
  schedule(cell: { step(): void }): void {
    this.#ready.push(cell)
    this.#arm()
  }

  /** Takes over a task (it never rejects) whose actor has ended. */
  outlive(task: Promise<void>): void {
    this.#settling.add(task)
    void task.then(() => this.#settling.delete(task))
  }

  async settled(): Promise<void> {
    await Promise.all(this.#settling)
  }

  #arm(): void {
    if (this.#armed) return
    this.#armed = true
    // The count goes on from one microtask to the next, because a chain of them starves I/O as well as a loop does.
    if (this.#stepsLeft > 0) queueMicrotask(() => this.#run(this.#stepsLeft))
    else this.clock.after(0, () => this.#run(STEPS_PER_TURN_MAX))
  }

  #run(stepsMax: number): void {
    this.#stepsLeft = stepsMax
    try {
      while (this.#stepsLeft > 0) {
        const cell = this.#ready.shift()
        if (cell === undefined) return
        this.#stepsLeft--
        cell.step()
      }
    } finally {
      this.#armed = false
      if (this.#ready.length > 0) this.#arm()
    }
  }
}
