/**
 * A signed transaction, made by @polkadot/api: the call, the extensions of the runtime in its order, and a signature that
 * also covers genesis, runtime version and the block from which on it lives. An extension that is not known here and has
 * bytes is refused, where the library would leave them out: signing what is not understood could mean anything.
 */
import type { Codec, IExtrinsicEra, IKeyringPair } from '@polkadot/types/types'
import { concat } from 'uint8arrays'
import { type Signer, toSs58 } from '../../crypto/keys.js'
import { refusedBefore } from './refusals.js'
import type { Runtime, RuntimeCall } from './runtime.js'

/** Blocks in which a transaction may be included: six minutes. After that it is void, and that is certain. */
export const ERA_BLOCKS = 32

/** `MultiSignature` by scheme. */
const SIGNATURE_KIND = { ed25519: 0, sr25519: 1 } as const

/** Extensions with bytes that `signTransaction` means: what it gives, no tip, and no hash of the metadata. */
const KNOWN_EXTENSIONS: ReadonlySet<string> = new Set([
  'CheckSpecVersion',
  'CheckTxVersion',
  'CheckGenesis',
  'CheckMortality',
  'CheckNonce',
  'ChargeTransactionPayment',
  'ChargeTransactionPaymentWrapper',
  'CheckMetadataHash',
])

export interface TransactionInit {
  readonly runtime: Runtime
  readonly call: RuntimeCall
  readonly nonce: number
  readonly genesisHash: string
  /** The first block whose successor may include it. */
  readonly birth: { readonly number: number; readonly hash: string }
}

/** The bytes that `author_submitExtrinsic` takes. Rejects as `Runtime.transaction` throws, and with `UnknownTransactionExtension`. */
export async function signTransaction(signer: Signer, init: TransactionInit): Promise<Uint8Array> {
  const { runtime, call, nonce, genesisHash, birth } = init
  requireKnownExtensions(runtime)
  const transaction = runtime.transaction(call)
  const period = { current: birth.number, period: ERA_BLOCKS }
  const era = transaction.registry.createTypeUnsafe<IExtrinsicEra & Codec>('ExtrinsicEra', [period])
  // With all of this given, the library asks no node.
  const options = { era, nonce, genesisHash, blockHash: birth.hash, tip: 0 }
  return (await transaction.signAsync(pairOf(signer), options)).toU8a()
}

/** The signer in the library's words. */
function pairOf(signer: Signer): IKeyringPair {
  const { publicKey } = signer
  const kind = Uint8Array.of(SIGNATURE_KIND[signer.scheme])
  const sign = (payload: Uint8Array) => concat([kind, signer.sign(payload)])
  return { address: toSs58(publicKey), addressRaw: publicKey, publicKey, sign }
}

function requireKnownExtensions(runtime: Runtime): void {
  const strange = runtime
    .extensions()
    .find(({ identifier, isEmpty }) => !isEmpty && !KNOWN_EXTENSIONS.has(identifier))
  if (strange === undefined) return
  const spec = `spec ${runtime.version.specVersion}`
  const text = `this chain’s runtime (${spec}) asks for ${strange.identifier} in every transaction, which this version does not know: update it`
  throw refusedBefore('UnknownTransactionExtension', text)
}
