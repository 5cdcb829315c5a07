/** The miner's side of `have`. Anybody may ask, so few are answered at once and few may wait. */
import { Semaphore } from '../../src/base/semaphore.js'
import type { PeerComponents } from '../hello/exchange.js'
import { serve } from '../hello/exchange.js'
import { HAVE, haveAskSchema, packBits } from './messages.js'

/** Questions looked up at the same time: the index has other readers. */
const LOOKUPS_MAX = 4
/** Questions that wait for that; the next one is BUSY. */
const WAITING_MAX = 64

export interface HaveHandler {
  /** For each digest, whether it is held. */
  have(digests: readonly Uint8Array[]): Promise<readonly boolean[]>
}

export function serveHave(components: PeerComponents & { readonly handler: HaveHandler }): void {
  const lookups = new Semaphore({ permitsMax: LOOKUPS_MAX, waitersMax: WAITING_MAX })
  serve(components, HAVE, ['client', 'validator'], async (frames) => {
    const { digests } = await frames.readMessage(haveAskSchema, 'ask')
    const held = await lookups.run(() => components.handler.have(digests))
    await frames.writeMessage({ type: 'held', bits: packBits(held) })
  })
}
