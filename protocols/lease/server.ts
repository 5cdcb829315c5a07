/** The miner's side of `lease`. */
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import { confirmSchema, LEASE } from './messages.js'

/** What a miner does when a lease of its counts. */
export interface LeaseHandler {
  /** Checks the countersignature of this validator and keeps it; `NOT_FOUND` if there is no such lease. */
  confirm(validator: Uint8Array, object: Uint8Array, validatorSignature: Uint8Array): Promise<void>
}

export function serveLeases(components: PeerComponents & { readonly handler: LeaseHandler }): void {
  serve(components, LEASE, ['validator'], async (frames, session) => {
    const { object, validatorSignature } = await frames.readMessage(confirmSchema, 'confirm')
    await components.handler.confirm(session.key, object, validatorSignature)
    await frames.writeMessage({ type: 'confirmed' })
  })
}
