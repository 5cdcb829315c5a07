import assert from 'node:assert/strict'
import { decode, encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { concat, fromString } from 'uint8arrays'
import { isSubnetError } from '../../../../src/base/errors.js'
import {
  decodeOperation,
  operationId,
  type SignedOperation,
  signOperation,
  verifyOperation,
} from '../../../../src/chain/devchain/operation.js'
import { refusalOf } from '../../../../src/chain/devchain/refusals.js'
import type { Call } from '../../../../src/chain/devchain/state.js'
import { encodeEndpoint } from '../../../../src/chain/record.js'
import { cryptoReady, ed25519Signer } from '../../../../src/crypto/keys.js'
import { testColdkey, testHotkey, testRecord } from '../../../kit/chain-keys.js'
import { hex, readVectors, unhex } from '../../../kit/vectors.js'

const GENESIS = `0x${'ab'.repeat(32)}`

describe('devchain operation', () => {
  before(() => cryptoReady())

  const sign = (call: Call, fields = {}) =>
    signOperation(testHotkey(1).signer, { genesisHash: GENESIS, nonce: 3, expiresBlock: 20, call, ...fields })
  const stake = () => sign({ kind: 'addStake', amountRao: 7n })
  const verify = (signed: SignedOperation) => verifyOperation(decodeOperation(signed.body, GENESIS), signed)
  const badProof = (error: unknown) => refusalOf(error) === 'BadProof'
  const invalid = (error: unknown) => isSubnetError(error, 'INVALID')
  /** The body with some of its fields replaced, encoded again. */
  const altered = (fields: object) => encode({ ...(decode(stake().body) as object), ...fields })

  it('comes back as it was signed, and verifies', () => {
    const calls: Call[] = [
      { kind: 'register', coldkey: testColdkey(1).address },
      { kind: 'addStake', amountRao: 0n },
      { kind: 'addStake', amountRao: 2n ** 64n - 1n },
      { kind: 'commit', endpoint: encodeEndpoint(testRecord(1)) },
    ]
    for (const call of calls) {
      const signed = sign(call)
      const hotkey = testHotkey(1).address
      assert.deepEqual(decodeOperation(signed.body, GENESIS), { hotkey, nonce: 3, expiresBlock: 20, call })
      verify(signed)
    }
  })

  it('has the bytes and the id of its vector', () => {
    interface Vector {
      readonly call: {
        readonly kind: string
        readonly coldkey: string
        readonly amountRao: string
        readonly endpoint: string
      }
      readonly nonce: number
      readonly expiresBlock: number
      readonly body: string
      readonly id: string
    }
    const vectors = readVectors<{ genesis: { hash: string }; operations: Vector[] }>('devchain')
    for (const { call, nonce, expiresBlock, body, id } of vectors.operations) {
      const { kind, coldkey, amountRao, endpoint } = call
      const typed =
        kind === 'register'
          ? { kind, coldkey }
          : kind === 'addStake'
            ? { kind, amountRao: BigInt(amountRao) }
            : { kind, endpoint: unhex(endpoint) }
      const signed = sign(typed as Call, { genesisHash: vectors.genesis.hash, nonce, expiresBlock })
      assert.equal(hex(signed.body), body)
      assert.equal(operationId(signed.body), id)
      assert.deepEqual(decodeOperation(unhex(body), vectors.genesis.hash).call, typed)
    }
  })

  it('has one id however often it is signed', () => {
    const [first, second] = [stake(), stake()]
    assert.notDeepEqual(first.signature, second.signature)
    assert.equal(operationId(first.body), operationId(second.body))
    assert.notEqual(operationId(first.body), operationId(sign({ kind: 'addStake', amountRao: 8n }).body))
  })

  it('begins with the devchain’s tag, so it is no extrinsic', () => {
    assert.ok(
      hex(stake().body).startsWith(`a663${hex(fromString('tag'))}71${hex(fromString('subnet-devchain/1'))}`),
    )
  })

  it('refuses an operation for another chain', () => {
    assert.throws(() => decodeOperation(stake().body, `0x${'cd'.repeat(32)}`), badProof)
  })

  it('refuses a signature of other bytes, by another key, or of another length', () => {
    const signed = stake()
    const others = [
      { ...signed, signature: sign({ kind: 'addStake', amountRao: 8n }).signature },
      { ...signed, signature: testHotkey(2).signer.sign(signed.body) },
      { ...signed, signature: signed.signature.slice(1) },
      { ...signed, body: altered({ nonce: 4 }) },
      { ...signed, body: altered({ hotkey: testHotkey(2).signer.publicKey }) },
    ]
    for (const other of others) assert.throws(() => verify(other), badProof)
  })

  it('refuses a form of its own making', () => {
    const wrong = [
      altered({ tag: 'subnet-devchain/2' }),
      altered({ nonce: -1 }),
      altered({ nonce: 1.5 }),
      altered({ extra: 1 }),
      altered({ call: { kind: 'addStake', amountRao: -1 } }),
      altered({ call: { kind: 'transfer', amountRao: 1 } }),
      altered({ call: { kind: 'commit', endpoint: new Uint8Array(40) } }),
      altered({ call: { kind: 'commit', endpoint: new Uint8Array(121) } }),
      altered({ hotkey: new Uint8Array(31) }),
      concat([stake().body, Uint8Array.of(0)]),
    ]
    for (const body of wrong) assert.throws(() => decodeOperation(body, GENESIS), invalid)
  })

  it('refuses a body that is not canonical', () => {
    const { body } = stake()
    // The same map with its first two entries, "tag" and "call", the other way round.
    const tagEnd = 1 + 4 + 18
    const callEnd = tagEnd + 5 + encode({ kind: 'addStake', amountRao: 7 }).length
    const swapped = concat([
      body.slice(0, 1),
      body.slice(tagEnd, callEnd),
      body.slice(1, tagEnd),
      body.slice(callEnd),
    ])
    assert.deepEqual(decode(swapped), decode(body))
    assert.throws(() => decodeOperation(swapped, GENESIS), invalid)
  })

  it('refuses garbage with a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (body) => {
        assert.throws(() => decodeOperation(body, GENESIS), invalid)
      }),
    )
  })

  it('is signed with sr25519 keys only', () => {
    const signer = ed25519Signer(new Uint8Array(32))
    const call: Call = { kind: 'addStake', amountRao: 1n }
    assert.throws(
      () => signOperation(signer, { genesisHash: GENESIS, nonce: 0, expiresBlock: 1, call }),
      /sr25519/,
    )
  })
})
