/** The miner's side of `lease`. */
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import { LEASE, leaseRequestSchema } from './messages.js'

/** What a miner does with its leases. */
export interface LeaseHandler {
  /** Checks the countersignature of this validator and keeps it; `NOT_FOUND` if there is no such lease. */
  confirm(validator: Uint8Array, object: Uint8Array, validatorSignature: Uint8Array): Promise<void>
  /** Raises the end of the lease and of its chunks, and signs it anew; the signature. `NOT_FOUND` as above. */
  renew(validator: Uint8Array, renewal: Renewal): Promise<Uint8Array>
  /** Ends the lease; its chunks stay for the time of the trash. `NOT_FOUND` if there is no such lease. */
  release(validator: Uint8Array, object: Uint8Array): Promise<void>
}

export interface Renewal {
  readonly object: Uint8Array
  readonly endBlock: number
  readonly validatorSignature: Uint8Array
}

export function serveLeases(components: PeerComponents & { readonly handler: LeaseHandler }): void {
  serve(components, LEASE, ['validator'], async (frames, session) => {
    const { handler } = components
    const request = await frames.readMessage(leaseRequestSchema, 'lease request')
    switch (request.type) {
      case 'confirm':
        await handler.confirm(session.key, request.object, request.validatorSignature)
        await frames.writeMessage({ type: 'confirmed' })
        break
      case 'renew': {
        const minerSignature = await handler.renew(session.key, request)
        await frames.writeMessage({ type: 'renewed', minerSignature })
        break
      }
      case 'release':
        await handler.release(session.key, request.object)
        await frames.writeMessage({ type: 'released' })
        break
    }
  })
}
