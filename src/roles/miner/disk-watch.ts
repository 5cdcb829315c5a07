/**
 * The disk watch asks every minute, and when something failed, whether the disk works. While it does not, the miner
 * refuses with a reason instead of failing its audits; one that is only not written, or synced too slowly, is still read.
 * When it works again, shards that had to stop writing are opened anew. What it knows is in `DiskHealth`, which those who
 * serve ask.
 */
import type { Behavior, Reply } from '../../actor/behavior.js'
import { deadline, raceAbort } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'

/** What a disk does not do now. */
export interface DiskTrouble {
  /** `writes`: what is held is still read and proven. */
  readonly refuses: 'writes' | 'everything'
  /** In the disk's own words, which may name paths: for the operator. */
  readonly reason: string
}

/** Whether the disk works, as far as is known. */
export class DiskHealth {
  #trouble: DiskTrouble | undefined

  /** `undefined` as long as the disk works. */
  get trouble(): DiskTrouble | undefined {
    return this.#trouble
  }

  set(trouble: DiskTrouble | undefined): void {
    this.#trouble = trouble
  }

  /** Before anything that must be synced: throws `UNAVAILABLE` while the disk does not write. */
  checkWrites(): void {
    this.checkReads()
    if (this.#trouble !== undefined)
      throw new SubnetError('UNAVAILABLE', "the miner's disk takes nothing now")
  }

  /** Throws `UNAVAILABLE` while the disk is not read either. */
  checkReads(): void {
    if (this.#trouble?.refuses === 'everything')
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
  /** Rejects when the disk is not written, or not synced. Not called again before it has settled. */
  readonly probeWrites: () => Promise<void>
  /** Rejects when what is held is not read. Not called again before it has settled. */
  readonly probeReads: () => Promise<void>
  /** Opens shards anew that stopped writing; the disk works. */
  readonly reopen: () => Promise<void>
}

export interface DiskWatchInit {
  readonly intervalMs: number
  /** A disk that takes longer to write, or to read, does not. */
  readonly timeoutMs: number
}

type PrivateMessage = { readonly type: 'looked'; readonly works: boolean }

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
        for (const reply of state.waiting.splice(0)) reply.answer(message.works)
        state.cancelNext = context.after(init.intervalMs, { type: 'look' }).cancel
        return
      }
      if (message.type === 'works') state.waiting.push(message.reply)
      if (state.looking) return
      state.looking = true
      state.cancelNext()
      context.task(
        (signal) => looker.look(signal),
        (outcome) => ({ type: 'looked', works: outcome.ok && outcome.value }),
      )
    },
  }
  return behavior
}

class Looker {
  readonly #components: DiskWatchComponents
  readonly #writes: Probe
  readonly #reads: Probe

  constructor(components: DiskWatchComponents, { timeoutMs }: DiskWatchInit) {
    const { clock, probeWrites, probeReads } = components
    this.#components = components
    this.#writes = new Probe(probeWrites, {
      clock,
      timeoutMs,
      what: 'writing, syncing and reading a small file',
    })
    this.#reads = new Probe(probeReads, { clock, timeoutMs, what: 'reading of a chunk' })
  }

  /** Whether the disk works; tells the operator when that changes. */
  async look(signal: AbortSignal): Promise<boolean> {
    const { health, reopen } = this.#components
    const [writing, reading] = await Promise.all([this.#writes.failure(signal), this.#reads.failure(signal)])
    const before = health.trouble
    const trouble = troubleOf(writing, reading)
    health.set(trouble)
    if (trouble?.refuses !== before?.refuses) this.#tell(trouble)
    if (trouble === undefined) await reopen()
    return trouble === undefined
  }

  #tell(trouble: DiskTrouble | undefined): void {
    const { logger } = this.#components
    if (trouble === undefined) {
      logger.info({}, 'the disk works again')
      return
    }
    const text =
      trouble.refuses === 'everything'
        ? 'the disk does not work: nothing is stored, read or proven until it does'
        : 'the disk is not written in time: nothing is stored or leased until it is; what is held is read and proven'
    logger.error({ reason: trouble.reason }, text)
  }
}

/** A failed read alone is of one chunk, which is found out when that is asked for; one that hangs is of the disk. */
function troubleOf(writing: unknown, reading: unknown): DiskTrouble | undefined {
  const hangs = isSubnetError(reading, 'TIMEOUT')
  if (hangs || (writing !== undefined && reading !== undefined)) {
    const reasons = [writing, reading].filter((error) => error !== undefined).map(textOf)
    return { refuses: 'everything', reason: reasons.join('; ') }
  }
  return writing === undefined ? undefined : { refuses: 'writes', reason: textOf(writing) }
}

interface ProbeInit {
  readonly clock: Clock
  readonly timeoutMs: number
  /** What takes that long, in words. */
  readonly what: string
}

class Probe {
  readonly #run: () => Promise<void>
  readonly #init: ProbeInit
  #running: Promise<void> | undefined

  constructor(run: () => Promise<void>, init: ProbeInit) {
    this.#run = run
    this.#init = init
  }

  /** What went wrong, `TIMEOUT` for a disk that hangs; `undefined` for nothing. */
  async failure(signal: AbortSignal): Promise<unknown> {
    const { clock, timeoutMs, what } = this.#init
    using scope = deadline(clock, timeoutMs, what, signal)
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
    try {
      await raceAbort(this.#running, scope.signal)
      return undefined
    } catch (error) {
      signal.throwIfAborted()
      return error
    }
  }
}

function textOf(error: unknown): string {
  return isSubnetError(error) ? error.message : String(error)
}
