/** The miner's side of `capacity`. */
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Session } from '../hello/sessions.js'
import type { Capacity, Losses } from './messages.js'
import { CAPACITY, capacityAskSchema } from './messages.js'

export interface CapacityHandler {
  capacity(asker: Session): Promise<Capacity>
  /** What the shard of the asking validator has lost, at most `LOSSES_MAX` with a higher number. */
  losses(asker: Session, after: number): Promise<Losses>
}

export function serveCapacity(components: PeerComponents & { readonly handler: CapacityHandler }): void {
  serve(components, CAPACITY, ['validator', 'client'], async (frames, session) => {
    const { handler } = components
    const ask = await frames.readMessage(capacityAskSchema, 'ask')
    await frames.writeMessage(
      ask.type === 'ask'
        ? { type: 'capacity', ...(await handler.capacity(session)) }
        : { type: 'losses', ...(await handler.losses(session, ask.after)) },
    )
  })
}
