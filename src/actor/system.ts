/**
 * The root of a tree of actors: spawns the top ones and stops all in order. Next hop of a message: `cell.ts` (address,
 * mailbox), then `life.ts` (state, tasks, timers), then the actor's own file under `roles/`.
 */
import type { Clock } from '../base/clock.js'
import { SubnetError } from '../base/errors.js'
import type { Logger } from '../base/log.js'
import type { Message, Ref } from './behavior.js'
import { Cell } from './cell.js'
import { Kernel } from './kernel.js'
import { type ActorSpec, type Supervision, Supervisor } from './supervision.js'

export class ActorSystem {
  readonly #kernel: Kernel
  readonly #top: Supervisor
  readonly #onFailure: (reason: Error) => void
  #closed = false
  #stopping: Promise<void> | undefined

  /**
   * `supervision` is that of the top actors. `onFailure` is called at most once, with every actor stopped, when
   * restarting them did not help: the node stops with this reason.
   */
  constructor(
    components: { readonly clock: Clock; readonly log: Logger },
    init: { readonly supervision?: Supervision; readonly onFailure: (reason: Error) => void },
  ) {
    this.#kernel = new Kernel(components.clock, components.log)
    this.#top = new Supervisor(this.#kernel, init.supervision, (reason) => this.#fail(reason))
    this.#onFailure = init.onFailure
  }

  /** Adds a top actor; it starts in a microtask. Throws `STOPPED` once the system stops. */
  spawn<M extends Message>(spec: ActorSpec<M>): Ref<M> {
    if (this.#closed) throw new SubnetError('STOPPED', 'the actor system has stopped')
    return new Cell(this.#kernel, spec, this.#top)
  }

  /**
   * Stops the top actors, the last spawned first, each with its children; the next one only when every task of those
   * has settled, so that a task which cleans up still finds the actors it was given. Safe to call twice.
   */
  stop(): Promise<void> {
    this.#closed = true
    this.#stopping ??= this.#stopInOrder()
    return this.#stopping
  }

  async #stopInOrder(): Promise<void> {
    while (this.#top.stopLast()) await this.#kernel.settled()
    await this.#kernel.settled()
  }

  #fail(reason: Error): void {
    this.#closed = true
    this.#top.stopAll()
    this.#kernel.log.error({ err: reason }, 'actors do not recover')
    this.#onFailure(reason)
  }
}
