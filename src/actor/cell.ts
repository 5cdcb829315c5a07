/**
 * Where an actor lives: its address and mailbox, which stay, and its incarnation, which a restart replaces. A restart
 * keeps the messages that wait; only the one that was being received when it crashed is gone.
 */
import type { AbortOptions } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import type { AskAnswers, AskFields, AskType, Message, Ref } from './behavior.js'
import type { Kernel } from './kernel.js'
import { Life } from './life.js'
import { Mailbox, mailboxBusy } from './mailbox.js'
import { PendingReply } from './reply.js'
import type { ActorSpec, Child, Supervisor } from './supervision.js'

export class Cell<M extends Message> implements Ref<M>, Child {
  readonly kernel: Kernel
  readonly spec: ActorSpec<M>
  readonly path: string
  readonly #supervisor: Supervisor
  readonly mailbox: Mailbox<M>
  #life: Life<M> | undefined
  #scheduled = false
  #stopped = false

  /** A child of `supervisor` at once; it starts in its turn. */
  constructor(kernel: Kernel, spec: ActorSpec<M>, supervisor: Supervisor, parentPath?: string) {
    invariant(spec.tasksMax > 0, 'an actor may have a task in flight')
    this.kernel = kernel
    this.spec = spec
    this.path = parentPath === undefined ? spec.id : `${parentPath}/${spec.id}`
    this.#supervisor = supervisor
    this.mailbox = new Mailbox(spec.mailbox)
    supervisor.add(this)
    this.wake()
  }

  send(message: M): boolean {
    if (this.#stopped || !this.mailbox.offer(message)) return false
    this.wake()
    return true
  }

  ask<Type extends AskType<M>>(
    type: Type,
    fields: AskFields<M>[Type],
    options: AbortOptions = {},
  ): Promise<AskAnswers<M>[Type]> {
    const { signal } = options
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      if (this.#stopped) throw this.#stoppedError()
      const reply = new PendingReply({ resolve, reject }, signal)
      // That a type, its fields and a reply make one of M is what the types of `ask` say; no compiler can join them again.
      const message = { ...fields, type, reply } as unknown as M
      if (this.mailbox.offer(message, reply)) this.wake()
      else reply.refuse(mailboxBusy())
    })
  }

  spawn<C extends Message>(spec: ActorSpec<C>, supervisor: Supervisor): Ref<C> {
    return new Cell(this.kernel, spec, supervisor, this.path)
  }

  /** Asks for a step, if there is something to do in it. */
  wake(): void {
    if (this.#scheduled || this.#stopped) return
    if (this.#life !== undefined && !this.#life.ready) return
    this.#scheduled = true
    this.kernel.schedule(this)
  }

  /** Starts, or receives one message, or leaves. */
  step(): void {
    this.#scheduled = false
    const life = this.#life
    if (life?.leaving) {
      this.#supervisor.ended(this)
      return
    }
    try {
      if (life === undefined) this.start()
      else life.receive()
    } catch (reason) {
      this.crash(reason)
    }
    this.wake()
  }

  start(): void {
    if (this.#stopped) return
    this.#life = new Life(this)
    this.#life.start()
    this.wake()
  }

  crash(reason: unknown): void {
    // Who stopped the actor while it was inside `start` or `receive` has decided already what becomes of it.
    if (this.#stopped) this.kernel.log.warn({ actor: this.path, err: reason }, 'actor crashed while stopping')
    else this.#supervisor.ended(this, { reason })
  }

  halt(reason: unknown): void {
    const text = `${this.path} restarted before it answered`
    this.#endLife(new SubnetError('INTERNAL', text, { cause: reason }))
  }

  stop(reason?: unknown): void {
    this.#stopped = true
    const error = this.#stoppedError(reason)
    this.#endLife(error)
    for (let waiting = this.mailbox.take(); waiting !== undefined; waiting = this.mailbox.take()) {
      waiting.reply?.refuse(error)
    }
  }

  #endLife(error: Error): void {
    this.#life?.end(error)
    this.#life = undefined
  }

  #stoppedError(reason?: unknown): SubnetError {
    return new SubnetError('STOPPED', `${this.path} has stopped`, { cause: reason })
  }
}
