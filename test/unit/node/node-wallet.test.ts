import assert from 'node:assert/strict'
import { join } from 'node:path'
import { isSubnetError } from '../../../src/base/errors.js'
import type { Logger } from '../../../src/base/log.js'
import { silentLogger } from '../../../src/base/log.js'
import { seededRandom } from '../../../src/base/random.js'
import {
  createHotkey,
  ENCRYPTED,
  type WalletLocation,
  writeColdkeyPub,
  writeKey,
} from '../../../src/chain/wallet.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { fromSeed, type KeyMaterial } from '../../../src/crypto/key-material.js'
import { cryptoReady, toSs58 } from '../../../src/crypto/keys.js'
import { createNode } from '../../../src/node/node.js'
import { FakeChain } from '../../kit/fake-chain.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

describe('a node with a Bittensor wallet', () => {
  const random = seededRandom('node wallet')
  let directory: TempDir
  let wallet: WalletLocation
  let coldkey: KeyMaterial
  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    wallet = { path: join(directory.path, 'wallets'), name: 'w', hotkey: 'h' }
    coldkey = fromSeed(random.bytes(32))
    await writeColdkeyPub(wallet, toSs58(coldkey.signer.publicKey), { random })
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  /** Starts it on a chain that does not know it, so that it goes no further than its keys; what it warned of. */
  async function started(reason: string): Promise<unknown[]> {
    const warned: unknown[] = []
    const logger: Logger = { ...silentLogger, warn: (fields: object) => warned.push(fields) }
    const init = {
      role: 'validator' as const,
      chain: new FakeChain(),
      dataPath: join(directory.path, 'data'),
      wallet,
    }
    await assert.rejects(createNode(init, { logger, random }).start(), (error) => {
      assert.ok(isSubnetError(error), String(error))
      return error.data.reason === reason
    })
    return warned
  }

  it('needs the hotkey and the coldkey’s address only, and registers nothing on its own', async () => {
    await createHotkey(wallet, { random })
    assert.deepEqual(await started('HotKeyNotRegisteredInSubNet'), [])
  })

  it('warns of a coldkey that lies open beside', async () => {
    await createHotkey(wallet, { random })
    await writeKey(wallet, 'coldkey', coldkey, { random })
    assert.deepEqual(await started('HotKeyNotRegisteredInSubNet'), [
      { path: join(wallet.path, 'w', 'coldkey') },
    ])
  })

  it('says that its hotkey is encrypted', async () => {
    const stretch = async (password: string) => sha256(new TextEncoder().encode(password))
    const options = { password: 'correct horse', stretch }
    await writeKey(wallet, 'hotkey', fromSeed(random.bytes(32)), { random }, options)
    assert.deepEqual(await started(ENCRYPTED), [])
  })
})
