/** The guides, line by line as they stand there: from no keys at all to a miner that earns, on a devchain. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { Devchain } from '../../src/chain/devchain/devchain.js'
import { DevchainServer } from '../../src/chain/devchain/devchain-server.js'
import { connectChain } from '../../src/chain/endpoint.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import { cli } from '../kit/cli.js'
import { readGuide } from '../kit/guides.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { until } from '../kit/until.js'

const components = { clock: systemClock, logger: silentLogger, random: systemRandom }
/** Epochs of 2 s: a command takes about one to start. */
const GENESIS = { name: 'guide', netuid: 1, blockMs: 100, tempo: 20, neurons: [] }
const WORDS = 'bottom drive obey lake curtain smoke basket hold race lonely fit walk'

describe('guides', function () {
  this.timeout(120_000)
  let directory: TempDir
  let devchain: Devchain
  let server: DevchainServer

  before(async () => {
    await cryptoReady()
    directory = await tempDir()
    devchain = new Devchain(components, { genesis: GENESIS })
    await devchain.start()
    server = new DevchainServer({ ...components, devchain }, { port: 0 })
    await server.start()
  })
  after(async () => {
    await server?.stop()
    await devchain?.stop()
    await directory?.[Symbol.asyncDispose]()
  })

  async function run(line: string, args: readonly string[], env: Record<string, string>): Promise<string> {
    const { code, stdout, stderr } = await cli(args, { home: directory.path, env })
    assert.equal(code, 0, `${line}\n${stderr}`)
    return stdout.toString()
  }

  it('wallets.md: makes, lists and brings in keys', async () => {
    const { commands } = readGuide('wallets')
    const words = join(directory.path, 'words.txt')
    await writeFile(words, WORDS)
    const env = { SUBNET_WALLET_PASSWORD: 'correct horse' }
    const outputs: string[] = []
    for (const { line, args } of commands)
      outputs.push(await run(line, args.map((arg) => (arg === 'words.txt' ? words : arg)), env)) // biome-ignore format: one
    const coldkey = join(directory.path, '.bittensor', 'wallets', 'alice', 'coldkey')
    assert.equal((await readFile(coldkey)).subarray(0, 5).toString(), '$NACL')
    assert.match(outputs.at(-1) ?? '', /5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY {2}not here/)
    assert.match(
      outputs.at(-1) ?? '',
      /5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV {2}without a password/,
    )
  })

  it('register.md: a subnet is created, started and set up, and its miner earns', async () => {
    const guide = readGuide('register')
    const env = { ...guide.env, SUBNET_SUBTENSOR_CHAIN_ENDPOINT: server.endpoint }
    const [host, ...commands] = guide.commands
    assert.deepEqual(host?.args, ['devchain'])
    for (const { line, args } of commands) {
      if (/ create .*--yes/.test(line)) {
        // Nobody to ask and nobody who said yes: nothing is spent.
        const unasked = args.filter((arg) => arg !== '--yes')
        const { code, stderr } = await cli(unasked, { home: directory.path, env })
        assert.equal(code, 78)
        assert.match(stderr, /add --yes/)
      }
      const output = await run(line, args, env)
      if (!/ create .*--yes| register /.test(line)) continue
      // Again is done already: nothing is spent and nothing is asked.
      const again = JSON.parse(
        await run(`${line} again`, [...args.filter((arg) => arg !== '--yes'), '--json'], env),
      )
      assert.deepEqual([again.done, again.plan.calls], [true, []], output)
    }
    const chain = connectChain(server.endpoint, components, { netuid: 2 })
    await chain.start()
    try {
      const miner = await until(
        async () => {
          const [, neuron] = (await chain.metagraph()).neurons
          return neuron !== undefined && neuron.emissionRao > 0n ? neuron : undefined
        },
        { deadlineMs: 30_000, title: 'the miner earns' },
      )
      assert.equal(miner.incentive, 65_535)
      assert.equal((await chain.subnet(2))?.identity?.name, 'storage')
      assert.equal((await chain.hyperparameters()).bondsMovingAverage, 800_000)
    } finally {
      await chain.stop()
    }
  })
})
