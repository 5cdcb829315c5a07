/** A devchain's state machine by hand: calls of any key with the nonces they need, blocks one after the other. */
import assert from 'node:assert/strict'
import type { GenesisSpec } from '../../src/chain/devchain/genesis.js'
import type { Applied } from '../../src/chain/devchain/ledger.js'
import type { ParameterOverrides } from '../../src/chain/devchain/parameters.js'
import type { RefusalNote } from '../../src/chain/devchain/refusals.js'
import {
  applyOperation,
  type Call,
  type DevchainState,
  genesisState,
  nonceOf,
  onBlock,
} from '../../src/chain/devchain/state.js'
import type { Subnet } from '../../src/chain/devchain/subnet.js'

/** Stakes of the neurons h0, h1, …, each under a coldkey of its own. */
export function specOf(stakes: readonly bigint[], fields: Partial<GenesisSpec> = {}): GenesisSpec {
  const neurons = stakes.map((stakeRao, i) => ({ hotkey: `h${i}`, coldkey: `c${i}`, stakeRao }))
  return { name: 'test', netuid: 1, blockMs: 1_000, tempo: 5, neurons, ...fields }
}

export class StateByHand {
  state: DevchainState
  block = 0

  constructor(
    stakes: readonly bigint[],
    parameters: ParameterOverrides = {},
    fields: Partial<GenesisSpec> = {},
  ) {
    this.state = genesisState(specOf(stakes, { parameters, ...fields }))
  }

  /** The first subnet, or the one with this netuid. */
  subnet(netuid = 1): Subnet {
    return this.state.subnets.get(netuid) ?? assert.fail(`no subnet ${netuid}`)
  }

  blocks(count = 1): this {
    for (let i = 0; i < count; i += 1) {
      this.block += 1
      this.state = onBlock(this.state, this.block)
    }
    return this
  }

  untilBlock(block: number): this {
    return this.blocks(block - this.block)
  }

  /** In the present block; what comes of it is not kept. */
  attempt(signer: string, call: Call, fields = {}): Applied {
    const nonce = nonceOf(this.state, signer)
    const operation = { signer, nonce, expiresBlock: this.block + 10, call, ...fields }
    return applyOperation(this.state, operation, this.block)
  }

  refusal(signer: string, call: Call): RefusalNote | undefined {
    return this.attempt(signer, call).refusal
  }

  /** Expects each to go through. */
  run(signer: string, ...calls: readonly Call[]): this {
    for (const call of calls) {
      const { state, refusal } = this.attempt(signer, call)
      assert.equal(refusal, undefined, `${call.kind} of ${signer}`)
      this.state = state
    }
    return this
  }
}
