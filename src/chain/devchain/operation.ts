/**
 * An operation as its key signs it: canonical dag-cbor that begins with the devchain's tag and names the genesis,
 * so it is no SCALE extrinsic and works on one chain only; nonce and expiry make it work once. Here it is made, and
 * here it is verified before it may enter the pool.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { toString as bytesToText, equals, fromString } from 'uint8arrays'
import * as z from 'zod'
import { invariant, SubnetError } from '../../base/errors.js'
import { sha256 } from '../../crypto/hash.js'
import { fromSs58, PUBLIC_KEY_BYTES, type Signer, toSs58, verifySignature } from '../../crypto/keys.js'
import { type OwnerParameter, RECORD_ENDPOINT_BYTES_MAX } from '../chain.js'
import { decodeEndpoint } from '../record.js'
import { DEVCHAIN_TAG } from './genesis.js'
import { OWNER_PARAMETERS, type ParameterValue, RAO_PARAMETERS } from './parameters.js'
import { refused } from './refusals.js'
import type { Call, Operation } from './state.js'

/** For whoever takes bodies from elsewhere; the largest real one names an identity of five full texts. */
export const OPERATION_BODY_BYTES_MAX = 6 * 1024

/** More than any subnet has, so that the rule about it is the state machine's. */
const WEIGHTS_MAX = 1_024
const SALT_MAX = 64
const TEXT_MAX = 2_048

export interface SignedOperation {
  /** Canonical dag-cbor: what is signed and hashed. */
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

// Copied: the decoder hands out a view into the message, and what an operation brings may stay in the state.
const bytes = (min: number, max: number) =>
  z
    .instanceof(Uint8Array)
    .refine((value) => value.length >= min && value.length <= max, 'wrong length')
    .transform((value) => Uint8Array.from(value))
const key = bytes(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES).transform(toSs58)
const unsigned = z.union([z.int().nonnegative(), z.bigint().nonnegative()])
const u64 = unsigned.transform(BigInt).refine((value) => value < 2n ** 64n, 'no u64')
const netuid = z.int().min(0).max(0xffff)
const u16s = (max: number) => z.array(z.int().min(0).max(0xffff)).max(max)
const text = z.string().max(TEXT_MAX)
const weights = { netuid, uids: u16s(WEIGHTS_MAX), values: u16s(WEIGHTS_MAX), versionKey: u64 }

/** The kinds of call, each with its fields; keys are raw bytes. What comes out is a `Call`. */
const callSchema: z.ZodType<Call> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('join'), netuid, coldkey: key }),
  z.strictObject({ kind: z.literal('faucetStake'), netuid, amountRao: u64 }),
  z.strictObject({ kind: z.literal('faucetPay'), amountRao: u64 }),
  z.strictObject({
    kind: z.literal('commit'),
    netuid,
    endpoint: bytes(1, RECORD_ENDPOINT_BYTES_MAX).refine(isEndpoint, 'no endpoint'),
  }),
  z.strictObject({
    kind: z.literal('serve'),
    netuid,
    ip: bytes(4, 16).refine(({ length }) => length === 4 || length === 16, 'no address'),
    port: z.int().min(0).max(0xffff),
  }),
  z.strictObject({ kind: z.literal('setWeights'), ...weights }),
  z.strictObject({ kind: z.literal('commitWeights'), netuid, hash: bytes(32, 32) }),
  z.strictObject({ kind: z.literal('revealWeights'), ...weights, salt: u16s(SALT_MAX) }),
  z.strictObject({ kind: z.literal('burnedRegister'), netuid, hotkey: key, limitRao: u64 }),
  z.strictObject({ kind: z.literal('stake'), netuid, hotkey: key, amountRao: u64 }),
  z.strictObject({ kind: z.literal('registerSubnet'), hotkey: key }),
  z.strictObject({ kind: z.literal('startSubnet'), netuid }),
  z.strictObject({
    kind: z.literal('setIdentity'),
    netuid,
    identity: z.strictObject({ name: text, repository: text, contact: text, url: text, description: text }),
  }),
  z
    .strictObject({
      kind: z.literal('setParameter'),
      netuid,
      name: z.enum(OWNER_PARAMETERS),
      value: z.union([unsigned, z.boolean()]),
    })
    .transform((call) => ({ ...call, value: parameterValue(call.name, call.value) })),
  z.strictObject({ kind: z.literal('swapHotkey'), hotkey: key, newHotkey: key }),
])

const bodySchema = z.strictObject({
  tag: z.literal(DEVCHAIN_TAG),
  genesis: bytes(32, 32),
  signer: key,
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

/** Signs one operation; the signer is the hotkey or coldkey that asks. */
export function signOperation(signer: Signer, init: OperationInit): SignedOperation {
  invariant(signer.scheme === 'sr25519', 'hotkeys and coldkeys are sr25519 keys')
  const body = encode({
    tag: DEVCHAIN_TAG,
    genesis: genesisBytes(init.genesisHash),
    signer: signer.publicKey,
    nonce: init.nonce,
    expires: init.expiresBlock,
    call: encodableCall(init.call),
  })
  return { body, signature: signer.sign(body) }
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
  const { genesis, signer, nonce, expires, call } = decodeBody(body)
  if (!equals(genesis, genesisBytes(genesisHash))) throw refused('BadProof')
  return { signer, nonce, expiresBlock: expires, call }
}

/** Throws `CHAIN_REFUSED` `BadProof` unless the operation's own signer signed exactly this body. */
export function verifyOperation(operation: Operation, signed: SignedOperation): void {
  const publicKey = fromSs58(operation.signer)
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

const KEY_FIELDS: ReadonlySet<string> = new Set(['hotkey', 'newHotkey', 'coldkey'])

/** With keys as raw bytes. */
function encodableCall(call: Call): Record<string, unknown> {
  const entries = Object.entries(call).map(([name, value]) => [
    name,
    KEY_FIELDS.has(name) ? fromSs58(String(value)) : value,
  ])
  return Object.fromEntries(entries)
}

/** The decoder makes small integers numbers, whatever they were. */
function parameterValue(name: OwnerParameter, value: number | bigint | boolean): ParameterValue {
  return RAO_PARAMETERS.has(name) && typeof value === 'number' ? BigInt(value) : value
}

function isEndpoint(value: Uint8Array): boolean {
  try {
    decodeEndpoint(value)
    return true
  } catch {
    // The only thing asked here is whether it decodes; the caller says that the operation is malformed.
    return false
  }
}

function genesisBytes(genesisHash: string): Uint8Array {
  return fromString(genesisHash.slice(2), 'base16')
}
