/**
 * Nothing is spent twice: what spends and would do so again is written down before it is sent. After a crash or a lost
 * connection nobody knows whether it is still on its way, so it is not sent again until it can no longer arrive.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import type { AbortOptions } from '../base/abort.js'
import { replaceFile } from '../base/durable-file.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import type { Random } from '../base/random.js'
import type { Chain } from '../chain/chain.js'
import { IN_FLIGHT_BLOCKS } from '../chain/in-flight.js'
import { dataLock } from '../shard/data-lock.js'
import { precondition } from './plan.js'

const intentSchema = z.strictObject({
  call: z.string(),
  /** Head when it was sent. */
  block: z.number().int().nonnegative(),
  done: z.boolean(),
})
type Intent = z.infer<typeof intentSchema>

export interface IntentsComponents {
  readonly chain: Chain
  readonly random: Random
}

export interface SpendingOptions extends AbortOptions {
  /** The caller has seen on the chain that no earlier one of these arrived. */
  readonly absent: boolean
}

const SPENDING = {
  code: 'BUSY',
  advice: 'is in use by another command that spends now: wait until it has ended, then run this one again',
} as const

/** One file per chain, payer and call. */
export class Intents {
  readonly #components: IntentsComponents
  readonly #directory: string

  /** `directory` is made when it is first needed. */
  constructor(components: IntentsComponents, directory: string) {
    this.#components = components
    this.#directory = directory
  }

  /**
   * Sends what spends. Rejects with `CHAIN_REFUSED` (`EarlierCallPending`, and the block) while an earlier one may still
   * arrive, and afterwards with `EarlierCallUnknown` unless the caller knows that it did not. What the chain refused, or
   * that is in a block, is over.
   */
  async spend<T>(
    call: string,
    coldkey: string,
    send: () => Promise<T>,
    options: SpendingOptions,
  ): Promise<T> {
    // Two commands at once would both find nothing written yet.
    const lock = dataLock(this.#directory, SPENDING)
    await lock.start(options)
    try {
      return await this.#spend(call, coldkey, send, options)
    } finally {
      await lock.stop()
    }
  }

  async #spend<T>(
    call: string,
    coldkey: string,
    send: () => Promise<T>,
    options: SpendingOptions,
  ): Promise<T> {
    const { chain } = this.#components
    const path = join(this.#directory, `${chain.constants.genesisHash.slice(2, 18)}-${coldkey}-${call}.json`)
    const { number: block } = await chain.head(options)
    await refuseWhilePending(path, block, options.absent)
    const intent = { call, block, done: false }
    await this.#write(path, intent)
    try {
      const result = await send()
      await this.#write(path, { ...intent, done: true })
      return result
    } catch (error) {
      if (isSubnetError(error, 'CHAIN_REFUSED')) await this.#write(path, { ...intent, done: true })
      throw error
    }
  }

  async #write(path: string, intent: Intent): Promise<void> {
    await replaceFile(path, `${JSON.stringify(intent)}\n`, this.#components.random)
  }
}

async function refuseWhilePending(path: string, block: number, absent: boolean): Promise<void> {
  const earlier = await readIntent(path)
  // A chain below the block of the intent began anew, and what was sent to the old one is gone.
  if (earlier === undefined || earlier.done || block < earlier.block) return
  const over = earlier.block + IN_FLIGHT_BLOCKS + 1
  const what = `a ${earlier.call} sent at block ${earlier.block} got no answer`
  if (block < over) {
    const text = `${what} and may still arrive until block ${over - 1}, now is ${block}: look again then`
    throw precondition('EarlierCallPending', text, over)
  }
  if (absent) return
  const text = `${what}, and nobody here knows whether it arrived: look at the balance, then say --again if it did not`
  throw precondition('EarlierCallUnknown', text)
}

async function readIntent(path: string): Promise<Intent | undefined> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new SubnetError('DISK', `cannot read ${path}`, { cause, data: { path } })
  })
  if (text === undefined) return undefined
  try {
    return intentSchema.parse(JSON.parse(text))
  } catch (cause) {
    const why = 'it says what may have been spent: look at the chain before you remove it'
    throw new SubnetError('DATA_DIR', `${path} is torn; ${why}`, { cause, data: { path } })
  }
}
