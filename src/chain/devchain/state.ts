/**
 * The devchain's rules as a pure state machine: a state, an operation or a block boundary, the next state. No signature,
 * clock or chance here: those are the authority's. Here an operation is admitted and dispatched; each subject's rules are
 * in a file of their own.
 */
import { topPermits } from '../../incentive/yuma.js'
import type { SubnetIdentity } from '../chain.js'
import { type Commit, commit, type Serve, serve } from './announcing.js'
import { stepSubnet } from './epoch-step.js'
import { type GenesisSpec, SUPPLY_RAO } from './genesis.js'
import { type Applied, type DevchainState, refuse } from './ledger.js'
import { registerSubnet, type SetParameter, setIdentity, setParameter, startSubnet } from './ownership.js'
import { defaultParameters, FIRST_BURN_RAO } from './parameters.js'
import type { Refusal } from './refusals.js'
import { type BurnedRegister, burnedRegister, join } from './registration.js'
import { type AddStake, faucetPay, faucetStake, stake } from './staking.js'
import { newNeuron, ownerUidOf, StakeBook, type Subnet, stakeOf, uidOf } from './subnet.js'
import { type SwapHotkey, swapHotkey } from './swap.js'
import { commitWeights, revealWeights, setWeights } from './weights.js'

export { type Applied, type DevchainState, stateRoot } from './ledger.js'

interface OnSubnet {
  readonly netuid: number
}
interface WeightsOf extends OnSubnet {
  readonly uids: readonly number[]
  readonly values: readonly number[]
  readonly versionKey: bigint
}

/** What a hotkey asks of the chain. */
export type HotkeyCall =
  | ({ readonly kind: 'join'; readonly coldkey: string } & OnSubnet)
  | ({ readonly kind: 'faucetStake'; readonly amountRao: bigint } & OnSubnet)
  | ({ readonly kind: 'commit' } & Commit)
  | ({ readonly kind: 'serve' } & Serve)
  | ({ readonly kind: 'setWeights' } & WeightsOf)
  | ({ readonly kind: 'commitWeights'; readonly hash: Uint8Array } & OnSubnet)
  | ({ readonly kind: 'revealWeights'; readonly salt: readonly number[] } & WeightsOf)

/** What a coldkey asks of the chain. */
export type ColdkeyCall =
  | { readonly kind: 'faucetPay'; readonly amountRao: bigint }
  | ({ readonly kind: 'burnedRegister' } & BurnedRegister)
  | ({ readonly kind: 'stake' } & AddStake)
  | { readonly kind: 'registerSubnet'; readonly hotkey: string }
  | ({ readonly kind: 'startSubnet' } & OnSubnet)
  | ({ readonly kind: 'setIdentity'; readonly identity: SubnetIdentity } & OnSubnet)
  | ({ readonly kind: 'setParameter' } & SetParameter)
  | ({ readonly kind: 'swapHotkey' } & SwapHotkey)

export type Call = HotkeyCall | ColdkeyCall

/** A call with what makes it one of a kind. Its signature has been verified. */
export interface Operation {
  /** SS58 of the key that asks. */
  readonly signer: string
  /** How many operations of this key came before. */
  readonly nonce: number
  /** The last block that may include it. */
  readonly expiresBlock: number
  readonly call: Call
}

export function genesisState(spec: GenesisSpec): DevchainState {
  const parameters = { ...defaultParameters(spec.tempo), ...spec.parameters }
  const book = new StakeBook(new Map())
  for (const { hotkey, coldkey, stakeRao } of spec.neurons) book.add(hotkey, coldkey, stakeRao)
  const stakedRao = spec.neurons.reduce((total, { stakeRao }) => total + stakeRao, 0n)
  const subnet: Subnet = {
    netuid: spec.netuid,
    owner: spec.owner ?? null,
    registeredAtBlock: 0,
    firstEmissionBlock: 1,
    identity: null,
    parameters,
    changedAt: new Map(),
    burnRao: FIRST_BURN_RAO,
    epoch: 0,
    lastEpochBlock: 0,
    lastStepBlock: null,
    neurons: spec.neurons.map(({ hotkey, coldkey }) => newNeuron(hotkey, coldkey, 0)),
    stakes: book.stakes,
    stakedRao,
    emittedRao: 0n,
  }
  return {
    firstNetuid: spec.netuid,
    defaults: parameters,
    subnets: new Map([[spec.netuid, { ...subnet, neurons: withPermits(subnet) }]]),
    balances: new Map(),
    owners: new Map(spec.neurons.map(({ hotkey, coldkey }) => [hotkey, coldkey])),
    nonces: new Map(),
    faucetRao: SUPPLY_RAO - stakedRao,
    recycledRao: 0n,
    lastLock: null,
  }
}

/** A genesis has no epoch before it: its permits follow its stakes. */
function withPermits(subnet: Subnet): Subnet['neurons'] {
  const stakes = subnet.neurons.map(({ hotkey }) => stakeOf(subnet, hotkey))
  const permits = topPermits(stakes, subnet.parameters.maxAllowedValidators, ownerUidOf(subnet))
  return subnet.neurons.map((neuron, uid) => ({ ...neuron, validatorPermit: permits[uid] === true }))
}

/** What happens at the start of every block, before its operations. The same value where nothing changes. */
export function onBlock(state: DevchainState, block: number): DevchainState {
  let changed = false
  const subnets = new Map<number, Subnet>()
  for (const [netuid, subnet] of state.subnets) {
    const stepped = stepSubnet(subnet, block)
    changed ||= stepped !== subnet
    subnets.set(netuid, stepped)
  }
  return changed ? { ...state, subnets } : state
}

/** Runs one operation inside `block`. */
export function applyOperation(state: DevchainState, operation: Operation, block: number): Applied {
  const refusal = admissionRefusal(operation, nonceOf(state, operation.signer), block)
  if (refusal !== undefined) return refuse(state, refusal)
  const dispatched = dispatch(state, operation, block)
  return { ...dispatched, state: spendNonce(dispatched.state, operation) }
}

/** Why an operation may not enter `block`, given the key's next nonce; these refusals spend none. */
export function admissionRefusal(
  operation: Operation,
  nextNonce: number,
  block: number,
): Refusal | undefined {
  if (block > operation.expiresBlock) return 'AncientBirthBlock'
  if (operation.nonce < nextNonce) return 'Stale'
  if (operation.nonce > nextNonce) return 'Future'
  return undefined
}

export function nonceOf(state: DevchainState, key: string): number {
  return state.nonces.get(key) ?? 0
}

function dispatch(state: DevchainState, { signer, call }: Operation, block: number): Applied {
  switch (call.kind) {
    case 'join':
      return join(state, signer, call, block)
    case 'faucetStake':
      return faucetStake(state, signer, call)
    case 'faucetPay':
      return faucetPay(state, signer, call)
    case 'commit':
      return commit(state, signer, call)
    case 'serve':
      return serve(state, signer, call, block)
    case 'setWeights':
      return setWeights(state, signer, call, block)
    case 'commitWeights':
      return commitWeights(state, signer, call, block)
    case 'revealWeights':
      return revealWeights(state, signer, call, block)
    case 'burnedRegister':
      return burnedRegister(state, signer, call, block)
    case 'stake':
      return stake(state, signer, call)
    case 'registerSubnet':
      return registerSubnet(state, signer, call, block)
    case 'startSubnet':
      return startSubnet(state, signer, call, block)
    case 'setIdentity':
      return setIdentity(state, signer, call)
    case 'setParameter':
      return setParameter(state, signer, call, block)
    case 'swapHotkey':
      return swapHotkey(state, signer, call, block)
  }
}

/** Only keys that the chain knows have a nonce to spend: refusals of strangers must not fill the state. */
function spendNonce(state: DevchainState, { signer, nonce }: Operation): DevchainState {
  const known = state.nonces.has(signer) || state.owners.has(signer) || state.balances.has(signer)
  if (!known && ![...state.subnets.values()].some((subnet) => uidOf(subnet, signer) !== undefined))
    return state
  return { ...state, nonces: new Map(state.nonces).set(signer, nonce + 1) }
}
