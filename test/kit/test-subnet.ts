/** A real `SubnetView` over a chain that says what the test says. Wait for `cryptoReady` first. */
import type { WireDomain } from '../../protocols/common/signed.js'
import { SubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import type { BlockHead, Chain, ChainRecord, Metagraph, NeuronScores } from '../../src/chain/chain.js'
import { nextAnchoredEpochBlock } from '../../src/chain/epoch.js'
import { SubnetView } from '../../src/chain/subnet-view.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { TestKey } from './chain-keys.js'
import { testColdkey, testRecord } from './chain-keys.js'

export const TEST_DOMAIN: WireDomain = { genesis: new Uint8Array(32).fill(7), netuid: 1 }

const TEMPO = 10
/** Of a neuron that no epoch has scored. */
export const NO_SCORES: NeuronScores = {
  lastUpdateBlock: 0,
  active: true,
  consensus: 0,
  incentive: 0,
  dividends: 0,
  validatorTrust: 0,
  emissionRao: 0n,
}

export interface TestNeuron {
  readonly key: TestKey
  /** Default: one of its own. */
  readonly coldkey?: string
  readonly stakeRao?: bigint
  readonly validatorPermit?: boolean
  /** Default: where `peerOf` says; `undefined` for one that has committed no record. */
  readonly record?: ChainRecord | undefined
}

/** A peer id and loopback address for the neuron with this number. */
export function peerOf(number: number): ChainRecord {
  return testRecord(number)
}

export class TestSubnet {
  readonly view: SubnetView
  readonly #listeners = new Set<(head: BlockHead) => void>()
  #neurons: readonly TestNeuron[] = []
  block = 0
  /** Blocks whose randomness was asked for. */
  readonly beaconsAsked: number[] = []
  readonly chain: Chain

  constructor() {
    this.chain = this.#chain()
    this.view = new SubnetView({ chain: this.chain, logger: silentLogger })
  }

  /** A new block with these neurons, uids in their order; the view, which this starts, has it when it resolves. */
  async set(neurons: readonly TestNeuron[], block = this.block + 1): Promise<void> {
    this.#neurons = neurons
    this.block = block
    if (this.#listeners.size === 0) {
      await this.view.start()
      return
    }
    const seen = new Promise<void>((resolve) => {
      const unregister = this.view.onChange(() => {
        unregister()
        resolve()
      })
    })
    for (const listener of this.#listeners) listener({ number: block, hash: '0x', timestampMs: 0 })
    await seen
  }

  #chain(): Chain {
    const refuse = async () => {
      throw new SubnetError('CHAIN_UNAVAILABLE', 'this chain is for looking at only')
    }
    return {
      constants: {
        genesisHash: `0x${'07'.repeat(32)}`,
        netuid: TEST_DOMAIN.netuid,
        blockMs: 1_000,
        tempo: TEMPO,
      },
      start: async () => undefined,
      stop: async () => undefined,
      head: async () => ({ number: this.block, hash: '0x', timestampMs: 0 }),
      onHead: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      metagraph: async () => this.#metagraph(),
      randomness: async (block) => {
        this.beaconsAsked.push(block)
        return sha256(new TextEncoder().encode(`block ${block}`))
      },
      records: async () => this.#records(),
      weights: async () => new Map(),
      finalizedHead: async () => ({ number: this.block, hash: '0x', timestampMs: 0 }),
      faucet: undefined,
      hyperparameters: refuse,
      balanceRao: refuse,
      subnets: refuse,
      subnet: refuse,
      subnetCostRao: refuse,
      burnedRegister: refuse,
      registerSubnet: refuse,
      startSubnet: refuse,
      setSubnetIdentity: refuse,
      setHyperparameter: refuse,
      stake: refuse,
      serve: refuse,
      commit: refuse,
      setWeights: refuse,
      commitWeights: refuse,
      revealWeights: refuse,
    }
  }

  #metagraph(): Metagraph {
    const neurons = this.#neurons.map((neuron, uid) => ({
      uid,
      hotkey: neuron.key.address,
      coldkey: neuron.coldkey ?? testColdkey(uid).address,
      stakeRao: neuron.stakeRao ?? 0n,
      validatorPermit: neuron.validatorPermit ?? false,
      registeredAtBlock: 0,
      ...NO_SCORES,
    }))
    const nextEpochBlock = nextAnchoredEpochBlock(0, TEMPO, this.block)
    const epoch = Math.floor(this.block / TEMPO)
    return { netuid: TEST_DOMAIN.netuid, block: this.block, epoch, nextEpochBlock, neurons }
  }

  #records(): ReadonlyMap<string, ChainRecord> {
    const records = new Map<string, ChainRecord>()
    for (const [uid, neuron] of this.#neurons.entries()) {
      const record = 'record' in neuron ? neuron.record : peerOf(uid)
      if (record !== undefined) records.set(neuron.key.address, record)
    }
    return records
  }
}
