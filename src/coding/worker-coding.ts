/**
 * Coding on worker threads, one task on each at a time. A thread is made when a task finds none idle, and again when one
 * has ended; an error of coding is an answer and ends none. What they say to each other is `coding-message.ts`.
 */
import { Worker } from 'node:worker_threads'
import { type AbortOptions, raceAbort } from '../base/abort.js'
import { invariant, SubnetError } from '../base/errors.js'
import { Semaphore } from '../base/semaphore.js'
import type { EncodedSegment, EncodeSegmentInit, SegmentSource } from '../redundancy/segment.js'
import {
  type CodingAnswer,
  type CodingTask,
  decodeParcel,
  encodeParcel,
  errorOf,
  type Parcel,
} from './coding-message.js'
import type { CodingPool } from './coding-pool.js'

/** Calls that may wait for a thread: each holds at most a segment, which its caller holds anyway. */
const WAITERS_MAX = 256

/**
 * A task leaves little on a thread's heap. With V8's usual 48 MiB for it, it is collected so rarely that it takes 4 MiB more,
 * and keeps what it has outside of the heap for longer. Coding is as fast.
 */
const YOUNG_GENERATION_MIB = 4

export interface WorkerCodingInit {
  /** Most threads, at least one. */
  readonly threads: number
  /** Default: 256. */
  readonly waitersMax?: number
  /** Program of a thread, compiled. Default: the real one; tests give one that fails. */
  readonly program?: URL
}

export class WorkerCoding implements CodingPool {
  readonly #program: URL
  readonly #slots: Semaphore
  readonly #threads = new Set<Thread>()
  readonly #idle: Thread[] = []
  readonly #running = new Set<Promise<unknown>>()
  #state: 'new' | 'started' | 'stopped' = 'new'

  constructor(init: WorkerCodingInit) {
    invariant(init.threads >= 1, 'a pool has a thread')
    this.#program = init.program ?? new URL('./coding-worker.js', import.meta.url)
    this.#slots = new Semaphore({ permitsMax: init.threads, waitersMax: init.waitersMax ?? WAITERS_MAX })
  }

  async start(): Promise<void> {
    this.#state = 'started'
  }

  /** Tasks on threads end; those that wait for one are refused. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    await Promise.allSettled(this.#running)
    await Promise.all([...this.#threads].map((thread) => thread.stop()))
  }

  async encode(init: EncodeSegmentInit, options: AbortOptions = {}): Promise<EncodedSegment> {
    const answer = await this.#run(() => encodeParcel(init), options)
    invariant(answer.type === 'encoded', 'a thread answers what it was asked')
    return answer.segment
  }

  async decode(
    source: SegmentSource,
    objectKey: Uint8Array | undefined,
    options: AbortOptions = {},
  ): Promise<readonly Uint8Array[]> {
    const answer = await this.#run(() => decodeParcel(source, objectKey), options)
    invariant(answer.type === 'decoded', 'a thread answers what it was asked')
    return answer.pieces
  }

  async #run(parcel: () => Parcel<CodingTask>, options: AbortOptions): Promise<CodingAnswer> {
    invariant(this.#state !== 'new', 'the pool was started')
    const release = await this.#slots.acquire(1, options)
    if (this.#state === 'stopped') {
      release()
      throw new SubnetError('STOPPED', 'the coding pool has stopped')
    }
    // The place stays taken until the thread has answered, also when the caller waits no longer.
    const running = this.#onThread(parcel).finally(() => {
      this.#running.delete(running)
      release()
    })
    this.#running.add(running)
    const answer = await raceAbort(running, options.signal)
    if (answer.type === 'failed') throw errorOf(answer.error)
    return answer
  }

  async #onThread(parcel: () => Parcel<CodingTask>): Promise<CodingAnswer> {
    const task = parcel()
    const thread = this.#idle.pop() ?? this.#createThread()
    try {
      return await thread.run(task)
    } finally {
      if (this.#threads.has(thread)) this.#idle.push(thread)
    }
  }

  #createThread(): Thread {
    const thread = new Thread(this.#program, () => {
      this.#threads.delete(thread)
      const at = this.#idle.indexOf(thread)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    this.#threads.add(thread)
    return thread
  }
}

interface Pending {
  readonly resolve: (answer: CodingAnswer) => void
  readonly reject: (error: unknown) => void
}

/** One thread and the task it has, if any. */
class Thread {
  readonly #worker: Worker
  readonly #onEnd: () => void
  #pending: Pending | undefined

  constructor(program: URL, onEnd: () => void) {
    this.#onEnd = onEnd
    this.#worker = new Worker(program, {
      name: 'coding',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
    })
    this.#worker.on('message', (answer: CodingAnswer) => this.#settle(({ resolve }) => resolve(answer)))
    this.#worker.on('messageerror', (error) => this.#settle(({ reject }) => reject(error)))
    this.#worker.on('error', (error) => this.#ended(error))
    this.#worker.on('exit', (code) => this.#ended(new Error(`exit code ${code}`)))
  }

  run({ message, moved }: Parcel<CodingTask>): Promise<CodingAnswer> {
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject }
      this.#worker.postMessage(message, moved)
    })
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }

  /** 'exit' follows 'error'; the first one has the reason. */
  #ended(cause: Error): void {
    this.#onEnd()
    const error = new SubnetError('INTERNAL', 'the coding thread ended', { cause, retryable: true })
    this.#settle(({ reject }) => reject(error))
  }

  #settle(how: (pending: Pending) => void): void {
    const pending = this.#pending
    this.#pending = undefined
    if (pending !== undefined) how(pending)
  }
}
