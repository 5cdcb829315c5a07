import assert from 'node:assert/strict'
import { FrameStream } from '../../../protocols/common/frames.js'
import { decodeMessage, encodeMessage } from '../../../protocols/common/schema.js'
import { checkEnvelope, envelopeSchema } from '../../../protocols/common/signed.js'
import { WIRE_STATUS } from '../../../protocols/common/status.js'
import { checkAttestation } from '../../../protocols/hello/attestation.js'
import { helloSchema } from '../../../protocols/hello/messages.js'
import { checkLeaseCounted, checkLeaseHeld, signedLeaseSchema } from '../../../protocols/lease/lease.js'
import { confirmSchema } from '../../../protocols/lease/messages.js'
import { checkOrder } from '../../../protocols/order/order.js'
import { retrieveOpenSchema } from '../../../protocols/retrieve/messages.js'
import { receiptCheck } from '../../../protocols/retrieve/receipt.js'
import { storeOpenSchema } from '../../../protocols/store/messages.js'
import { cryptoReady, verifySignature } from '../../../src/crypto/keys.js'
import { duplexPair } from '../../kit/duplex-pair.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { hex, readVectors, unhex } from '../../kit/vectors.js'
import {
  fromJson,
  VECTOR_DOMAIN,
  vectorsAsJson,
  type WireMessage,
  wireVectors,
} from '../../kit/wire-vectors.js'

interface VectorFile {
  readonly messages: readonly { readonly name: string; readonly header: string; readonly value: unknown }[]
  readonly signed: readonly {
    readonly name: string
    readonly scheme: 'sr25519' | 'ed25519'
    readonly publicKey: string
    readonly message: string
    readonly signature: string
  }[]
}

describe('the vectors of the wire', () => {
  const file = readVectors<VectorFile>('wire')
  let messages: ReadonlyMap<string, WireMessage>

  before(async () => {
    await cryptoReady()
    messages = new Map(wireVectors().messages.map((message) => [message.name, message]))
  })

  it('are what the code makes', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(vectorsAsJson(wireVectors()))), file)
  })

  it('have every message encode to its header, and its header decode to the message, and nothing else', () => {
    assert.equal(file.messages.length, messages.size)
    for (const { name, header, value } of file.messages) {
      const wanted = fromJson(value)
      assert.equal(hex(encodeMessage(wanted)), header, name)
      for (const schema of messages.get(name)?.schemas ?? assert.fail(name)) {
        assert.deepEqual(decodeMessage(schema, unhex(header), name), wanted, name)
      }
    }
  })

  it('have signatures that verify, over these bytes and no others; ed25519 ones are the only ones there are', () => {
    const made = new Map(wireVectors().signed.map((each) => [each.name, each]))
    for (const { name, scheme, publicKey, message, signature } of file.signed) {
      const bytes = unhex(message)
      assert.ok(verifySignature(scheme, unhex(publicKey), bytes, unhex(signature)), name)
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
      assert.ok(!verifySignature(scheme, unhex(publicKey), bytes, unhex(signature)), name)
      assert.equal(hex(made.get(name)?.signature ?? new Uint8Array(0)), signature)
    }
  })

  it('have signed structures that the code accepts', () => {
    const decode = <T>(name: string, schema: { parse(value: unknown): T }) => {
      const found = file.messages.find((message) => message.name === name) ?? assert.fail(name)
      return schema.parse(fromJson(found.value))
    }
    const authority = { block: 1_000_000, isRegistered: () => true, isValidator: () => true }
    for (const role of ['miner', 'validator', 'client']) {
      const { attestation } = decode(`hello: of a ${role}`, helloSchema)
      checkAttestation(attestation, VECTOR_DOMAIN, attestation.peerId, authority)
    }
    const used = decode('retrieve: open of an order used before', retrieveOpenSchema)
    assert.ok(used.order !== undefined && used.receipt !== undefined)
    receiptCheck(used.order, VECTOR_DOMAIN, 'ed25519')(used.receipt)
    for (const name of ['store: open', 'retrieve: open']) {
      const { order } = decode(name, storeOpenSchema)
      checkOrder(order, { ...order, domain: VECTOR_DOMAIN, authority })
    }
    const held = decode('order: lease of a commit', signedLeaseSchema)
    checkLeaseHeld(held, VECTOR_DOMAIN)
    checkLeaseCounted(held.lease, decode('lease: confirm', confirmSchema).validatorSignature, VECTOR_DOMAIN)
    const envelope = decode('order: envelope', envelopeSchema)
    checkEnvelope(envelope, {
      ...envelope,
      domain: VECTOR_DOMAIN,
      method: 'order.place',
      scheme: 'ed25519',
      block: 1_000_000,
    })
  })

  it('have one frame: the length in four bytes, then the header', async () => {
    const clock = new FakeClock()
    const [peer, ours] = duplexPair()
    await new FrameStream(ours, clock, { headerBytesMax: 100, stallTimeoutMs: 1 }).writeMessage({
      type: 'ask',
    })
    assert.equal(hex((await peer.read()) ?? new Uint8Array(0)), '0000000aa16474797065' + '6361736b')
  })

  it('keep the numbers of the statuses', () => {
    assert.deepEqual(WIRE_STATUS, {
      INVALID: 1,
      UNAUTHENTICATED: 2,
      BAD_SIGNATURE: 3,
      REFUSED: 4,
      NO_SPACE: 5,
      BUSY: 6,
      NOT_FOUND: 7,
      MISMATCH: 8,
      TIMEOUT: 9,
      TOO_FEW_PEERS: 10,
      NOT_DURABLE: 11,
      UNRECOVERABLE: 12,
      INTERNAL: 13,
      UNAVAILABLE: 14,
    })
  })
})
