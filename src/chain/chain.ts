/**
 * The `Chain` port: what roles, registration and the operator's commands may know of and ask from the chain. Adapters:
 * the embedded devchain in-process and over WebSocket, and subtensor. One conformance suite runs against each. Numbers
 * in rao (10⁻⁹ TAO) are BigInt. What a call is refused with is the chain's business, how a refusal looks is this file's.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Startable } from '../base/lifecycle.js'
import type { Signer } from '../crypto/keys.js'

/**
 * The data of every `CHAIN_REFUSED`. `kind` is where it was refused: before it was sent, by the node's pool (with the
 * RPC's custom `code`), or inside a block. `reason` is the chain's own error name, or names the precondition.
 */
export type RefusalData = {
  readonly kind: 'precondition' | 'pool' | 'dispatch'
  readonly reason: string
  readonly code?: number
  /** The first block in which the same call will do, where that is known. */
  readonly block?: number
}

export interface BlockHead {
  readonly number: number
  /** 0x-prefixed hex. */
  readonly hash: string
  /** When it was made, as its author says. */
  readonly timestampMs: number
}

/** How explorers find a node; the peer id is in the `ChainRecord`. */
export interface Axon {
  /** IPv4 or IPv6 in text. */
  readonly ip: string
  readonly port: number
}

/** How a hotkey fared in the last epoch. Shares are u16 of 65,535, as the chain stores them. */
export interface NeuronScores {
  /** When it last set or committed weights; its registration counts as setting. */
  readonly lastUpdateBlock: number
  /** Within the activity cutoff at the last epoch. */
  readonly active: boolean
  readonly consensus: number
  readonly incentive: number
  readonly dividends: number
  readonly validatorTrust: number
  /** Earned in the last epoch, in rao of the subnet's alpha. */
  readonly emissionRao: bigint
}

/** One registered hotkey. */
export interface Neuron extends NeuronScores {
  readonly uid: number
  /** SS58. */
  readonly hotkey: string
  /** SS58 of the owner: identities of one coldkey count as one operator. */
  readonly coldkey: string
  /** Stake weight on this subnet: its alpha, and root stake as far as the chain counts it. */
  readonly stakeRao: bigint
  /** May act as a validator until the next epoch. */
  readonly validatorPermit: boolean
  readonly registeredAtBlock: number
  /** Where it serves, as it announced with `serve`; absent before. */
  readonly axon?: Axon
}

/** The subnet at one block. Neurons in uid order. */
export interface Metagraph {
  readonly netuid: number
  readonly block: number
  /** Index of the epoch that `block` is in, as commits and reveals count it. */
  readonly epoch: number
  /** The first block after `block` with an epoch step, by the runtime's own rule (`epoch.ts`), if tempo stays. */
  readonly nextEpochBlock: number
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
  /** Blocks per epoch, as read at `start`; the owner may change it, see `Hyperparameters`. */
  readonly tempo: number
}

export interface Registration {
  readonly hotkey: Signer
  /** SS58. */
  readonly coldkey: string
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
  /** `hash` is `weightsCommitHash` (`weights-commit.ts`) of what will be revealed. */
  commitWeights(hotkey: Signer, hash: Uint8Array, options?: AbortOptions): Promise<void>
  revealWeights(hotkey: Signer, reveal: WeightsReveal, options?: AbortOptions): Promise<void>
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

/** What the coldkey does: it pays, so each of these is planned and shown before it is sent. */
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
  /** Of the adapter's own subnet, or of `netuid`; `SubnetNotExists` when there is none. */
  hyperparameters(
    options?: AbortOptions & { readonly at?: number; readonly netuid?: number },
  ): Promise<Hyperparameters>
  /** Announces where the hotkey serves. */
  serve(hotkey: Signer, axon: Axon, options?: AbortOptions): Promise<void>
}

/** Devchain only: identities without a coldkey get in, and get stake, at no cost. */
export interface Faucet {
  /**
   * Resolves with the uid once the registration is in a block; a hotkey that is registered keeps its uid, and is
   * refused as `NonAssociatedColdKey` when it belongs to another coldkey.
   */
  join(registration: Registration, options?: AbortOptions): Promise<number>
  /** The faucet stakes for the hotkey; resolves once the stake is in a block. */
  stake(hotkey: Signer, amountRao: bigint, options?: AbortOptions): Promise<void>
  /** The faucet pays a coldkey; resolves once the balance is in a block. */
  pay(coldkey: Signer, amountRao: bigint, options?: AbortOptions): Promise<void>
}

/**
 * All calls reject with `CHAIN_UNAVAILABLE` when the chain does not answer, and `CHAIN_REFUSED` when it says no: its
 * data is a `RefusalData`.
 */
export interface Chain extends Startable, WeightsChain, RegistryChain, SubnetChain {
  /** Known after `start`. */
  readonly constants: ChainConstants
  /** `undefined` where value is real. */
  readonly faucet: Faucet | undefined
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
  /** Replaces the hotkey's record; resolves once it is in a block. Rejects with `INVALID` for a malformed record. */
  commit(hotkey: Signer, record: ChainRecord, options?: AbortOptions): Promise<void>
  /** At the head, by hotkey; only registered hotkeys that committed one. Texts are canonical. */
  records(options?: AbortOptions): Promise<ReadonlyMap<string, ChainRecord>>
}
