/** Asking a miner for its capacity: validators before they place, `status` for people. */
import type { AbortOptions } from '../../src/base/abort.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { call } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import type { Capacity } from './messages.js'
import { CAPACITY, capacityAnswerSchema } from './messages.js'

export async function askCapacity(
  components: PeerComponents,
  miner: KnownPeer,
  options: AbortOptions = {},
): Promise<Capacity> {
  return await call(components, CAPACITY, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'ask' }, options)
    const answer = await frames.readMessage(capacityAnswerSchema, 'capacity', options)
    const { type: _, ...capacity } = unlessFailure(answer, miner.peerId)
    return capacity
  })
}
