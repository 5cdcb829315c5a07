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
