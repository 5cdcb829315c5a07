import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { Runtime } from '../../../../src/chain/subtensor/runtime.js'
import { signingPayload, signTransaction } from '../../../../src/chain/subtensor/transaction.js'
import { cryptoReady, verifySignature } from '../../../../src/crypto/keys.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { extrinsicOf } from '../../../kit/mock-transaction.js'
import { metadataBytes, metadataWithout } from '../../../kit/subtensor-metadata.js'
import { hex } from '../../../kit/vectors.js'

const VERSION = { specVersion: 381, transactionVersion: 1 }
const START_CALL = Uint8Array.of(7, 0x5c, 7, 0)

describe('a signed transaction', () => {
  let runtime: Runtime
  const init = () => ({
    runtime,
    call: START_CALL,
    nonce: 3,
    genesisHash: `0x${'11'.repeat(32)}`,
    birth: { number: 1_000, hash: `0x${'22'.repeat(32)}` },
  })

  before(async () => {
    await cryptoReady()
    runtime = await Runtime.load(metadataBytes(), VERSION)
  })

  it('signs the call, era, nonce, tip, mode, versions, genesis, birth block and no metadata hash', () => {
    const extra = '8400' + '0c' + '00' + '00'
    const additional = `7d01000001000000${'11'.repeat(32)}${'22'.repeat(32)}00`
    assert.equal(hex(signingPayload(init())), `075c0700${extra}${additional}`)
  })

  it('signs the hash of a payload above 256 bytes', () => {
    assert.equal(signingPayload({ ...init(), call: new Uint8Array(300) }).length, 32)
  })

  it('decodes as what was meant, with a signature over exactly that', () => {
    const { signer } = testHotkey(1)
    const bytes = signTransaction(signer, init())
    const extrinsic = extrinsicOf(`0x${hex(bytes)}`)
    assert.equal(`${extrinsic.method.section}.${extrinsic.method.method}`, 'subtensorModule.startCall')
    assert.deepEqual([extrinsic.version, extrinsic.nonce.toNumber(), extrinsic.tip.toNumber()], [0x84, 3, 0])
    assert.deepEqual(extrinsic.era.toHuman(), { MortalEra: { period: '32', phase: '8' } })
    assert.equal(extrinsic.era.asMortalEra.birth(1_010), 1_000)
    assert.equal(extrinsic.signer.toString(), testHotkey(1).address)
    const signature = extrinsic.signature.toU8a().slice(-64)
    assert.ok(verifySignature('sr25519', signer.publicKey, signingPayload(init()), signature))
  })

  it('is not made for a runtime with an extension that has bytes and is not known', async () => {
    const strange = await Runtime.load(metadataWithout('CheckMetadataHash'), VERSION)
    assert.throws(
      () => signTransaction(testHotkey(1).signer, { ...init(), runtime: strange }),
      (error) => isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === 'UnknownTransactionExtension',
    )
  })

  it('is made for a runtime with another extension that has none', async () => {
    const other = await Runtime.load(metadataWithout('DrandPriority'), VERSION)
    assert.deepEqual(signingPayload({ ...init(), runtime: other }), signingPayload(init()))
  })
})
