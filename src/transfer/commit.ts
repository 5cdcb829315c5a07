/** The end of an upload: the validator that placed the object counts it, if need be after a while. */
import type { KnownPeer } from '../../protocols/hello/sessions.js'
import type { PackedLease } from '../../protocols/lease/packed-lease.js'
import type { OrderClient } from '../../protocols/order/client.js'
import type { CommitBody, Committed } from '../../protocols/order/messages.js'
import type { AbortOptions } from '../base/abort.js'
import type { Clock } from '../base/clock.js'
import { type ErrorCode, isSubnetError, SubnetError } from '../base/errors.js'
import { toSs58 } from '../crypto/keys.js'

/** How long a validator is asked again to count what is kept and leased, and the first pause; it doubles. */
const COMMIT_PATIENCE_MS = 60_000
const COMMIT_PAUSE_MS = 1_000
/** After one of these a validator may have counted the object or not, and may be asked again. */
const UNSETTLED: ReadonlySet<ErrorCode> = new Set(['DISCONNECTED', 'TIMEOUT', 'BUSY', 'STOPPED'])

export interface CommitRequest {
  readonly validator: KnownPeer
  readonly body: Omit<CommitBody, 'nodes' | 'leases'>
  readonly parts: { readonly nodes: readonly Uint8Array[]; readonly leases: readonly PackedLease[] }
}

/**
 * Asks again where asking again may help: a validator that restarts just now must not cost the upload. Rejects as
 * `OrderClient.commit` does, and with `data.lostValidator` when the validator has not answered for a minute.
 */
export async function commitPatiently(
  { validator, body, parts }: CommitRequest,
  { clock, orders }: { readonly clock: Clock; readonly orders: Pick<OrderClient, 'commit'> },
  options: AbortOptions,
): Promise<Committed> {
  const endMs = clock.monotonicMs() + COMMIT_PATIENCE_MS
  for (let pauseMs = COMMIT_PAUSE_MS; ; pauseMs *= 2) {
    try {
      return await orders.commit(validator, body, parts, options)
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error) || !UNSETTLED.has(error.code)) throw error
      if (clock.monotonicMs() + pauseMs > endMs) throw lost(validator, error)
      await clock.sleep(pauseMs, options)
    }
  }
}

/** The validator that placed the object does not answer any more: another one may take it. */
export function lost(validator: KnownPeer, cause: SubnetError): SubnetError {
  const lostValidator = toSs58(validator.hotkey)
  const text = `the validator ${lostValidator}, which placed the object, does not count it: ${cause.message}`
  return new SubnetError(cause.code, text, { cause, data: { ...cause.data, lostValidator } })
}
