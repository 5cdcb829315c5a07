import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { Devchain, KNOWN_BLOCKS_MAX } from '../../../../src/chain/devchain/devchain.js'
import { signOperation } from '../../../../src/chain/devchain/operation.js'
import { POOL_OPERATIONS_PER_KEY_MAX } from '../../../../src/chain/devchain/pool.js'
import { refusalOf } from '../../../../src/chain/devchain/refusals.js'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { stakeOf } from '../../../../src/chain/devchain/subnet.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { startDevchain, TEST_GENESIS } from '../../../kit/devchain.js'

describe('Devchain', () => {
  before(() => cryptoReady())

  function operation(devchain: Devchain, call: Call, fields: { nonce?: number; expiresBlock?: number } = {}) {
    const { genesisHash } = devchain.constants
    const { address, signer } = testHotkey(1)
    const init = {
      genesisHash,
      nonce: devchain.nonce(address),
      expiresBlock: devchain.head.number + 10,
      call,
    }
    return signOperation(signer, { ...init, ...fields })
  }
  const register = (): Call => ({
    kind: 'join',
    netuid: TEST_GENESIS.netuid,
    coldkey: testColdkey(1).address,
  })
  const stake = (amountRao: bigint): Call => ({ kind: 'faucetStake', netuid: TEST_GENESIS.netuid, amountRao })
  const refuses = (work: () => unknown, reason: string) =>
    assert.throws(work, (error) => refusalOf(error) === reason)

  it('starts at its genesis and makes a block on every tick', async () => {
    const { devchain, clock } = await startDevchain()
    assert.deepEqual(devchain.head, { number: 0, hash: devchain.constants.genesisHash, timestampMs: 0 })
    const hashes: string[] = []
    devchain.onHead((head) => hashes.push(head.hash))
    await clock.advance(3_999)
    assert.equal(devchain.head.number, 3)
    assert.equal(new Set(hashes).size, 3)
    await devchain.stop()
    await clock.advance(10_000)
    assert.equal(devchain.head.number, 3)
    assert.equal(clock.pendingTimers, 0)
  })

  it('does not catch up on ticks it slept through', async () => {
    const { devchain, clock } = await startDevchain()
    // The machine sleeps: time has passed, and only now does the timer fire.
    const awake = clock.monotonicMs
    clock.monotonicMs = () => awake.call(clock) + 60_000
    await clock.advance(1_000)
    assert.equal(devchain.head.number, 1)
    await clock.advance(1_000)
    assert.equal(devchain.head.number, 2)
    await devchain.stop()
  })

  it('makes the same chain of the same operations, whatever its randomness', async () => {
    const chains = await Promise.all([1, 2].map(() => startDevchain()))
    for (const { devchain, clock } of chains) {
      devchain.submit(operation(devchain, register()))
      await clock.advance(1_000)
      devchain.submit(operation(devchain, stake(5n)))
      await clock.advance(10_000)
      await devchain.stop()
    }
    const [first, second] = chains.map(({ devchain }) => devchain)
    assert.deepEqual(first?.head, second?.head)
    assert.equal(first?.stateHash, second?.stateHash)
  })

  it('has randomness that only its secret tells', async () => {
    const [first, second] = ['a', 'b'].map((seed) => {
      const components = {
        clock: { monotonicMs: () => 0 } as never,
        random: seededRandom(seed),
        logger: silentLogger,
      }
      return new Devchain(components, { genesis: TEST_GENESIS })
    })
    assert.notDeepEqual(first?.randomness(0), second?.randomness(0))
    refuses(() => first?.randomness(1), 'UnknownBlock')
  })

  it('takes the same operation again without running it again', async () => {
    const { devchain, clock } = await startDevchain()
    const registering = operation(devchain, register())
    assert.equal(devchain.submit(registering), null)
    assert.equal(devchain.submit(registering), null)
    await clock.advance(1_000)
    assert.deepEqual(devchain.submit(registering), { block: 1, refusal: null })
    const staking = operation(devchain, stake(5n))
    devchain.submit(staking)
    await clock.advance(1_000)
    assert.deepEqual(devchain.submit(staking), { block: 2, refusal: null })
    await clock.advance(1_000)
    assert.equal(stakeOf(devchain.subnet(TEST_GENESIS.netuid, 3), testHotkey(1).address), 5n)
    await devchain.stop()
  })

  it('tells the outcome of an operation that a block refused', async () => {
    const { devchain, clock } = await startDevchain()
    const staking = operation(devchain, stake(5n))
    devchain.submit(staking)
    await clock.advance(1_000)
    assert.deepEqual(devchain.submit(staking), { block: 1, refusal: { reason: 'HotKeyAccountNotExists' } })
    await devchain.stop()
  })

  it('keeps out of the pool what cannot be right', async () => {
    const { devchain, clock } = await startDevchain()
    devchain.submit(operation(devchain, register()))
    refuses(() => devchain.submit(operation(devchain, stake(1n), { nonce: 0 })), 'Stale')
    refuses(() => devchain.submit(operation(devchain, stake(1n), { nonce: 2 })), 'Future')
    refuses(() => devchain.submit(operation(devchain, stake(1n), { expiresBlock: 0 })), 'AncientBirthBlock')
    const { body } = operation(devchain, stake(1n))
    refuses(() => devchain.submit({ body, signature: testHotkey(2).signer.sign(body) }), 'BadProof')
    await clock.advance(1_000)
    assert.equal(devchain.nonce(testHotkey(1).address), 1)
    await devchain.stop()
  })

  it('runs a hotkey’s operations of one block in nonce order, up to a number', async () => {
    const { devchain, clock } = await startDevchain()
    devchain.submit(operation(devchain, register()))
    for (let i = 1; i < POOL_OPERATIONS_PER_KEY_MAX; i += 1) devchain.submit(operation(devchain, stake(1n)))
    refuses(() => devchain.submit(operation(devchain, stake(1n))), 'ImmediatelyDropped')
    await clock.advance(1_000)
    assert.equal(
      stakeOf(devchain.subnet(TEST_GENESIS.netuid, 1), testHotkey(1).address),
      BigInt(POOL_OPERATIONS_PER_KEY_MAX - 1),
    )
    devchain.submit(operation(devchain, stake(1n)))
    await devchain.stop()
  })

  it('takes nothing while it makes no blocks', async () => {
    const { devchain } = await startDevchain()
    const late = operation(devchain, register())
    await devchain.stop()
    assert.throws(
      () => devchain.submit(late),
      (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'),
    )
  })

  it('answers for recent blocks and forgets the others', async () => {
    const { devchain, clock } = await startDevchain({ blockMs: 10 })
    const registering = operation(devchain, register())
    devchain.submit(registering)
    await clock.advance(10 * KNOWN_BLOCKS_MAX)
    assert.equal(devchain.subnet(TEST_GENESIS.netuid, 1).neurons.length, 1)
    refuses(() => devchain.subnet(TEST_GENESIS.netuid, 0), 'UnknownBlock')
    assert.deepEqual(devchain.submit(registering), { block: 1, refusal: null })
    await clock.advance(10)
    refuses(() => devchain.subnet(TEST_GENESIS.netuid, 1), 'UnknownBlock')
    refuses(() => devchain.submit(registering), 'AncientBirthBlock')
    await devchain.stop()
  })

  it('goes on when a listener fails', async () => {
    const { devchain, clock } = await startDevchain()
    const seen: number[] = []
    devchain.onHead(() => {
      throw new Error('not my day')
    })
    devchain.onHead((head) => seen.push(head.number))
    await clock.advance(2_000)
    assert.deepEqual(seen, [1, 2])
    await devchain.stop()
  })
})
