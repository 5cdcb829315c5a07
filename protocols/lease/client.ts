/** The validator's side of `lease`. */
import type { AbortOptions } from '../../src/base/abort.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { call } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import { confirmAnswerSchema, LEASE, releaseAnswerSchema, renewAnswerSchema } from './messages.js'
import type { Renewal } from './server.js'

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

/** The miner's signature under the longer lease, unchecked. Idempotent; `NOT_FOUND` when it has no such lease. */
export async function renewLease(
  components: PeerComponents,
  miner: KnownPeer,
  { object, endBlock, validatorSignature }: Renewal,
  options: AbortOptions = {},
): Promise<Uint8Array> {
  return await call(components, LEASE, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'renew', object, endBlock, validatorSignature }, options)
    const answer = await frames.readMessage(renewAnswerSchema, 'renewed', options)
    return unlessFailure(answer, miner.peerId).minerSignature
  })
}

/** Ends a lease; `NOT_FOUND` when the miner has none, or none any more. */
export async function releaseLease(
  components: PeerComponents,
  miner: KnownPeer,
  object: Uint8Array,
  options: AbortOptions = {},
): Promise<void> {
  await call(components, LEASE, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'release', object }, options)
    unlessFailure(await frames.readMessage(releaseAnswerSchema, 'released', options), miner.peerId)
  })
}
