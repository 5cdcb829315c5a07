import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SUPPLY_RAO, VALIDATORS_MAX } from '../../src/chain/devchain/genesis.js'
import {
  applyOperation,
  type Call,
  COMMITMENT_BYTES_PER_EPOCH_MAX,
  type DevchainState,
  genesisState,
  nonceOf,
  type Operation,
  onBlock,
  stateRoot,
} from '../../src/chain/devchain/state.js'
import { encodeEndpoint } from '../../src/chain/record.js'
import { testRecord } from '../kit/chain-keys.js'

const TEMPO = 3
const HOTKEYS = 6
const endpoints = [1, 2, 3].map((number) => encodeEndpoint(testRecord(number)))

const call: fc.Arbitrary<Call> = fc.oneof(
  fc.record({ kind: fc.constant('register' as const), coldkey: fc.constantFrom('c0', 'c1') }),
  fc.record({ kind: fc.constant('addStake' as const), amountRao: fc.bigInt(0n, SUPPLY_RAO / 3n) }),
  fc.record({ kind: fc.constant('commit' as const), endpoint: fc.constantFrom(...endpoints) }),
)
/** What a hotkey does next; the offset makes the nonce right (0), spent or early, the life makes it late. */
const step = fc.record({
  hotkey: fc.nat(HOTKEYS - 1).map((i) => `h${i}`),
  call,
  nonceOffset: fc.constantFrom(0, 0, 0, 0, -1, 1),
  lifeBlocks: fc.constantFrom(5, 5, 5, -1),
  newBlock: fc.boolean(),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface Moment {
  readonly before: DevchainState
  readonly after: DevchainState
  readonly operation: Operation
  readonly refusal: string | undefined
  readonly block: number
}

/** Runs the steps from one genesis neuron, and shows every moment to `see`. */
function play(steps: readonly Step[], see: (moment: Moment) => void = () => undefined): DevchainState {
  const neurons = [{ hotkey: 'h0', coldkey: 'c0', stakeRao: 1n }]
  let state = genesisState({ name: 'property', netuid: 1, blockMs: 1_000, tempo: TEMPO, neurons })
  let block = 1
  for (const { hotkey, nonceOffset, lifeBlocks, newBlock, ...rest } of steps) {
    if (newBlock) {
      block += 1
      state = onBlock(state, block)
    }
    const nonce = Math.max(0, nonceOf(state, hotkey) + nonceOffset)
    const operation = { hotkey, nonce, expiresBlock: block + lifeBlocks, call: rest.call }
    const before = state
    const applied = applyOperation(before, operation, block)
    state = applied.state
    see({ before, after: state, operation, refusal: applied.refusal, block })
  }
  return state
}

describe('devchain state, any operations', () => {
  const steps = fc.array(step, { maxLength: 120 })
  const check = (property: fc.IProperty<[Step[]]>) => fc.assert(property, { numRuns: 200 })

  it('gives the same root for the same operations', () => {
    check(
      fc.property(steps, (list) => {
        assert.deepEqual(stateRoot(play(list)), stateRoot(play(list)))
      }),
    )
  })

  it('keeps uids dense, one per hotkey, for ever', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ before, after }) => {
          const hotkeys = after.neurons.map((neuron) => neuron.hotkey)
          assert.deepEqual(
            hotkeys.slice(0, before.neurons.length),
            before.neurons.map((neuron) => neuron.hotkey),
          )
          assert.equal(new Set(hotkeys).size, hotkeys.length)
        })
      }),
    )
  })

  it('changes nothing but at most the nonce when it refuses', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ before, after, operation, refusal }) => {
          if (refusal === undefined) return
          assert.deepEqual({ ...after, nonces: before.nonces }, before)
          const spent = nonceOf(after, operation.hotkey) - nonceOf(before, operation.hotkey)
          assert.ok(spent === 0 || spent === 1)
          if (refusal === 'Stale' || refusal === 'Future' || refusal === 'AncientBirthBlock') {
            assert.equal(after, before)
          }
        })
      }),
    )
  })

  it('never runs an operation twice', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ after, operation, refusal, block }) => {
          if (refusal === undefined) assert.equal(applyOperation(after, operation, block).refusal, 'Stale')
        })
      }),
    )
  })

  it('neither makes nor loses stake, and holds every budget', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ after }) => {
          const staked = after.neurons.reduce((sum, neuron) => sum + neuron.stakeRao, 0n)
          assert.equal(staked + after.faucetRao, SUPPLY_RAO)
          for (const neuron of after.neurons) {
            assert.ok(neuron.spaceUsedBytes <= COMMITMENT_BYTES_PER_EPOCH_MAX)
            assert.ok(!neuron.validatorPermit || neuron.stakeRao > 0n)
          }
          assert.ok(after.neurons.filter((neuron) => neuron.validatorPermit).length <= VALIDATORS_MAX)
        })
      }),
    )
  })

  it('never changes a state that is already there', () => {
    check(
      fc.property(steps, (list) => {
        const kept: { state: DevchainState; root: Uint8Array }[] = []
        play(list, ({ after }) => kept.push({ state: after, root: stateRoot(after) }))
        for (const { state, root } of kept) assert.deepEqual(stateRoot(state), root)
      }),
    )
  })
})
