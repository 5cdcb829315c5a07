/** The miner's side of `capacity`. */
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Session } from '../hello/sessions.js'
import type { Capacity } from './messages.js'
import { CAPACITY, capacityAskSchema } from './messages.js'

export interface CapacityHandler {
  capacity(asker: Session): Promise<Capacity>
}

export function serveCapacity(components: PeerComponents & { readonly handler: CapacityHandler }): void {
  serve(components, CAPACITY, ['validator', 'client'], async (frames, session) => {
    await frames.readMessage(capacityAskSchema, 'ask')
    await frames.writeMessage({ type: 'capacity', ...(await components.handler.capacity(session)) })
  })
}
