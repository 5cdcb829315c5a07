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
  const stake = () => sign({ kind: 'faucetStake', netuid: 1, amountRao: 7n })
  const verify = (signed: SignedOperation) => verifyOperation(decodeOperation(signed.body, GENESIS), signed)
  const badProof = (error: unknown) => refusalOf(error) === 'BadProof'
  const invalid = (error: unknown) => isSubnetError(error, 'INVALID')
  /** The body with some of its fields replaced, encoded again. */
  const altered = (fields: object) => encode({ ...(decode(stake().body) as object), ...fields })

  it('comes back as it was signed, and verifies', () => {
    const weights = { netuid: 1, uids: [0, 255], values: [65_535, 0], versionKey: 2n ** 64n - 1n }
    const hotkey = testHotkey(2).address
    const identity = { name: 'é', repository: '', contact: '', url: '', description: 'x'.repeat(1_024) }
    const calls: Call[] = [
      { kind: 'join', netuid: 1, coldkey: testColdkey(1).address },
      { kind: 'faucetStake', netuid: 1, amountRao: 0n },
      { kind: 'faucetStake', netuid: 1, amountRao: 2n ** 64n - 1n },
      { kind: 'faucetPay', amountRao: 1n },
      { kind: 'commit', netuid: 1, endpoint: encodeEndpoint(testRecord(1)) },
      { kind: 'serve', netuid: 1, ip: Uint8Array.of(1, 2, 3, 4), port: 0 },
      { kind: 'setWeights', ...weights },
      { kind: 'commitWeights', netuid: 1, hash: new Uint8Array(32).fill(5) },
      { kind: 'revealWeights', ...weights, salt: [1, 2, 3] },
      { kind: 'burnedRegister', netuid: 1, hotkey, limitRao: 5n },
      { kind: 'stake', netuid: 1, hotkey, amountRao: 5n },
      { kind: 'registerSubnet', hotkey },
      { kind: 'startSubnet', netuid: 2 },
      { kind: 'setIdentity', netuid: 2, identity },
      { kind: 'setParameter', netuid: 2, name: 'weightsVersion', value: 5n },
      { kind: 'setParameter', netuid: 2, name: 'yuma3Enabled', value: false },
      { kind: 'setParameter', netuid: 2, name: 'bondsPenalty', value: 5 },
      { kind: 'swapHotkey', hotkey, newHotkey: testHotkey(3).address },
    ]
    for (const call of calls) {
      const signed = sign(call)
      const signer = testHotkey(1).address
      assert.deepEqual(decodeOperation(signed.body, GENESIS), { signer, nonce: 3, expiresBlock: 20, call })
      verify(signed)
    }
  })

  it('has the bytes and the id of its vector', () => {
    interface Vector {
      readonly call: Readonly<Record<string, unknown>>
      readonly nonce: number
      readonly expiresBlock: number
      readonly body: string
      readonly id: string
    }
    const vectors = readVectors<{ genesis: { hash: string }; operations: Vector[] }>('devchain')
    for (const { call, nonce, expiresBlock, body, id } of vectors.operations) {
      const typed = Object.fromEntries(
        Object.entries(call).map(([name, value]) => {
          if (['amountRao', 'versionKey', 'value'].includes(name)) return [name, BigInt(String(value))]
          return [name, name === 'endpoint' ? unhex(String(value)) : value]
        }),
      )
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
    assert.notEqual(
      operationId(first.body),
      operationId(sign({ kind: 'faucetStake', netuid: 1, amountRao: 8n }).body),
    )
  })

  it('begins with the devchain’s tag, so it is no extrinsic', () => {
    assert.ok(
      hex(stake().body).startsWith(`a663${hex(fromString('tag'))}71${hex(fromString('subnet-devchain/2'))}`),
    )
  })

  it('refuses an operation for another chain', () => {
    assert.throws(() => decodeOperation(stake().body, `0x${'cd'.repeat(32)}`), badProof)
  })

  it('refuses a signature of other bytes, by another key, or of another length', () => {
    const signed = stake()
    const others = [
      { ...signed, signature: sign({ kind: 'faucetStake', netuid: 1, amountRao: 8n }).signature },
      { ...signed, signature: testHotkey(2).signer.sign(signed.body) },
      { ...signed, signature: signed.signature.slice(1) },
      { ...signed, body: altered({ nonce: 4 }) },
      { ...signed, body: altered({ signer: testHotkey(2).signer.publicKey }) },
    ]
    for (const other of others) assert.throws(() => verify(other), badProof)
  })

  it('refuses a form of its own making', () => {
    const wrong = [
      altered({ tag: 'subnet-devchain/1' }),
      altered({ nonce: -1 }),
      altered({ nonce: 1.5 }),
      altered({ extra: 1 }),
      altered({ call: { kind: 'faucetStake', netuid: 1, amountRao: -1 } }),
      altered({ call: { kind: 'transfer', amountRao: 1 } }),
      altered({ call: { kind: 'faucetStake', amountRao: 1 } }),
      altered({ call: { kind: 'faucetStake', netuid: 65_536, amountRao: 1 } }),
      altered({ call: { kind: 'serve', netuid: 1, ip: new Uint8Array(5), port: 1 } }),
      altered({ call: { kind: 'setParameter', netuid: 1, name: 'tempo', value: 1 } }),
      altered({ call: { kind: 'commit', netuid: 1, endpoint: new Uint8Array(40) } }),
      altered({ call: { kind: 'commit', netuid: 1, endpoint: new Uint8Array(121) } }),
      altered({ signer: new Uint8Array(31) }),
      concat([stake().body, Uint8Array.of(0)]),
    ]
    for (const body of wrong) assert.throws(() => decodeOperation(body, GENESIS), invalid)
  })

  it('refuses a body that is not canonical', () => {
    const { body } = stake()
    // The same map with its first two entries, "tag" and "call", the other way round.
    const tagEnd = 1 + 4 + 18
    const callEnd = tagEnd + 5 + encode({ kind: 'faucetStake', netuid: 1, amountRao: 7 }).length
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
    const call: Call = { kind: 'faucetStake', netuid: 1, amountRao: 1n }
    assert.throws(
      () => signOperation(signer, { genesisHash: GENESIS, nonce: 0, expiresBlock: 1, call }),
      /sr25519/,
    )
  })
})
