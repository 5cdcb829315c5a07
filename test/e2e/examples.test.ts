/** The programs under docs/examples, each run as its own process: what the documentation shows works. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { DevchainServer } from '../../src/chain/devchain/devchain-server.js'
import { exitOf } from '../kit/cli.js'
import { LocalNetwork } from '../kit/local-network.js'
import { testBytes } from '../kit/objects.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'

const EXAMPLES = fileURLToPath(new URL('../../docs/examples/', import.meta.url))

describe('the examples of the library', function () {
  this.timeout(60_000)
  let directory: TempDir
  let network: LocalNetwork
  let server: DevchainServer

  before(async () => {
    directory = await tempDir()
    network = await LocalNetwork.start({ miners: 2, validators: 1 })
    const components = { clock: systemClock, logger: silentLogger, random: systemRandom }
    server = new DevchainServer({ ...components, devchain: network.devchain }, { port: 0 })
    await server.start()
  })

  after(async () => {
    await server?.stop()
    await network?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
  })

  function start(name: string, ...args: readonly string[]) {
    const program = join(EXAMPLES, `${name}.js`)
    return spawn(process.execPath, [program, server.endpoint, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  }

  async function run(name: string, ...args: readonly string[]): Promise<string> {
    const child = start(name, ...args)
    const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), exitOf(child)])
    assert.equal(code, 0, errors)
    return output
  }

  it('are all run here', async () => {
    const names = (await readdir(EXAMPLES)).filter((name) => name.endsWith('.js')).sort()
    assert.deepEqual(names, ['miner.js', 'put-get.js', 'transfer.js'])
  })

  it('put-get gives back what it put', async () => {
    assert.equal(await run('put-get'), 'hello\n')
  })

  it('transfer shows progress, a range, health, an abort and a code', async () => {
    const file = join(directory.path, 'file')
    await writeFile(file, testBytes('example', 1_300_000))
    const output = await run('transfer', file)
    assert.match(output, /^stored \d+ of 1300000 bytes at \d miners$/m)
    assert.match(output, /^kept until block \d+ by \d miners$/m)
    assert.match(output, /^read 100 of 100 bytes\nbytes 1299900 to 1300000: 100 read and verified$/m)
    assert.match(output, /^healthy: 1 of 1 chunks live, 1 needed\naborted: enough\nNOT_FOUND: /m)
  })

  it('miner joins the subnet, and ends when it is told to', async () => {
    const child = start('miner', join(directory.path, 'miner'))
    const [line] = await once(child.stdout, 'data')
    const { role, hotkey } = JSON.parse(String(line))
    assert.equal(role, 'miner')
    const client = await network.client()
    await client.subnet.view.refresh()
    assert.ok(client.subnet.view.member(hotkey)?.endpoint !== undefined)
    child.kill('SIGTERM')
    assert.equal(await exitOf(child), 0)
  })
})
