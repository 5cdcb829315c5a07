/** The validator's side of `challenge`. */
import type { AbortOptions } from '../../src/base/abort.js'
import { deadline } from '../../src/base/abort.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { call } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import type { Answer, Challenge } from './messages.js'
import { CHALLENGE, CHALLENGE_DEADLINE_MS, challengeAnswerSchema } from './messages.js'

/** The miner's answer, not judged yet. `TIMEOUT` when it is not complete within the deadline. */
export async function askChallenge(
  components: PeerComponents,
  miner: KnownPeer,
  challenge: Challenge,
  options: AbortOptions = {},
): Promise<Answer> {
  using scope = deadline(
    components.clock,
    CHALLENGE_DEADLINE_MS,
    `challenge of ${miner.peerId}`,
    options.signal,
  )
  return await call(components, CHALLENGE, miner, scope, async (frames) => {
    await frames.writeMessage(challenge, scope)
    return unlessFailure(await frames.readMessage(challengeAnswerSchema, 'answer', scope), miner.peerId)
  })
}
