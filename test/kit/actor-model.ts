/**
 * For the property test of the actor kernel: the messages its actors understand, and beside each actor a model of what
 * its mailbox holds and which incarnation lives.
 */
import type { Outcome, Ref, Reply } from '../../src/actor/behavior.js'
import type { MailboxInit } from '../../src/actor/mailbox.js'
import type { Supervision } from '../../src/actor/supervision.js'
import type { Timer } from '../../src/base/clock.js'
import type { deferred } from './probe-actor.js'

export const TOP_ACTORS = 3
/** The top actor with a child; the child is transient and may leave. */
export const PARENT = 1
export const CHILD_SUPERVISION: Supervision = { strategy: 'one_for_one', restartsMax: 2, withinMs: 200 }

export const EFFECT = [
  'nothing',
  'crash',
  'timer',
  'cancel',
  'pair',
  'task',
  'doomed task',
  'answer',
  'forward',
  'leave',
] as const
export const HOW = ['now', 'later', 'task', 'crash'] as const

export interface Note {
  readonly type: 'note'
  readonly id: number
  readonly sender: string
  readonly sequence: number
  readonly key: string | undefined
  readonly effect: (typeof EFFECT)[number]
}
export interface Question {
  readonly type: 'question'
  readonly id: number
  readonly how: (typeof HOW)[number]
  readonly reply: Reply<number>
}
export type Public = Note | Question
export type Private =
  | { readonly type: 'done'; readonly task: Task; readonly outcome: Outcome<number> }
  | { readonly type: 'due'; readonly alarm: Alarm; readonly cancels: Alarm | undefined }

/** An incarnation: the state of its actor, and what the model knows of it. */
export class Life {
  ended = false
  readonly alarms: Alarm[] = []
  readonly kept: Owed[] = []
  readonly subject: Subject
  constructor(subject: Subject) {
    this.subject = subject
  }
}

export interface Alarm {
  readonly life: Life
  timer: Timer | undefined
  cancelled: boolean
}

export interface Owed {
  readonly id: number
  readonly reply: Reply<number>
}

export interface Task {
  readonly life: Life
  /** Once it runs: not if the message that began it crashes. */
  signal: AbortSignal | undefined
  readonly owed: Owed | undefined
  readonly end: ReturnType<typeof deferred<number>>
  settled: boolean
}

export interface Limits {
  readonly max: number
  readonly policy: 'reject' | 'drop-oldest' | 'conflate'
  readonly tasksMax: number
}

/** One actor beside its model. */
export class Subject {
  ref!: Ref<Public>
  life: Life | undefined
  /** What its mailbox holds, first to last. */
  waiting: { readonly id: number; readonly key: string | undefined }[] = []
  /** Stopped for good. */
  gone = false
  /** It asked to be stopped, which happens before its next message: what it says to a send until then is open. */
  leaving = false
  readonly lastSequence = new Map<string, number>()
  readonly name: string
  readonly top: number
  readonly limits: Limits

  constructor(name: string, top: number, limits: Limits) {
    this.name = name
    this.top = top
    this.limits = limits
  }

  get isChild(): boolean {
    return this.name.startsWith('child')
  }

  get mailbox(): MailboxInit<Public> {
    const { max, policy } = this.limits
    if (policy !== 'conflate') return { max, policy }
    return { max, policy, key: (message) => (message.type === 'note' ? message.key : undefined) }
  }

  /** What the mailbox must do with a message. */
  accept(id: number, key: string | undefined): boolean {
    if (this.gone) return false
    const { max, policy } = this.limits
    const older =
      policy === 'conflate' && key !== undefined ? this.waiting.findIndex((each) => each.key === key) : -1
    if (older >= 0) {
      this.waiting[older] = { id, key }
      return true
    }
    if (this.waiting.length === max) {
      if (policy !== 'drop-oldest') return false
      this.waiting.shift()
    }
    this.waiting.push({ id, key })
    return true
  }

  endLife(): void {
    if (this.life !== undefined) this.life.ended = true
    this.life = undefined
  }

  bury(): void {
    this.endLife()
    this.gone = true
    this.waiting = []
  }
}

/** How often restarts are allowed, told independently of the kernel's own count. */
export class Budget {
  readonly #supervision: Supervision
  readonly #restartsAtMs: number[] = []
  constructor(supervision: Supervision) {
    this.#supervision = supervision
  }

  spend(nowMs: number): boolean {
    const { restartsMax, withinMs } = this.#supervision
    const recent = this.#restartsAtMs.filter((atMs) => atMs > nowMs - withinMs)
    if (recent.length >= restartsMax) return false
    this.#restartsAtMs.push(nowMs)
    return true
  }
}
