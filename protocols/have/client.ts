/** Asking a miner which chunks it holds: what a reader does when nobody keeps a list for it. */
import type { AbortOptions } from '../../src/base/abort.js'
import { SubnetError } from '../../src/base/errors.js'
import { unlessFailure } from '../common/frames.js'
import type { PeerComponents } from '../hello/exchange.js'
import { callPatiently } from '../hello/exchange.js'
import type { KnownPeer } from '../hello/sessions.js'
import { HAVE, haveAnswerSchema, unpackBits } from './messages.js'

/** For each digest, 1 to `HAVE_DIGESTS_MAX` of them, whether the miner says that it holds it. `BUSY` when it is asked too much. */
export async function askHave(
  components: PeerComponents,
  miner: KnownPeer,
  digests: readonly Uint8Array[],
  options: AbortOptions = {},
): Promise<readonly boolean[]> {
  return await callPatiently(components, HAVE, miner, options, async (frames) => {
    await frames.writeMessage({ type: 'ask', digests }, options)
    const answer = await frames.readMessage(haveAnswerSchema, 'held', options)
    const held = unpackBits(unlessFailure(answer, miner.peerId).bits, digests.length)
    if (held === undefined) throw new SubnetError('INVALID', 'held: not one bit per digest')
    return held
  })
}
