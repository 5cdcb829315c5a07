/** `subnet-node devchain` as a process: killed, it goes on where it was; it misbehaves when it was started to. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import type { Chain } from '../../src/chain/chain.js'
import { RpcConnection } from '../../src/chain/devchain/rpc-connection.js'
import { connectChain } from '../../src/chain/endpoint.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { testColdkey, testHotkey, testRecord } from '../kit/chain-keys.js'
import { cli, documents, exitOf, startCli } from '../kit/cli.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { until } from '../kit/until.js'

const components = { clock: systemClock, random: systemRandom, logger: silentLogger }

describe('subnet-node devchain', function () {
  this.timeout(60_000)
  let directory: TempDir
  let started: ChildProcess[]
  let chains: Chain[]
  before(() => cryptoReady())
  beforeEach(async () => {
    directory = await tempDir()
    started = []
    chains = []
  })
  afterEach(async () => {
    await Promise.all(chains.map((chain) => chain.stop()))
    for (const child of started) child.kill('SIGKILL')
    await Promise.all(started.map(exitOf))
    await directory[Symbol.asyncDispose]()
  })

  const words = (...more: readonly string[]) => [
    ...['devchain', '--port', '0', '--json', '--log.level', 'silent'],
    ...[
      '--subtensor.devchain_block_ms',
      '50',
      '--subtensor.devchain_path',
      `${directory.path}/chain`,
      ...more,
    ],
  ]
  async function start(...more: readonly string[]) {
    const child = startCli(words(...more), { home: directory.path })
    started.push(child)
    const { value } = await documents(child).next()
    const endpoint = String(value?.endpoint)
    const chain = connectChain(endpoint, components)
    chains.push(chain)
    await chain.start()
    return { child, chain, endpoint }
  }

  it('goes on after kill -9, and begins anew only with --fresh', async () => {
    const first = await start()
    const { faucet } = first.chain
    const { signer, address } = testHotkey(1)
    await faucet?.join({ hotkey: signer, coldkey: testColdkey(1).address })
    await faucet?.stake(signer, 5_000n)
    await first.chain.commit(signer, testRecord(1))
    const { epoch } = await first.chain.metagraph()
    await until(async () => (await first.chain.metagraph()).epoch > epoch, {
      deadlineMs: 20_000,
      title: 'an epoch',
    })
    const seen = await first.chain.head()
    const randomness = await first.chain.randomness(seen.number)
    await first.chain.stop()
    first.child.kill('SIGKILL')
    await exitOf(first.child)

    const second = await start()
    assert.ok((await second.chain.head()).number >= seen.number)
    const { neurons } = await second.chain.metagraph()
    assert.deepEqual([neurons.length, neurons[0]?.hotkey, neurons[0]?.validatorPermit], [1, address, true])
    assert.deepEqual((await second.chain.records()).get(address), testRecord(1))
    assert.deepEqual(await second.chain.randomness(seen.number), randomness)
    const busy = await cli(words(), { home: directory.path })
    assert.equal(busy.code, 78)
    assert.match(JSON.parse(busy.stderr).error.message, /devchain that is running/)
    await second.chain.stop()
    second.child.kill('SIGTERM')
    assert.equal(await exitOf(second.child), 0)

    const other = await cli([...words(), '--subtensor.devchain_block_ms', '60'], { home: directory.path })
    assert.equal(other.code, 78)
    assert.equal(JSON.parse(other.stderr).error.reason, 'GenesisChanged')
    const third = await start('--fresh')
    assert.equal((await third.chain.metagraph()).neurons.length, 0)
  })

  it('misbehaves for its clients only when it was started to', async () => {
    const ask = async (endpoint: string, misdeed: object) => {
      const url = endpoint.replace('dev:', 'ws:')
      const init = { url, callTimeoutMs: 5_000 }
      const connection = await RpcConnection.open({ clock: systemClock, onHead: () => undefined }, init)
      try {
        return await connection.call('misbehave', misdeed)
      } finally {
        connection.terminate('done')
      }
    }
    const good = await start()
    const refused = (error: unknown) =>
      isSubnetError(error, 'CHAIN_UNAVAILABLE') && error.data.remoteCode === 'REFUSED'
    await assert.rejects(ask(good.endpoint, { kind: 'stall', on: true }), refused)
    good.child.kill('SIGKILL')
    await exitOf(good.child)

    const { chain, endpoint } = await start('--misbehave')
    const { number } = await chain.head()
    await until(async () => (await chain.head()).number > number + 3, { deadlineMs: 10_000, title: 'blocks' })
    // Each head against the one before it: on a busy machine many blocks may come before the reorganisation.
    let last = (await chain.head()).number
    let wentBack = false
    chain.onHead((head) => {
      wentBack ||= head.number < last
      last = head.number
    })
    await ask(endpoint, { kind: 'reorg', depth: 3 })
    await until(() => wentBack, { deadlineMs: 10_000, title: 'a lower head' })
    await ask(endpoint, { kind: 'stall', on: true })
    const still = await chain.head()
    await ask(endpoint, { kind: 'drop' }).catch(() => undefined)
    await until(
      () =>
        chain.head().then(
          (head) => head.number >= still.number,
          () => false,
        ),
      { deadlineMs: 20_000, title: 'the client is back' },
    )
  })
})
