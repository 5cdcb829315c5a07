/** n − k holders die while a reader in a process of its own is half-way: what it writes is the file all the same. */
import assert from 'node:assert/strict'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { MIB } from '../../src/base/units.js'
import { DevchainServer } from '../../src/chain/devchain/devchain-server.js'
import { PROFILES } from '../../src/redundancy/profiles.js'
import { exitOf, startCli } from '../kit/cli.js'
import { LocalNetwork } from '../kit/local-network.js'
import { sameBytes, testBytes } from '../kit/objects.js'
import { tempDir } from '../kit/temp-dir.js'

/** More than a reader has in flight, so that some of it is asked for only after the holders are dead. */
const FILE_BYTES = 40 * MIB
/** Read before they die; then the pipe is full, and the reader waits. */
const FIRST_BYTES = 2 * MIB

describe('a get during which n − k holders die', function () {
  this.timeout(60_000)

  it('writes every byte of the file', async () => {
    await using directory = await tempDir()
    await using network = await LocalNetwork.start({ miners: 12, validators: 1 })
    const components = { clock: systemClock, logger: silentLogger, random: systemRandom }
    const server = new DevchainServer({ ...components, devchain: network.devchain }, { port: 0 })
    await server.start()
    try {
      const writer = await network.client()
      const bytes = testBytes('killed', FILE_BYTES)
      const { capability, holders } = await writer.storage.put([bytes], { profile: 'small' })
      const reader = startCli(['get', capability, '--subtensor.chain_endpoint', server.endpoint], {
        home: directory.path,
      })
      const { stdout } = reader
      assert.ok(stdout !== null)
      const pieces: Buffer[] = []
      const readBytes = () => pieces.reduce((sum, { length }) => sum + length, 0)
      const output: AsyncIterator<Buffer> = stdout[Symbol.asyncIterator]()
      const take = async (): Promise<boolean> => {
        const { value, done } = await output.next()
        if (done !== true) pieces.push(value)
        return done !== true
      }
      while (readBytes() < FIRST_BYTES && (await take()));
      const { k, n } = PROFILES.small
      const byBytes = [...holders].sort((a, b) => b.bytes - a.bytes).slice(0, n - k)
      await Promise.all(byBytes.map(({ hotkey }) => network.stopNode(network.nameOf(hotkey))))
      while (await take());
      assert.equal(await exitOf(reader), 0)
      assert.ok(sameBytes(Buffer.concat(pieces), bytes))
    } finally {
      await server.stop()
    }
  })
})
