/**
 * A signed transaction in SCALE (extrinsic format 4): the call, the extensions of the runtime in its order, and a
 * signature that also covers genesis, runtime version and the block from which on it lives. An extension that is not
 * known here and has bytes is refused: signing what is not understood could mean anything.
 */
import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { concat } from 'uint8arrays'
import type { Signer } from '../../crypto/keys.js'
import { refusedBefore } from './refusals.js'
import type { Runtime } from './runtime.js'
import { compact, fromHex, mortalEra } from './scale.js'

/** Blocks in which a transaction may be included: six minutes. After that it is void, and that is certain. */
export const ERA_BLOCKS = 32

const SIGNED_FORMAT_4 = 0x84
/** `MultiAddress::Id`. */
const ADDRESS_ID = 0
/** `MultiSignature` by scheme. */
const SIGNATURE_KIND = { ed25519: 0, sr25519: 1 } as const
/** Payloads above this are signed by their hash. */
const PAYLOAD_BYTES_MAX = 256
const NOTHING = new Uint8Array(0)

export interface TransactionInit {
  readonly runtime: Runtime
  readonly call: Uint8Array
  readonly nonce: number
  readonly genesisHash: string
  /** The first block whose successor may include it. */
  readonly birth: { readonly number: number; readonly hash: string }
}

/** What the signature covers. */
export function signingPayload(init: TransactionInit): Uint8Array {
  const { extra, additional } = extensionBytes(init)
  const payload = concat([init.call, extra, additional])
  return payload.length > PAYLOAD_BYTES_MAX ? blake2AsU8a(payload, 256) : payload
}

/** The bytes that `author_submitExtrinsic` takes. */
export function signTransaction(signer: Signer, init: TransactionInit): Uint8Array {
  const body = concat([
    Uint8Array.of(SIGNED_FORMAT_4, ADDRESS_ID),
    signer.publicKey,
    Uint8Array.of(SIGNATURE_KIND[signer.scheme]),
    signer.sign(signingPayload(init)),
    extensionBytes(init).extra,
    init.call,
  ])
  return concat([compact(body.length), body])
}

/** By extension: its bytes in the transaction, and those that are only signed. */
function extensionBytes(init: TransactionInit): {
  readonly extra: Uint8Array
  readonly additional: Uint8Array
} {
  const { specVersion, transactionVersion } = init.runtime.version
  const known: Readonly<Record<string, readonly [Uint8Array, Uint8Array]>> = {
    CheckSpecVersion: [NOTHING, u32(specVersion)],
    CheckTxVersion: [NOTHING, u32(transactionVersion)],
    CheckGenesis: [NOTHING, fromHex(init.genesisHash)],
    CheckMortality: [mortalEra(init.birth.number, ERA_BLOCKS), fromHex(init.birth.hash)],
    CheckNonce: [compact(init.nonce), NOTHING],
    // No tip.
    ChargeTransactionPayment: [compact(0), NOTHING],
    ChargeTransactionPaymentWrapper: [compact(0), NOTHING],
    // Off, and no hash.
    CheckMetadataHash: [Uint8Array.of(0), Uint8Array.of(0)],
  }
  const parts = init.runtime.extensions().map(({ identifier, isEmpty }) => {
    const bytes = known[identifier] ?? (isEmpty ? [NOTHING, NOTHING] : undefined)
    if (bytes !== undefined) return bytes
    const text = `this chain’s runtime (spec ${specVersion}) asks for ${identifier} in every transaction, which this version does not know: update it`
    throw refusedBefore('UnknownTransactionExtension', text)
  })
  return {
    extra: concat(parts.map(([extra]) => extra)),
    additional: concat(parts.map(([, signed]) => signed)),
  }
}

function u32(value: number): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(4))
  bytes.setUint32(0, value, true)
  return new Uint8Array(bytes.buffer)
}
