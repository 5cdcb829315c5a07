/**
 * The `Chain` port: what roles may know of and ask from the chain. Adapters: the embedded devchain in-process and over
 * WebSocket; subtensor follows. The conformance suite runs against each. Numbers in rao (10⁻⁹ TAO) are BigInt.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Startable } from '../base/lifecycle.js'
import type { Signer } from '../crypto/keys.js'

export interface BlockHead {
  readonly number: number
  /** 0x-prefixed hex. */
  readonly hash: string
}

/** One registered hotkey. */
export interface Neuron {
  readonly uid: number
  /** SS58. */
  readonly hotkey: string
  /** SS58 of the owner: identities of one coldkey count as one operator. */
  readonly coldkey: string
  readonly stakeRao: bigint
  /** May act as a validator until the next epoch. */
  readonly validatorPermit: boolean
  readonly registeredAtBlock: number
}

/** The subnet at one block. Neurons in uid order. */
export interface Metagraph {
  readonly netuid: number
  readonly block: number
  readonly neurons: readonly Neuron[]
}

/** What a hotkey says of itself on chain. One record, one writer per hotkey; every write replaces all of it. */
export interface ChainRecord {
  readonly peerId: string
  /** Multiaddr without `/p2p/`; peer id and address together at most `RECORD_ENDPOINT_BYTES_MAX`. */
  readonly address: string
}

/** Peer id (raw bytes) and address (raw bytes) share one commitment field of the real chain. */
export const RECORD_ENDPOINT_BYTES_MAX = 120

export interface ChainConstants {
  /** 0x-prefixed hex; every signed message names it, so nothing signed for one chain works on another. */
  readonly genesisHash: string
  readonly netuid: number
  readonly blockMs: number
  /** Blocks per epoch. */
  readonly tempo: number
}

export interface Registration {
  readonly hotkey: Signer
  /** SS58. */
  readonly coldkey: string
}

/**
 * All calls reject with `CHAIN_UNAVAILABLE` when the chain does not answer and `CHAIN_REFUSED` when it says no, with
 * the chain's own name for it in `data.reason`.
 */
export interface Chain extends Startable {
  /** Known after `start`. */
  readonly constants: ChainConstants
  head(options?: AbortOptions): Promise<BlockHead>
  /**
   * Calls back for every new head this adapter sees, in the chain's order. A chain that lost blocks (a reorg, a
   * devchain restarted without its state) announces a lower number again. Returns the function that unregisters.
   */
  onHead(listener: (head: BlockHead) => void): () => void
  /** At the head, or at a past block the adapter still knows; `UnknownBlock` for any other. */
  metagraph(options?: AbortOptions & { readonly at?: number }): Promise<Metagraph>
  /** 32 bytes nobody could predict before that block. */
  randomness(block: number, options?: AbortOptions): Promise<Uint8Array>
  /**
   * Resolves with the uid once the registration is in a block; a hotkey that is registered keeps its uid, and is
   * refused as `NonAssociatedColdKey` when it belongs to another coldkey.
   */
  registerHotkey(registration: Registration, options?: AbortOptions): Promise<number>
  /** Resolves once the stake is in a block. */
  addStake(hotkey: Signer, amountRao: bigint, options?: AbortOptions): Promise<void>
  /** Replaces the hotkey's record; resolves once it is in a block. Rejects with `INVALID` for a malformed record. */
  commit(hotkey: Signer, record: ChainRecord, options?: AbortOptions): Promise<void>
  /** At the head, by hotkey; only registered hotkeys that committed one. Texts are canonical. */
  records(options?: AbortOptions): Promise<ReadonlyMap<string, ChainRecord>>
}

/**
 * What a subnet's owner may set, and what registering costs now. Names follow the runtime's storage items in camel case;
 * shares are kept as the chain stores them (u16 of 65,535, or what the comment says), so that nothing is rounded.
 */
export interface Hyperparameters {
  readonly tempo: number
  readonly kappa: number
  readonly immunityPeriodBlocks: number
  readonly minAllowedWeights: number
  readonly maxWeightsLimit: number
  readonly activityCutoffBlocks: number
  readonly weightsVersion: bigint
  readonly weightsRateLimitBlocks: number
  readonly commitRevealEnabled: boolean
  readonly revealPeriodEpochs: number
  readonly yuma3Enabled: boolean
  readonly liquidAlphaEnabled: boolean
  readonly alphaLow: number
  readonly alphaHigh: number
  /** Thousandths: 1000 is a steepness of 1. */
  readonly alphaSigmoidSteepness: number
  /** Millionths. */
  readonly bondsMovingAverage: number
  readonly bondsPenalty: number
  readonly maxAllowedUids: number
  readonly maxAllowedValidators: number
  readonly registrationAllowed: boolean
  readonly burnRao: bigint
  readonly minBurnRao: bigint
  readonly maxBurnRao: bigint
  readonly stakeThresholdRao: bigint
}

/** What the owner may change with `setHyperparameter`. */
export type OwnerParameter = Exclude<
  keyof Hyperparameters,
  'burnRao' | 'tempo' | 'stakeThresholdRao' | 'maxAllowedUids'
>

/** Equal lengths; uids ascending, each once. */
export interface Weights {
  readonly uids: readonly number[]
  /** u16. */
  readonly values: readonly number[]
  readonly versionKey: bigint
}

/** What a commit hides. */
export interface WeightsReveal extends Weights {
  /** u16 each; secret until the reveal, persisted before the commit. */
  readonly salt: readonly number[]
}

/** Weights as validators set them. Each call resolves once its effect is in a block. */
export interface WeightsChain {
  /** By uid of the validator, its row of [uid, u16]; rows of validators that set none are absent. */
  weights(options?: AbortOptions): Promise<ReadonlyMap<number, ReadonlyArray<readonly [number, number]>>>
  setWeights(hotkey: Signer, weights: Weights, options?: AbortOptions): Promise<void>
  /** `hash` is `weightsCommitHash` of what will be revealed. */
  commitWeights(hotkey: Signer, hash: Uint8Array, options?: AbortOptions): Promise<void>
  revealWeights(hotkey: Signer, reveal: WeightsReveal, options?: AbortOptions): Promise<void>
}

/** How explorers find a node; the peer id is in the `ChainRecord`. */
export interface Axon {
  /** IPv4 or IPv6 in text. */
  readonly ip: string
  readonly port: number
}

/** What a subnet says of itself; texts are UTF-8. */
export interface SubnetIdentity {
  readonly name: string
  readonly repository: string
  readonly contact: string
  readonly url: string
  readonly description: string
}

export interface SubnetInfo {
  readonly netuid: number
  /** SS58. */
  readonly ownerColdkey: string
  readonly ownerHotkey: string
  readonly registeredAtBlock: number
  /** False until `startSubnet`: no emission yet. */
  readonly started: boolean
  /** The first block in which `startSubnet` is allowed. */
  readonly startAllowedAtBlock: number
  readonly identity: SubnetIdentity | undefined
}

/**
 * What the coldkey does: it pays, so each of these is planned and shown before it is sent. All of them refuse with
 * `CHAIN_REFUSED`, whose data is `{ kind, reason, code?, block? }`: `kind` 'pool' (with the RPC's custom `code`),
 * 'dispatch' (the chain's error name) or 'precondition' (`reason` names it, `block` is when it will hold, if known).
 */
export interface RegistryChain {
  /** Free balance of a coldkey. */
  balanceRao(coldkey: string, options?: AbortOptions): Promise<bigint>
  /** The netuids there are, ascending. */
  subnets(options?: AbortOptions): Promise<readonly number[]>
  subnet(netuid: number, options?: AbortOptions): Promise<SubnetInfo | undefined>
  /** What `registerSubnet` would lock now. */
  subnetCostRao(options?: AbortOptions): Promise<bigint>
  /** Registers with burn on the adapter's subnet, refused when the burn is above `limitRao`. The uid. */
  burnedRegister(
    request: { readonly coldkey: Signer; readonly hotkey: string; readonly limitRao: bigint },
    options?: AbortOptions,
  ): Promise<number>
  /** The netuid of the new subnet. */
  registerSubnet(
    request: { readonly coldkey: Signer; readonly hotkey: string },
    options?: AbortOptions,
  ): Promise<number>
  startSubnet(
    request: { readonly coldkey: Signer; readonly netuid: number },
    options?: AbortOptions,
  ): Promise<void>
  setSubnetIdentity(
    request: { readonly coldkey: Signer; readonly netuid: number; readonly identity: SubnetIdentity },
    options?: AbortOptions,
  ): Promise<void>
  setHyperparameter<P extends OwnerParameter>(
    request: {
      readonly coldkey: Signer
      readonly netuid: number
      readonly name: P
      readonly value: Hyperparameters[P]
    },
    options?: AbortOptions,
  ): Promise<void>
  stake(
    request: { readonly coldkey: Signer; readonly hotkey: string; readonly amountRao: bigint },
    options?: AbortOptions,
  ): Promise<void>
}

/** What else a node reads and writes. */
export interface SubnetChain {
  /** The newest block that cannot be undone. */
  finalizedHead(options?: AbortOptions): Promise<BlockHead>
  hyperparameters(options?: AbortOptions & { readonly at?: number }): Promise<Hyperparameters>
  /** Announces where the hotkey serves. */
  serve(hotkey: Signer, axon: Axon, options?: AbortOptions): Promise<void>
}

/** How a hotkey fared in the last epoch, as `Neuron` will carry it. Shares are u16 of 65,535, as the chain stores them. */
export interface NeuronScores {
  readonly lastUpdateBlock: number
  readonly active: boolean
  readonly consensus: number
  readonly incentive: number
  readonly dividends: number
  readonly validatorTrust: number
  /** Earned in the last epoch, in rao of the subnet's alpha. */
  readonly emissionRao: bigint
}

/** Devchain only: identities without a coldkey get in, and get stake, at no cost. */
export interface Faucet {
  /** Resolves with the uid; a hotkey that is registered keeps its uid. */
  join(registration: Registration, options?: AbortOptions): Promise<number>
  /** The faucet stakes for the hotkey. */
  stake(hotkey: Signer, amountRao: bigint, options?: AbortOptions): Promise<void>
}
