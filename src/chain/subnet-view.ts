/**
 * The subnet as roles need it at every request: who is registered, who may validate, where each one is reached. One
 * snapshot pinned to a block, refreshed at every head; never a call to the chain on the path of a request.
 */
import { toString as bytesToText } from 'uint8arrays'
import type { AbortOptions } from '../base/abort.js'
import { SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import { fromSs58 } from '../crypto/keys.js'
import type { PeerAddress } from '../net/net.js'
import type { Chain, Neuron } from './chain.js'

/** A registered hotkey with what its chain record says. */
export interface Member extends Neuron {
  readonly publicKey: Uint8Array
  /** Where it is reached; absent until it has committed a record. */
  readonly endpoint?: PeerAddress
}

export interface SubnetViewComponents {
  readonly chain: Chain
  readonly logger: Logger
}

export class SubnetView implements Startable {
  readonly #chain: Chain
  readonly #logger: Logger
  readonly #listeners = new Set<() => void>()
  #members: ReadonlyMap<string, Member> = new Map()
  /** By public key in hexadecimal: writing an address costs a hash, and every body that is sent asks. */
  #membersByKey: ReadonlyMap<string, Member> = new Map()
  #headBlock = 0
  #membersBlock = 0
  #nextEpochBlock = 0
  #refreshing: Promise<void> | undefined
  #refreshAgain = false
  #unsubscribe: (() => void) | undefined

  constructor(components: SubnetViewComponents) {
    this.#chain = components.chain
    this.#logger = components.logger
  }

  async start(options: AbortOptions = {}): Promise<void> {
    this.#unsubscribe = this.#chain.onHead((head) => {
      // As announced, also when it is lower: after a reorganisation, or on a devchain that began anew.
      this.#headBlock = head.number
      this.#refreshSoon()
    })
    this.#headBlock = (await this.#chain.head(options)).number
    await this.refresh(options)
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    await this.#refreshing
  }

  /** Number of the newest head seen. */
  get block(): number {
    return this.#headBlock
  }

  /** Block of the member snapshot: how stale authority is. */
  get membersBlock(): number {
    return this.#membersBlock
  }

  /** The block after the snapshot in which permits may change. */
  get nextEpochBlock(): number {
    return this.#nextEpochBlock
  }

  /** In uid order. */
  members(): readonly Member[] {
    return [...this.#members.values()]
  }

  /** Members that may validate now. */
  validators(): readonly Member[] {
    return this.members().filter((member) => member.validatorPermit)
  }

  /** By SS58 address or by public key. */
  member(hotkey: string | Uint8Array): Member | undefined {
    if (typeof hotkey === 'string') return this.#members.get(hotkey)
    return this.#membersByKey.get(bytesToText(hotkey, 'hex'))
  }

  /** A member with its endpoint; throws `REFUSED` when it is not registered, `DISCONNECTED` when it names no address. */
  reachable(hotkey: string): Member & { readonly endpoint: PeerAddress } {
    const member = this.#members.get(hotkey)
    if (member === undefined) throw new SubnetError('REFUSED', `${hotkey} is not registered on this subnet`)
    if (member.endpoint === undefined)
      throw new SubnetError('DISCONNECTED', `${hotkey} has published no address`)
    return { ...member, endpoint: member.endpoint }
  }

  /** Calls back after every new snapshot. Returns the function that unregisters. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads the chain now; rejects with what the chain rejects with and keeps the old snapshot. */
  async refresh(options: AbortOptions = {}): Promise<void> {
    const [metagraph, records] = await Promise.all([
      this.#chain.metagraph(options),
      this.#chain.records(options),
    ])
    const members = new Map<string, Member>()
    for (const neuron of metagraph.neurons) {
      const record = records.get(neuron.hotkey)
      const known = this.#members.get(neuron.hotkey)
      members.set(neuron.hotkey, {
        ...neuron,
        publicKey: known?.publicKey ?? fromSs58(neuron.hotkey),
        ...(record === undefined ? {} : { endpoint: { peerId: record.peerId, addresses: [record.address] } }),
      })
    }
    this.#members = members
    const byKey = [...members.values()].map(
      (member) => [bytesToText(member.publicKey, 'hex'), member] as const,
    )
    this.#membersByKey = new Map(byKey)
    this.#membersBlock = metagraph.block
    this.#nextEpochBlock = metagraph.nextEpochBlock
    for (const listener of this.#listeners) listener()
  }

  /** One refresh at a time; heads that arrive meanwhile share the next one. */
  #refreshSoon(): void {
    if (this.#refreshing !== undefined) {
      this.#refreshAgain = true
      return
    }
    this.#refreshing = this.refresh()
      .catch((error: unknown) => {
        // The old snapshot stays in use and `membersBlock` shows its age; the next head tries again.
        this.#logger.warn({ err: error, block: this.#headBlock }, 'could not refresh the metagraph')
      })
      .finally(() => {
        this.#refreshing = undefined
        if (this.#refreshAgain && this.#unsubscribe !== undefined) {
          this.#refreshAgain = false
          this.#refreshSoon()
        }
      })
  }
}
