/**
 * Requests that must be provable later carry a signature over who says what to whom, on which chain, until when:
 * {genesis, netuid, method, sender, receiver, nonce, expiry block, body hash}. Nothing signed for one chain, subnet,
 * method or receiver means anything elsewhere, and a replay within its life is found by its nonce.
 */
import { z } from 'zod'
import { SubnetError } from '../../src/base/errors.js'
import { sha256 } from '../../src/crypto/hash.js'
import type { SignatureScheme, Signer } from '../../src/crypto/keys.js'
import { verifySignature } from '../../src/crypto/keys.js'
import {
  blockField,
  boundedBytes,
  encodeMessage,
  nonceField,
  publicKeyField,
  signatureField,
} from './schema.js'

/** Where a signature counts. */
export interface WireDomain {
  /** 32 bytes. */
  readonly genesis: Uint8Array
  readonly netuid: number
}

/** The `{genesis, netuid}` of a chain's constants. */
export function wireDomain(constants: { readonly genesisHash: string; readonly netuid: number }): WireDomain {
  return {
    genesis: Uint8Array.from(Buffer.from(constants.genesisHash.slice(2), 'hex')),
    netuid: constants.netuid,
  }
}

/** Signs a structure under a domain tag: the bytes are unreadable as anything with another tag, or as an extrinsic. */
export function taggedBytes(tag: string, domain: WireDomain, fields: readonly unknown[]): Uint8Array {
  return encodeMessage([tag, domain.genesis, domain.netuid, ...fields])
}

/** Largest signed body, bytes: fits in every protocol's header cap. */
const BODY_BYTES_MAX = 65_536
/** A request lives at most this long; a replay cache needs to remember no longer. */
export const REQUEST_LIFE_BLOCKS_MAX = 64

export const envelopeSchema = z.strictObject({
  /** The encoded body. */
  body: boundedBytes(1, BODY_BYTES_MAX),
  sender: publicKeyField,
  receiver: publicKeyField,
  nonce: nonceField,
  expiresBlock: blockField,
  signature: signatureField,
})

export type Envelope = z.infer<typeof envelopeSchema>

export interface SealEnvelope {
  readonly domain: WireDomain
  /** `protocol.verb`, e.g. `order.place`. */
  readonly method: string
  readonly body: unknown
  readonly signer: Signer
  readonly receiver: Uint8Array
  readonly nonce: Uint8Array
  readonly expiresBlock: number
}

export function signEnvelope(request: SealEnvelope): Envelope {
  const body = encodeMessage(request.body)
  const unsigned = {
    body,
    sender: request.signer.publicKey,
    receiver: request.receiver,
    nonce: request.nonce,
    expiresBlock: request.expiresBlock,
  }
  return {
    ...unsigned,
    signature: request.signer.sign(envelopeBytes(request.domain, request.method, unsigned)),
  }
}

export interface EnvelopeCheck {
  readonly domain: WireDomain
  readonly method: string
  readonly scheme: SignatureScheme
  /** Who must have signed. */
  readonly sender: Uint8Array
  /** Whom it must be meant for: us. */
  readonly receiver: Uint8Array
  /** Our head. */
  readonly block: number
}

/** Throws `REFUSED` (not for us, not from them, expired) or `BAD_SIGNATURE`. The nonce is the caller's to remember. */
export function checkEnvelope(envelope: Envelope, check: EnvelopeCheck): void {
  if (!sameKey(envelope.receiver, check.receiver)) {
    throw new SubnetError('REFUSED', `${check.method}: the request is meant for another receiver`)
  }
  if (!sameKey(envelope.sender, check.sender)) {
    throw new SubnetError(
      'REFUSED',
      `${check.method}: the request is not signed by the key that it must be from`,
    )
  }
  if (envelope.expiresBlock < check.block) {
    throw new SubnetError('REFUSED', `${check.method}: the request expired at block ${envelope.expiresBlock}`)
  }
  if (envelope.expiresBlock > check.block + REQUEST_LIFE_BLOCKS_MAX) {
    throw new SubnetError(
      'REFUSED',
      `${check.method}: the request lives longer than ${REQUEST_LIFE_BLOCKS_MAX} blocks`,
    )
  }
  const message = envelopeBytes(check.domain, check.method, envelope)
  if (!verifySignature(check.scheme, envelope.sender, message, envelope.signature)) {
    throw new SubnetError('BAD_SIGNATURE', `${check.method}: the request's signature does not verify`)
  }
}

function envelopeBytes(
  domain: WireDomain,
  method: string,
  envelope: Omit<Envelope, 'signature'>,
): Uint8Array {
  return taggedBytes('subnet-request/0', domain, [
    method,
    envelope.sender,
    envelope.receiver,
    envelope.nonce,
    envelope.expiresBlock,
    sha256(envelope.body),
  ])
}

export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}
