import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import {
  coldkeyPubPath,
  createHotkey,
  hotkeyPath,
  loadColdkeyAddress,
  loadHotkey,
  type WalletLocation,
  writeColdkeyPub,
} from '../../../src/chain/wallet.js'
import { toSs58, verifySignature } from '../../../src/crypto/keys.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'

/** Substrate's development key //Alice: mini-secret and address as `subkey inspect //Alice` prints them. */
const ALICE = {
  seed: '0xe5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a',
  publicKey: '0xd43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d',
  address: '5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY',
}

describe('wallet', () => {
  const random = seededRandom('wallet')
  let directory: TempDir
  let location: WalletLocation
  beforeEach(async () => {
    directory = await tempDir()
    location = { path: join(directory.path, 'wallets'), name: 'default', hotkey: 'miner' }
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  const unusable = (error: unknown) => isSubnetError(error, 'CONFIG')
  async function put(path: string, text: string): Promise<void> {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  }
  const aliceFile = (fields = {}) =>
    JSON.stringify({
      accountId: ALICE.publicKey,
      publicKey: ALICE.publicKey,
      secretPhrase: null,
      secretSeed: ALICE.seed,
      ss58Address: ALICE.address,
      ...fields,
    })

  it('makes a hotkey that loads again', async () => {
    const made = await createHotkey(location, { random })
    const loaded = await loadHotkey(location)
    assert.deepEqual(loaded.publicKey, made.publicKey)
    const message = Uint8Array.of(1, 2, 3)
    assert.ok(verifySignature('sr25519', made.publicKey, message, loaded.sign(message)))
  })

  it('writes Bittensor’s form, for the owner’s eyes only, and leaves nothing else behind', async () => {
    const { publicKey } = await createHotkey(location, { random })
    const path = join(location.path, 'default', 'hotkeys', 'miner')
    const file = JSON.parse(await readFile(path, 'utf8'))
    assert.equal(file.ss58Address, toSs58(publicKey))
    assert.match(file.secretSeed, /^0x[0-9a-f]{64}$/)
    assert.equal(file.publicKey, file.accountId)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    for (const parent of [location.path, dirname(dirname(path)), dirname(path)]) {
      assert.equal((await stat(parent)).mode & 0o777, 0o700)
    }
    assert.deepEqual(await readdir(dirname(path)), ['miner'])
  })

  it('loads a file as Bittensor writes it', async () => {
    await put(hotkeyPath(location), aliceFile())
    assert.equal(toSs58((await loadHotkey(location)).publicKey), ALICE.address)
    await put(hotkeyPath(location), aliceFile({ cryptoType: 1, privateKey: '0x00', secretPhrase: 'a b c' }))
    assert.equal(toSs58((await loadHotkey(location)).publicKey), ALICE.address)
  })

  it('says that there is no file', async () => {
    await assert.rejects(loadHotkey(location), (error) => isSubnetError(error, 'NOT_FOUND'))
    await assert.rejects(loadColdkeyAddress(location), (error) => isSubnetError(error, 'NOT_FOUND'))
  })

  const broken: Record<string, string> = {
    empty: '',
    torn: aliceFile().slice(0, 100),
    'no object': '[]',
    encrypted: '$NACL\u0001\u0002',
    'only a phrase': aliceFile({ secretSeed: null, secretPhrase: 'bottom drive obey lake' }),
    'a short seed': aliceFile({ secretSeed: '0x1234' }),
    'another key’s address': aliceFile({ ss58Address: '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty' }),
    'another public key': aliceFile({ publicKey: `0x${'11'.repeat(32)}` }),
    'an ed25519 key': aliceFile({ cryptoType: 0 }),
  }
  for (const [title, text] of Object.entries(broken)) {
    it(`refuses a hotkey file that is ${title}, and does not replace it`, async () => {
      await put(hotkeyPath(location), text)
      await assert.rejects(loadHotkey(location), unusable)
      await assert.rejects(createHotkey(location, { random }), unusable)
      assert.equal(await readFile(hotkeyPath(location), 'utf8'), text)
      assert.deepEqual(await readdir(dirname(hotkeyPath(location))), ['miner'])
    })
  }

  it('says that a file is encrypted', async () => {
    await put(hotkeyPath(location), '$NACL...')
    await assert.rejects(loadHotkey(location), /is encrypted/)
  })

  it('never puts a secret into an error', async () => {
    await put(hotkeyPath(location), aliceFile().slice(0, -1))
    await assert.rejects(loadHotkey(location), (error) => {
      assert.ok(error instanceof SubnetError)
      assert.equal(error.cause, undefined)
      assert.ok(!error.message.includes(ALICE.seed.slice(2, 10)))
      return true
    })
  })

  it('lets one of two win that make the same hotkey at the same time', async () => {
    const made = await Promise.allSettled([1, 2, 3].map(() => createHotkey(location, { random })))
    const won = made.filter((result) => result.status === 'fulfilled')
    assert.equal(won.length, 1)
    assert.deepEqual((await loadHotkey(location)).publicKey, won[0]?.value.publicKey)
  })

  it('keeps the coldkey’s address', async () => {
    await writeColdkeyPub(location, ALICE.address, { random })
    assert.equal(await loadColdkeyAddress(location), ALICE.address)
    assert.equal(JSON.parse(await readFile(coldkeyPubPath(location), 'utf8')).secretSeed, null)
    await assert.rejects(writeColdkeyPub(location, ALICE.address, { random }), unusable)
    await put(coldkeyPubPath({ ...location, name: 'other' }), '{"ss58Address":"5xyz"}')
    await assert.rejects(loadColdkeyAddress({ ...location, name: 'other' }), unusable)
  })

  it('refuses names that lead out of the wallet', async () => {
    for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', 'a\0']) {
      await assert.rejects(loadHotkey({ ...location, name }), unusable)
      await assert.rejects(createHotkey({ ...location, hotkey: name }, { random }), unusable)
    }
  })
})
