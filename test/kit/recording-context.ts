/**
 * Drives a behavior by hand, without cells, mailboxes or a clock: every message is received before the call returns,
 * and what the behavior asks of its context is kept for the test to look at, to settle and to fire. Private messages
 * never need a name: `tasks[0].succeed(value)` and `timers[0].fire()` make the behavior receive its own.
 */

import type {
  AskAnswers,
  AskFields,
  AskType,
  Behavior,
  Context,
  Message,
  Outcome,
  Ref,
} from '../../src/actor/behavior.js'
import type { ActorSpec } from '../../src/actor/supervision.js'
import { invariant } from '../../src/base/errors.js'

/** A task that was begun. It is not run unless the test says so; it settles once. */
export interface RecordedTask {
  readonly signal: AbortSignal
  settled: boolean
  /** Really runs it, then has its result received. */
  run(): Promise<void>
  succeed(value: unknown): void
  fail(error: unknown): void
}

export interface RecordedTimer {
  readonly delayMs: number
  readonly message: Message
  /** Neither fired nor cancelled. */
  pending: boolean
  fire(): void
}

export interface RecordedAsk {
  readonly type: string
  readonly fields: unknown
  readonly signal: AbortSignal | undefined
  answer(value: unknown): void
  refuse(error: Error): void
}

/** An address that keeps what it gets. */
export class RecordingRef<M extends Message> implements Ref<M> {
  readonly sent: M[] = []
  readonly asked: RecordedAsk[] = []
  /** False to behave like a full mailbox. */
  accepts = true

  readonly send = (message: M): boolean => {
    if (this.accepts) this.sent.push(message)
    return this.accepts
  }

  ask<Type extends AskType<M>>(
    type: Type,
    fields: AskFields<M>[Type],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<AskAnswers<M>[Type]> {
    return new Promise((resolve, reject) => {
      const answer = resolve as (value: unknown) => void
      this.asked.push({ type: String(type), fields, signal: options.signal, answer, refuse: reject })
    })
  }
}

export interface RecordedChild {
  readonly spec: ActorSpec<Message>
  readonly ref: RecordingRef<Message>
}

/** How an asked message was answered so far: the first answer or refusal counts. */
export interface RecordedAnswer<T> {
  outcome: Outcome<T> | undefined
}

export class RecordingContext<M extends Message, State = unknown> {
  readonly tasks: RecordedTask[] = []
  readonly timers: RecordedTimer[] = []
  readonly children: RecordedChild[] = []
  /** What it sends to itself is kept, not received. */
  readonly self = new RecordingRef<M>()
  readonly state: State
  stopping = false
  readonly #behavior: Behavior<M, State>
  readonly #aborts: AbortController[] = []
  #inside = false

  /** Starts the behavior. Throws what it throws, here and below. */
  constructor(behavior: Behavior<M, State>) {
    this.#behavior = behavior
    this.state = this.#enter(() => behavior.start(this.#context))
  }

  send(message: Exclude<M, { readonly reply: unknown }>): void {
    this.#receive(message)
  }

  ask<Type extends AskType<M>>(type: Type, fields: AskFields<M>[Type]): RecordedAnswer<AskAnswers<M>[Type]> {
    const answer: RecordedAnswer<AskAnswers<M>[Type]> = { outcome: undefined }
    const reply = {
      answer(value: AskAnswers<M>[Type]) {
        answer.outcome ??= { ok: true, value }
      },
      refuse(error: Error) {
        answer.outcome ??= { ok: false, error }
      },
    }
    this.#receive({ ...fields, type, reply } as unknown as M)
    return answer
  }

  /** Ends the incarnation as far as tasks can see it. */
  abortTasks(reason: Error): void {
    for (const controller of this.#aborts) controller.abort(reason)
  }

  readonly #context: Context<M> = {
    self: this.self,
    task: (run, done) => {
      this.#mustBeInside()
      const controller = new AbortController()
      this.#aborts.push(controller)
      const settle = (outcome: Parameters<typeof done>[0]) => {
        invariant(!task.settled, 'the task has settled')
        task.settled = true
        this.#receive(done(outcome))
      }
      const task: RecordedTask = {
        signal: controller.signal,
        settled: false,
        run: () =>
          (async () => run(controller.signal))().then(
            (value) => settle({ ok: true, value }),
            (error: unknown) => settle({ ok: false, error }),
          ),
        succeed: (value) => settle({ ok: true, value: value as Awaited<ReturnType<typeof run>> }),
        fail: (error) => settle({ ok: false, error }),
      }
      this.tasks.push(task)
    },
    after: (delayMs, message) => {
      this.#mustBeInside()
      const timer: RecordedTimer = {
        delayMs,
        message,
        pending: true,
        fire: () => {
          invariant(timer.pending, 'the timer has fired or was cancelled')
          timer.pending = false
          this.#receive(message)
        },
      }
      this.timers.push(timer)
      return {
        cancel: () => {
          timer.pending = false
        },
      }
    },
    spawn: <C extends Message>(spec: ActorSpec<C>): Ref<C> => {
      this.#mustBeInside()
      const ref = new RecordingRef<C>()
      this.children.push({ spec, ref } as unknown as RecordedChild)
      return ref
    },
    stopSelf: () => {
      this.#mustBeInside()
      this.stopping = true
    },
  }

  #receive(message: M): void {
    this.#enter(() => this.#behavior.receive(this.state, message, this.#context))
  }

  #enter<T>(call: () => T): T {
    invariant(!this.#inside, 'the behavior is inside another message')
    this.#inside = true
    try {
      const result = call()
      invariant(!(result instanceof Promise), 'start and receive are synchronous')
      return result
    } finally {
      this.#inside = false
    }
  }

  #mustBeInside(): void {
    invariant(this.#inside, 'the context is for start and receive only')
  }
}
