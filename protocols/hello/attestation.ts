/** Making and checking attestations: the binding of a hotkey (or a client's key) to the peer id that Noise proved. */
import { SubnetError } from '../../src/base/errors.js'
import type { SignatureScheme, Signer } from '../../src/crypto/keys.js'
import { verifySignature } from '../../src/crypto/keys.js'
import type { WireDomain } from '../common/signed.js'
import { taggedBytes } from '../common/signed.js'
import type { Attestation, Role } from './messages.js'
import {
  ATTESTATION_AHEAD_BLOCKS_MAX,
  ATTESTATION_LIFE_BLOCKS,
  ATTESTATION_LIFE_BLOCKS_MAX,
} from './messages.js'

/** Who may act as what, from a metagraph pinned to a block. */
export interface Authority {
  /** Our newest head. */
  readonly block: number
  isRegistered(hotkey: Uint8Array): boolean
  isValidator(hotkey: Uint8Array): boolean
}

export function schemeOf(role: Role): SignatureScheme {
  return role === 'client' ? 'ed25519' : 'sr25519'
}

export interface AttestationFields {
  readonly role: Role
  readonly peerId: string
  readonly block: number
  readonly sequence: number
  readonly agent: string
}

export function makeAttestation(signer: Signer, domain: WireDomain, fields: AttestationFields): Attestation {
  const unsigned = {
    role: fields.role,
    key: signer.publicKey,
    peerId: fields.peerId,
    issuedBlock: fields.block,
    expiresBlock: fields.block + ATTESTATION_LIFE_BLOCKS,
    sequence: fields.sequence,
    agent: fields.agent,
  }
  return { ...unsigned, signature: signer.sign(attestationBytes(unsigned, domain)) }
}

/** Throws `REFUSED` (other peer, expired, no authority) or `BAD_SIGNATURE`. */
export function checkAttestation(
  attestation: Attestation,
  domain: WireDomain,
  remotePeer: string,
  authority: Authority,
): void {
  const { block } = authority
  const refuse = (why: string): never => {
    throw new SubnetError('REFUSED', `hello: ${why}`, { data: { peer: remotePeer } })
  }
  if (attestation.peerId !== remotePeer) refuse('the attestation names another peer')
  if (attestation.expiresBlock < block) refuse(`the attestation expired at block ${attestation.expiresBlock}`)
  if (attestation.issuedBlock > block + ATTESTATION_AHEAD_BLOCKS_MAX)
    refuse('the attestation is from the future')
  if (attestation.expiresBlock - attestation.issuedBlock > ATTESTATION_LIFE_BLOCKS_MAX) {
    refuse('the attestation lives too long')
  }
  const message = attestationBytes(attestation, domain)
  if (!verifySignature(schemeOf(attestation.role), attestation.key, message, attestation.signature)) {
    throw new SubnetError('BAD_SIGNATURE', 'hello: the attestation does not verify', {
      data: { peer: remotePeer },
    })
  }
  if (attestation.role !== 'client' && !authority.isRegistered(attestation.key)) {
    refuse('the hotkey is not registered on this subnet')
  }
}

function attestationBytes(attestation: Omit<Attestation, 'signature'>, domain: WireDomain): Uint8Array {
  return taggedBytes('subnet-attestation/0', domain, [
    attestation.role,
    attestation.key,
    attestation.peerId,
    attestation.issuedBlock,
    attestation.expiresBlock,
    attestation.sequence,
    attestation.agent,
  ])
}
