/**
 * Group commit: work that arrives while a commit runs waits and shares the next one, so that the price of a sync is
 * paid once for all of it. A commit has two halves: while one group is in its second, the next may be in its first.
 * Groups come to their end in the order of arrival. It knows nothing of disks.
 */
import { SubnetError } from '../base/errors.js'

export interface GroupCommitInit {
  /** Sum of `costBytes` above which the rest waits for the next group. A single job may exceed it. */
  readonly groupBytesMax: number
  /** Sum of `costBytes` that may wait; more is refused with `BUSY`. */
  readonly waitingBytesMax: number
  /** Sum of `costBytes` from which a group is begun while the one before ends: little things rather share a sync. */
  readonly overlapBytes: number
}

/** One piece of work. */
export interface Job {
  /** Memory it holds until it is done, bytes. */
  readonly costBytes: number
}

/**
 * Does the first half of all jobs of a group, and resolves with the second, which is begun when that of the group before
 * has ended: one result per job, in order. A rejection of either is the result of each.
 */
export type CommitGroup<J extends Job> = (group: readonly J[]) => Promise<FinishGroup>
export type FinishGroup = () => Promise<readonly PromiseSettledResult<unknown>[]>

interface Waiting<J extends Job> {
  readonly job: J
  readonly resolve: (value: unknown) => void
  readonly reject: (reason: unknown) => void
}

const RETRY_AFTER_MS = 250

export class GroupCommit<J extends Job> {
  readonly #commit: CommitGroup<J>
  readonly #init: GroupCommitInit
  readonly #waiting: Waiting<J>[] = []
  #waitingBytes = 0
  /** Told when enough waits to begin with. */
  #onWaiting: () => void = () => undefined
  #running: Promise<void> | undefined

  constructor(commit: CommitGroup<J>, init: GroupCommitInit) {
    this.#commit = commit
    this.#init = init
  }

  /** Settles as the job does. `BUSY` when too much waits already. */
  run(job: J): Promise<unknown> {
    if (this.#waiting.length > 0 && this.#waitingBytes + job.costBytes > this.#init.waitingBytesMax) {
      return Promise.reject(
        new SubnetError('BUSY', 'the disk is behind', { data: { retryAfterMs: RETRY_AFTER_MS } }),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject })
      this.#waitingBytes += job.costBytes
      if (this.#waitingBytes >= this.#init.overlapBytes) this.#onWaiting()
      this.#running ??= this.#drain()
    })
  }

  /** Resolves when nothing runs or waits. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #drain(): Promise<void> {
    // One turn later: jobs started together share the first group too.
    await Promise.resolve()
    let finishing = Promise.resolve()
    let ended = true
    for (;;) {
      if (!ended && this.#waitingBytes < this.#init.overlapBytes) {
        const current = finishing
        await new Promise<void>((resolve) => {
          this.#onWaiting = resolve
          void current.then(resolve)
        })
        continue
      }
      if (this.#waiting.length === 0) break
      const group = this.#take()
      const finish = await this.#begin(group)
      await finishing
      if (finish === undefined) continue
      ended = false
      finishing = settle(group, finish).then(() => {
        ended = true
      })
    }
    this.#running = undefined
  }

  /** The second half; `undefined` when the first failed, which all of the group are told. */
  async #begin(group: readonly Waiting<J>[]): Promise<FinishGroup | undefined> {
    try {
      return await this.#commit(group.map(({ job }) => job))
    } catch (error) {
      for (const { reject } of group) reject(error)
      return undefined
    }
  }

  #take(): Waiting<J>[] {
    let groupBytes = 0
    let end = 0
    for (const { job } of this.#waiting) {
      if (end > 0 && groupBytes + job.costBytes > this.#init.groupBytesMax) break
      groupBytes += job.costBytes
      end += 1
    }
    this.#waitingBytes -= groupBytes
    return this.#waiting.splice(0, end)
  }
}

/** Never rejects. */
async function settle<J extends Job>(group: readonly Waiting<J>[], finish: FinishGroup): Promise<void> {
  try {
    const results = await finish()
    for (const [index, result] of results.entries()) {
      if (result.status === 'fulfilled') group[index]?.resolve(result.value)
      else group[index]?.reject(result.reason)
    }
  } catch (error) {
    for (const { reject } of group) reject(error)
  }
}
