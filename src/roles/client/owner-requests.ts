/** What the owner of an object may ask of validators: with the object's own key, and nothing else, on any machine. */
import type { KnownPeer } from '../../../protocols/hello/sessions.js'
import { type AbortOptions, deadline } from '../../base/abort.js'
import type { Clock } from '../../base/clock.js'
import { isSubnetError, SubnetError } from '../../base/errors.js'
import type { Signer } from '../../crypto/keys.js'
import { parseCapability } from '../../redundancy/capability.js'
import { objectSigner } from '../../redundancy/manifest-builder.js'

/** Time for a validator to renew or release an object. */
const ASK_TIMEOUT_MS = 15_000

export interface OwnerRequestsComponents {
  readonly clock: Clock
  /** Whom to ask about an object. */
  readonly validators: (object: Uint8Array) => readonly KnownPeer[]
}

/** One question to one validator. */
export type AskValidator<T> = (
  validator: KnownPeer,
  owner: Signer,
  object: Uint8Array,
  options: AbortOptions,
) => Promise<T>

/**
 * Asks every validator, for each may know the object; at least one must. Rejects with `INVALID` for a capability without
 * the owner's key, else with what the last validator failed with.
 */
export async function asOwner<T>(
  capability: string,
  ask: AskValidator<T>,
  { clock, validators }: OwnerRequestsComponents,
  options: AbortOptions,
): Promise<T[]> {
  const { object, owner } = ownerOf(capability)
  const answers: T[] = []
  let unknown: unknown
  let failure: unknown
  for (const validator of validators(object)) {
    using scope = deadline(clock, ASK_TIMEOUT_MS, `asking ${validator.peerId}`, options.signal)
    try {
      answers.push(await ask(validator, owner, object, scope))
    } catch (error) {
      options.signal?.throwIfAborted()
      if (!isSubnetError(error)) throw error
      if (isSubnetError(error, 'NOT_FOUND')) unknown = error
      else failure = error
    }
  }
  if (answers.length > 0) return answers
  // One that could not be asked may be the one that knows it.
  throw failure ?? unknown ?? new SubnetError('TOO_FEW_PEERS', 'no validator has published an address')
}

/** The key that signed the manifest follows from a private object's key, and from a public object's owner key. */
function ownerOf(capability: string): { readonly object: Uint8Array; readonly owner: Signer } {
  const parsed = parseCapability(capability)
  if (parsed.kind === 'read') return { object: parsed.address, owner: objectSigner(parsed.objectKey) }
  if (parsed.kind === 'own') return { object: parsed.address, owner: objectSigner(parsed.ownerKey) }
  throw new SubnetError('INVALID', 'this capability has no key: only its owner may change an object')
}
