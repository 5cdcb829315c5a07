import assert from 'node:assert/strict'
import { isSubnetError } from '../../../../src/base/errors.js'
import { Runtime } from '../../../../src/chain/subtensor/runtime.js'
import { signTransaction, type TransactionInit } from '../../../../src/chain/subtensor/transaction.js'
import { cryptoReady, type Signer, verifySignature } from '../../../../src/crypto/keys.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { extrinsicOf } from '../../../kit/mock-transaction.js'
import { metadataBytes, metadataRenamed, metadataWithout } from '../../../kit/subtensor-metadata.js'
import { hex } from '../../../kit/vectors.js'

const VERSION = { specVersion: 381, transactionVersion: 1 }
const START_CALL = { pallet: 'SubtensorModule', name: 'start_call', args: { netuid: 7 } }

/** What the signature covers: all that a signer is asked to sign. */
async function signingPayload(init: TransactionInit): Promise<Uint8Array> {
  const asked: Uint8Array[] = []
  const { signer } = testHotkey(1)
  const recorder: Signer = {
    ...signer,
    sign(message) {
      asked.push(Uint8Array.from(message))
      return signer.sign(message)
    },
  }
  await signTransaction(recorder, init)
  const [payload] = asked
  assert.ok(payload !== undefined && asked.length === 1)
  return payload
}

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

  it('signs the call, era, nonce, tip, mode, versions, genesis, birth block and no metadata hash', async () => {
    const extra = '8400' + '0c' + '00' + '00'
    const additional = `7d01000001000000${'11'.repeat(32)}${'22'.repeat(32)}00`
    assert.equal(hex(await signingPayload(init())), `075c0700${extra}${additional}`)
  })

  it('signs the hash of a payload above 256 bytes', async () => {
    const call = { pallet: 'System', name: 'remark', args: { remark: `0x${'00'.repeat(300)}` } }
    assert.equal((await signingPayload({ ...init(), call })).length, 32)
  })

  it('decodes as what was meant, with a signature over exactly that', async () => {
    const { signer } = testHotkey(1)
    const bytes = await signTransaction(signer, init())
    const extrinsic = extrinsicOf(`0x${hex(bytes)}`)
    assert.equal(`${extrinsic.method.section}.${extrinsic.method.method}`, 'subtensorModule.startCall')
    assert.deepEqual([extrinsic.version, extrinsic.nonce.toNumber(), extrinsic.tip.toNumber()], [0x84, 3, 0])
    assert.deepEqual(extrinsic.era.toHuman(), { MortalEra: { period: '32', phase: '8' } })
    assert.equal(extrinsic.era.asMortalEra.birth(1_010), 1_000)
    assert.equal(extrinsic.signer.toString(), testHotkey(1).address)
    const signature = extrinsic.signature.toU8a().slice(-64)
    assert.ok(verifySignature('sr25519', signer.publicKey, await signingPayload(init()), signature))
  })

  it('is not made for a runtime with an extension that has bytes and is not known', async () => {
    const strange = await Runtime.load(metadataWithout('CheckMetadataHash'), VERSION)
    await assert.rejects(
      signTransaction(testHotkey(1).signer, { ...init(), runtime: strange }),
      (error) => isSubnetError(error, 'CHAIN_REFUSED') && error.data.reason === 'UnknownTransactionExtension',
    )
  })

  it('is made for a runtime with another extension that has none', async () => {
    const other = await Runtime.load(metadataWithout('DrandPriority'), VERSION)
    assert.deepEqual(await signingPayload({ ...init(), runtime: other }), await signingPayload(init()))
  })

  it('pays by the extension that newer runtimes have for it, with the same bytes', async () => {
    const metadata = metadataRenamed('ChargeTransactionPayment', 'ChargeTransactionPaymentWrapper')
    const newer = await Runtime.load(metadata, VERSION)
    assert.ok(newer.extensions().some(({ identifier }) => identifier === 'ChargeTransactionPaymentWrapper'))
    assert.deepEqual(await signingPayload({ ...init(), runtime: newer }), await signingPayload(init()))
  })
})
