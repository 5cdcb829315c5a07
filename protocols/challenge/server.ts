/** The miner's side of `challenge`. */
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import type { Answer, Challenge } from './messages.js'
import { CHALLENGE, CHALLENGE_BYTES_MAX, challengeSchema } from './messages.js'

export interface ChallengeHandler {
  /** Reads exactly the named leaves and signs; what is not held is `lost`. */
  prove(challenge: Challenge): Promise<Answer>
}

export function serveChallenge(components: PeerComponents & { readonly handler: ChallengeHandler }): void {
  serve(components, CHALLENGE, ['validator'], async (frames) => {
    const challenge = await frames.readMessage(challengeSchema, 'challenge', {
      headerBytesMax: CHALLENGE_BYTES_MAX,
    })
    await frames.writeMessage(await components.handler.prove(challenge))
  })
}
