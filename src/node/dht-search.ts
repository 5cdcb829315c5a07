/**
 * A client's way into the DHT, taken when it first needs it: a reader whom a validator helps pays nothing for it. The
 * members it then connects to come into libp2p's routing table only in the background, so first searches are repeated.
 */
import { raceAbort } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import type { Net } from '../net/net.js'
import type { FindProviders } from '../transfer/search.js'
import type { Neighbours } from './neighbours.js'

/** The routing table has its first peers by then, also on a busy machine. */
const FIRST_PEERS_MS = 3_000
const PAUSE_MS = 250

export interface DhtSearchComponents {
  readonly net: Pick<Net, 'findProviders'>
  readonly neighbours: Pick<Neighbours, 'meet'>
  readonly clock: Clock
}

export function dhtSearch({ net, neighbours, clock }: DhtSearchComponents): FindProviders {
  let metMs: number | undefined
  return async function* (digest, options) {
    await raceAbort(neighbours.meet(), options.signal)
    metMs ??= clock.monotonicMs()
    for (;;) {
      let found = false
      for await (const peer of net.findProviders(digest, options)) {
        found = true
        yield peer
      }
      if (found || options.signal?.aborted === true || clock.monotonicMs() - metMs >= FIRST_PEERS_MS) return
      await clock.sleep(PAUSE_MS, options)
    }
  }
}
