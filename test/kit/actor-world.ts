/**
 * For the property test of the actor kernel: a real system of actors that do what their messages say, and beside it a
 * model of who must be alive and who must start next. Every start and every received message is compared with the model
 * when it happens.
 */
import assert from 'node:assert/strict'
import type { Behavior, Context, Outcome } from '../../src/actor/behavior.js'
import type { Supervision } from '../../src/actor/supervision.js'
import { ActorSystem } from '../../src/actor/system.js'
import { SubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import {
  type Alarm,
  Budget,
  CHILD_SUPERVISION,
  Life,
  type Limits,
  type Note,
  type Owed,
  PARENT,
  type Private,
  type Public,
  type Question,
  Subject,
  type Task,
  TOP_ACTORS,
} from './actor-model.js'
import { FakeClock } from './fake-clock.js'
import { deferred } from './probe-actor.js'

export class World {
  readonly clock = new FakeClock()
  readonly system: ActorSystem
  readonly subjects: Subject[] = []
  readonly failures: Error[] = []
  readonly violations: Error[] = []
  readonly asks: {
    subject: Subject
    id: number
    controller: AbortController
    outcomes: Outcome<number>[]
  }[] = []
  readonly tasks: Task[] = []
  /** Top actors that must start next, in this order. */
  dueStarts = Array.from({ length: TOP_ACTORS }, (_, top) => top)
  expectsFailure = false
  readonly #supervision: Supervision
  readonly #childLimits: Limits
  readonly #budget: Budget
  readonly #failingStarts: number[] = Array(TOP_ACTORS).fill(0)
  readonly #sequences = new Map<string, number>()
  readonly #received = new Set<number>()
  #childBudget = new Budget(CHILD_SUPERVISION)
  #inside = false
  #lastId = 0

  constructor(supervision: Supervision, topLimits: readonly Limits[], childLimits: Limits) {
    this.#supervision = supervision
    this.#budget = new Budget(supervision)
    this.#childLimits = childLimits
    const onFailure = (reason: Error) => void this.failures.push(reason)
    this.system = new ActorSystem({ clock: this.clock, log: silentLogger }, { supervision, onFailure })
    for (const [top, limits] of topLimits.entries()) {
      const subject = new Subject(`top${top}`, top, limits)
      this.subjects.push(subject)
      const spec = { ...this.#specOf(subject), restart: 'permanent', supervision: CHILD_SUPERVISION } as const
      subject.ref = this.system.spawn(spec)
    }
  }

  subject(index: number): Subject {
    return this.subjects[index % this.subjects.length] as Subject
  }

  get openTasks(): Task[] {
    return this.tasks.filter(({ settled, signal, life }) => !settled && !(signal === undefined && life.ended))
  }

  // What happens from outside.

  send(subject: Subject, sender: string, effect: Note['effect'], key: string | undefined): void {
    const line = `${sender} to ${subject.name}`
    const sequence = (this.#sequences.get(line) ?? 0) + 1
    this.#sequences.set(line, sequence)
    const id = ++this.#lastId
    const expected = subject.accept(id, key)
    const accepted = subject.ref.send({ type: 'note', id, sender, sequence, key, effect })
    if (!subject.leaving) assert.equal(accepted, expected, 'a send was answered wrongly')
  }

  ask(subject: Subject, how: Question['how']): void {
    const id = ++this.#lastId
    const ask = { subject, id, controller: new AbortController(), outcomes: [] as Outcome<number>[] }
    this.asks.push(ask)
    subject.accept(id, undefined)
    subject.ref.ask('question', { id, how }, { signal: ask.controller.signal }).then(
      (value) => ask.outcomes.push({ ok: true, value }),
      (error: unknown) => ask.outcomes.push({ ok: false, error }),
    )
  }

  abort(index: number): void {
    const ask = this.asks[index % this.asks.length]
    if (ask === undefined) return
    ask.subject.waiting = ask.subject.waiting.filter(({ id }) => id !== ask.id)
    ask.controller.abort(new SubnetError('TIMEOUT', 'the caller gave up'))
  }

  settle(task: Task | undefined, ok: boolean): void {
    if (task === undefined) return
    task.settled = true
    if (ok) task.end.resolve(1)
    else task.end.reject(new SubnetError('DISK', 'the task failed'))
  }

  failNextStarts(top: number, count: number): void {
    this.#failingStarts[top] = count
  }

  checkSignals(): void {
    for (const { signal, life } of this.openTasks) {
      assert.equal(signal?.aborted, life.ended, 'a task is aborted when its incarnation ends, and not before')
    }
  }

  // What must follow from a crash.

  #topCrashed(top: number): void {
    const allowed = this.#budget.spend(this.clock.monotonicMs())
    if (!allowed) {
      this.expectsFailure = true
      this.dueStarts = []
      for (const each of this.subjects) each.bury()
      return
    }
    const last = this.#supervision.strategy === 'one_for_one' ? top : TOP_ACTORS - 1
    for (const each of this.subjects) {
      if (each.top < top || each.top > last) continue
      if (each.isChild) each.bury()
      else each.endLife()
    }
    const isAffected = (each: number) => each >= top && each <= last
    const affected = this.subjects.filter((each) => !each.isChild && isAffected(each.top))
    // At once, so before those that have not had their first turn yet.
    this.dueStarts = affected.map(({ top }) => top).concat(this.dueStarts.filter((each) => !isAffected(each)))
  }

  /** To be thrown at once. */
  #crash(subject: Subject): Error {
    if (!subject.isChild) this.#topCrashed(subject.top)
    else if (this.#childBudget.spend(this.clock.monotonicMs())) subject.endLife()
    else this.#topCrashed(subject.top)
    return new Error('defect')
  }

  // The actors.

  #specOf(subject: Subject) {
    const behavior: Behavior<Public | Private, Life> = {
      start: (context) => this.#alone(() => this.#start(subject, context)),
      receive: (life, message, context) => this.#alone(() => this.#receive(life, message, context)),
    }
    const erased: Behavior<Public> = behavior
    return { id: subject.name, behavior: erased, mailbox: subject.mailbox, tasksMax: subject.limits.tasksMax }
  }

  /** The kernel takes a failed assertion for a crash, so it is kept for the end of the run. */
  #alone<T>(work: () => T): T {
    try {
      assert.equal(this.#inside, false, 'two messages were interleaved')
      this.#inside = true
      return work()
    } catch (error) {
      if (error instanceof assert.AssertionError) this.violations.push(error)
      throw error
    } finally {
      this.#inside = false
    }
  }

  #start(subject: Subject, context: Context<Public | Private>): Life {
    assert.equal(subject.gone, false, 'started after it stopped for good')
    assert.equal(subject.life, undefined, 'started beside a living incarnation')
    if (!subject.isChild) {
      assert.equal(this.dueStarts.shift(), subject.top, 'started out of order')
      const failing = this.#failingStarts[subject.top] ?? 0
      this.#failingStarts[subject.top] = Math.max(0, failing - 1)
      if (failing > 0) throw this.#crash(subject)
    }
    subject.life = new Life(subject)
    if (subject.name === `top${PARENT}`) {
      const child = new Subject(`child${this.subjects.length}`, PARENT, this.#childLimits)
      this.subjects.push(child)
      this.#childBudget = new Budget(CHILD_SUPERVISION)
      child.ref = context.spawn({ ...this.#specOf(child), restart: 'transient' })
    }
    return subject.life
  }

  #receive(life: Life, message: Public | Private, context: Context<Public | Private>): void {
    const { subject } = life
    assert.ok(!life.ended && subject.life === life, 'received by an incarnation that has ended')
    switch (message.type) {
      case 'done': {
        const { task, outcome } = message
        assert.equal(task.life, life, 'a task result of an old incarnation was delivered')
        if (outcome.ok) task.owed?.reply.answer(task.owed.id * 2)
        else task.owed?.reply.refuse(outcome.error as Error)
        return
      }
      case 'due':
        assert.equal(message.alarm.life, life, 'a timer of an old incarnation fired')
        assert.equal(message.alarm.cancelled, false, 'a cancelled timer fired')
        cancel(message.cancels)
        return
      case 'note':
      case 'question': {
        // The model keeps to the bound and says what is dropped for it, so a mailbox that does not shows here.
        assert.equal(subject.waiting.shift()?.id, message.id, 'not the message at the head of the mailbox')
        assert.equal(this.#received.has(message.id), false, 'received twice')
        this.#received.add(message.id)
        const inFlight = this.openTasks.filter((task) => task.life === life).length
        assert.ok(
          inFlight < subject.limits.tasksMax,
          'an outside message was received with all tasks in flight',
        )
        if (message.type === 'note') this.#receiveNote(life, message, context)
        else this.#receiveQuestion(life, message, context)
      }
    }
  }

  #receiveNote(life: Life, note: Note, context: Context<Public | Private>): void {
    const { subject } = life
    // One that conflates takes an older one's place, and so may come before what was sent between them.
    if (note.key === undefined || subject.limits.policy !== 'conflate') {
      const before = subject.lastSequence.get(note.sender) ?? 0
      assert.ok(note.sequence > before, 'messages of one sender changed their order')
      subject.lastSequence.set(note.sender, note.sequence)
    }
    switch (note.effect) {
      case 'nothing':
        return
      case 'crash':
        throw this.#crash(subject)
      case 'timer':
        life.alarms.push(this.#alarm(life, context, undefined))
        return
      case 'cancel':
        cancel(life.alarms.shift())
        return
      case 'pair': {
        // Due at the same moment; the one that is received first cancels the other.
        const second: Alarm = { life, timer: undefined, cancelled: false }
        this.#alarm(life, context, second)
        second.timer = context.after(50, { type: 'due', alarm: second, cancels: undefined })
        return
      }
      case 'task':
        this.#begin(life, context, undefined)
        return
      case 'doomed task':
        this.#begin(life, context, undefined)
        throw this.#crash(subject)
      case 'answer': {
        const owed = life.kept.shift()
        owed?.reply.answer(owed.id * 2)
        owed?.reply.answer(-1)
        return
      }
      case 'forward':
        this.send(this.subject(note.id), subject.name, 'nothing', undefined)
        return
      case 'leave':
        if (!subject.isChild) return
        context.stopSelf()
        subject.leaving = true
        subject.bury()
    }
  }

  #receiveQuestion(life: Life, { id, how, reply }: Question, context: Context<Public | Private>): void {
    switch (how) {
      case 'now':
        reply.answer(id * 2)
        return
      case 'later':
        life.kept.push({ id, reply })
        return
      case 'task':
        this.#begin(life, context, { id, reply })
        return
      case 'crash':
        throw this.#crash(life.subject)
    }
  }

  #alarm(life: Life, context: Context<Public | Private>, cancels: Alarm | undefined): Alarm {
    const alarm: Alarm = { life, timer: undefined, cancelled: false }
    alarm.timer = context.after(50, { type: 'due', alarm, cancels })
    return alarm
  }

  #begin(life: Life, context: Context<Public | Private>, owed: Owed | undefined): void {
    const task: Task = { life, signal: undefined, owed, end: deferred<number>(), settled: false }
    this.tasks.push(task)
    context.task(
      (signal) => {
        if (life.ended) this.violations.push(new Error('a task began after its incarnation had ended'))
        task.signal = signal
        return task.end.promise
      },
      (outcome) => ({ type: 'done', task, outcome }),
    )
  }
}

function cancel(alarm: Alarm | undefined): void {
  if (alarm === undefined) return
  alarm.cancelled = true
  alarm.timer?.cancel()
}
