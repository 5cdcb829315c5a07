/**
 * Being on the subnet: the hotkey registered, for a validator staked, and the chain record that says where the node is
 * reached. Kept for as long as the node runs: a devchain that began anew knows nobody. It registers and stakes on its
 * own where the chain has a faucet; elsewhere that costs, and the operator does it.
 */
import type { Role } from '../../protocols/hello/messages.js'
import { type AbortOptions, childSignal, type ScopedSignal } from '../base/abort.js'
import { isSubnetError, SubnetError } from '../base/errors.js'
import type { Startable } from '../base/lifecycle.js'
import type { Logger } from '../base/log.js'
import type { Chain } from '../chain/chain.js'
import type { SubnetView } from '../chain/subnet-view.js'
import { type Signer, toSs58 } from '../crypto/keys.js'

/** What a devchain validator stakes on first contact: 1,000 TAO. */
export const DEV_VALIDATOR_STAKE_RAO = 1_000_000_000_000n

export interface MembershipComponents {
  readonly chain: Chain
  readonly view: SubnetView
  readonly logger: Logger
}

export interface MembershipInit {
  readonly role: Exclude<Role, 'client'>
  readonly hotkey: Signer
  /** SS58. */
  readonly coldkey: string
}

/** Where the node is reached. */
export interface OwnEndpoint {
  readonly peerId: string
  /** The first is published. */
  readonly addresses: readonly string[]
}

export class Membership {
  readonly #components: MembershipComponents
  readonly #init: MembershipInit
  readonly #address: string
  #uid = -1

  constructor(components: MembershipComponents, init: MembershipInit) {
    this.#components = components
    this.#init = init
    this.#address = toSs58(init.hotkey.publicKey)
  }

  /** As of the last `join`. */
  get uid(): number {
    return this.#uid
  }

  /** Registers, and stakes for a validator, where that has not happened. */
  async join(options: AbortOptions = {}): Promise<void> {
    const { chain, logger } = this.#components
    const { role, hotkey, coldkey } = this.#init
    const known = (await chain.metagraph(options)).neurons.find((neuron) => neuron.hotkey === this.#address)
    const { faucet } = chain
    if (known === undefined && faucet === undefined) throw this.#notRegistered()
    this.#uid = known?.uid ?? -1
    if (faucet === undefined) return
    if (known === undefined) {
      this.#uid = await faucet.join({ hotkey, coldkey }, options)
      logger.info({ uid: this.#uid, hotkey: this.#address }, 'registered on the devchain')
    }
    if (role === 'validator' && (known?.stakeRao ?? 0n) === 0n) {
      await faucet.stake(hotkey, DEV_VALIDATOR_STAKE_RAO, options)
      logger.info({ hotkey: this.#address }, 'staked on the devchain')
    }
  }

  #notRegistered(): SubnetError {
    const { netuid } = this.#components.chain.constants
    const text = `${this.#address} is not registered on subnet ${netuid}: run "subnet-node register", which shows the cost first`
    const data = {
      kind: 'precondition',
      reason: 'HotKeyNotRegisteredInSubNet',
      hotkey: this.#address,
      netuid,
    }
    return new SubnetError('CHAIN_REFUSED', text, { data })
  }

  /** Says on chain where the node is reached, and does it all again whenever the chain no longer knows the node. */
  keep(endpoint: () => OwnEndpoint): Startable {
    const { chain, view, logger } = this.#components
    let life: ScopedSignal | undefined
    let joining: Promise<void> | undefined
    let told: string | undefined
    let unsubscribe: (() => void) | undefined
    const rejoin = async (signal: AbortSignal) => {
      try {
        // Asked directly: right after joining, a snapshot may still be one of a block before.
        if ((await chain.records({ signal })).has(this.#address)) return
        const { number: block } = await chain.head({ signal })
        if (told === undefined)
          logger.warn({ block }, 'the chain does not know this node any more: joining again')
        await this.join({ signal })
        await this.#publish(endpoint(), { signal })
        told = undefined
      } catch (error) {
        // The next snapshot tries again; the same reason is said once.
        const text = error instanceof Error ? error.message : String(error)
        if (!signal.aborted && told !== text) logger.warn({ err: error }, 'could not join the subnet again')
        told = text
      }
    }
    return {
      start: async (options = {}) => {
        await this.#publish(endpoint(), options)
        life = childSignal()
        const { signal } = life
        unsubscribe = view.onChange(() => {
          if (view.member(this.#address)?.endpoint !== undefined || joining !== undefined) return
          joining = rejoin(signal).finally(() => {
            joining = undefined
          })
        })
      },
      stop: async () => {
        unsubscribe?.()
        life?.abort(new SubnetError('STOPPED', 'the node was stopped'))
        await joining
      },
    }
  }

  async #publish({ peerId, addresses }: OwnEndpoint, options: AbortOptions): Promise<void> {
    const { chain } = this.#components
    const [full] = addresses
    if (full === undefined)
      throw new SubnetError(
        'CONFIG',
        'the node listens on no address that others can dial: say where it is reached, with --announce or --axon.external_ip',
      )
    const record = { peerId, address: full.replace(/\/p2p\/[^/]+$/, '') }
    const known = (await chain.records(options)).get(this.#address)
    if (known?.peerId === record.peerId && known.address === record.address) return
    await chain.commit(this.#init.hotkey, record, options)
    await this.#serve(record.address, options)
  }

  /** For explorers, which know of no peer ids. Nothing here depends on it: a chain that refuses is only noted. */
  async #serve(address: string, options: AbortOptions): Promise<void> {
    const [, ip, port] = /^\/ip[46]\/([^/]+)\/tcp\/(\d+)$/.exec(address) ?? []
    if (ip === undefined) return
    const { chain, logger } = this.#components
    try {
      await chain.serve(this.#init.hotkey, { ip, port: Number(port) }, options)
    } catch (error) {
      if (!isSubnetError(error, 'CHAIN_REFUSED')) throw error
      logger.debug({ err: error }, 'the chain does not show explorers this address')
    }
  }
}
