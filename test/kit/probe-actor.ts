/** An actor for tests of the kernel itself: its messages carry what it shall do, and it writes down what it got. */
import type { Behavior, Context, Message, Outcome, Reply } from '../../src/actor/behavior.js'
import type { ActorSpec } from '../../src/actor/supervision.js'

export type Probe =
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'do'; readonly work: (context: Context<Probe>) => void }
  | {
      readonly type: 'question'
      readonly work: (reply: Reply<number>, context: Context<Probe>) => void
      readonly reply: Reply<number>
    }
  | { readonly type: 'settled'; readonly outcome: Outcome<unknown> }

/** Writes `start`, the text of every note and `settled <value or message>` into `trace`, each after `<name>: `. */
export function probe(
  trace: string[],
  name: string,
  onStart?: (context: Context<Probe>) => void,
): Behavior<Probe> {
  const write = (text: string) => trace.push(`${name}: ${text}`)
  return {
    start(context) {
      write('start')
      onStart?.(context)
    },
    receive(_state, message, context) {
      if (message.type === 'note') write(message.text)
      else if (message.type === 'do') message.work(context)
      else if (message.type === 'question') message.work(message.reply, context)
      else if (message.outcome.ok) write(`settled ${message.outcome.value}`)
      else write(`failed ${(message.outcome.error as Error).message}`)
    },
  }
}

/** A spec with roomy limits around a behavior. */
export function specOf<M extends Message>(
  id: string,
  behavior: Behavior<M>,
  changes: Partial<ActorSpec<M>> = {},
): ActorSpec<M> {
  return {
    id,
    behavior,
    restart: 'permanent',
    mailbox: { max: 16, policy: 'reject' },
    tasksMax: 4,
    ...changes,
  }
}

/** A task that the test settles. */
export function deferred<T>(): {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
} {
  let resolve!: (value: T) => void
  let reject!: (error: Error) => void
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue
    reject = onError
  })
  return { promise, resolve, reject }
}
