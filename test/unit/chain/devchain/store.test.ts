import assert from 'node:assert/strict'
import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isSubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { Devchain } from '../../../../src/chain/devchain/devchain.js'
import type { GenesisSpec } from '../../../../src/chain/devchain/genesis.js'
import { type SignedOperation, signOperation } from '../../../../src/chain/devchain/operation.js'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { DevchainStore, SNAPSHOT_BLOCKS } from '../../../../src/chain/devchain/store.js'
import {
  decodeFrames,
  decodeValue,
  encodeFrame,
  encodeValue,
} from '../../../../src/chain/devchain/store-codec.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { testColdkey, testHotkey } from '../../../kit/chain-keys.js'
import { TEST_GENESIS } from '../../../kit/devchain.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'

const { netuid, blockMs, tempo } = TEST_GENESIS

describe('devchain store', () => {
  let directory: TempDir
  let lives: { readonly devchain: Devchain; readonly clock: FakeClock }[]
  before(() => cryptoReady())
  beforeEach(async () => {
    directory = await tempDir()
    lives = []
  })
  afterEach(async () => {
    for (const { devchain } of lives) await devchain.stop()
    await directory[Symbol.asyncDispose]()
  })

  /** One life of the chain; what is not stopped is as if it had been killed. */
  async function live(seed = `life ${lives.length}`, genesis: Partial<GenesisSpec> = {}) {
    const clock = new FakeClock()
    const components = { clock, random: seededRandom(seed), logger: silentLogger }
    const store = new DevchainStore(directory.path)
    const devchain = new Devchain(components, { genesis: { ...TEST_GENESIS, ...genesis }, store })
    await devchain.start()
    lives.push({ devchain, clock })
    return { devchain, clock, blocks: (count: number) => clock.advance(count * blockMs) }
  }
  function submit(devchain: Devchain, call: Call): SignedOperation {
    const { address, signer } = testHotkey(1)
    const { genesisHash } = devchain.constants
    const init = { genesisHash, nonce: devchain.nonce(address), expiresBlock: devchain.head.number + 9, call }
    const signed = signOperation(signer, init)
    devchain.submit(signed)
    return signed
  }
  const join_ = (): Call => ({ kind: 'join', netuid, coldkey: testColdkey(1).address })
  const stake = (amountRao: bigint): Call => ({ kind: 'faucetStake', netuid, amountRao })
  const file = (kind: 'log' | 'snapshot') =>
    join(
      directory.path,
      readdirSync(directory.path).find((name) => name.endsWith(`.${kind}`)) ?? assert.fail(),
    )
  const damaged = (reason: string) => (error: unknown) =>
    isSubnetError(error, 'DATA_DIR') && error.data.reason === reason
  const photo = (devchain: Devchain) => ({
    head: devchain.head,
    final: devchain.finalizedHead,
    hash: devchain.stateHash,
    randomness: devchain.randomness(2),
    nonce: devchain.nonce(testHotkey(1).address),
  })

  it('goes on after a kill, mid-epoch, to the very state it would have had', async () => {
    const first = await live()
    submit(first.devchain, join_())
    await first.blocks(1)
    submit(first.devchain, stake(5n))
    await first.blocks(tempo + 1)
    const seen = photo(first.devchain)
    const second = await live()
    assert.deepEqual(photo(second.devchain), seen)
    assert.ok(second.devchain.subnet(netuid).neurons[0]?.validatorPermit)
    // The same from here on: the one that was never interrupted is the measure.
    await first.blocks(2 * tempo)
    second.clock.nowMs = () => 0
    await second.blocks(2 * tempo)
    assert.equal(second.devchain.stateHash, first.devchain.stateHash)
    assert.ok(second.devchain.subnet(netuid).emittedRao > 0n)
  })

  it('tells an outcome again after a restart, and runs nothing twice', async () => {
    const first = await live()
    submit(first.devchain, join_())
    await first.blocks(1)
    const staking = submit(first.devchain, stake(5n))
    await first.blocks(1)
    const second = await live()
    assert.deepEqual(second.devchain.submit(staking), { block: 2, refusal: null })
    await second.blocks(1)
    assert.equal(second.devchain.state().faucetRao, first.devchain.state(2).faucetRao)
  })

  it('replaces its log by a snapshot now and then, and remembers recent outcomes across it', async () => {
    const first = await live()
    submit(first.devchain, join_())
    await first.blocks(SNAPSHOT_BLOCKS - 1)
    assert.deepEqual(readdirSync(directory.path).sort(), ['0.log', '0.snapshot', 'chain.json'])
    const staking = submit(first.devchain, stake(5n))
    await first.blocks(4)
    assert.deepEqual(readdirSync(directory.path).sort(), ['1.log', '1.snapshot', 'chain.json'])
    const second = await live()
    assert.deepEqual(second.devchain.head, first.devchain.head)
    assert.equal(second.devchain.stateHash, first.devchain.stateHash)
    assert.deepEqual(second.devchain.submit(staking), { block: SNAPSHOT_BLOCKS, refusal: null })
  })

  it('cuts off a block that was torn, wherever, and makes it again', async () => {
    const first = await live()
    submit(first.devchain, join_())
    await first.blocks(2)
    const { stateHash, head } = first.devchain
    const log = file('log')
    const whole = readFileSync(log)
    const { payloads } = decodeFrames(whole)
    const lastBytes = encodeFrame(payloads.at(-1) ?? assert.fail()).length
    for (const cut of [1, 5, lastBytes - 9, lastBytes - 1, lastBytes]) {
      writeFileSync(log, whole)
      truncateSync(log, whole.length - cut)
      const again = await live()
      assert.equal(again.devchain.head.number, 1)
      again.clock.nowMs = () => head.timestampMs
      await again.blocks(1)
      assert.deepEqual([again.devchain.stateHash, again.devchain.head], [stateHash, head])
      await again.devchain.stop()
    }
    // Some of its bytes may be on the disk and others not.
    const holed = Uint8Array.from(whole)
    holed.fill(0, whole.length - 4)
    writeFileSync(log, holed)
    const holedLife = await live()
    assert.equal(holedLife.devchain.head.number, 1)
    await holedLife.devchain.stop()
    writeFileSync(log, whole)
    // A torn frame may look like one of any length.
    writeFileSync(log, Buffer.concat([whole, Buffer.alloc(7, 255)]))
    assert.equal((await live()).devchain.head.number, 2)
  })

  it('keeps its randomness, and drops that of blocks a reorg dropped', async () => {
    const first = await live('one')
    await first.blocks(6)
    const before = [3, 6].map((block) => Buffer.from(first.devchain.randomness(block)).toString('hex'))
    first.devchain.misbehave({ kind: 'reorg', depth: 2 })
    await first.blocks(1)
    const after = [3, 6].map((block) => Buffer.from(first.devchain.randomness(block)).toString('hex'))
    assert.deepEqual([after[0] === before[0], after[1] === before[1]], [true, false])
    const second = await live('two')
    assert.deepEqual(second.devchain.head, first.devchain.head)
    assert.deepEqual(
      [3, 6].map((block) => Buffer.from(second.devchain.randomness(block)).toString('hex')),
      after,
    )
  })

  it('refuses the directory of another chain, and one that is damaged, and changes neither', async () => {
    const first = await live()
    await first.blocks(3)
    await first.devchain.stop()
    await assert.rejects(live('x', { name: 'another' }), damaged('GenesisChanged'))
    const log = readFileSync(file('log'))
    const first_ = decodeFrames(log).payloads.map((payload) => decodeValue(payload) as { hash: string })
    writeFileSync(
      file('log'),
      Buffer.concat(first_.map((each) => encodeFrame(encodeValue({ ...each, hash: '0x' })))),
    )
    await assert.rejects(live(), damaged('Damaged'))
    writeFileSync(file('log'), log)
    const snapshot = readFileSync(file('snapshot'))
    writeFileSync(file('snapshot'), snapshot.subarray(0, -1))
    await assert.rejects(live(), damaged('Damaged'))
    writeFileSync(file('snapshot'), snapshot)
    writeFileSync(join(directory.path, 'chain.json'), '{"format":1')
    await assert.rejects(live(), damaged('Damaged'))
  })

  it('goes on in the same process when it is stopped and started', async () => {
    const { devchain, blocks } = await live()
    await blocks(3)
    await devchain.stop()
    await devchain.start()
    await blocks(1)
    assert.equal(devchain.head.number, 4)
  })

  it('begins anew when it was cleared', async () => {
    const first = await live()
    await first.blocks(3)
    await first.devchain.stop()
    await new DevchainStore(directory.path).clear()
    const second = await live()
    assert.equal(second.devchain.head.number, 0)
    assert.notDeepEqual(second.devchain.randomness(0), first.devchain.randomness(0))
  })

  it('answers nothing until it has read what is there', async () => {
    const first = await live()
    await first.blocks(1)
    await first.devchain.stop()
    const components = { clock: new FakeClock(), random: seededRandom('x'), logger: silentLogger }
    const unread = new Devchain(components, {
      genesis: TEST_GENESIS,
      store: new DevchainStore(directory.path),
    })
    const unavailable = (error: unknown) => isSubnetError(error, 'CHAIN_UNAVAILABLE')
    assert.throws(() => unread.head, unavailable)
    assert.throws(() => unread.nonce('x'), unavailable)
    assert.throws(() => unread.state(0), unavailable)
  })

  it('makes no block that the disk does not take, and keeps what waits', async () => {
    const { devchain, clock } = await live()
    const { log, store } = failingStore(directory.path)
    const failing = new Devchain(
      { clock, random: seededRandom('y'), logger: silentLogger },
      { genesis: { ...TEST_GENESIS, name: 'failing' }, store },
    )
    await devchain.stop()
    await failing.start()
    lives.push({ devchain: failing, clock })
    submit(failing, join_())
    log.fails = true
    await clock.advance(3 * blockMs)
    assert.equal(failing.head.number, 0)
    log.fails = false
    await clock.advance(blockMs)
    assert.deepEqual([failing.head.number, failing.subnet(netuid).neurons.length], [1, 1])
  })
})

/** A store whose `append` fails while `fails`. */
function failingStore(path: string): { readonly log: { fails: boolean }; readonly store: DevchainStore } {
  const log = { fails: false }
  class Failing extends DevchainStore {
    override append(block: Parameters<DevchainStore['append']>[0]): void {
      if (log.fails) throw new Error('no space left on device')
      super.append(block)
    }
  }
  return { log, store: new Failing(join(path, 'failing')) }
}
