/**
 * What a validator has for a miner when it visits it: countersignatures, renewals, releases. The ledger remembers each
 * until the miner has acknowledged it, so a miner that is away at that time gets it when it is back. And what the miner
 * has for the validator: the chunks it has lost.
 */
import { askLosses } from '../../../protocols/capacity/client.js'
import type { WireDomain } from '../../../protocols/common/signed.js'
import type { PeerComponents } from '../../../protocols/hello/exchange.js'
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { confirmLease, releaseLease, renewLease } from '../../../protocols/lease/client.js'
import { checkLeaseHeld, countersignLease } from '../../../protocols/lease/lease.js'
import type { AbortOptions } from '../../base/abort.js'
import { type ErrorCode, isSubnetError } from '../../base/errors.js'
import type { Logger } from '../../base/log.js'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import type { Ledger } from './ledger.js'

export interface HandOverComponents extends PeerComponents {
  readonly ledger: Ledger
  readonly signer: Signer
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly logger: Logger
}

/** Answers that asking again would not change: the miner has no such lease, or another one. Audits show what it holds. */
const FINAL: readonly ErrorCode[] = ['NOT_FOUND', 'BAD_SIGNATURE', 'REFUSED', 'INVALID']

export class HandOver {
  readonly #components: HandOverComponents
  readonly #domain: WireDomain

  constructor(components: HandOverComponents, domain: WireDomain) {
    this.#components = components
    this.#domain = domain
  }

  /** Rejects with what the miner, or the way to it, failed with; what was not acknowledged waits for the next time. */
  async give(miner: KnownPeer, options: AbortOptions = {}): Promise<void> {
    const hotkey = toSs58(miner.hotkey)
    await this.#releases(miner, hotkey, options)
    await this.#confirmations(miner, hotkey, options)
    await this.#renewals(miner, hotkey, options)
  }

  /**
   * Hears what the miner has lost of ours up to `lastLoss` and marks it, one answer at a time: the next visit hears the rest. Rejects as
   * `give` does.
   */
  async hear(miner: KnownPeer, lastLoss: number, options: AbortOptions = {}): Promise<void> {
    const { ledger, logger, head } = this.#components
    const hotkey = toSs58(miner.hotkey)
    const since = await ledger.hearing(hotkey)
    const after = since.heard
    if (after === lastLoss) return
    const { last, losses } = await askLosses(this.#components, miner, after, options)
    // It began anew and counts from the start again.
    const heard = last < after ? 0 : (losses.at(-1)?.[0] ?? after)
    if (heard === after) return
    const marked = await ledger.markLost(hotkey, { losses, heard, block: head.block }, since)
    if (marked > 0) logger.warn({ miner: hotkey, chunks: marked }, 'a miner says that it has lost chunks')
  }

  async #releases(miner: KnownPeer, hotkey: string, options: AbortOptions): Promise<void> {
    const { ledger } = this.#components
    for await (const object of ledger.releases(hotkey)) {
      // A miner that has it no more has done what is asked.
      await unless(['NOT_FOUND'], releaseLease(this.#components, miner, object, options))
      await ledger.released(hotkey, object)
    }
  }

  async #confirmations(miner: KnownPeer, hotkey: string, options: AbortOptions): Promise<void> {
    const { ledger } = this.#components
    for await (const { lease, validatorSignature } of ledger.unconfirmed(hotkey)) {
      if (validatorSignature === undefined) continue
      const { object } = lease
      const confirming = confirmLease(this.#components, miner, { object, validatorSignature }, options)
      const failure = await unless(['NOT_FOUND', 'BAD_SIGNATURE'], confirming)
      if (failure !== undefined) this.#warn(hotkey, failure)
      await ledger.confirmed(hotkey, object)
    }
  }

  async #renewals(miner: KnownPeer, hotkey: string, options: AbortOptions): Promise<void> {
    const { ledger, signer } = this.#components
    for await (const { kept, endBlock } of ledger.renewals(hotkey)) {
      const lease = { ...kept.lease, endBlock }
      const { object } = lease
      const validatorSignature = countersignLease(signer, this.#domain, lease)
      try {
        const renewal = { object, endBlock, validatorSignature }
        const minerSignature = await renewLease(this.#components, miner, renewal, options)
        checkLeaseHeld({ lease, minerSignature }, this.#domain)
        await ledger.renewed(hotkey, object, endBlock, { lease, minerSignature, validatorSignature })
      } catch (error) {
        if (!isFinal(error, FINAL)) throw error
        this.#warn(hotkey, error)
        await ledger.renewed(hotkey, object, endBlock)
      }
    }
  }

  #warn(miner: string, error: unknown): void {
    this.#components.logger.warn({ err: error, miner }, 'a miner does not know a lease it signed')
  }
}

/** The failure where it has one of these codes; any other is thrown. */
async function unless(codes: readonly ErrorCode[], work: Promise<void>): Promise<unknown> {
  try {
    await work
    return undefined
  } catch (error) {
    if (!isFinal(error, codes)) throw error
    return error
  }
}

function isFinal(error: unknown, codes: readonly ErrorCode[]): boolean {
  return isSubnetError(error) && codes.includes(error.code)
}
