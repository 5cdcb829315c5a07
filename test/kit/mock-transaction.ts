/** What a mock node makes of a transaction and of its storage, with @polkadot/types' own classes. */
import type { GenericExtrinsic } from '@polkadot/types'
import { toSs58 } from '../../src/crypto/keys.js'
import { secondEncoder } from './subtensor-metadata.js'

export type Storage = Map<string, string>

/** A submitted call, as the runtime would see it. */
export interface MockCall {
  /** `subtensorModule.setWeights`. */
  readonly name: string
  /** In order, as JSON. */
  readonly args: readonly unknown[]
  /** SS58. */
  readonly signer: string
  readonly nonce: number
  /** The whole transaction. */
  readonly hex: string
}

/** Sets a value of a block's state, by names in camel case. */
export function putInto(
  storage: Storage,
  pallet: string,
  item: string,
  keys: readonly unknown[],
  value: unknown,
): void {
  const encoder = secondEncoder()
  storage.set(encoder.key(pallet, item, ...keys), encoder.value(pallet, item, value))
}

export function extrinsicOf(bytes: string): GenericExtrinsic {
  return secondEncoder().types.createType('Extrinsic', bytes) as unknown as GenericExtrinsic
}

export function callOf(bytes: string): MockCall {
  const extrinsic = extrinsicOf(bytes)
  const { section, method, args } = extrinsic.method
  return {
    name: `${section}.${method}`,
    args: args.map((each) => each.toJSON()),
    signer: toSs58(extrinsic.signer.toU8a().slice(1)),
    nonce: extrinsic.nonce.toNumber(),
    hex: bytes,
  }
}
