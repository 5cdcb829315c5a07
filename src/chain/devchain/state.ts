/**
 * The devchain's rules as a pure state machine: a state, an operation or a block boundary, the next state. Values are
 * never changed in place, so a kept state is a snapshot. No signature, clock or chance here: those are the authority's.
 */
import { encode } from '@ipld/dag-cbor'
import { invariant } from '../../base/errors.js'
import { sha256 } from '../../crypto/hash.js'
import type { ChainRecord, Metagraph } from '../chain.js'
import { decodeEndpoint } from '../record.js'
import { type GenesisSpec, SUPPLY_RAO, UIDS_MAX, VALIDATORS_MAX } from './genesis.js'
import type { Refusal } from './refusals.js'

/** Commitment bytes of one hotkey and epoch, and the least one call costs (`pallet_commitments`, MaxSpace). */
export const COMMITMENT_BYTES_PER_EPOCH_MAX = 3_100
export const COMMITMENT_BYTES_PER_CALL_MIN = 100

/** What a hotkey asks of the chain. */
export type Call =
  | { readonly kind: 'register'; readonly coldkey: string }
  | { readonly kind: 'addStake'; readonly amountRao: bigint }
  | { readonly kind: 'commit'; readonly endpoint: Uint8Array }

/** A call with what makes it one of a kind. Its signature has been verified. */
export interface Operation {
  /** SS58 of the signer. */
  readonly hotkey: string
  /** How many operations of this hotkey came before. */
  readonly nonce: number
  /** The last block that may include it. */
  readonly expiresBlock: number
  readonly call: Call
}

/** One uid; its position in `DevchainState.neurons` is the uid. */
export interface DevchainNeuron {
  readonly hotkey: string
  readonly coldkey: string
  readonly stakeRao: bigint
  readonly validatorPermit: boolean
  readonly registeredAtBlock: number
  /** Bytes of the committed record, see `record.ts`; `null` before the first. */
  readonly endpoint: Uint8Array | null
  /** Commitment bytes used in `spaceEpoch`; an older epoch counts as none. */
  readonly spaceEpoch: number
  readonly spaceUsedBytes: number
}

export interface DevchainState {
  readonly netuid: number
  readonly tempo: number
  readonly neurons: readonly DevchainNeuron[]
  /** Next nonce by hotkey; a hotkey that never registered has none and stays at 0. */
  readonly nonces: ReadonlyMap<string, number>
  readonly faucetRao: bigint
}

/** `state` is unchanged when refused, but for the nonce that a refusal inside a block spends. */
export interface Applied {
  readonly state: DevchainState
  readonly refusal?: Refusal
}

export function genesisState(spec: GenesisSpec): DevchainState {
  const neurons = spec.neurons.map((neuron) => newNeuron({ ...neuron, block: 0 }))
  return {
    netuid: spec.netuid,
    tempo: spec.tempo,
    neurons: permitTop(neurons),
    nonces: new Map(),
    faucetRao: neurons.reduce((left, neuron) => left - neuron.stakeRao, SUPPLY_RAO),
  }
}

/** What happens at the start of every block, before its operations: at an epoch boundary permits follow stake. */
export function onBlock(state: DevchainState, block: number): DevchainState {
  if (block % state.tempo !== 0) return state
  return { ...state, neurons: permitTop(state.neurons) }
}

/** Runs one operation inside `block`. */
export function applyOperation(state: DevchainState, operation: Operation, block: number): Applied {
  const refusal = admissionRefusal(operation, nonceOf(state, operation.hotkey), block)
  if (refusal !== undefined) return { state, refusal }
  const dispatched = dispatch(state, operation, block)
  return { ...dispatched, state: spendNonce(dispatched.state, operation) }
}

/** Why an operation may not enter `block`, given the hotkey's next nonce; these refusals spend none. */
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

export function nonceOf(state: DevchainState, hotkey: string): number {
  return state.nonces.get(hotkey) ?? 0
}

/** 32 bytes; equal states have equal roots, whatever way led to them. */
export function stateRoot(state: DevchainState): Uint8Array {
  return sha256(encode({ ...state, nonces: Object.fromEntries(state.nonces) }))
}

export function metagraphOf(state: DevchainState, block: number): Metagraph {
  const neurons = state.neurons.map((neuron, uid) => {
    const { hotkey, coldkey, stakeRao, validatorPermit, registeredAtBlock } = neuron
    return { uid, hotkey, coldkey, stakeRao, validatorPermit, registeredAtBlock }
  })
  return { netuid: state.netuid, block, neurons }
}

export function recordsOf(state: DevchainState): ReadonlyMap<string, ChainRecord> {
  const records = new Map<string, ChainRecord>()
  for (const neuron of state.neurons) {
    if (neuron.endpoint !== null) records.set(neuron.hotkey, decodeEndpoint(neuron.endpoint))
  }
  return records
}

function dispatch(state: DevchainState, operation: Operation, block: number): Applied {
  const { hotkey, call } = operation
  if (call.kind === 'register') return register(state, hotkey, call.coldkey, block)
  if (call.kind === 'addStake') return addStake(state, hotkey, call.amountRao)
  return commit(state, hotkey, call.endpoint, block)
}

/** The dev rule: the hotkey registers itself, at no cost. */
function register(state: DevchainState, hotkey: string, coldkey: string, block: number): Applied {
  if (uidOf(state, hotkey) !== undefined) return { state, refusal: 'HotKeyAlreadyRegisteredInSubNet' }
  if (state.neurons.length >= UIDS_MAX) return { state, refusal: 'NoNeuronIdAvailable' }
  const neuron = newNeuron({ hotkey, coldkey, stakeRao: 0n, block })
  return { state: { ...state, neurons: [...state.neurons, neuron] } }
}

/** The dev rule: the faucet pays, so stakes and faucet always add up to the supply. */
function addStake(state: DevchainState, hotkey: string, amountRao: bigint): Applied {
  const uid = uidOf(state, hotkey)
  if (uid === undefined) return { state, refusal: 'HotKeyAccountNotExists' }
  if (amountRao <= 0n) return { state, refusal: 'AmountTooLow' }
  if (amountRao > state.faucetRao) return { state, refusal: 'NotEnoughBalanceToStake' }
  const staked = changeNeuron(state, uid, (neuron) => ({ stakeRao: neuron.stakeRao + amountRao }))
  return { state: { ...staked, faucetRao: state.faucetRao - amountRao } }
}

function commit(state: DevchainState, hotkey: string, endpoint: Uint8Array, block: number): Applied {
  const uid = uidOf(state, hotkey)
  if (uid === undefined) return { state, refusal: 'AccountNotAllowedCommit' }
  const { spaceEpoch, spaceUsedBytes } = neuronAt(state, uid)
  const epoch = Math.floor(block / state.tempo)
  const costBytes = Math.max(endpoint.length, COMMITMENT_BYTES_PER_CALL_MIN)
  const usedBytes = (spaceEpoch === epoch ? spaceUsedBytes : 0) + costBytes
  if (usedBytes > COMMITMENT_BYTES_PER_EPOCH_MAX) return { state, refusal: 'SpaceLimitExceeded' }
  const change = { endpoint, spaceEpoch: epoch, spaceUsedBytes: usedBytes }
  return { state: changeNeuron(state, uid, () => change) }
}

/** Only registered hotkeys have a nonce to spend: refusals of strangers must not fill the state. */
function spendNonce(state: DevchainState, { hotkey, nonce }: Operation): DevchainState {
  if (!state.nonces.has(hotkey) && uidOf(state, hotkey) === undefined) return state
  return { ...state, nonces: new Map(state.nonces).set(hotkey, nonce + 1) }
}

/**
 * The `VALIDATORS_MAX` largest non-zero stakes. Of equal stakes the higher uid wins, as in `is_topk_nonzero` of the
 * runtime (`epoch/math.rs`), which sorts ascending, stably, and cuts from the front.
 */
function permitTop(neurons: readonly DevchainNeuron[]): readonly DevchainNeuron[] {
  const ascending = neurons.map((neuron, uid) => ({ stakeRao: neuron.stakeRao, uid }))
  ascending.sort((a, b) => (a.stakeRao < b.stakeRao ? -1 : a.stakeRao > b.stakeRao ? 1 : 0))
  const top = new Set(ascending.slice(-VALIDATORS_MAX).map((entry) => entry.uid))
  return neurons.map((neuron, uid) => {
    const validatorPermit = neuron.stakeRao > 0n && top.has(uid)
    return neuron.validatorPermit === validatorPermit ? neuron : { ...neuron, validatorPermit }
  })
}

interface NewNeuron {
  readonly hotkey: string
  readonly coldkey: string
  readonly stakeRao: bigint
  readonly block: number
}

function newNeuron({ hotkey, coldkey, stakeRao, block }: NewNeuron): DevchainNeuron {
  return {
    hotkey,
    coldkey,
    stakeRao,
    validatorPermit: false,
    registeredAtBlock: block,
    endpoint: null,
    spaceEpoch: 0,
    spaceUsedBytes: 0,
  }
}

function uidOf(state: DevchainState, hotkey: string): number | undefined {
  const uid = state.neurons.findIndex((neuron) => neuron.hotkey === hotkey)
  return uid === -1 ? undefined : uid
}

function neuronAt(state: DevchainState, uid: number): DevchainNeuron {
  const neuron = state.neurons[uid]
  invariant(neuron, `uid ${uid} is not registered`)
  return neuron
}

function changeNeuron(
  state: DevchainState,
  uid: number,
  change: (neuron: DevchainNeuron) => Partial<DevchainNeuron>,
): DevchainState {
  const neuron = neuronAt(state, uid)
  return { ...state, neurons: state.neurons.with(uid, { ...neuron, ...change(neuron) }) }
}
