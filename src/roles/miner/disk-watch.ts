/**
 * The disk watch asks every minute, and when something failed, whether the disk works. While it does not, the miner
 * refuses with a reason instead of failing its audits; when it works again, shards that had to stop writing are opened
 * anew. What it knows is in `DiskHealth`, which those who serve ask.
 */
import type { Behavior, Reply } from '../../actor/behavior.js'
import { deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'

/** Whether the disk works, as far as is known. */
export class DiskHealth {
  #trouble: string | undefined

  /** Why the disk does not work; `undefined` as long as it does. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  set(trouble: string | undefined): void {
    this.#trouble = trouble
  }

  /** Throws `UNAVAILABLE` while the disk does not work. */
  check(): void {
    // Its own words may name paths: they are for the operator.
    if (this.#trouble !== undefined)
      throw new SubnetError('UNAVAILABLE', "the miner's disk does not work now")
  }
}

export type DiskWatchMessage =
  /** Something failed: look now. */
  | { readonly type: 'look' }
  /** Look now, and say whether it works. */
  | { readonly type: 'works'; readonly reply: Reply<boolean> }

export interface DiskWatchComponents {
  readonly health: DiskHealth
  readonly clock: Clock
  readonly logger: Logger
  /** Rejects when the disk does not work. Not called again before it has settled. */
  readonly probe: () => Promise<void>
  /** Opens shards anew that stopped writing; the disk works. */
  readonly reopen: () => Promise<void>
}

export interface DiskWatchInit {
  readonly intervalMs: number
  /** A disk that takes longer hangs. */
  readonly timeoutMs: number
}

type PrivateMessage = { readonly type: 'looked'; readonly trouble: string | undefined }

interface State {
  looking: boolean
  waiting: Reply<boolean>[]
  cancelNext: () => void
}

export function diskWatch(components: DiskWatchComponents, init: DiskWatchInit): Behavior<DiskWatchMessage> {
  // Outlives an incarnation: a disk that hangs keeps its probe, and a second one would hang beside it.
  const looker = new Looker(components, init)
  const behavior: Behavior<DiskWatchMessage | PrivateMessage, State> = {
    start: (context) => ({
      looking: false,
      waiting: [],
      cancelNext: context.after(init.intervalMs, { type: 'look' }).cancel,
    }),
    receive(state, message, context) {
      if (message.type === 'looked') {
        state.looking = false
        for (const reply of state.waiting.splice(0)) reply.answer(message.trouble === undefined)
        state.cancelNext = context.after(init.intervalMs, { type: 'look' }).cancel
        return
      }
      if (message.type === 'works') state.waiting.push(message.reply)
      if (state.looking) return
      state.looking = true
      state.cancelNext()
      context.task(
        (signal) => looker.look(signal),
        (outcome) => ({ type: 'looked', trouble: outcome.ok ? outcome.value : String(outcome.error) }),
      )
    },
  }
  return behavior
}

class Looker {
  readonly #components: DiskWatchComponents
  readonly #init: DiskWatchInit
  #probing: Promise<void> | undefined

  constructor(components: DiskWatchComponents, init: DiskWatchInit) {
    this.#components = components
    this.#init = init
  }

  /** What is wrong, if anything; tells the operator when that changes. */
  async look(signal: AbortSignal): Promise<string | undefined> {
    const { health, logger, reopen } = this.#components
    const error = await this.#failure(signal)
    const before = health.trouble
    const trouble = error === undefined ? undefined : textOf(error)
    health.set(trouble)
    if (trouble !== undefined && before === undefined)
      logger.error({ err: error }, 'the disk does not work: nothing is stored, read or proven until it does')
    if (trouble === undefined && before !== undefined) logger.info({}, 'the disk works again')
    if (trouble === undefined) await reopen()
    return trouble
  }

  async #failure(signal: AbortSignal): Promise<unknown> {
    const { clock, probe } = this.#components
    using scope = deadline(clock, this.#init.timeoutMs, 'writing, syncing and reading a small file', signal)
    this.#probing ??= probe().finally(() => {
      this.#probing = undefined
    })
    try {
      await raceAbort(this.#probing, scope.signal)
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      return error
    }
  }
}

function textOf(error: unknown): string {
  if (!isSubnetError(error)) return String(error)
  return error.message
}
