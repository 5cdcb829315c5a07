/**
 * What an operator meets when the chain is not as it should be, through the command line as a process: each message says what
 * to do, and nothing is overwritten or paid twice. The chain is in the test's process, so what was paid is read from its state.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { cp, type FileHandle, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { seededRandom } from '../../src/base/random.js'
import { DevchainAdapter } from '../../src/chain/devchain/adapter.js'
import { localApi } from '../../src/chain/devchain/api.js'
import { Devchain } from '../../src/chain/devchain/devchain.js'
import { DevchainServer } from '../../src/chain/devchain/devchain-server.js'
import { createHotkey, type WalletLocation, writeColdkeyPub, writeKey } from '../../src/chain/wallet.js'
import { fromSeed } from '../../src/crypto/key-material.js'
import { cryptoReady, type Signer, toSs58 } from '../../src/crypto/keys.js'
import { testHotkey } from '../kit/chain-keys.js'
import { type CliResult, cli, exitOf, startCli } from '../kit/cli.js'
import { putSubnet } from '../kit/mock-subnet.js'
import { MockSubtensor, type MockSubtensorInit } from '../kit/mock-subtensor.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { until } from '../kit/until.js'

const TAO = 1_000_000_000n
const components = { clock: systemClock, random: seededRandom('bad chain'), logger: silentLogger }

/** The pipe, when the command reads it: its plan is made and agreed to. `undefined` when it has ended instead. */
async function openedByReader(path: string, child: ChildProcess): Promise<FileHandle | undefined> {
  let file: FileHandle | undefined
  const opened = async () => {
    file = await open(path, constants.O_WRONLY | constants.O_NONBLOCK).catch(
      (error: NodeJS.ErrnoException) => {
        // Nobody reads yet.
        if (error.code !== 'ENXIO') throw error
        return undefined
      },
    )
    return file !== undefined || child.exitCode !== null
  }
  await until(opened, { deadlineMs: 60_000, title: 'the coldkey is read' })
  return file
}

describe('subnet-node, when the chain is not as it should be', function () {
  this.timeout(120_000)
  let directory: TempDir
  let wallet: WalletLocation
  let coldkey: Signer
  let coldkeyText: string
  let hotkey: string
  let devchain: Devchain
  let server: DevchainServer
  let chain: DevchainAdapter

  before(async () => {
    await cryptoReady()
    directory = await tempDir()
    const random = seededRandom('wallet')
    wallet = { path: join(directory.path, 'wallets'), name: 'w', hotkey: 'h' }
    const material = fromSeed(random.bytes(32))
    coldkey = material.signer
    await writeColdkeyPub(wallet, toSs58(coldkey.publicKey), { random })
    await writeKey(wallet, 'coldkey', material, { random })
    coldkeyText = await readFile(join(wallet.path, 'w', 'coldkey'), 'utf8')
    hotkey = toSs58((await createHotkey(wallet, { random })).publicKey)
    await createHotkey({ ...wallet, hotkey: 'fresh' }, { random })
    const neurons = [{ hotkey: testHotkey(1).address, coldkey: testHotkey(2).address, stakeRao: TAO }]
    devchain = new Devchain(components, {
      genesis: { name: 'bad', netuid: 1, blockMs: 100, tempo: 20, neurons },
    })
    await devchain.start()
    server = new DevchainServer({ ...components, devchain }, { port: 0 })
    await server.start()
    chain = new DevchainAdapter({ api: localApi(devchain), clock: systemClock })
    await chain.start()
    await chain.faucet.pay(coldkey, 10_000n * TAO)
  })
  after(async () => {
    await chain?.stop()
    await server?.stop()
    await devchain?.stop()
    await directory?.[Symbol.asyncDispose]()
  })

  const words = (endpoint = server.endpoint) => [
    ...['--subtensor.chain_endpoint', endpoint, '--db_root_path', join(directory.path, 'data')],
    ...['--wallet.path', wallet.path, '--wallet.name', wallet.name, '--wallet.hotkey', wallet.hotkey],
  ]
  /** Commands without a `--db_root_path` have none of it. */
  const walletWords = (endpoint?: string) => words(endpoint).filter((word, i, all) => word !== '--db_root_path' && all[i - 1] !== '--db_root_path') // biome-ignore format: one
  const run = (args: readonly string[], env: Record<string, string> = {}) =>
    cli(args, { home: directory.path, env })
  const balance = () => devchain.state().balances.get(toSs58(coldkey.publicKey)) ?? 0n
  const keyFiles = () =>
    Promise.all(
      ['coldkey', 'coldkeypub.txt', 'hotkeys/h'].map((name) => readFile(join(wallet.path, 'w', name))),
    )

  function failed(result: CliResult, code: number, ...patterns: readonly RegExp[]): void {
    assert.equal(result.code, code, result.stderr)
    for (const pattern of patterns) assert.match(result.stderr, pattern)
  }
  /** Nothing was paid, and no key was touched, by what `work` ran. */
  async function untouched(work: () => Promise<void>): Promise<void> {
    const before = [balance(), await keyFiles()]
    await work()
    assert.deepEqual([balance(), await keyFiles()], before)
  }

  /** Runs up to the plan, lets `meanwhile` happen while the coldkey is read, then goes on. */
  async function betweenPlanAndApply(
    args: readonly string[],
    meanwhile: () => Promise<void>,
  ): Promise<CliResult> {
    const name = 'paused'
    const path = join(wallet.path, name)
    await rm(path, { recursive: true, force: true })
    await cp(join(wallet.path, 'w'), path, { recursive: true })
    await rm(join(path, 'coldkey'))
    await promisify(execFile)('mkfifo', [join(path, 'coldkey')])
    const child = startCli([...args, '--wallet.name', name], { home: directory.path })
    child.stdin?.end()
    const [stdout, stderr] = [text(child.stdout ?? assert.fail()), text(child.stderr ?? assert.fail())]
    const ended = exitOf(child)
    const file = await openedByReader(join(path, 'coldkey'), child)
    if (file === undefined) assert.fail(`it ended before its plan was agreed to: ${await stderr}`)
    await meanwhile()
    await file.writeFile(coldkeyText).finally(() => file.close())
    return { code: await ended, stdout: Buffer.from(await stdout), stderr: await stderr }
  }

  describe('an endpoint that is not the right one', () => {
    const open: AsyncDisposable[] = []
    afterEach(async () => {
      for (const each of open.splice(0)) await each[Symbol.asyncDispose]()
    })
    async function nodeOf(init: MockSubtensorInit = {}): Promise<MockSubtensor> {
      const node = await MockSubtensor.open(init)
      open.push(node)
      putSubnet(node)
      return node
    }

    it('of another genesis: says which settings to look at, and sends nothing', async () => {
      const node = await nodeOf()
      await untouched(async () => {
        const wrong = `${node.url}#finney`
        const [registering, examined] = await Promise.all([
          run(['register', '--yes', '--netuid', '7', ...walletWords(wrong)]),
          run(['doctor', '--netuid', '7', ...words(wrong)]),
        ])
        failed(registering, 77, /expected 0x2f0555cc.*--subtensor.chain_endpoint and --subtensor.network/)
        assert.equal(examined.code, 78)
        assert.match(examined.stdout.toString(), /^FAIL +genesis .*\n +→ name an endpoint of the network/m)
      })
      assert.equal(node.submissions, 0)
    })

    it('stale, stalled, limiting its rate or closing at once: the doctor says which, and what to look at', async () => {
      const [stale, stalled, limiting, closing] = [
        await nodeOf({ ageMs: 600_000 }),
        await nodeOf(),
        await nodeOf(),
        await nodeOf(),
      ]
      stalled.fault = () => 'stall'
      limiting.fault = () => ({ code: -32_029, message: 'Too many requests' })
      closing.fault = () => 'close'
      const callers: Socket[] = []
      const deaf = createServer((socket) => callers.push(socket))
      await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve))
      const address = deaf.address()
      assert.ok(address !== null && typeof address === 'object')
      const cases: readonly (readonly [string, RegExp])[] = [
        [stale.url, /newest block .* s old/],
        [stalled.url, /no subtensor node answered/],
        [limiting.url, /Too many requests|limit/i],
        [closing.url, /closed/],
        [`dev://127.0.0.1:${address.port}`, /within 5 s/],
      ]
      try {
        await Promise.all(
          cases.map(async ([endpoint, pattern]) => {
            const { code, stdout } = await run(['doctor', '--netuid', '7', ...words(endpoint)])
            assert.equal(code, 78, stdout.toString())
            const [, said = ''] =
              /^FAIL +chain +(.*\n +→ check --subtensor.chain_endpoint)/m.exec(stdout.toString()) ?? []
            assert.match(said, pattern, stdout.toString())
          }),
        )
      } finally {
        for (const caller of callers) caller.destroy()
        await new Promise((resolve) => deaf.close(resolve))
      }
      for (const node of [stale, stalled, limiting, closing]) assert.equal(node.submissions, 0)
    })
  })

  it('a torn key and a hotkey that is not registered: said before anything is sent', async () => {
    const torn = { ...wallet, hotkey: 'torn' }
    await createHotkey(torn, { random: seededRandom('torn') })
    const file = join(wallet.path, 'w', 'hotkeys', 'torn')
    await writeFile(file, '{"ss58Addr')
    await untouched(async () => {
      const [broken, stranger] = await Promise.all([
        run(['register', '--yes', ...walletWords(), '--wallet.hotkey', 'torn']),
        run(['stake', '5', '--yes', ...words(), '--wallet.hotkey', 'fresh']),
      ])
      failed(broken, 78, /hotkeys\/torn/)
      failed(stranger, 77, /is not registered on subnet 1: run "subnet-node register" first/)
    })
    assert.equal(await readFile(file, 'utf8'), '{"ss58Addr')
  })

  it('a price that rises between plan and call: the chain, or the command, refuses, and nothing is paid', async () => {
    await untouched(async () => {
      const result = await betweenPlanAndApply(['register', '--yes', ...walletWords()], async () => {
        const rich = testHotkey(90)
        await chain.faucet.pay(rich.signer, 5_000n * TAO)
        const other = testHotkey(91).address
        await chain.burnedRegister({ coldkey: rich.signer, hotkey: other, limitRao: 5n * TAO })
      })
      failed(result, 77, /RegistrationPriceLimitExceeded/)
    })
    await untouched(async () => {
      const result = await betweenPlanAndApply(['subnet', 'create', '--yes', ...words()], async () => {
        await chain.registerSubnet({ coldkey: testHotkey(90).signer, hotkey: testHotkey(92).address })
      })
      failed(result, 77, /a subnet costs .* now, more than .*: allow more, or wait/)
    })
  })

  it('gone in the middle of a registration: the same command again goes on, and it is paid once', async () => {
    const before = balance()
    const { port } = new URL(server.endpoint)
    const result = await betweenPlanAndApply(
      ['register', '--yes', '--max-burn', '5', ...walletWords()],
      async () => {
        // It takes what is sent and makes no block of it; then nobody answers any more.
        devchain.misbehave({ kind: 'stall', on: true })
        void until(() => devchain.nonce(toSs58(coldkey.publicKey)) > 0, {
          deadlineMs: 60_000,
          title: 'it is sent',
        }).then(() => server.stop())
      },
    )
    failed(
      result,
      69,
      /whether it arrived is not known: run the same command again, it looks before it spends/,
    )
    assert.equal(balance(), before)
    devchain.misbehave({ kind: 'stall', on: false })
    server = new DevchainServer({ ...components, devchain }, { port: Number(port) })
    await server.start()
    const again = await run(['register', '--yes', '--max-burn', '5', '--json', ...walletWords()])
    assert.equal(again.code, 0, again.stderr)
    const uid = devchain.subnet(1).neurons.findIndex((neuron) => neuron.hotkey === hotkey)
    assert.equal(JSON.parse(again.stdout.toString()).uid, uid)
    const paid = before - balance()
    assert.ok(paid > 0n && paid <= 5n * TAO)
    const third = JSON.parse((await run(['register', '--json', ...walletWords()])).stdout.toString())
    assert.deepEqual([third.done, third.plan.calls, before - balance()], [true, [], paid])
  })

  it('silent after it took a stake: it is not sent again before somebody has looked, and is paid once', async () => {
    if (devchain.subnet(1).neurons.every((neuron) => neuron.hotkey !== hotkey))
      await chain.burnedRegister({ coldkey, hotkey, limitRao: 50n * TAO })
    const before = balance()
    const stake = ['stake', '5', '--yes', ...words()]
    const result = await betweenPlanAndApply(stake, async () => {
      const nonce = devchain.nonce(toSs58(coldkey.publicKey))
      devchain.misbehave({ kind: 'stall', on: true })
      const sent = () => devchain.nonce(toSs58(coldkey.publicKey)) > nonce
      void until(sent, { deadlineMs: 60_000, title: 'it is sent' }).then(() => {
        devchain.misbehave({ kind: 'silence', on: true })
      })
    })
    failed(result, 69, /whether it arrived is not known: run the same command again/)
    devchain.misbehave({ kind: 'silence', on: false })
    devchain.misbehave({ kind: 'stall', on: false })
    await until(() => before - balance() === 5n * TAO, { deadlineMs: 10_000, title: 'it arrived after all' })
    failed(
      await run(stake),
      77,
      /add_stake sent at block \d+ got no answer( and may still arrive|, .*look at the balance, then say --again)/,
    )
    assert.equal(before - balance(), 5n * TAO)
  })

  it('closing connections at random: said so, and the same command again goes on until it is done, once', async () => {
    const other = { ...wallet, hotkey: 'other' }
    const address = toSs58((await createHotkey(other, { random: seededRandom('other') })).publicKey)
    const before = balance()
    const register = ['register', '--yes', '--max-burn', '5', ...walletWords(), '--wallet.hotkey', 'other']
    devchain.misbehave({ kind: 'close', oneIn: 8 })
    try {
      for (let tries = 0; ; tries += 1) {
        const result = await run(register)
        if (result.code === 0) break
        failed(result, 69, /see that it runs.*try again|run the same command again/)
        assert.ok(tries < 12, 'it never gets through')
      }
    } finally {
      devchain.misbehave({ kind: 'close', oneIn: 0 })
    }
    assert.equal(devchain.subnet(1).neurons.filter((neuron) => neuron.hotkey === address).length, 1)
    assert.ok(before - balance() > 0n && before - balance() <= 5n * TAO)
  })
})
