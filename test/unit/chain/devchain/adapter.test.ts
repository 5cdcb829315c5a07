import assert from 'node:assert/strict'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import type { BlockHead, ChainConstants, Registration } from '../../../../src/chain/chain.js'
import { DevchainAdapter } from '../../../../src/chain/devchain/adapter.js'
import { type DevchainApi, localApi, type MethodName } from '../../../../src/chain/devchain/api.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { chainConformance } from '../../../conformance/chain.js'
import { testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { devchainHarness, localAdapter, startDevchain, type TestDevchain } from '../../../kit/devchain.js'
import { turn } from '../../../kit/fake-clock.js'

chainConformance('devchain in the same process', (wish) =>
  devchainHarness(wish, async (test) => ({ chain: localAdapter(test) })),
)

describe('DevchainAdapter', () => {
  let registration: Registration
  before(async () => {
    await cryptoReady()
    registration = { hotkey: testHotkey(1).signer, coldkey: testColdkey(1).address }
  })

  /** Counts what reaches the devchain; `fail` may throw instead. */
  function watched(test: TestDevchain, fail: (name: MethodName) => void = () => undefined) {
    const calls: MethodName[] = []
    const inner = localApi(test.devchain)
    const api: DevchainApi = {
      ...inner,
      async call(name, params, options) {
        calls.push(name)
        fail(name)
        return inner.call(name, params, options)
      },
    }
    return { calls, chain: new DevchainAdapter({ api, clock: test.clock }) }
  }

  it('asks for metagraph and records once a block, however many want them, and only when asked', async () => {
    const test = await startDevchain()
    const { calls, chain } = watched(test)
    await chain.start()
    await test.clock.advance(3_000)
    assert.deepEqual(calls, ['constants'])
    await Promise.all([chain.metagraph(), chain.metagraph(), chain.records(), chain.metagraph({ at: 3 })])
    await chain.metagraph()
    await chain.records()
    assert.deepEqual(calls, ['constants', 'metagraph', 'records'])
    await test.clock.advance(1_000)
    await chain.metagraph()
    assert.deepEqual(calls, ['constants', 'metagraph', 'records', 'metagraph'])
    await chain.stop()
    await test.devchain.stop()
  })

  it('asks again after a failed read', async () => {
    const test = await startDevchain()
    let failures = 1
    const { chain } = watched(test, (name) => {
      if (name === 'metagraph' && failures-- > 0) throw new Error('once')
    })
    await chain.start()
    await assert.rejects(chain.metagraph(), /once/)
    assert.equal((await chain.metagraph()).block, 0)
    await chain.stop()
    await test.devchain.stop()
  })

  it('gets a write through when the first answer to it is lost, and only once', async () => {
    const test = await startDevchain()
    const inner = localApi(test.devchain)
    const answered = new Set<string>()
    const api: DevchainApi = {
      ...inner,
      async call(name, params, options) {
        const answer = await inner.call(name, params, options)
        const asked = `${name} ${JSON.stringify(params)}`
        if (name === 'submit' && !answered.has(asked)) {
          answered.add(asked)
          throw new SubnetError('CHAIN_UNAVAILABLE', 'the connection broke')
        }
        return answer
      },
    }
    const chain = new DevchainAdapter({ api, clock: test.clock })
    await chain.start()
    const registering = chain.faucet.join(registration)
    await test.clock.advance(4_000)
    await registering
    const staking = chain.faucet.stake(testHotkey(1).signer, 10n)
    await test.clock.advance(4_000)
    await staking
    assert.equal(answered.size, 2)
    assert.equal((await chain.metagraph()).neurons[0]?.stakeRao, 10n)
    await chain.stop()
    await test.devchain.stop()
  })

  it('says that the chain is unavailable when no block takes a write in time', async () => {
    const test = await startDevchain()
    const chain = localAdapter(test)
    await chain.start()
    const waiting = chain.faucet.join(registration)
    await turn()
    await test.devchain.stop()
    const failed = assert.rejects(waiting, (error) => isSubnetError(error, 'CHAIN_UNAVAILABLE'))
    await test.clock.advance(60_000)
    await failed
    assert.equal(test.clock.pendingTimers, 0)
  })

  it('signs anew when another process used the nonce', async () => {
    const test = await startDevchain()
    const [first, second] = [localAdapter(test), localAdapter(test)]
    await first.start()
    await second.start()
    const registered = first.faucet.join(registration)
    await test.clock.advance(1_000)
    await registered
    const stakes = [
      first.faucet.stake(testHotkey(1).signer, 1n),
      second.faucet.stake(testHotkey(1).signer, 2n),
    ]
    await test.clock.advance(3_000)
    await Promise.all(stakes)
    assert.equal((await first.metagraph()).neurons[0]?.stakeRao, 3n)
    await test.devchain.stop()
  })

  it('refuses to work on a chain that claims a public genesis', async () => {
    const test = await startDevchain()
    const inner = localApi(test.devchain)
    const genesisHash = '0x2f0555cc76fc2840a25a6ea3b9637146806f1f44b090c175ffde2a7e5ab36c03'
    const api: DevchainApi = {
      ...inner,
      async call(name, params, options) {
        const answer = await inner.call(name, params, options)
        return name === 'constants' ? { ...(answer as ChainConstants), genesisHash } : answer
      },
    }
    const chain = new DevchainAdapter({ api, clock: test.clock })
    await assert.rejects(
      chain.start(),
      (error) => isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === 'PublicGenesis',
    )
    await test.devchain.stop()
  })

  it('forgets cached blocks when the chain begins again', async () => {
    const test = await startDevchain()
    let push: (head: BlockHead) => void = () => undefined
    const { calls } = watched(test)
    const inner = localApi(test.devchain)
    const api: DevchainApi = {
      ...inner,
      async call(name, params, options) {
        calls.push(name)
        return inner.call(name, params, options)
      },
      onHead(listener) {
        push = listener
        return () => undefined
      },
    }
    const chain = new DevchainAdapter({ api, clock: test.clock })
    await chain.start()
    await chain.metagraph({ at: 0 })
    await chain.metagraph({ at: 0 })
    push({ number: 1, hash: '0x01', timestampMs: 0 })
    await chain.metagraph({ at: 0 })
    assert.equal(calls.filter((name) => name === 'metagraph').length, 1)
    push({ number: 0, hash: '0x02', timestampMs: 0 })
    await chain.metagraph({ at: 0 })
    assert.equal(calls.filter((name) => name === 'metagraph').length, 2)
    await test.devchain.stop()
  })
})
