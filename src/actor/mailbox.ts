/** The bounded queue of one actor's outside messages. Task results and timers do not pass through it (`life.ts`). */
import { invariant, SubnetError } from '../base/errors.js'
import type { Message } from './behavior.js'
import type { PendingReply } from './reply.js'

/** How many messages may wait, and what happens to one that finds no room. */
export type MailboxInit<M extends Message> = { readonly max: number } & (
  | {
      /** `reject`: the new one is not taken. `drop-oldest`: the one that waited longest makes room. */
      readonly policy: 'reject' | 'drop-oldest'
    }
  | {
      /** A new message takes the place of the waiting one with the same key; otherwise as `reject`. */
      readonly policy: 'conflate'
      /** `undefined` for messages that are never replaced. */
      key(message: M): string | undefined
    }
)

/** Hint for callers that were refused: mailboxes drain in milliseconds, tasks in tenths of a second. */
const RETRY_AFTER_MS = 250

export function mailboxBusy(): SubnetError {
  return new SubnetError('BUSY', 'the mailbox is full', { data: { retryAfterMs: RETRY_AFTER_MS } })
}

/** An outside message; with the way to its caller if it was asked. */
interface Waiting<M> {
  readonly message: M
  readonly reply: PendingReply | undefined
  readonly key: string | undefined
}

export class Mailbox<M extends Message> {
  readonly #init: MailboxInit<M>
  readonly #queue: Waiting<M>[] = []

  constructor(init: MailboxInit<M>) {
    invariant(init.max > 0, 'a mailbox takes at least one message')
    this.#init = init
  }

  get size(): number {
    return this.#queue.length
  }

  /** False if there is no room. A message that is dropped for this one has its reply refused with `BUSY`. */
  offer(message: M, reply?: PendingReply): boolean {
    const init = this.#init
    const key = init.policy === 'conflate' ? init.key(message) : undefined
    const waiting = { message, reply, key }
    const older = key === undefined ? -1 : this.#queue.findIndex((each) => each.key === key)
    let dropped: Waiting<M> | undefined
    if (older >= 0) {
      dropped = this.#queue.splice(older, 1, waiting)[0]
    } else {
      const full = this.#queue.length >= init.max
      if (full && init.policy !== 'drop-oldest') return false
      if (full) dropped = this.#queue.shift()
      this.#queue.push(waiting)
    }
    if (reply !== undefined) reply.letGo = () => this.#remove(waiting)
    dropped?.reply?.refuse(mailboxBusy())
    return true
  }

  take(): Waiting<M> | undefined {
    return this.#queue.shift()
  }

  #remove(waiting: Waiting<M>): void {
    const at = this.#queue.indexOf(waiting)
    if (at >= 0) this.#queue.splice(at, 1)
  }
}
