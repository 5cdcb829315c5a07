/**
 * Test vectors of the wire: one message of every type, and the exact bytes of everything that is signed. Deterministic:
 * sr25519 signatures are randomised, so those here were made once and are constants. `node
 * .build/…/test/kit/write-wire-vectors.js` writes the file. Wait for `cryptoReady` first.
 */
import type { z } from 'zod'
import {
  capacityAnswerSchema,
  capacityAskSchema,
  lossesAnswerSchema,
} from '../../protocols/capacity/messages.js'
import { challengeAnswerSchema, challengeSchema } from '../../protocols/challenge/messages.js'
import { signAnswer } from '../../protocols/challenge/proof.js'
import { encodeMessage } from '../../protocols/common/schema.js'
import { envelopeSchema, signEnvelope } from '../../protocols/common/signed.js'
import { failureSchema, WIRE_STATUS } from '../../protocols/common/status.js'
import { haveAnswerSchema, haveAskSchema } from '../../protocols/have/messages.js'
import { makeAttestation } from '../../protocols/hello/attestation.js'
import { helloAnswerSchema, helloSchema } from '../../protocols/hello/messages.js'
import {
  countersignLease,
  DAG_SEGMENT,
  type Lease,
  MANIFEST_SEGMENT,
  signedLeaseSchema,
  signLease,
} from '../../protocols/lease/lease.js'
import {
  confirmAnswerSchema,
  renewAnswerSchema as leaseRenewAnswerSchema,
  leaseRequestSchema,
  releaseAnswerSchema as releaseLeaseAnswerSchema,
} from '../../protocols/lease/messages.js'
import {
  commitAnswerSchema,
  commitBodySchema,
  locateAnswerSchema,
  locateBodySchema,
  placeAnswerSchema,
  placeBodySchema,
  releaseAnswerSchema,
  releaseBodySchema,
  renewAnswerSchema,
  renewBodySchema,
  requestSchema,
} from '../../protocols/order/messages.js'
import { signOrder } from '../../protocols/order/order.js'
import {
  retrieveAnswerSchema,
  retrieveOpenedSchema,
  retrieveOpenSchema,
  retrieveRequestSchema,
} from '../../protocols/retrieve/messages.js'
import { signReceipt } from '../../protocols/retrieve/receipt.js'
import {
  storeAnswerSchema,
  storeOpenedSchema,
  storeOpenSchema,
  storeRequestSchema,
} from '../../protocols/store/messages.js'
import { sha256 } from '../../src/crypto/hash.js'
import { ed25519Signer, type SignatureScheme, type Signer, sr25519Signer } from '../../src/crypto/keys.js'
import { hex, unhex } from './vectors.js'

export const VECTOR_DOMAIN = { genesis: named('genesis'), netuid: 42 }

/** One message, with the schemas that take it. */
export interface WireMessage {
  readonly name: string
  readonly schemas: readonly z.ZodType<unknown>[]
  readonly value: unknown
}

/** Something signed: who, over which bytes, and a signature that verifies. */
export interface WireSigned {
  readonly name: string
  readonly scheme: SignatureScheme
  readonly publicKey: Uint8Array
  readonly message: Uint8Array
  readonly signature: Uint8Array
}

export interface WireVectors {
  readonly messages: readonly WireMessage[]
  readonly signed: readonly WireSigned[]
}

/** sr25519 signatures of the vectors, by their name. */
const SIGNATURES: Readonly<Record<string, string>> = {
  'order to put':
    '50bf94ecd57d10ad909e1d0bd4f622fd3847bc0ea784467f1296d056a8ad1e570139dfcf3b1aaf5283d0965876a1c1a99c34aba54cd3421f5c6327152333e985',
  'order to get':
    'c2c9a66aac4eefd5cd41ff8f464fd5e9abc9c801c85c3bf8937c08697910097ac7eb356b1825b183fcf3adbb736462e85295f7027fd6135dd745b5f58fd2c682',
  'lease held':
    'd43b46b3dff12d1c5ecaacefa8cd5a7ee93abe8df50c60d7875f1dfbfa98d12e7208aa2da71714a1db7c9501d594d934fd1464689ce879a0d3b5a8fe8e1ff184',
  'lease counted':
    '1a8cdcb342b09e4ff583cee80b1ae024984baa686928254dfa6784b9654dea618c38d9c70b7eefbb9f8dda04a9fbadfd1a686f56cd3cd8a45b05a6f5f4c12f81',
  answer:
    'aa8675a93bf62950eca2976652d2f4420698bb64a797ef705c82140791f3de429814fff33d88ae6196685e4b5bd18e4611fe3004c1ba7a23567e6f26800f0283',
  'attestation of a miner':
    'bcd29a49e0306ee817135956e622172b7552f5032e25553deae64e6925ea21716558b61bd62d14472872c683fa82c82e47b512da4fa3d1a046ccdeb943564c8d',
  'attestation of a validator':
    '026220e42434021ff999547cbb0a1401481595f28627e62d304d9c3173f790052e6a03dd7b27c9f9dfb9d713367985cc01021e6115cd9d6e65e49d8bbfdc6e88',
}

/** All vectors. `resign` gives the sr25519 signatures to use instead of the constants. */
export function wireVectors(
  resign?: (name: string, signer: Signer, message: Uint8Array) => Uint8Array,
): WireVectors {
  const signed: WireSigned[] = []
  /** A signer that notes what it signs, under a name. */
  const noting = (name: string, signer: Signer): Signer => ({
    ...signer,
    sign: (message) => {
      const { scheme, publicKey } = signer
      const signature =
        scheme === 'ed25519'
          ? signer.sign(message)
          : (resign?.(name, signer, message) ?? unhex(SIGNATURES[name] ?? ''))
      signed.push({ name, scheme, publicKey, message, signature })
      return signature
    },
  })
  const [miner, validator] = [sr25519Signer(named('miner')), sr25519Signer(named('validator'))]
  const client = ed25519Signer(named('client'))
  const peerId = '12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp'
  const address = '/ip4/203.0.113.7/tcp/4001'
  const attest = (role: 'miner' | 'validator' | 'client', signer: Signer) =>
    makeAttestation(noting(`attestation of a ${role}`, signer), VECTOR_DOMAIN, {
      role,
      peerId,
      block: 1_000_000,
      sequence: 1_700_000_000_000,
      agent: 'subnet-node/0.1.0',
    })
  const order = (verb: 'put' | 'get') =>
    signOrder(noting(`order to ${verb}`, validator), VECTOR_DOMAIN, {
      verb,
      client: client.publicKey,
      miner: miner.publicKey,
      maxBytes: 1_073_741_824,
      serial: named(`serial ${verb}`).slice(0, 16),
      expiresBlock: 1_001_800,
      leaseEndBlock: verb === 'put' ? 1_216_000 : 1_001_800,
    })
  const request = (method: string, body: unknown) =>
    signEnvelope({
      domain: VECTOR_DOMAIN,
      method: `order.${method}`,
      body,
      signer: noting(`request order.${method}`, client),
      receiver: validator.publicKey,
      nonce: named(`nonce ${method}`).slice(0, 16),
      expiresBlock: 1_000_020,
    })
  const [put, get] = [order('put'), order('get')]
  const object = named('object')
  const entries: Lease['entries'] = [
    [object, named('root of the manifest'), 12_345, MANIFEST_SEGMENT, 0],
    [named('chunk'), named('root of the chunk'), 1_048_576, 0, 9],
  ]
  const publicEntries: Lease['entries'] = [
    ...entries,
    [named('dag-pb node'), named('root of the dag-pb node'), 8_549, DAG_SEGMENT, 3],
  ]
  const lease: Lease = {
    object,
    validator: validator.publicKey,
    miner: miner.publicKey,
    entries,
    startBlock: 1_000_010,
    endBlock: 1_216_000,
  }
  const held = signLease(noting('lease held', miner), VECTOR_DOMAIN, lease)
  const counted = countersignLease(noting('lease counted', validator), VECTOR_DOMAIN, lease)
  const place = {
    profile: 'standard',
    sizeBytes: 100_000_000,
    put: named('put').slice(0, 16),
    leaseBlocks: 216_000,
  }
  const { sizeBytes: _, ...placeUnknown } = place
  const commit = { object, profile: 'standard', maskRoot: named('mask'), nodes: [12_345, 262_144], leases: 1 }
  const locate = { object, firstSegment: 0, segments: 512 }
  const renew = { object, leaseBlocks: 216_000 }
  const release = { object }
  const receipt = signReceipt(noting('receipt', client), VECTOR_DOMAIN, get, 3_145_728)
  const holder = { hotkey: miner.publicKey, peerId, address }
  const challenge = {
    type: 'challenge' as const,
    nonce: named('challenge').slice(0, 16),
    samples: [
      [named('chunk'), 255],
      [object, 0],
    ] as [Uint8Array, number][],
  }
  const answer = signAnswer(noting('answer', miner), VECTOR_DOMAIN, challenge, [
    { type: 'leaf', bytes: Uint8Array.of(1, 2, 3, 4, 5), path: [named('left'), named('right')] },
    { type: 'lost' },
  ])
  const failure = { type: 'failure', status: WIRE_STATUS.NO_SPACE, reason: '3.0 MiB left in the shard' }
  const busy = {
    type: 'failure',
    status: WIRE_STATUS.BUSY,
    reason: 'too many bytes in flight',
    retryAfterMs: 500,
  }
  const answers: readonly z.ZodType<unknown>[] = [
    failureSchema,
    helloAnswerSchema,
    placeAnswerSchema,
    commitAnswerSchema,
    locateAnswerSchema,
    renewAnswerSchema,
    releaseAnswerSchema,
    confirmAnswerSchema,
    leaseRenewAnswerSchema,
    releaseLeaseAnswerSchema,
    haveAnswerSchema,
    storeOpenedSchema,
    storeAnswerSchema,
    retrieveOpenedSchema,
    retrieveAnswerSchema,
    challengeAnswerSchema,
    capacityAnswerSchema,
  ]
  const message = (name: string, value: unknown, ...schemas: z.ZodType<unknown>[]): WireMessage => ({
    name,
    schemas,
    value,
  })
  const messages: WireMessage[] = [
    message('common: failure', failure, ...answers),
    message('common: failure that says when to come back', busy, ...answers),
    message(
      'common: failure without a reason',
      { type: 'failure', status: WIRE_STATUS.INTERNAL, reason: '' },
      ...answers,
    ),
    message(
      'hello: of a miner',
      { type: 'hello', attestation: attest('miner', miner) },
      helloSchema,
      helloAnswerSchema,
    ),
    message(
      'hello: of a validator',
      { type: 'hello', attestation: attest('validator', validator) },
      helloSchema,
      helloAnswerSchema,
    ),
    message(
      'hello: of a client',
      { type: 'hello', attestation: attest('client', client) },
      helloSchema,
      helloAnswerSchema,
    ),
    message('order: body of place', place, placeBodySchema),
    message('order: body of place for a size nobody knows', placeUnknown, placeBodySchema),
    message('order: body of commit', commit, commitBodySchema),
    message('order: body of locate', locate, locateBodySchema),
    message('order: body of renew', renew, renewBodySchema),
    message('order: body of release', release, releaseBodySchema),
    message('order: envelope', request('place', place), envelopeSchema),
    message('order: place', { type: 'place', request: request('place', place) }, requestSchema),
    message('order: commit', { type: 'commit', request: request('commit', commit) }, requestSchema),
    message('order: locate', { type: 'locate', request: request('locate', locate) }, requestSchema),
    message('order: renew', { type: 'renew', request: request('renew', renew) }, requestSchema),
    message('order: release', { type: 'release', request: request('release', release) }, requestSchema),
    message(
      'order: placed',
      {
        type: 'placed',
        seed: named('seed'),
        candidates: [
          { ...holder, group: '5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty', weight: 4_096, order: put },
        ],
        leaseEndBlock: 1_216_000,
        warning: 'standard has its full strength from 26 operators, there are 21',
      },
      placeAnswerSchema,
    ),
    message('order: lease of a commit', held, signedLeaseSchema),
    message(
      'order: committed',
      { type: 'committed', countersignatures: [counted], weakestReceipts: 19, fullReceipts: 20 },
      commitAnswerSchema,
    ),
    message(
      'order: located',
      {
        type: 'located',
        holders: [{ ...holder, order: get }],
        nodes: [[0], []],
        segments: [[[0], []], [[]]],
      },
      locateAnswerSchema,
    ),
    message('order: renewed', { type: 'renewed', endBlock: 1_432_000, miners: 20 }, renewAnswerSchema),
    message('order: released', { type: 'released', miners: 20 }, releaseAnswerSchema),
    message('lease: confirm', { type: 'confirm', object, validatorSignature: counted }, leaseRequestSchema),
    message('lease: confirmed', { type: 'confirmed' }, confirmAnswerSchema),
    message(
      'lease: renew',
      { type: 'renew', object, endBlock: 1_432_000, validatorSignature: counted },
      leaseRequestSchema,
    ),
    message(
      'lease: renewed',
      { type: 'renewed', minerSignature: held.minerSignature },
      leaseRenewAnswerSchema,
    ),
    message('lease: release', { type: 'release', object }, leaseRequestSchema),
    message('lease: released', { type: 'released' }, releaseLeaseAnswerSchema),
    message(
      'have: ask',
      { type: 'ask', digests: ['chunk', 'left', 'right'].map((name) => named(name)) },
      haveAskSchema,
    ),
    message('have: held', { type: 'held', bits: Uint8Array.of(0b101) }, haveAnswerSchema),
    message('store: open', { type: 'open', order: put }, storeOpenSchema, retrieveOpenSchema),
    message('store: opened', { type: 'opened', creditChunks: 8 }, storeOpenedSchema),
    message(
      'store: chunk',
      {
        type: 'chunk',
        number: 7,
        digest: named('chunk'),
        auditRoot: named('root of the chunk'),
        sizeBytes: 1_048_576,
      },
      storeRequestSchema,
    ),
    message('store: lease', { type: 'lease', object, entries, endBlock: 1_216_000 }, storeRequestSchema),
    message(
      'store: lease of a public object',
      { type: 'lease', object, entries: publicEntries, endBlock: 1_216_000 },
      storeRequestSchema,
    ),
    message('store: have', { type: 'have', digests: [named('chunk'), object] }, storeRequestSchema),
    message('store: kept', { type: 'kept', number: 7, present: false }, storeAnswerSchema),
    message(
      'store: refused',
      { type: 'refused', number: 7, failure },
      storeAnswerSchema,
      retrieveAnswerSchema,
    ),
    message('store: held', { type: 'held', bits: Uint8Array.of(0b10) }, storeAnswerSchema),
    message('store: leased', { type: 'leased', lease: held }, storeAnswerSchema),
    message('retrieve: open', { type: 'open', order: get }, retrieveOpenSchema, storeOpenSchema),
    message('retrieve: open without an order', { type: 'open' }, retrieveOpenSchema),
    message(
      'retrieve: open of an order used before',
      { type: 'open', order: get, receipt },
      retrieveOpenSchema,
    ),
    message('retrieve: opened', { type: 'opened' }, retrieveOpenedSchema),
    message(
      'retrieve: get',
      { type: 'get', number: 3, digest: named('chunk'), firstLeaf: 16, leaves: 0 },
      retrieveRequestSchema,
    ),
    message('retrieve: credit', { type: 'credit', bytes: 4_194_304 }, retrieveRequestSchema),
    message(
      'retrieve: credit with a receipt',
      { type: 'credit', bytes: 7_340_032, receipt },
      retrieveRequestSchema,
    ),
    message(
      'retrieve: body',
      { type: 'body', number: 3, sizeBytes: 1_048_576, lengthBytes: 983_040, proof: [named('left')] },
      retrieveAnswerSchema,
    ),
    message(
      'retrieve: refused',
      { type: 'refused', number: 3, failure: busy },
      retrieveAnswerSchema,
      storeAnswerSchema,
    ),
    message('challenge: challenge', challenge, challengeSchema),
    message('challenge: answer', answer, challengeAnswerSchema),
    message('capacity: ask', { type: 'ask' }, capacityAskSchema),
    message(
      'capacity: capacity',
      { type: 'capacity', budgetBytes: 500_000_000_000, heldBytes: 12_345, heldChunks: 1, freeBytes: 0 },
      capacityAnswerSchema,
    ),
    message('capacity: ask-losses', { type: 'ask-losses', after: 7 }, capacityAskSchema),
    message(
      'capacity: losses',
      {
        type: 'losses',
        last: 9,
        losses: [
          [8, named('chunk')],
          [9, named('left')],
        ],
      },
      lossesAnswerSchema,
    ),
  ]
  // The same request is signed for two vectors.
  const once = signed.filter(({ name }, index) => signed.findIndex((other) => other.name === name) === index)
  return { messages, signed: once }
}

/** The vectors as they stand in `test/vectors/wire.json`; byte strings are `{ "hex": "…" }`. */
export function vectorsAsJson({ messages, signed }: WireVectors): unknown {
  return {
    source: 'test/kit/wire-vectors.ts',
    domain: asJson(VECTOR_DOMAIN),
    messages: messages.map(({ name, value }) => ({
      name,
      header: hex(encodeMessage(value)),
      value: asJson(value),
    })),
    signed: signed.map(({ name, scheme, publicKey, message, signature }) => ({
      name,
      scheme,
      publicKey: hex(publicKey),
      message: hex(message),
      signature: hex(signature),
    })),
  }
}

export function asJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: hex(value) }
  if (Array.isArray(value)) return value.map(asJson)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, asJson(each)]))
}

export function fromJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value !== 'object' || value === null) return value
  const { hex: text } = value as { readonly hex?: unknown }
  if (typeof text === 'string' && Object.keys(value).length === 1) return unhex(text)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fromJson(each)]))
}

function named(name: string): Uint8Array {
  return sha256(new TextEncoder().encode(`wire vector ${name}`))
}
