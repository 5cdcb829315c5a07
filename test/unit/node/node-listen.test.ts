import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { isSubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { createHotkey, writeColdkeyPub } from '../../../src/chain/wallet.js'
import { cryptoReady, toSs58 } from '../../../src/crypto/keys.js'
import { createNode } from '../../../src/node/node.js'
import { FakeChain } from '../../kit/fake-chain.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

describe('a node whose port is in use', () => {
  const random = seededRandom('node listen')
  let directory: TempDir
  let other: Server
  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
  })
  afterEach(async () => {
    other.close()
    await directory[Symbol.asyncDispose]()
  })

  async function node(dataPath: string) {
    const wallet = { path: join(directory.path, 'wallets'), name: 'w', hotkey: 'h' }
    await writeColdkeyPub(wallet, toSs58(random.bytes(32)), { random })
    await createHotkey(wallet, { random })
    const { port } = other.address() as AddressInfo
    const init = { role: 'miner', chain: new FakeChain(), dataPath, wallet } as const
    return createNode({ ...init, listen: [`/ip4/127.0.0.1/tcp/${port}`] }, { random })
  }

  it('makes no data directory', async () => {
    const starting = await node(join(directory.path, 'db', 'miner-1'))
    await assert.rejects(starting.start(), (error) => {
      assert.match(`${error}`, /cannot listen on \/ip4\/\S+: listen EADDRINUSE/)
      return isSubnetError(error, 'CONFIG')
    })
    assert.deepEqual(await readdir(directory.path), ['wallets'])
  })

  it('leaves one that was there as it was', async () => {
    const path = join(directory.path, 'miner-1')
    await mkdir(path)
    await writeFile(join(path, 'precious'), '')
    const starting = await node(path)
    await assert.rejects(starting.start(), (error) => isSubnetError(error))
    assert.ok((await readdir(path)).includes('precious'))
  })
})
