import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import {
  coldkeyPath,
  coldkeyPubPath,
  coldkeyUnlocked,
  createHotkey,
  describeWallet,
  ENCRYPTED,
  hotkeyPath,
  listWallets,
  loadColdkey,
  loadColdkeyAddress,
  loadHotkey,
  type WalletLocation,
  writeColdkeyPub,
  writeKey,
} from '../../../src/chain/wallet.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { fromSecretText, fromSeed } from '../../../src/crypto/key-material.js'
import { cryptoReady, toSs58, verifySignature } from '../../../src/crypto/keys.js'
import { sodiumReady } from '../../../src/crypto/sodium.js'
import { stretchPassword } from '../../../src/crypto/stretch-password.js'
import { turn } from '../../kit/fake-clock.js'
import { type TempDir, tempDir } from '../../kit/temp-dir.js'
import { readVectors, unhex } from '../../kit/vectors.js'

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
  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    location = { path: join(directory.path, 'wallets'), name: 'default', hotkey: 'miner' }
  })
  afterEach(() => directory[Symbol.asyncDispose]())

  const unusable = (error: unknown) => isSubnetError(error, 'CONFIG')
  async function put(path: string, text: string | Uint8Array): Promise<void> {
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
    await put(hotkeyPath(location), aliceFile({ cryptoType: 1, privateKey: '0x00' }))
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
    'encrypted as before 2023': '$ANSIBLE_VAULT;1.2;AES256;ansible\n61',
    'without a secret': aliceFile({ secretSeed: null }),
    'a phrase that is none, whatever its seed': aliceFile({ secretPhrase: 'a b c' }),
    'a private key that is none': aliceFile({ secretSeed: null, privateKey: `0x${'ff'.repeat(64)}` }),
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
    assert.equal(JSON.parse(await readFile(coldkeyPubPath(location), 'utf8')).secretSeed, undefined)
    await assert.rejects(writeColdkeyPub(location, ALICE.address, { random }), unusable)
    await put(coldkeyPubPath({ ...location, name: 'other' }), '{"ss58Address":"5xyz"}')
    await assert.rejects(loadColdkeyAddress({ ...location, name: 'other' }), unusable)
  })

  describe('encrypted', () => {
    const { encrypted } = readVectors<{ encrypted: Record<'password' | 'address' | 'bytes', string> }>('keys')
    /** Quick, and as different for different passwords as the real one. */
    const stretch = async (password: string) => sha256(new TextEncoder().encode(password))
    const secret = 'bottom drive obey lake curtain smoke basket hold race lonely fit walk'

    it('reads what another implementation encrypted, and lets others work meanwhile', async () => {
      await put(coldkeyPath(location), unhex(encrypted.bytes))
      await sodiumReady()
      let turns = 0
      const watched = async (password: string) => {
        let isOver = false
        const stretching = stretchPassword(password).finally(() => {
          isOver = true
        })
        for (; !isOver && turns < 10; turns += 1) await turn()
        return await stretching
      }
      const { publicKey } = await loadColdkey(location, { password: encrypted.password, stretch: watched })
      assert.equal(toSs58(publicKey), encrypted.address)
      assert.equal(turns, 10, 'on this thread it would be over before the next turn')
    })

    it('writes no secret to the disk, and loads with the password only', async () => {
      const material = await fromSecretText(secret)
      await writeKey(location, 'coldkey', material, { random }, { password: 'correct horse', stretch })
      const bytes = await readFile(coldkeyPath(location))
      assert.equal(bytes.subarray(0, 5).toString(), '$NACL')
      assert.ok(!bytes.includes('bottom'))
      const loaded = await loadColdkey(location, { password: 'correct horse', stretch })
      assert.deepEqual(loaded.publicKey, material.signer.publicKey)
      await assert.rejects(loadColdkey(location, { password: 'correct hors', stretch }), (error) => {
        assert.ok(isSubnetError(error, 'UNAUTHENTICATED') && !error.retryable)
        return error.message.includes(coldkeyPath(location))
      })
      await assert.rejects(loadColdkey(location), (error) => {
        return isSubnetError(error, 'CONFIG') && error.data.reason === ENCRYPTED
      })
    })

    it('tells a torn file from a wrong password where that can be known', async () => {
      await put(coldkeyPath(location), unhex(encrypted.bytes).subarray(0, 40))
      await assert.rejects(loadColdkey(location, { password: 'x', stretch }), /is torn/)
      await put(coldkeyPath(location), unhex(encrypted.bytes).subarray(0, 400))
      await assert.rejects(loadColdkey(location, { password: 'x', stretch }), /or the file is damaged/)
    })

    it('keeps the address of an encrypted hotkey beside it', async () => {
      const material = await fromSecretText(secret)
      await writeKey(location, 'hotkey', material, { random }, { password: 'correct horse', stretch })
      const { hotkeys } = await describeWallet(location)
      assert.deepEqual(hotkeys, [{ name: 'miner', state: 'encrypted', address: encrypted.address }])
    })
  })

  it('replaces a key only where that is said', async () => {
    await createHotkey(location, { random })
    const before = await readFile(hotkeyPath(location), 'utf8')
    const material = fromSeed(random.bytes(32))
    await assert.rejects(writeKey(location, 'hotkey', material, { random }), unusable)
    assert.equal(await readFile(hotkeyPath(location), 'utf8'), before)
    await writeKey(location, 'hotkey', material, { random }, { overwrite: true })
    assert.deepEqual((await loadHotkey(location)).publicKey, material.signer.publicKey)
  })

  it('writes phrase, seed and private key, and no field that older wallets cannot read', async () => {
    const material = await fromSecretText(
      'bottom drive obey lake curtain smoke basket hold race lonely fit walk',
    )
    await writeKey(location, 'coldkey', material, { random })
    const file: Record<string, unknown> = JSON.parse(await readFile(coldkeyPath(location), 'utf8'))
    assert.deepEqual(Object.keys(file).sort(), [
      'accountId',
      'privateKey',
      'publicKey',
      'secretPhrase',
      'secretSeed',
      'ss58Address',
    ])
    assert.ok(Object.values(file).every((value) => typeof value === 'string'))
    // Any one of the three is enough.
    for (const field of ['secretPhrase', 'secretSeed', 'privateKey']) {
      await put(
        coldkeyPath(location),
        JSON.stringify({ ss58Address: file.ss58Address, [field]: file[field] }),
      )
      assert.deepEqual((await loadColdkey(location)).publicKey, material.signer.publicKey)
    }
  })

  it('lists what is there, also what is broken, and sees a coldkey that lies open', async () => {
    assert.deepEqual(await listWallets(location.path), [])
    await put(hotkeyPath(location), aliceFile())
    await put(hotkeyPath({ ...location, hotkey: 'torn' }), '{"ss58')
    await put(coldkeyPath({ ...location, name: 'other' }), '$NACL....')
    await writeColdkeyPub({ ...location, name: 'other' }, ALICE.address, { random })
    assert.deepEqual(await listWallets(location.path), [
      {
        name: 'default',
        coldkey: { state: 'absent' },
        hotkeys: [
          { name: 'miner', state: 'plain', address: ALICE.address },
          { name: 'torn', state: 'unusable' },
        ],
      },
      { name: 'other', coldkey: { state: 'encrypted', address: ALICE.address }, hotkeys: [] },
    ])
    assert.equal(await coldkeyUnlocked({ ...location, name: 'other' }), false)
    assert.equal(await coldkeyUnlocked(location), false)
    await put(coldkeyPath(location), aliceFile())
    assert.equal(await coldkeyUnlocked(location), true)
  })

  it('refuses names that lead out of the wallet', async () => {
    for (const name of ['', '.', '..', '../x', 'a/b', 'a\\b', 'a\0']) {
      await assert.rejects(loadHotkey({ ...location, name }), unusable)
      await assert.rejects(createHotkey({ ...location, hotkey: name }, { random }), unusable)
    }
  })
})
