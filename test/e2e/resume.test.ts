/** What an interrupted command leaves, and what the next one makes of it: processes killed with SIGKILL, real nodes over TCP. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import { DevchainServer } from '../../src/chain/devchain/devchain-server.js'
import type { PutRecord } from '../../src/transfer/put-journal.js'
import { cli, exitOf, startCli } from '../kit/cli.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { type TempDir, tempDir } from '../kit/temp-dir.js'

const FILE_BYTES = 24 * MIB

describe('an interrupted transfer', function () {
  this.timeout(90_000)
  let directory: TempDir
  let network: LocalNetwork
  let server: DevchainServer
  let home: string
  let source: string
  let chain: readonly string[]
  const bytes = testBytes('resume', FILE_BYTES)

  before(async () => {
    directory = await tempDir()
    home = directory.path
    source = join(home, 'source')
    await writeFile(source, bytes)
    network = await LocalNetwork.start({ miners: 12, validators: 1 })
    const components = { clock: systemClock, logger: silentLogger, random: systemRandom }
    server = new DevchainServer({ ...components, devchain: network.devchain }, { port: 0 })
    await server.start()
    chain = ['--subtensor.chain_endpoint', server.endpoint]
  })

  after(async () => {
    await server?.stop()
    await network?.[Symbol.asyncDispose]()
    await directory?.[Symbol.asyncDispose]()
  })

  const journals = () => join(home, 'bittensor-db', 'client', 'puts')

  /** Runs a command until it says how far it is, and kills it there. */
  async function killedMidway(args: readonly string[]): Promise<void> {
    const child = startCli([...args, '--progress', 'json', ...chain], { home })
    assert.ok(child.stderr !== null)
    await once(createInterface({ input: child.stderr }), 'line')
    child.kill('SIGKILL')
    assert.equal(await exitOf(child), null)
  }

  it('put sends only what is missing, and the file reads back; get goes on, and gives ranges', async () => {
    const put = ['put', source, '--profile', 'small']
    await killedMidway(put)
    const [journal = ''] = await readdir(journals())
    assert.equal((await stat(join(journals(), journal))).mode & 0o777, 0o600)

    const again = await cli([...put, '--json', ...chain], { home })
    assert.equal(again.code, 0, again.stderr)
    const stored = JSON.parse(again.stdout.toString())
    assert.equal(stored.resumed, true)
    assert.ok(stored.reusedBytes >= 10 * MIB, `the first segment was there: ${stored.reusedBytes}`)
    assert.equal(stored.sentBytes + stored.reusedBytes, stored.storedBytes)
    assert.equal(stored.weakestReceipts, stored.fullReceipts)
    assert.deepEqual(await readdir(journals()), [])

    const output = join(home, 'back')
    const get = ['get', stored.capability, '-o', output]
    await killedMidway(get)
    assert.ok(!existsSync(output) && existsSync(`${output}.part`))
    const read = await cli([...get, ...chain], { home })
    assert.equal(read.code, 0, read.stderr)
    assert.ok(sameBytes(await readFile(output), bytes))
    assert.deepEqual(
      (await readdir(home)).filter((name) => name.includes('.part')),
      [],
    )

    const range = await cli(['get', stored.capability, '--range', '5000000-5000099', ...chain], { home })
    assert.ok(sameBytes(range.stdout, bytes.subarray(5_000_000, 5_000_100)))
    const tail = await cli(['get', stored.capability, '--range', `${FILE_BYTES - 5}-`, ...chain], { home })
    assert.ok(sameBytes(tail.stdout, bytes.subarray(FILE_BYTES - 5)))
    const bad = await cli(['get', stored.capability, '--range', '5-4', ...chain], { home })
    assert.deepEqual([bad.code, bad.stdout.length], [64, 0])
  })

  it('put starts anew for a file that has changed since, and when it is told to', async () => {
    const put = ['put', source, '--profile', 'copies']
    await killedMidway(put)
    const [first = ''] = await readdir(journals())
    const { objectKey } = JSON.parse(await readFile(join(journals(), first), 'utf8'))
    await utimes(source, 1, 1)
    await killedMidway(put)
    const all = await readdir(journals())
    assert.equal(all.length, 2)
    const second = all.find((name) => name !== first) ?? ''
    const fresh = JSON.parse(await readFile(join(journals(), second), 'utf8'))
    assert.notEqual(fresh.objectKey, objectKey)
    await killedMidway([...put, '--no-resume'])
    assert.notEqual(JSON.parse(await readFile(join(journals(), second), 'utf8')).objectKey, fresh.objectKey)
  })

  it('put goes on in the same process after an abort, with a journal of the caller', async () => {
    const client = await network.client()
    let record: PutRecord | undefined
    const journal = {
      load: async () => record,
      save: async (saved: PutRecord) => {
        record = saved
      },
      remove: async () => {
        record = undefined
      },
    }
    const small = bytes.slice(0, 14 * MIB)
    const stop = new AbortController()
    const first = client.storage.put([small], {
      profile: 'small',
      journal,
      signal: stop.signal,
      onProgress: () => stop.abort(new Error('changed my mind')),
    })
    await assert.rejects(first, /changed my mind/)
    const report = await client.storage.put([small], { profile: 'small', journal })
    assert.ok(report.resumed && report.reusedBytes > 0)
    assert.equal(report.sentBytes + report.reusedBytes, report.storedBytes)
    assert.equal(record, undefined)
    assert.ok(sameBytes(await readBack(client, report.capability), small))
  })
})
