/** Supervision as data, and the one place that decides what becomes of actors that crash or stop themselves. */
import { invariant, SubnetError } from '../base/errors.js'
import type { Behavior, Message } from './behavior.js'
import type { Kernel } from './kernel.js'
import type { MailboxInit } from './mailbox.js'

/** What becomes of the others when one child is restarted, and how often that may happen. */
export interface Supervision {
  /** Restart the child that ended alone, or also every child that was added after it. */
  readonly strategy: 'one_for_one' | 'rest_for_one'
  /** More restarts than this within `withinMs`, and the parent itself crashes with the reason. */
  readonly restartsMax: number
  readonly withinMs: number
}

/** An actor to be. Its limits are stated where it is put into the tree. */
export interface ActorSpec<M extends Message> {
  /** Unique among its siblings; names the actor in logs. */
  readonly id: string
  readonly behavior: Behavior<M>
  /** Started again: `permanent` always, `transient` after a crash, `temporary` never. */
  readonly restart: 'permanent' | 'transient' | 'temporary'
  readonly mailbox: MailboxInit<M>
  /**
   * While this many tasks are in flight no outside message is received, so that the pressure reaches the mailbox and
   * its senders. A message that begins several may pass it by these; count those that always run on top.
   */
  readonly tasksMax: number
  /** Of its own children. */
  readonly supervision?: Supervision
}

/** A crash is a defect: two in a row may be chance, four within seconds are not. */
const DEFAULT_SUPERVISION: Supervision = { strategy: 'one_for_one', restartsMax: 3, withinMs: 5_000 }

/** A child as its supervisor sees it. */
export interface Child {
  readonly spec: Pick<ActorSpec<Message>, 'id' | 'restart'>
  /** Ids from the top actor down, joined by `/`. */
  readonly path: string
  /** Begins a fresh incarnation, unless it was stopped. Throws what the behavior throws. */
  start(): void
  /** Ends the incarnation, before another one. */
  halt(reason: unknown): void
  /** Ends the actor for good. */
  stop(reason?: unknown): void
}

export class Supervisor {
  readonly #kernel: Kernel
  readonly #supervision: Supervision
  readonly #escalate: (reason: Error) => void
  /** In the order in which they were added. */
  #children: Child[] = []
  #restartsAtMs: number[] = []

  /** `escalate` must end with `stopAll`. */
  constructor(
    kernel: Kernel,
    supervision: Supervision = DEFAULT_SUPERVISION,
    escalate: (reason: Error) => void,
  ) {
    this.#kernel = kernel
    this.#supervision = supervision
    this.#escalate = escalate
  }

  add(child: Child): void {
    const free = this.#children.every(({ spec }) => spec.id !== child.spec.id)
    invariant(free, `there is an actor "${child.path}" already`)
    this.#children.push(child)
  }

  /** The child crashed, or, without a failure, stopped itself. */
  ended(child: Child, failure?: { readonly reason: unknown }): void {
    const { restart } = child.spec
    const reason = failure?.reason
    if (failure !== undefined) {
      this.#kernel.log.warn({ actor: child.path, restart, err: reason }, 'actor crashed')
    }
    if (restart === 'temporary' || (restart === 'transient' && failure === undefined)) {
      this.#remove(child, reason)
    } else if (this.#mayRestart()) {
      this.#restartFrom(child, reason)
    } else {
      const { restartsMax, withinMs } = this.#supervision
      const text = `${child.path} ended again after ${restartsMax} restarts within ${withinMs} ms`
      this.#escalate(new SubnetError('INTERNAL', text, { cause: reason }))
    }
  }

  /** Stops the child that was added last; false if there is none. */
  stopLast(): boolean {
    const child = this.#children.pop()
    child?.stop()
    return child !== undefined
  }

  stopAll(): void {
    while (this.stopLast());
  }

  #restartFrom(child: Child, reason: unknown): void {
    const first = this.#children.indexOf(child)
    const affected = this.#supervision.strategy === 'one_for_one' ? [child] : this.#children.slice(first)
    for (const each of affected.toReversed()) {
      if (each.spec.restart === 'temporary') this.#remove(each, reason)
      else each.halt(reason)
    }
    for (const each of affected) {
      try {
        each.start()
      } catch (error) {
        // Its own restart sees to the later ones, or all have been stopped: nothing is left to do here.
        this.ended(each, { reason: error })
        return
      }
    }
  }

  #mayRestart(): boolean {
    const { restartsMax, withinMs } = this.#supervision
    const nowMs = this.#kernel.clock.monotonicMs()
    this.#restartsAtMs = this.#restartsAtMs.filter((atMs) => nowMs - atMs < withinMs)
    if (this.#restartsAtMs.length >= restartsMax) return false
    this.#restartsAtMs.push(nowMs)
    return true
  }

  #remove(child: Child, reason: unknown): void {
    this.#children = this.#children.filter((each) => each !== child)
    child.stop(reason)
  }
}
