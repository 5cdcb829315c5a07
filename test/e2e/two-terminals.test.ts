/** Two nodes without a setting: they find each other, share a machine, and survive the death of the one that hosts the chain. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { randomFraction, systemRandom } from '../../src/base/random.js'
import { cli, documents, exitOf, startCli } from '../kit/cli.js'
import { testBytes } from '../kit/objects.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'
import { until } from '../kit/until.js'

/** Epochs every 2 s instead of 20. */
const BLOCK_MS = '100'

describe('subnet-node: two terminals', function () {
  this.timeout(180_000)
  let directory: TempDir
  let home: string
  let port: string
  let started: ChildProcess[]

  beforeEach(async () => {
    directory = await tempDir()
    home = directory.path
    port = await freePort()
    started = []
  })

  afterEach(async () => {
    for (const child of started) child.kill('SIGKILL')
    await Promise.all(started.map(exitOf))
    await directory[Symbol.asyncDispose]()
  })

  interface Terminal {
    readonly child: ChildProcess
    /** What it says of itself once it is up. */
    readonly up: Promise<Record<string, unknown>>
    /** Its log so far: JSON documents from stderr. */
    readonly log: Record<string, unknown>[]
  }

  function terminal(role: 'miner' | 'validator', ...more: readonly string[]): Terminal {
    const chain = ['--subtensor.devchain_port', port, '--subtensor.devchain_block_ms', BLOCK_MS]
    const child = startCli(['--role', role, '--json', ...chain, ...more], { home })
    started.push(child)
    const log: Record<string, unknown>[] = []
    if (child.stderr !== null)
      createInterface({ input: child.stderr }).on('line', (line) => log.push(JSON.parse(line)))
    const up = documents(child)
      .next()
      .then(({ value }) => {
        assert.ok(value, `the ${role} did not come up: ${JSON.stringify(log)}`)
        return value
      })
    return { child, up, log }
  }

  const says = ({ log }: Terminal, text: RegExp) => log.some(({ msg }) => text.test(String(msg)))
  const heard = (from: Terminal, text: RegExp) =>
    until(() => says(from, text), { deadlineMs: 30_000, title: `${text}` })

  /** Tries until the network has come together: the first epoch, and the validator's first visit. */
  async function putWorks(): Promise<void> {
    const input = testBytes('two terminals', 5_000)
    const words = ['put', '-', '--profile', 'single', '--subtensor.devchain_port', port]
    const capability = await until(
      async () => {
        const { code, stdout, stderr } = await cli(words, { home, input })
        assert.ok(code === 0 || code === 69 || code === 75, stderr)
        return code === 0 && stdout.toString().trim()
      },
      { deadlineMs: 80_000, title: 'a put succeeds' },
    )
    const back = await cli(['get', capability, '--subtensor.devchain_port', port], { home })
    assert.deepEqual([back.code, back.stdout.equals(input)], [0, true])
  }

  it('form a network without a setting; it comes back when the host of the chain was killed', async () => {
    const validator = terminal('validator')
    await validator.up
    const miner = terminal('miner')
    await miner.up
    assert.ok(says(validator, /hosting a devchain/))
    assert.ok(says(miner, /joining the devchain/))
    await putWorks()
    validator.child.kill('SIGKILL')
    await heard(miner, /lost the devchain/)
    const successor = terminal('validator')
    await successor.up
    await heard(miner, /the devchain is back/)
    assert.ok(says(successor, /the devchain goes on/))
    await putWorks()
    // Both are who they were: registered once, in the chain's first life.
    assert.equal(miner.log.filter(({ msg }) => msg === 'registered on the devchain').length, 1)
    assert.ok(!says(successor, /registered on the devchain/))
  })

  it('may start the other way round, and at the same moment: who loses the port joins', async () => {
    const both = [terminal('miner'), terminal('validator')]
    await Promise.all(both.map(({ up }) => up))
    assert.equal(both.filter((each) => says(each, /hosting a devchain/)).length, 1)
    assert.equal(both.filter((each) => says(each, /joining the devchain/)).length, 1)
    await putWorks()
    for (const { child } of both.reverse()) child.kill('SIGTERM')
    assert.deepEqual(await Promise.all(both.map(({ child }) => exitOf(child))), [0, 0])
  })

  it('give a second node of a role the next free name, and keep a name that was given', async () => {
    const first = terminal('miner')
    await first.up
    const second = terminal('miner')
    assert.notEqual((await second.up).hotkey, (await first.up).hotkey)
    assert.deepEqual(
      ['miner-1', 'miner-2', 'miner-3'].map((name) => existsSync(join(home, 'bittensor-db', 'dev', name))),
      [true, true, false],
    )
    const chain = ['--subtensor.devchain_port', port, '--log.level', 'silent']
    const named = await cli(['--role', 'miner', '--node_name', 'miner-1', '--json', ...chain], { home })
    assert.equal(named.code, 78)
    const { error } = JSON.parse(named.stderr)
    assert.deepEqual([error.code, error.reason], ['DATA_DIR', 'InUse'])
  })

  it('tell at SIGUSR2 what they know of themselves', async () => {
    const miner = terminal('miner')
    const { hotkey } = await miner.up
    miner.child.kill('SIGUSR2')
    const status = await until(() => miner.log.find((line) => 'membersBlock' in line), {
      deadlineMs: 10_000,
      title: 'a status',
    })
    assert.deepEqual([status.hotkey, status.role, status.shards], [hotkey, 'miner', []])
  })
})

/**
 * One that nobody listens on, and below those that a system gives to whoever asks for any: it is free for a while before it
 * is used, and again when its first host has been killed, and other tests run meanwhile.
 */
async function freePort(): Promise<string> {
  for (;;) {
    const port = 10_000 + Math.floor(randomFraction(systemRandom) * 20_000)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return String(port)
  }
}
