/**
 * Every reason for which a devchain says no, under the real chain's own name (runtime spec 381: `pallet_subtensor`,
 * `pallet_commitments`, `sp_runtime` InvalidTransaction; `UnknownBlock` and `ImmediatelyDropped` are the node's RPC).
 */
import { type ErrorData, SubnetError } from '../../base/errors.js'

export const REFUSALS = {
  // On the way into the pool: the operation is not included and spends no nonce.
  BadProof: 'the signature does not verify for this chain and hotkey',
  Stale: 'an operation with this nonce was already accepted',
  Future: 'the nonce is ahead of the next one',
  AncientBirthBlock: 'the last block this operation may enter has passed',
  ImmediatelyDropped: 'the pool has no room for this operation',
  // In a block.
  HotKeyAlreadyRegisteredInSubNet: 'the hotkey is already registered',
  NonAssociatedColdKey: 'the hotkey belongs to another coldkey',
  NoNeuronIdAvailable: 'the subnet has no free uid',
  HotKeyAccountNotExists: 'the hotkey has no account: it is not registered',
  AmountTooLow: 'the amount is zero',
  NotEnoughBalanceToStake: 'the faucet has less than this amount left',
  AccountNotAllowedCommit: 'only registered hotkeys may commit',
  SpaceLimitExceeded: 'the hotkey has used up its commitment bytes of this epoch',
  // Reading.
  UnknownBlock: 'the block lies ahead of the head, or its state is no longer kept',
} as const

export type Refusal = keyof typeof REFUSALS

/** `CHAIN_REFUSED` with the chain's name in `data.reason`. */
export function refused(reason: Refusal, data: ErrorData = {}): SubnetError {
  return new SubnetError('CHAIN_REFUSED', `${reason}: ${REFUSALS[reason]}`, { data: { ...data, reason } })
}

/** The chain's name for the refusal behind an error, or `undefined` for any other failure. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof SubnetError) || error.code !== 'CHAIN_REFUSED') return undefined
  return String(error.data.reason)
}
