/** The validator's side of `lease`. */
import type { AbortOptions } from '../../src/base/abort.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { call } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import { confirmAnswerSchema, LEASE } from './messages.js'

export interface LeaseConfirmation {
  readonly object: Uint8Array
  readonly validatorSignature: Uint8Array
}

/** Hands a countersignature to the miner. Idempotent; `NOT_FOUND` when the miner has no such lease. */
export async function confirmLease(
  components: PeerComponents,
  miner: KnownPeer,
  confirmation: LeaseConfirmation,
  options: AbortOptions = {},
): Promise<void> {
  await call(components, LEASE, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'confirm', ...confirmation }, options)
    unlessFailure(await frames.readMessage(confirmAnswerSchema, 'confirmed', options), miner.peerId)
  })
}
