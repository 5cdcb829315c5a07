/** Asking a miner for its capacity: validators before they place, `status` for people. */
import type { AbortOptions } from '../../src/base/abort.js'
import { SubnetError } from '../../src/base/errors.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { call } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import type { Capacity, Losses } from './messages.js'
import { CAPACITY, capacityAnswerSchema, lossesAnswerSchema } from './messages.js'

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

/** Chunks of ours that a miner says it has lost, after the loss of this number. `INVALID` if the numbers do not rise. */
export async function askLosses(
  components: PeerComponents,
  miner: KnownPeer,
  after: number,
  options: AbortOptions = {},
): Promise<Losses> {
  return await call(components, CAPACITY, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'ask-losses', after }, options)
    const answer = await frames.readMessage(lossesAnswerSchema, 'losses', options)
    const { last, losses } = unlessFailure(answer, miner.peerId)
    let before = after
    for (const [number] of losses) {
      if (number <= before || number > last)
        throw new SubnetError('INVALID', 'losses: their numbers do not rise')
      before = number
    }
    return { last, losses }
  })
}
