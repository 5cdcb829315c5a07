import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { Devchain, FINAL_AFTER_BLOCKS } from '../../../../src/chain/devchain/devchain.js'
import { Misbehaviour } from '../../../../src/chain/devchain/misbehaviour.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import {
  localAdapter,
  nextBlock,
  startDevchain,
  TEST_GENESIS,
  type TestDevchain,
} from '../../../kit/devchain.js'

const { netuid, tempo } = TEST_GENESIS

describe('a devchain that misbehaves', () => {
  let test: TestDevchain
  beforeEach(async () => {
    await cryptoReady()
    test = await startDevchain()
  })
  afterEach(() => test.devchain.stop())

  async function connected() {
    const chain = localAdapter(test)
    await chain.start()
    return chain
  }
  const registration = () => ({ hotkey: testHotkey(1).signer, coldkey: testColdkey(1).address })
  async function inBlocks<T>(work: Promise<T>, chain: Awaited<ReturnType<typeof connected>>): Promise<T> {
    let settled = false
    const watched = work.finally(() => {
      settled = true
    })
    watched.catch(() => undefined)
    for (let i = 0; i < 40 && !settled; i += 1) await nextBlock(test, chain)
    return watched
  }

  it('drops blocks in a reorg, makes others, and runs what was in them again', async () => {
    const { devchain, clock } = test
    const chain = await connected()
    await inBlocks(chain.faucet.join(registration()), chain)
    const heads: { readonly number: number; readonly hash: string }[] = []
    chain.onHead((head) => heads.push(head))
    await clock.advance(1_000)
    const dropped = heads.at(-1)
    devchain.misbehave({ kind: 'reorg', depth: 2 })
    assert.equal(heads.length, 2)
    assert.equal(heads[1]?.number, (dropped?.number ?? 0) - 1)
    await clock.advance(1_000)
    assert.equal(heads[2]?.number, dropped?.number)
    assert.notEqual(heads[2]?.hash, dropped?.hash)
    const { neurons, block } = await chain.metagraph()
    assert.deepEqual([neurons[0]?.hotkey, block], [testHotkey(1).address, dropped?.number])
    await chain.stop()
  })

  it('takes an epoch step back, and steps again', async () => {
    const { devchain, clock } = test
    await clock.advance(tempo * 1_000)
    assert.equal(devchain.subnet(netuid).epoch, 1)
    devchain.misbehave({ kind: 'reorg', depth: 3 })
    assert.equal(devchain.subnet(netuid).epoch, 0)
    await clock.advance(2_000)
    assert.equal(devchain.subnet(netuid).epoch, 1)
  })

  it('drops no block that is final', async () => {
    const { devchain, clock } = test
    await clock.advance(20_000)
    assert.equal(devchain.finalizedHead.number, 20 - FINAL_AFTER_BLOCKS)
    const config = (error: unknown) => isSubnetError(error, 'CONFIG')
    for (const depth of [0, FINAL_AFTER_BLOCKS + 1]) {
      assert.throws(() => devchain.misbehave({ kind: 'reorg', depth }), config)
    }
    const final = devchain.finalizedHead
    devchain.misbehave({ kind: 'reorg', depth: FINAL_AFTER_BLOCKS })
    await clock.advance((FINAL_AFTER_BLOCKS - 1) * 1_000)
    assert.deepEqual(devchain.finalizedHead, final)
  })

  it('makes no blocks while it stalls', async () => {
    const { devchain, clock } = test
    devchain.misbehave({ kind: 'stall', on: true })
    await clock.advance(5_000)
    assert.equal(devchain.head.number, 0)
    devchain.misbehave({ kind: 'stall', on: false })
    await clock.advance(2_000)
    assert.equal(devchain.head.number, 2)
  })

  it('refuses as often as it is told, with the reason and code it is told', async () => {
    const chain = await connected()
    test.devchain.misbehave({ kind: 'refuse', reason: 'SettingWeightsTooFast', code: 6, times: 1 })
    await assert.rejects(inBlocks(chain.faucet.join(registration()), chain), (error) => {
      assert.ok(isSubnetError(error, 'CHAIN_REFUSED'))
      const { kind, reason, code } = error.data
      assert.deepEqual([kind, reason, code], ['pool', 'SettingWeightsTooFast', 6])
      return true
    })
    assert.equal(await inBlocks(chain.faucet.join(registration()), chain), 0)
    await chain.stop()
  })

  it('ends connections at one request in so many', () => {
    const misbehaviour = new Misbehaviour(seededRandom('close'))
    const closings = (count: number) =>
      Array.from({ length: count }, () => misbehaviour.closesNow()).filter(Boolean).length
    assert.equal(closings(100), 0)
    misbehaviour.apply({ kind: 'close', oneIn: 4 })
    const closed = closings(1_000)
    assert.ok(closed > 150 && closed < 350, `${closed}`)
    misbehaviour.apply({ kind: 'close', oneIn: 0 })
    assert.equal(closings(100), 0)
  })

  it('does nothing of it for others unless it was started to', () => {
    const refused = (error: unknown) => isSubnetError(error, 'REFUSED')
    assert.throws(() => test.devchain.misbehaveRemotely({ kind: 'stall', on: true }), refused)
    const components = { clock: test.clock, random: seededRandom('x'), logger: silentLogger }
    const willing = new Devchain(components, { genesis: TEST_GENESIS, remoteMisbehaviour: true })
    willing.misbehaveRemotely({ kind: 'stall', on: true })
    assert.equal(willing.misbehaviour.stalled, true)
  })
})
