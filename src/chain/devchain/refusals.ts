/**
 * Every reason for which a devchain says no, under the real chain's own name (`pallet_subtensor`, `pallet_commitments`,
 * `pallet_admin_utils`, `sp_runtime` InvalidTransaction; `UnknownBlock` and `ImmediatelyDropped` are the node's RPC).
 */
import { type ErrorData, SubnetError } from '../../base/errors.js'
import type { RefusalData } from '../chain.js'

/** On the way into the pool: the operation is not included and spends no nonce. */
const ADMISSION = {
  BadProof: 'the signature does not verify for this chain and key',
  Stale: 'an operation with this nonce was already accepted',
  Future: 'the nonce is ahead of the next one',
  AncientBirthBlock: 'the last block this operation may enter has passed',
  ImmediatelyDropped: 'the pool has no room for this operation',
} as const

/** Where a subnet's rules say no. */
const DISPATCH = {
  // Registering.
  SubnetNotExists: 'there is no subnet with this netuid',
  RegistrationPriceLimitExceeded: 'the burn is above the limit given',
  SubNetRegistrationDisabled: 'the subnet takes no registrations',
  HotKeyAlreadyRegisteredInSubNet: 'the hotkey is already registered',
  NonAssociatedColdKey: 'the hotkey belongs to another coldkey',
  NoNeuronIdAvailable: 'the subnet has no free uid',
  // Swapping.
  NewHotKeyIsSameWithOld: 'the new hotkey is the old one',
  HotKeySetTxRateLimitExceeded: 'the coldkey swapped a hotkey too short a time ago',
  NotEnoughBalanceToPaySwapHotKey: 'there is less left than a swap costs',
  // Balance and stake.
  HotKeyAccountNotExists: 'the hotkey has no account: it is not registered',
  AmountTooLow: 'the amount is too low',
  NotEnoughBalanceToStake: 'there is less than this amount left',
  SubtokenDisabled: 'the subnet has not been started',
  // Weights.
  CommitRevealEnabled: 'the subnet takes commits and reveals, no plain weights',
  CommitRevealDisabled: 'the subnet takes plain weights, no commits and reveals',
  WeightVecNotEqualSize: 'there are not as many weights as uids',
  UidsLengthExceedUidsInSubNet: 'there are more uids than the subnet has',
  HotKeyNotRegisteredInSubNet: 'the hotkey is not registered',
  NotEnoughStakeToSetWeights: 'the hotkey has less stake than setting weights takes',
  IncorrectWeightVersionKey: 'the version key is older than the subnet’s',
  SettingWeightsTooFast: 'the hotkey set weights, or was registered, too short a time ago',
  CommittingWeightsTooFast: 'the hotkey committed weights, or was registered, too short a time ago',
  NeuronNoValidatorPermit: 'the hotkey has no validator permit',
  DuplicateUids: 'a uid is listed twice',
  UidVecContainInvalidOne: 'a uid does not exist',
  WeightVecLengthIsLow: 'there are fewer weights than the subnet asks for',
  MaxWeightExceeded: 'one weight has more than the share the subnet allows',
  TooManyUnrevealedCommits: 'ten commits already wait for their reveal',
  NoWeightsCommitFound: 'there is no commit to reveal',
  ExpiredWeightCommit: 'the epoch in which this commit could be revealed has passed',
  RevealTooEarly: 'the epoch in which this commit can be revealed has not come',
  InvalidRevealCommitHashNotMatch: 'no commit hides these weights',
  // Announcing.
  HotKeyNotRegisteredInNetwork: 'the hotkey is not registered',
  InvalidIpAddress: 'this address cannot be served from',
  ServingRateLimitExceeded: 'the hotkey announced an address too short a time ago',
  InvalidPort: 'port 0 cannot be served from',
  AccountNotAllowedCommit: 'only registered hotkeys may commit',
  SpaceLimitExceeded: 'the hotkey has used up its commitment bytes of this epoch',
  // Owning a subnet.
  CannotAffordLockCost: 'the coldkey has less than a subnet costs now',
  SubnetLimitReached: 'the chain has room for no further subnet',
  BadOrigin: 'only the subnet’s owner may do this, and some things only the chain’s root',
  NotSubnetOwner: 'only the subnet’s owner may do this',
  FirstEmissionBlockNumberAlreadySet: 'the subnet was started before',
  NeedWaitingMoreBlocksToStarCall: 'the subnet was created too short a time ago',
  InvalidIdentity: 'a text of the identity is too long',
  TxRateLimitExceeded: 'this parameter was changed too short a time ago',
  AdminActionProhibitedDuringWeightsWindow: 'the last blocks of an epoch are for weights alone',
  ValueNotInBounds: 'the value is out of bounds',
  BondsMovingAverageMaxReached: 'the owner may set at most 975,000',
  ActivityCutoffTooLow: 'the activity cutoff is too low',
  RevealPeriodTooLarge: 'a reveal period has at most 100 epochs',
  RevealPeriodTooSmall: 'a reveal period has at least one epoch',
  LiquidAlphaDisabled: 'liquid alpha is not enabled',
  AlphaHighTooLow: 'the upper alpha is below 1/40',
  AlphaLowOutOfRange: 'the lower alpha is below 1/40 or above the upper one',
} as const

/** Before anything is sent, or reading. */
const PRECONDITION = {
  UnknownBlock: 'the block lies ahead of the head, or its state is no longer kept',
} as const

export const REFUSALS = { ...ADMISSION, ...DISPATCH, ...PRECONDITION }

export type Refusal = keyof typeof REFUSALS

/** Why an operation was refused, and the first block in which it will do, where that is known. */
export interface RefusalNote {
  readonly reason: Refusal
  readonly block?: number
}

/**
 * What the real node's pool already refuses, as error 1010 with this custom code (`CustomTransactionError` of the
 * runtime); everything else is refused inside a block.
 */
export const POOL_CODES: Readonly<Partial<Record<Refusal, number>>> = {
  NotEnoughStakeToSetWeights: 1,
  SubnetNotExists: 3,
  SettingWeightsTooFast: 6,
  CommittingWeightsTooFast: 6,
  HotKeyNotRegisteredInNetwork: 10,
  InvalidIpAddress: 11,
  ServingRateLimitExceeded: 12,
  InvalidPort: 13,
  NoWeightsCommitFound: 16,
  RevealTooEarly: 17,
  ExpiredWeightCommit: 17,
}

/** `CHAIN_REFUSED` with the chain's name in `data.reason`; `data` completes its `RefusalData`. */
export function refused(reason: Refusal, data: Partial<RefusalData> & ErrorData = {}): SubnetError {
  const hint =
    typeof data.block === 'number' && reason !== 'UnknownBlock'
      ? `; block ${data.block} is the first that will do`
      : ''
  return new SubnetError('CHAIN_REFUSED', `${reason}: ${REFUSALS[reason]}${hint}`, {
    data: { kind: kindOf(reason), ...data, reason },
  })
}

/** As `refused`, by the pool with its code. */
export function refusedByPool(note: RefusalNote, code: number): SubnetError {
  return refused(note.reason, { ...note, kind: 'pool', code })
}

function kindOf(reason: Refusal): RefusalData['kind'] {
  if (reason in ADMISSION) return 'pool'
  return reason in DISPATCH ? 'dispatch' : 'precondition'
}

/** The chain's name for the refusal behind an error, or `undefined` for any other failure. */
export function refusalOf(error: unknown): string | undefined {
  if (!(error instanceof SubnetError) || error.code !== 'CHAIN_REFUSED') return undefined
  return String(error.data.reason)
}
