/**
 * What an actor is: two synchronous functions, the messages it understands, and what it may do while it handles one.
 * Only types; the machinery that runs them starts at `system.ts`.
 *
 * Public names of `src/actor`, eleven in all: `Behavior`, `Context`, `Ref`, `Reply`, `Outcome` (here), `MailboxInit`
 * (mailbox.ts), `ActorSpec`, `Supervision` (supervision.ts), `ActorSystem` (system.ts), `periodic`,
 * `PeriodicMessage` (periodic.ts). The rest is the kernel's own.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Timer } from '../base/clock.js'
import type { ActorSpec } from './supervision.js'

/** Messages are discriminated unions by `type`. A variant with a `reply` is asked, every other one is sent. */
export interface Message {
  readonly type: string
}

/**
 * The way back to one caller who asked. It settles once; what comes later (the caller gave up, the actor crashed) is
 * ignored. It may be kept in the state and answered at a later message.
 */
export interface Reply<Answer> {
  answer(value: Answer): void
  refuse(error: Error): void
}

/** How a task ended. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: unknown }

/**
 * An actor. `M` is everything it receives; declare a factory's result as `Behavior<PublicMessage>` and its private
 * messages and its state stay out of sight. Whatever either function throws is a crash: the supervisor decides.
 */
export interface Behavior<M extends Message, State = unknown> {
  /** Makes the state of a fresh incarnation, also after a crash. What must be read from disk is read by a task. */
  start(context: Context<M>): State
  /** Handles one message; may change `state` in place. Synchronous: a returned promise is a crash. */
  receive(state: State, message: M, context: Context<M>): void
}

/** What an actor may do. Except for `self`, only inside `start` and `receive`; elsewhere it throws `InvariantError`. */
export interface Context<M extends Message> {
  /** Its own address, for its children and tasks. Stays valid over restarts. */
  readonly self: Ref<M>

  /**
   * Begins slow work after this message; how it ended comes back as the message that `done` makes, ahead of the mailbox
   * and not bounded by it. `signal` aborts when this incarnation ends, and the result is dropped then. The next
   * incarnation does not wait for it: obey the signal, and write nothing that a restart beside it would harm.
   * A task that asks its own actor may wait for ever: with `tasksMax` in flight the question is not received.
   */
  task<T>(run: (signal: AbortSignal) => Promise<T>, done: (outcome: Outcome<T>) => M): void

  /** Delivers `message` after `delayMs`, ahead of the mailbox. Once cancelled it never arrives, even if it was due. */
  after(delayMs: number, message: M): Timer

  /** Adds a child; it starts after this message. `id` is free again once the child has stopped for good. */
  spawn<C extends Message>(spec: ActorSpec<C>): Ref<C>

  /** Ends this actor after the current message. A `permanent` one is started again. */
  stopSelf(): void
}

/** By the `type` of what can be asked: the fields its caller gives. */
export type AskFields<M extends Message> = {
  [A in Extract<M, { readonly reply: Reply<never> }> as A['type']]: Omit<A, 'type' | 'reply'>
}

/** By the `type` of what can be asked: the answer. */
export type AskAnswers<M extends Message> = {
  [A in Extract<M, { readonly reply: Reply<never> }> as A['type']]: A['reply'] extends Reply<infer Answer>
    ? Answer
    : never
}

/** What can be asked. */
export type AskType<M extends Message> = keyof AskFields<M> & keyof AskAnswers<M>

/** The address of an actor. A `Ref` for more messages serves where one for fewer is wanted. */
export interface Ref<M extends Message> {
  /** False if the message was not taken: mailbox full, or actor stopped. Messages of one sender arrive in order. */
  readonly send: (message: Exclude<M, { readonly reply: unknown }>) => boolean

  /**
   * Sends a message and waits for its answer. The caller owns the deadline: after an abort the message is not received
   * any more if it still waits, and its answer is ignored otherwise. Rejects with what the actor refuses with, and
   * `BUSY` (`data.retryAfterMs`) if the mailbox is full or dropped the message, `STOPPED` if the actor has stopped,
   * `INTERNAL` if it restarted before it answered (whether it acted is unknown), or the signal's reason.
   */
  ask<Type extends AskType<M>>(
    type: Type,
    fields: AskFields<M>[Type],
    options?: AbortOptions,
  ): Promise<AskAnswers<M>[Type]>
}
