/**
 * How a subtensor node and its runtime say no, as `CHAIN_REFUSED`: kind, the chain's own error name, and what to do.
 * Sources: `common/src/transaction_error.rs` and `pallets/subtensor/src/extensions/subtensor.rs` of runtime spec 425
 * (custom codes), `sc-rpc-api` author errors (1010 to 1018).
 */
import { SubnetError } from '../../base/errors.js'
import type { RefusalData } from '../chain.js'
import type { RpcRefusal } from './node-socket.js'

/** Reasons that have a remedy which the name does not say. */
const ADVICE: Readonly<Record<string, string>> = {
  AccountNotAllowedCommit: 'only hotkeys registered on this subnet may commit: register first',
  AdminActionProhibitedDuringWeightsWindow: 'owner settings are closed shortly before an epoch: try after it',
  AncientBirthBlock: 'it came too late: this node may be behind; try again',
  BadOrigin: 'this needs another key: the owner’s coldkey, or for some settings the chain’s root',
  BadProof:
    'the signature is not valid on this chain: check that the endpoint is of the network that is meant',
  BalanceTooLow: 'the coldkey has too little free balance',
  CannotAffordLockCost: 'the coldkey cannot pay what a subnet costs now: see "subnet-node subnet create"',
  CommitRevealEnabled: 'this subnet hides weights: commit and reveal them instead',
  CommitRevealDisabled: 'this subnet takes plain weights: set them instead',
  FundsUnavailable: 'the coldkey has too little free balance',
  HotKeyAlreadyRegisteredInSubNet: 'nothing to do: it is registered',
  HotKeyNotRegisteredInSubNet: 'run "subnet-node register" first; it shows the cost',
  HotKeyNotRegisteredInNetwork: 'run "subnet-node register" first; it shows the cost',
  IncorrectWeightVersionKey: 'the subnet asks for a newer version: update this program',
  NetworkTxRateLimitExceeded: 'subnets are created one at a time: wait',
  NeuronNoValidatorPermit: 'permits are given at an epoch, by stake: add stake and wait for the next one',
  NonAssociatedColdKey: 'the hotkey belongs to another coldkey: check --wallet.name and --wallet.hotkey',
  NotEnoughBalanceToStake: 'the coldkey has too little free balance',
  NotEnoughStakeToSetWeights: 'the hotkey has less stake than the chain asks of validators: add stake',
  NoWeightsCommitFound: 'there is nothing to reveal: it was never committed, was revealed, or has expired',
  Payment: 'the account cannot pay the fee: it has too little free balance',
  RegistrationPriceLimitExceeded:
    'registering now costs more than was agreed to: look again, or wait until it falls',
  RevealTooEarly: 'weights are revealed in the epoch after the commit: wait',
  ServingRateLimitExceeded: 'the address was announced a short while ago: wait',
  SettingWeightsTooFast: 'weights were set, or the hotkey registered, a short while ago: wait',
  CommittingWeightsTooFast: 'weights were committed, or the hotkey registered, a short while ago: wait',
  SpaceLimitExceeded: 'the hotkey has used up its commitment bytes of this epoch: wait for the next',
  SubNetRegistrationDisabled: 'the owner has closed registration on this subnet',
  SubnetNotExists: 'check --netuid',
  TxRateLimitExceeded: 'this setting was changed a short while ago: wait',
}

/** `InvalidTransaction::Custom`: names of the runtime's errors, or of the code where several errors share one. */
const CUSTOM_CODES: Readonly<Record<number, string>> = {
  0: 'ColdkeySwapAnnounced',
  1: 'NotEnoughStakeToSetWeights',
  2: 'NotEnoughBalanceToStake',
  3: 'SubnetNotExists',
  4: 'HotKeyAccountNotExists',
  5: 'NotEnoughStakeToWithdraw',
  6: 'RateLimitExceeded',
  7: 'InsufficientLiquidity',
  8: 'SlippageTooHigh',
  9: 'TransferDisallowed',
  10: 'HotKeyNotRegisteredInNetwork',
  11: 'InvalidIpAddress',
  12: 'ServingRateLimitExceeded',
  13: 'InvalidPort',
  14: 'ZeroMaxAmount',
  15: 'InvalidRevealRound',
  16: 'NoWeightsCommitFound',
  17: 'RevealTooEarly',
  18: 'InputLengthsUnequal',
  19: 'HotKeyNotRegisteredInSubNet',
  20: 'EvmKeyAssociateRateLimitExceeded',
  21: 'ColdkeySwapDisputed',
  22: 'InvalidRealAccount',
  23: 'FailedShieldedTxParsing',
  24: 'InvalidShieldedTxPubKeyHash',
  25: 'NonAssociatedColdKey',
  26: 'DelegateTakeTooLow',
  27: 'DelegateTakeTooHigh',
  255: 'BadRequest',
}

/** Codes that mean one error in one call and another in the next. */
const CUSTOM_CODES_OF_CALL: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  set_weights: { 6: 'SettingWeightsTooFast' },
  commit_weights: { 6: 'CommittingWeightsTooFast' },
  register_network: { 6: 'NetworkTxRateLimitExceeded' },
  add_stake: { 1: 'AmountTooLow' },
}

/** What nodes write for `InvalidTransaction` without a custom code (Chopsticks the JSON of it), and the runtime's name. */
const INVALID_TEXTS: readonly (readonly [RegExp, string])[] = [
  [/outdated|"stale"/i, 'Stale'],
  [/bad signature|"badproof"/i, 'BadProof'],
  [/pay some fees|"payment"/i, 'Payment'],
  [/future/i, 'Future'],
  [/ancient/i, 'AncientBirthBlock'],
  [/exhaust/i, 'ExhaustsResources'],
]

const INVALID_TRANSACTION = 1010
/** Banned for a while, already imported, too low priority: it, or another with its nonce, is in the pool or was. */
const MAYBE_IN_POOL: ReadonlySet<number> = new Set([1012, 1013, 1014])

/** `CHAIN_REFUSED` before anything was sent. */
export function refusedBefore(reason: string, text: string, block?: number): SubnetError {
  return refused({ kind: 'precondition', reason, ...(block === undefined ? {} : { block }) }, text)
}

/** `CHAIN_REFUSED` by the pool, or `undefined` when the answer leaves open whether the transaction is in it. */
export function refusedByPool(error: RpcRefusal, call: string): SubnetError | undefined {
  if (MAYBE_IN_POOL.has(error.code)) return undefined
  const text = `${error.message} ${error.detail}`
  const custom =
    error.code === INVALID_TRANSACTION ? /custom(?: error)?"?:?\s*(\d+)/i.exec(text)?.[1] : undefined
  if (custom !== undefined) {
    const code = Number(custom)
    const reason = CUSTOM_CODES_OF_CALL[call]?.[code] ?? CUSTOM_CODES[code] ?? `Custom${code}`
    return refused({ kind: 'pool', reason, code }, `the node refused ${call}`)
  }
  const [, known] = INVALID_TEXTS.find(([pattern]) => pattern.test(text)) ?? []
  const reason = known ?? (error.code === 1016 ? 'ImmediatelyDropped' : 'InvalidTransaction')
  return refused({ kind: 'pool', reason, code: error.code }, `the node refused ${call}: ${text.trim()}`)
}

/** `CHAIN_REFUSED` inside a block. */
export function refusedInBlock(reason: string, call: string, block: number): SubnetError {
  return refused({ kind: 'dispatch', reason }, `${call} failed in block ${block}`)
}

/** The same refusal, saying when the call will do. */
export function withBlock(error: SubnetError, block: number): SubnetError {
  return new SubnetError(error.code, `${error.message}; permitted from block ${block}`, {
    cause: error.cause,
    data: { ...error.data, block },
  })
}

/** The chain's name for the refusal behind an error, or `undefined` for any other failure. */
export function reasonOf(error: unknown): string | undefined {
  return error instanceof SubnetError && error.code === 'CHAIN_REFUSED'
    ? String(error.data.reason)
    : undefined
}

function refused(data: RefusalData, text: string): SubnetError {
  const advice = ADVICE[data.reason]
  const named = text.includes(data.reason) ? text : `${text}: ${data.reason}`
  return new SubnetError('CHAIN_REFUSED', advice === undefined ? named : `${named}; ${advice}`, { data })
}
