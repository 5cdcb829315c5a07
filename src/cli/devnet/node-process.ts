/** One node of a devnet: a child process of its own, its questions and answers, its end. */
import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type AbortOptions, deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { SubnetError } from '../../base/errors.js'
import type { NodeIdentity } from '../../node/node.js'
import type { ChildMessage, ParentMessage, Question } from '../supervised.js'

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))
/** From fork to the node's word that it serves: loading, keys, chain, listening, on a machine busy with 17 of them. */
const READY_TIMEOUT_MS = 60_000
/** An audit of every miner, or a list. */
const ANSWER_TIMEOUT_MS = 60_000
/** From SIGTERM to SIGKILL: inside the 10 s in which the whole network must be gone. */
const STOP_TIMEOUT_MS = 7_000

export interface NodeProcessInit {
  readonly name: string
  /** Command line after the program's name. */
  readonly args: readonly string[]
  /** Its log: stderr, and whatever else it prints. */
  readonly logPath: string
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

export class NodeProcess {
  readonly name: string
  readonly #clock: Clock
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  readonly #waiting = new Map<number, Waiting>()
  readonly #logPath: string
  #identity: NodeIdentity | undefined
  #onReady: (identity: NodeIdentity) => void = () => undefined
  #nextId = 0

  private constructor(clock: Clock, init: NodeProcessInit) {
    this.#clock = clock
    this.name = init.name
    this.#logPath = init.logPath
    const log = openSync(init.logPath, 'a', 0o600)
    // A process group of its own: Ctrl-C reaches the parent alone, which then ends its children in order.
    this.#child = fork(MAIN, init.args, { detached: true, stdio: ['ignore', log, log, 'ipc'] })
    closeSync(log)
    this.#child.on('message', (message: ChildMessage) => this.#receive(message))
    this.#exited = new Promise((resolve) => {
      const end = () => {
        const gone = new SubnetError('STOPPED', `${this.name} has ended, its log is ${this.#logPath}`)
        for (const { reject } of this.#waiting.values()) reject(gone)
        this.#waiting.clear()
        resolve()
      }
      this.#child.once('exit', end)
      this.#child.once('error', end)
    })
  }

  /** Resolves when the node serves. Rejects with `STOPPED` when it ended instead, and names its log. */
  static async start(clock: Clock, init: NodeProcessInit, options: AbortOptions = {}): Promise<NodeProcess> {
    const node = new NodeProcess(clock, init)
    using scope = deadline(clock, READY_TIMEOUT_MS, `${init.name} to be ready`, options.signal)
    const ready = new Promise<NodeIdentity>((resolve, reject) => {
      node.#onReady = resolve
      void node.#exited.then(() =>
        reject(
          new SubnetError('STOPPED', `${init.name} ended before it was ready, its log is ${init.logPath}`),
        ),
      )
    })
    try {
      node.#identity = await raceAbort(ready, scope.signal)
      return node
    } catch (error) {
      await node.kill()
      throw error
    }
  }

  get identity(): NodeIdentity {
    if (this.#identity === undefined) throw new SubnetError('STOPPED', `${this.name} was never ready`)
    return this.#identity
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async ask(question: Question, options: AbortOptions = {}): Promise<unknown> {
    if (!this.running) throw new SubnetError('STOPPED', `${this.name} is not running`)
    const id = this.#nextId
    this.#nextId += 1
    using scope = deadline(this.#clock, ANSWER_TIMEOUT_MS, `${this.name} to answer`, options.signal)
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    try {
      this.#child.send({ type: 'ask', id, question } satisfies ParentMessage)
      return await raceAbort(answer, scope.signal)
    } finally {
      this.#waiting.delete(id)
    }
  }

  /** SIGKILL: no chance to say goodbye. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** SIGTERM, and SIGKILL for one that does not end in time. */
  async stop(): Promise<void> {
    if (!this.running) return
    const timer = this.#clock.after(STOP_TIMEOUT_MS, () => this.#child.kill('SIGKILL'))
    this.#child.kill('SIGTERM')
    await this.#exited
    timer.cancel()
  }

  #receive(message: ChildMessage): void {
    if (message.type === 'ready') {
      this.#onReady(message.identity)
      return
    }
    const waiting = this.#waiting.get(message.id)
    if (message.type === 'answer') waiting?.resolve(message.value)
    else waiting?.reject(new SubnetError('INTERNAL', `${this.name}: ${message.code}: ${message.reason}`))
  }
}
