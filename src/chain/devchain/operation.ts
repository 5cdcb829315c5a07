/**
 * An operation as its hotkey signs it: canonical dag-cbor that begins with the devchain's tag and names the genesis,
 * so it is no SCALE extrinsic and works on one chain only; nonce and expiry make it work once. Here it is made, and
 * here it is verified before it may enter the pool.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { toString as bytesToText, equals, fromString } from 'uint8arrays'
import * as z from 'zod'
import { invariant, SubnetError } from '../../base/errors.js'
import { sha256 } from '../../crypto/hash.js'
import { fromSs58, PUBLIC_KEY_BYTES, type Signer, toSs58, verifySignature } from '../../crypto/keys.js'
import { RECORD_ENDPOINT_BYTES_MAX } from '../chain.js'
import { decodeEndpoint } from '../record.js'
import { DEVCHAIN_TAG } from './genesis.js'
import { refused } from './refusals.js'
import type { Call, Operation } from './state.js'

/** For whoever takes bodies from elsewhere; the largest real one has about 330 bytes. */
export const OPERATION_BODY_BYTES_MAX = 512

export interface SignedOperation {
  /** Canonical dag-cbor: what is signed and hashed. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

const bytes = (min: number, max: number) =>
  z.instanceof(Uint8Array).refine((value) => value.length >= min && value.length <= max, 'wrong length')

const callSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('register'), coldkey: bytes(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES) }),
  z.strictObject({
    kind: z.literal('addStake'),
    amountRao: z.union([z.int().nonnegative(), z.bigint().nonnegative()]),
  }),
  z.strictObject({ kind: z.literal('commit'), endpoint: bytes(1, RECORD_ENDPOINT_BYTES_MAX) }),
])

const bodySchema = z.strictObject({
  tag: z.literal(DEVCHAIN_TAG),
  genesis: bytes(32, 32),
  hotkey: bytes(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES),
  nonce: z.int().nonnegative(),
  expires: z.int().nonnegative(),
  call: callSchema,
})

export interface OperationInit {
  readonly genesisHash: string
  readonly nonce: number
  readonly expiresBlock: number
  readonly call: Call
}

/** Signs one operation; the signer is the hotkey that asks. */
export function signOperation(hotkey: Signer, init: OperationInit): SignedOperation {
  invariant(hotkey.scheme === 'sr25519', 'a hotkey is an sr25519 key')
  const body = encode({
    tag: DEVCHAIN_TAG,
    genesis: genesisBytes(init.genesisHash),
    hotkey: hotkey.publicKey,
    nonce: init.nonce,
    expires: init.expiresBlock,
    call: init.call.kind === 'register' ? { ...init.call, coldkey: fromSs58(init.call.coldkey) } : init.call,
  })
  return { body, signature: hotkey.sign(body) }
}

/** Names the operation; the signature is left out because sr25519 gives another one each time. */
export function operationId(body: Uint8Array): string {
  return bytesToText(sha256(body), 'base16')
}

/**
 * The operation behind the bytes, its form checked but not its signature. Throws `INVALID` when it is malformed,
 * `CHAIN_REFUSED` `BadProof` when it was signed for another chain.
 */
export function decodeOperation(body: Uint8Array, genesisHash: string): Operation {
  const { genesis, hotkey, nonce, expires, call } = decodeBody(body)
  if (!equals(genesis, genesisBytes(genesisHash))) throw refused('BadProof')
  return { hotkey: toSs58(hotkey), nonce, expiresBlock: expires, call: decodeCall(call) }
}

/** Throws `CHAIN_REFUSED` `BadProof` unless the operation's own hotkey signed exactly this body. */
export function verifyOperation(operation: Operation, signed: SignedOperation): void {
  const publicKey = fromSs58(operation.hotkey)
  if (!verifySignature('sr25519', publicKey, signed.body, signed.signature)) throw refused('BadProof')
}

function decodeBody(body: Uint8Array): z.infer<typeof bodySchema> {
  let value: unknown
  try {
    value = decode(body)
  } catch (cause) {
    throw new SubnetError('INVALID', 'the operation is not dag-cbor', { cause })
  }
  const parsed = bodySchema.safeParse(value)
  if (!parsed.success) throw new SubnetError('INVALID', 'the operation is malformed', { cause: parsed.error })
  // The decoder takes unsorted maps and other spellings; one operation must have one body and so one id.
  if (!equals(encode(value), body)) throw new SubnetError('INVALID', 'the operation is not canonical')
  return parsed.data
}

function decodeCall(call: z.infer<typeof callSchema>): Call {
  if (call.kind === 'register') return { kind: 'register', coldkey: toSs58(call.coldkey) }
  if (call.kind === 'addStake') return { kind: 'addStake', amountRao: BigInt(call.amountRao) }
  decodeEndpoint(call.endpoint)
  // Copied: the decoder hands out a view into the message, and this one stays in the state.
  return { kind: 'commit', endpoint: Uint8Array.from(call.endpoint) }
}

function genesisBytes(genesisHash: string): Uint8Array {
  return fromString(genesisHash.slice(2), 'base16')
}
