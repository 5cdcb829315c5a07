/**
 * One incarnation of an actor, and the `Context` its behavior sees: state, tasks, timers, children and the replies it
 * owes. They end together; nothing of them reaches the next incarnation. The mailbox is not here, it outlives it.
 */
import type { Timer } from '../base/clock.js'
import { invariant } from '../base/errors.js'
import type { Context, Message, Outcome, Ref } from './behavior.js'
import type { Cell } from './cell.js'
import type { PendingReply } from './reply.js'
import { type ActorSpec, Supervisor } from './supervision.js'

export class Life<M extends Message> implements Context<M> {
  readonly self: Ref<M>
  readonly #cell: Cell<M>
  readonly #children: Supervisor
  readonly #tasks = new Map<AbortController, Promise<void>>()
  readonly #timers = new Set<Timer>()
  readonly #owed = new Set<PendingReply>()
  /** Task results and due timers, not yet received: as many as the actor itself began. Nobody reads it after the end. */
  readonly #lane: (() => M)[] = []
  #state: unknown
  #inside = false
  #leaving = false
  #ended = false

  constructor(cell: Cell<M>) {
    this.#cell = cell
    this.self = cell
    this.#children = new Supervisor(cell.kernel, cell.spec.supervision, (reason) => cell.crash(reason))
  }

  /** It wants to be stopped. */
  get leaving(): boolean {
    return this.#leaving
  }

  /** There is something to do: a message to receive now, or to leave. */
  get ready(): boolean {
    return this.#leaving || this.#lane.length > 0 || (this.#takesOutside && this.#cell.mailbox.size > 0)
  }

  start(): void {
    this.#state = this.#enter(() => this.#cell.spec.behavior.start(this))
  }

  /** Receives the next message, if there is one: task results and due timers before what waits in the mailbox. */
  receive(): void {
    const make = this.#lane.shift()
    if (make !== undefined) {
      this.#handle(make())
      return
    }
    const waiting = this.#takesOutside ? this.#cell.mailbox.take() : undefined
    if (waiting === undefined) return
    const { message, reply } = waiting
    if (reply !== undefined) {
      this.#owed.add(reply)
      reply.letGo = () => this.#owed.delete(reply)
    }
    this.#handle(message)
  }

  /** Children first, the last added before the others; then tasks in flight and replies still owed get `error`. */
  end(error: Error): void {
    this.#ended = true
    this.#children.stopAll()
    for (const timer of this.#timers) timer.cancel()
    for (const [controller, task] of this.#tasks) {
      this.#cell.kernel.outlive(task)
      controller.abort(error)
    }
    for (const reply of this.#owed) reply.refuse(error)
  }

  task<T>(run: (signal: AbortSignal) => Promise<T>, done: (outcome: Outcome<T>) => M): void {
    this.#mustBeInside('task')
    const controller = new AbortController()
    const finish = (outcome: Outcome<T>) => {
      this.#tasks.delete(controller)
      this.#post(() => done(outcome))
    }
    // Not before this message is over: what throws at once is a failed task, and a message that crashes begins none.
    const work = Promise.resolve().then(() => {
      controller.signal.throwIfAborted()
      return run(controller.signal)
    })
    const task = work.then(
      (value) => finish({ ok: true, value }),
      (error: unknown) => finish({ ok: false, error }),
    )
    this.#tasks.set(controller, task)
  }

  after(delayMs: number, message: M): Timer {
    this.#mustBeInside('after')
    const deliver = () => message
    const timer = this.#cell.kernel.clock.after(delayMs, () => {
      this.#timers.delete(timer)
      this.#post(deliver)
    })
    this.#timers.add(timer)
    return {
      cancel: () => {
        timer.cancel()
        this.#timers.delete(timer)
        const due = this.#lane.indexOf(deliver)
        if (due >= 0) this.#lane.splice(due, 1)
      },
    }
  }

  spawn<C extends Message>(spec: ActorSpec<C>): Ref<C> {
    this.#mustBeInside('spawn')
    return this.#cell.spawn(spec, this.#children)
  }

  stopSelf(): void {
    this.#mustBeInside('stopSelf')
    this.#leaving = true
  }

  get #takesOutside(): boolean {
    return this.#tasks.size < this.#cell.spec.tasksMax
  }

  #post(make: () => M): void {
    this.#lane.push(make)
    this.#cell.wake()
  }

  #handle(message: M): void {
    this.#enter(() => this.#cell.spec.behavior.receive(this.#state, message, this))
  }

  #enter<T>(call: () => T): T {
    this.#inside = true
    try {
      const result = call()
      invariant(!(result instanceof Promise), 'start and receive are synchronous')
      return result
    } finally {
      this.#inside = false
    }
  }

  #mustBeInside(what: string): void {
    invariant(this.#inside && !this.#ended, `${what} belongs inside start and receive`)
  }
}
