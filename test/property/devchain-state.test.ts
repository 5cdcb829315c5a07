import assert from 'node:assert/strict'
import fc from 'fast-check'
import { COMMITMENT_BYTES_PER_EPOCH_MAX } from '../../src/chain/devchain/announcing.js'
import { SUPPLY_RAO } from '../../src/chain/devchain/genesis.js'
import {
  applyOperation,
  type Call,
  type DevchainState,
  genesisState,
  nonceOf,
  type Operation,
  onBlock,
  stateRoot,
} from '../../src/chain/devchain/state.js'
import { decodeValue, encodeValue } from '../../src/chain/devchain/store-codec.js'
import { type Subnet, stakeOf } from '../../src/chain/devchain/subnet.js'
import { encodeEndpoint } from '../../src/chain/record.js'
import { testRecord } from '../kit/chain-keys.js'

const TEMPO = 3
const UIDS = 4
const endpoints = [1, 2, 3].map((number) => encodeEndpoint(testRecord(number)))

const netuid = fc.constantFrom(1, 1, 1, 2, 3)
const hotkey = fc.nat(5).map((i) => `h${i}`)
const coldkey = fc.constantFrom('c0', 'c1')
const amountRao = fc.bigInt(0n, SUPPLY_RAO / 3n)
const weights = fc
  .array(fc.record({ uid: fc.nat(UIDS), value: fc.nat(65_535) }), { maxLength: UIDS })
  .map((row) => ({ uids: row.map(({ uid }) => uid), values: row.map(({ value }) => value), versionKey: 0n }))

const kind = <K extends Call['kind']>(name: K) => fc.constant(name)
const hotkeyCall: fc.Arbitrary<Call> = fc.oneof(
  fc.record({ kind: kind('join'), netuid, coldkey }),
  fc.record({ kind: kind('faucetStake'), netuid, amountRao }),
  fc.record({ kind: kind('commit'), netuid, endpoint: fc.constantFrom(...endpoints) }),
  fc.record({
    kind: kind('serve'),
    netuid,
    ip: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    port: fc.nat(3),
  }),
  fc.tuple(netuid, weights).map(([of, row]): Call => ({ kind: 'setWeights', netuid: of, ...row })),
  fc.record({ kind: kind('commitWeights'), netuid, hash: fc.constant(new Uint8Array(32)) }),
)
const coldkeyCall: fc.Arbitrary<Call> = fc.oneof(
  fc.record({ kind: kind('faucetPay'), amountRao }),
  fc.record({ kind: kind('burnedRegister'), netuid, hotkey, limitRao: amountRao }),
  fc.record({ kind: kind('stake'), netuid, hotkey, amountRao }),
  fc.record({ kind: kind('registerSubnet'), hotkey }),
  fc.record({ kind: kind('startSubnet'), netuid }),
  fc.record({ kind: kind('swapHotkey'), hotkey, newHotkey: hotkey }),
  fc.record({
    kind: kind('setParameter'),
    netuid,
    name: fc.constant('commitRevealEnabled' as const),
    value: fc.boolean(),
  }),
)
const asked = fc.oneof(fc.tuple(hotkey, hotkeyCall), fc.tuple(coldkey, coldkeyCall))
/** What a key does next; the offset makes the nonce right (0), spent or early, the life makes it late. */
const step = fc.record({
  asked,
  nonceOffset: fc.constantFrom(0, 0, 0, 0, 0, 0, -1, 1),
  lifeBlocks: fc.constantFrom(5, 5, 5, 5, 5, -1),
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

/** Runs the steps from one genesis neuron on a tiny subnet, and shows every moment to `see`. */
function play(steps: readonly Step[], see: (moment: Moment) => void = () => undefined): DevchainState {
  const neurons = [{ hotkey: 'h0', coldkey: 'c0', stakeRao: 5_000n }]
  const parameters = {
    maxAllowedUids: UIDS,
    maxAllowedValidators: 2,
    commitRevealEnabled: false,
    weightsRateLimitBlocks: 1,
    immunityPeriodBlocks: 2,
    minNonImmuneUids: 1,
  }
  let state = genesisState({ name: 'property', netuid: 1, blockMs: 1_000, tempo: TEMPO, neurons, parameters })
  let block = 1
  for (const {
    asked: [signer, call],
    nonceOffset,
    lifeBlocks,
    newBlock,
  } of steps) {
    if (newBlock) {
      block += 1
      state = onBlock(state, block)
    }
    const nonce = Math.max(0, nonceOf(state, signer) + nonceOffset)
    const operation = { signer, nonce, expiresBlock: block + lifeBlocks, call }
    const before = state
    const applied = applyOperation(before, operation, block)
    state = applied.state
    see({ before, after: state, operation, refusal: applied.refusal?.reason, block })
  }
  return state
}

function total(values: Iterable<bigint>): bigint {
  let sum = 0n
  for (const value of values) sum += value
  return sum
}

function checkSubnet(subnet: Subnet): void {
  const { neurons, parameters, stakes } = subnet
  assert.ok(neurons.length <= UIDS)
  assert.equal(new Set(neurons.map(({ hotkey: key }) => key)).size, neurons.length)
  const alpha = total([...stakes.keys()].map((key) => stakeOf(subnet, key)))
  assert.equal(alpha, subnet.stakedRao + subnet.emittedRao)
  const permits = neurons.filter(({ validatorPermit }) => validatorPermit).length
  assert.ok(permits <= parameters.maxAllowedValidators + (subnet.owner === null ? 0 : 1))
  for (const neuron of neurons) {
    assert.ok(neuron.spaceUsedBytes <= COMMITMENT_BYTES_PER_EPOCH_MAX)
    assert.ok(neuron.commits.length <= 10)
    for (const [uid, value] of neuron.weights) assert.ok(uid < UIDS && value <= 65_535)
  }
  assert.ok(subnet.burnRao >= parameters.minBurnRao && subnet.burnRao <= parameters.maxBurnRao)
}

describe('devchain state, any operations', () => {
  const steps = fc.array(step, { maxLength: 150 })
  const check = (property: fc.IProperty<[Step[]]>) => fc.assert(property, { numRuns: 150 })

  it('gives the same root for the same operations', () => {
    check(
      fc.property(steps, (list) => {
        assert.deepEqual(stateRoot(play(list)), stateRoot(play(list)))
      }),
    )
  })

  it('changes nothing but at most the nonce when it refuses', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ before, after, operation, refusal }) => {
          if (refusal === undefined) return
          assert.deepEqual({ ...after, nonces: before.nonces }, before)
          const spent = nonceOf(after, operation.signer) - nonceOf(before, operation.signer)
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
          if (refusal === undefined)
            assert.equal(applyOperation(after, operation, block).refusal?.reason, 'Stale')
        })
      }),
    )
  })

  it('neither makes nor loses a rao but by emission, and holds every limit', () => {
    check(
      fc.property(steps, (list) => {
        play(list, ({ after }) => {
          const subnets = [...after.subnets.values()]
          const staked = total(subnets.map(({ stakedRao }) => stakedRao))
          const free = total(after.balances.values())
          assert.equal(after.faucetRao + free + staked + after.recycledRao, SUPPLY_RAO)
          assert.ok([...after.balances.values()].every((balance) => balance >= 0n))
          for (const subnet of subnets) checkSubnet(subnet)
        })
      }),
    )
  })

  it('never changes a state that is already there', () => {
    check(
      fc.property(steps, (list) => {
        const kept: { state: DevchainState; root: Uint8Array }[] = []
        play(list, ({ after }) => kept.push({ state: after, root: stateRoot(after) }))
        // Copied, so that nothing remembered of a neuron answers for it.
        for (const { state, root } of kept.filter((_, i) => i % 10 === 0)) {
          assert.deepEqual(stateRoot(structuredClone(state)), root)
        }
      }),
    )
  })

  it('comes back from a store as it was', () => {
    check(
      fc.property(steps, (list) => {
        const state = play(list)
        const stored = decodeValue(encodeValue(state)) as DevchainState
        assert.deepEqual(stored, state)
        assert.deepEqual(stateRoot(stored), stateRoot(state))
      }),
    )
  })
})
