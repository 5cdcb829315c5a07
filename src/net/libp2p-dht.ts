/** Searches over kad-dht. Keys are CIDs, so that standard DHT tools can look our records up. */
import { setMaxListeners } from 'node:events'
import type { KadDHT, QueryEvent } from '@libp2p/kad-dht'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { create as createMultihash } from 'multiformats/hashes/digest'
import { sha256 } from 'multiformats/hashes/sha2'
import { type AbortOptions, deadline } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { invariant, toSubnetError } from '../base/errors.js'
import { DIGEST_BYTES } from '../crypto/hash.js'
import type { PeerAddress } from './net.js'

/** A walk that takes longer will not get better. */
const QUERY_MS = 60_000

type Walk = (options: AbortOptions) => AsyncIterable<QueryEvent>

/** Providers as they are found, `self` left out; ends quietly when the caller's signal fires. */
export async function* findProviders(
  dht: KadDHT,
  clock: Clock,
  digest: Uint8Array,
  self: string,
  options: AbortOptions,
): AsyncIterable<PeerAddress> {
  const cid = cidOf(digest)
  try {
    for await (const event of walk(clock, 'searching the DHT', options, (o) => dht.findProviders(cid, o))) {
      if (event.name !== 'PROVIDER') continue
      for (const { id, multiaddrs } of event.providers) {
        const peerId = id.toString()
        if (peerId !== self) yield { peerId, addresses: [...new Set(multiaddrs.map(String))] }
      }
    }
  } catch (error) {
    // The signal is how a caller that found enough ends the search: no failure.
    if (options.signal?.aborted !== true) throw error
  }
}

async function* walk(
  clock: Clock,
  what: string,
  options: AbortOptions,
  start: Walk,
): AsyncIterable<QueryEvent> {
  options.signal?.throwIfAborted()
  using scope = deadline(clock, QUERY_MS, what, options.signal)
  // One listener per peer asked at the same time: more than Node takes for a leak.
  setMaxListeners(0, scope.signal)
  try {
    yield* start({ signal: scope.signal })
  } catch (error) {
    scope.signal.throwIfAborted()
    throw toSubnetError(error, 'DISCONNECTED', what)
  }
}

/** CIDv1, raw codec, sha2-256. */
export function cidOf(digest: Uint8Array): CID {
  invariant(digest.length === DIGEST_BYTES, 'a digest has 32 bytes')
  return CID.createV1(raw.code, createMultihash(sha256.code, digest))
}
