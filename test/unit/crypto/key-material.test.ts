import assert from 'node:assert/strict'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { seededRandom } from '../../../src/base/random.js'
import { fromPrivateKey, fromSecretText, newPhrase } from '../../../src/crypto/key-material.js'
import { cryptoReady, toSs58, verifySignature } from '../../../src/crypto/keys.js'
import { hex, readVectors } from '../../kit/vectors.js'

interface KeyVectors {
  readonly keys: readonly {
    readonly secret: string
    readonly address: string
    readonly privateKey?: string
  }[]
}

describe('key material', () => {
  const { keys } = readVectors<KeyVectors>('keys')
  const message = Uint8Array.of(1, 2, 3)
  before(cryptoReady)

  for (const { secret, address, privateKey } of keys) {
    it(`gives ${address} for ${secret.slice(0, 24)}…${secret.slice(-8)}`, async () => {
      const material = await fromSecretText(secret)
      assert.equal(toSs58(material.signer.publicKey), address)
      assert.ok(verifySignature('sr25519', material.signer.publicKey, message, material.signer.sign(message)))
      if (privateKey !== undefined) assert.equal(`0x${hex(material.privateKey)}`, privateKey)
      const again = await fromPrivateKey(material.privateKey)
      assert.deepEqual(again.signer.publicKey, material.signer.publicKey)
      assert.ok(verifySignature('sr25519', material.signer.publicKey, message, again.signer.sign(message)))
    })
  }

  it('takes words however they are spaced and written, and remembers them plainly', async () => {
    const [first] = keys
    const { phrase } = await fromSecretText(`  ${first?.secret.replaceAll(' ', '\n ').toUpperCase()}\n`)
    assert.equal(phrase, first?.secret)
  })

  it('makes phrases of 12 and 24 words, each another, that load', async () => {
    const random = seededRandom('phrases')
    for (const words of [12, 24] as const) {
      const [one, other] = [await newPhrase(random, words), await newPhrase(random, words)]
      assert.equal(one.split(' ').length, words)
      assert.notEqual(one, other)
      assert.equal((await fromSecretText(one)).phrase, one)
    }
  })

  const bad: Readonly<Record<string, string>> = {
    'a word that is none': 'bottom drive obey lake curtain smoke basket hold race lonely fit walkk',
    'a missing word': 'bottom drive obey lake curtain smoke basket hold race lonely fit',
    'words out of order': 'drive bottom obey lake curtain smoke basket hold race lonely fit walk',
    nothing: '',
    'a short seed': '0x1234',
    'a private key whose scalar is too large': `0x${'ff'.repeat(64)}`,
    'a private key of zeros': `0x${'00'.repeat(64)}`,
    'a path on a private key': `0x${'01'.repeat(64)}//Alice`,
    'a path with an empty step':
      'bottom drive obey lake curtain smoke basket hold race lonely fit walk/a////b',
  }
  for (const [title, secret] of Object.entries(bad)) {
    it(`refuses ${title}, without quoting it`, async () => {
      await assert.rejects(fromSecretText(secret), (error) => {
        assert.ok(error instanceof SubnetError && isSubnetError(error, 'INVALID'))
        const long = secret.split(/[ /]/).filter((word) => word.length > 5)
        assert.ok(!long.some((word) => error.message.includes(word)), error.message)
        assert.equal(error.cause, undefined)
        return true
      })
    })
  }
})
