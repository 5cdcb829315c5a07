/**
 * One version of the chain's runtime: an `ApiPromise` of @polkadot/api, made of that version's metadata and bound to it for
 * life. From names and plain values to the SCALE bytes of storage keys, calls and transactions, and back. Whatever the
 * metadata has not is `undefined` when read and refused when called. Nothing here talks to a node.
 */
import type { ApiPromise } from '@polkadot/api'
import type { ApiOptions, QueryableStorageEntry, SubmittableExtrinsic } from '@polkadot/api/types'
import type { StorageKey, Vec } from '@polkadot/types'
import type { DispatchError, EventRecord } from '@polkadot/types/interfaces'
import type { Codec, Registry } from '@polkadot/types/types'
import { stringCamelCase, u8aToHex } from '@polkadot/util'
import { concat } from 'uint8arrays'
import { SubnetError } from '../../base/errors.js'
import { loadPolkadot } from './polkadot.js'
import { refusedBefore } from './refusals.js'

export interface RuntimeVersion {
  readonly specVersion: number
  readonly transactionVersion: number
}

/** Arguments by the names of the runtime's source; values as @polkadot/types takes them (numbers, bigints, hex, SS58). */
export interface RuntimeCall {
  readonly pallet: string
  readonly name: string
  readonly args: Readonly<Record<string, unknown>>
}

/** What a block reports of one extrinsic or of itself. */
export interface RuntimeEvent {
  /** Position of the extrinsic in the block, if it is about one. */
  readonly extrinsic: number | undefined
  readonly pallet: string
  readonly name: string
  /** By field name, or by position. As JSON: large numbers in hex. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A transaction extension: what stands in the extrinsic, and what is only signed. */
export interface RuntimeExtension {
  readonly identifier: string
  /** Neither has any bytes. */
  readonly isEmpty: boolean
}

/** Extensions with bytes which the library has not in its own list. */
const EXTENSIONS: NonNullable<ApiOptions['signedExtensions']> = {
  ChargeTransactionPaymentWrapper: { extrinsic: { tip: 'Compact<Balance>' }, payload: {} },
}
/** An API that is never connected has no chain: every signature is told its genesis. */
const NO_GENESIS = `0x${'00'.repeat(32)}`

export class Runtime {
  readonly version: RuntimeVersion
  readonly #api: ApiPromise

  private constructor(version: RuntimeVersion, api: ApiPromise) {
    this.version = version
    this.#api = api
  }

  /** Loads @polkadot/api on first use. Rejects for bytes that are no metadata. */
  static async load(metadataBytes: Uint8Array, version: RuntimeVersion): Promise<Runtime> {
    const { ApiPromise } = await loadPolkadot()
    const api = new ApiPromise({
      provider: describing(version),
      metadata: { [`${NO_GENESIS}-${version.specVersion}`]: u8aToHex(metadataBytes) },
      signedExtensions: EXTENSIONS,
      // `cryptoReady` has loaded it, and the keys' own part of it.
      initWasm: false,
      noInitWarn: true,
    })
    return new Runtime(version, await api.isReadyOrError)
  }

  /** The storage item, or `undefined` when this runtime has none of that name. */
  storage(pallet: string, item: string): StorageItem | undefined {
    const entry = this.#api.query[stringCamelCase(pallet)]?.[stringCamelCase(item)]
    return entry === undefined ? undefined : new StorageItem(this.#api.registry, entry)
  }

  /** The call, to be signed. Throws `CHAIN_REFUSED` when this runtime has no such call, `INVALID` for values that do not fit. */
  transaction({ pallet, name, args }: RuntimeCall): SubmittableExtrinsic<'promise'> {
    const make = this.#call(pallet, name)
    const fields = this.callFields(pallet, name)
    const spec = `spec ${this.version.specVersion}`
    if (make === undefined || fields === undefined) {
      throw refusedBefore('CallNotFound', `this chain’s runtime (${spec}) has no call ${pallet}.${name}`)
    }
    const strange = fields.filter((field) => !Object.hasOwn(args, field))
    if (strange.length > 0 || fields.length !== Object.keys(args).length) {
      const text = `${pallet}.${name} of this chain’s runtime (${spec}) takes ${fields.join(', ')}, which this version does not know: update it`
      throw refusedBefore('CallChanged', text)
    }
    return fitting(`${pallet}.${name}`, () => make(...fields.map((field) => args[field])))
  }

  /** Names of a call's arguments in this runtime, or `undefined` when it has no such call. */
  callFields(pallet: string, name: string): readonly string[] | undefined {
    return this.#call(pallet, name)?.meta.fields.map((field) => field.name.unwrapOrDefault().toString())
  }

  /** A function of the runtime API, or `undefined` when the metadata names none. */
  api(name: string, method: string): RuntimeApiMethod | undefined {
    const { registry, runtimeMetadata } = this.#api
    const api = runtimeMetadata.asLatest.apis.find((each) => each.name.eq(name))
    const found = api?.methods.find((each) => each.name.eq(method))
    if (found === undefined) return undefined
    const create = (type: TypeId, value: unknown) =>
      registry.createTypeUnsafe(registry.createLookupType(type), [value])
    const rpcName = `${name}_${method}`
    return {
      rpcName,
      encode: (args) =>
        fitting(rpcName, () => concat(found.inputs.map(({ type }, i) => create(type, args[i]).toU8a()))),
      decode: (bytes) => create(found.output, bytes).toJSON(),
    }
  }

  /** As JSON. */
  constant(pallet: string, name: string): unknown {
    return this.#api.consts[stringCamelCase(pallet)]?.[stringCamelCase(name)]?.toJSON()
  }

  /** In the order in which they stand in a transaction. */
  extensions(): readonly RuntimeExtension[] {
    const { registry, runtimeMetadata: metadata } = this.#api
    // Not from the latest form: @polkadot/types 16.5.6 loses a type on the way there from 15 (`implict` in toV16.js).
    const isNew = metadata.version >= 16
    const types = isNew
      ? metadata.asV16.extrinsic.transactionExtensions.map((each) => [each, each.implicit] as const)
      : metadata.asV15.extrinsic.signedExtensions.map((each) => [each, each.additionalSigned] as const)
    return types.map(([{ identifier, type }, signed]) => ({
      identifier: identifier.toString(),
      isEmpty: [type, signed].every(
        (each) => registry.createTypeUnsafe(registry.createLookupType(each), []).encodedLength === 0,
      ),
    }))
  }

  /** From the bytes of `System.Events`. */
  decodeEvents(bytes: Uint8Array): readonly RuntimeEvent[] {
    const records = this.#api.registry.createTypeUnsafe<Vec<EventRecord>>('Vec<EventRecord>', [bytes])
    return records.map(({ phase, event }) => ({
      extrinsic: phase.isApplyExtrinsic ? phase.asApplyExtrinsic.toNumber() : undefined,
      pallet: event.section,
      name: event.method,
      fields: Object.fromEntries(
        event.data.map((value, i) => [
          event.data.names?.[i] ?? String(i),
          event.method === 'ExtrinsicFailed' && i === 0 ? this.#errorName(value) : value.toJSON(),
        ]),
      ),
    }))
  }

  /** `CommitRevealEnabled` of a module's error, `BadOrigin`, or the innermost name of the others. */
  #errorName(error: Codec): string {
    const { registry } = this.#api
    const dispatch = registry.createTypeUnsafe<DispatchError>('DispatchError', [error.toU8a()])
    if (dispatch.isModule) return registry.findMetaError(dispatch.asModule).name
    return dispatch.isToken
      ? dispatch.asToken.type
      : dispatch.isArithmetic
        ? dispatch.asArithmetic.type
        : dispatch.type
  }

  #call(pallet: string, name: string) {
    return this.#api.tx[stringCamelCase(pallet)]?.[stringCamelCase(name)]
  }
}

/** All that an `ApiPromise` asks before it is ready, known already: with it, it depends on no node, timer or subscription. */
function describing({
  specVersion,
  transactionVersion,
}: RuntimeVersion): NonNullable<ApiOptions['provider']> {
  const answers: Readonly<Record<string, unknown>> = {
    chain_getBlockHash: NO_GENESIS,
    // The library has types of its own for chains and specs that it knows by name: none of them is meant.
    state_getRuntimeVersion: { specName: 'node-subtensor', specVersion, transactionVersion, apis: [] },
    system_chain: 'subtensor',
    system_properties: { ss58Format: 42 },
    rpc_methods: { methods: [] },
  }
  const refuse = (): Promise<never> => Promise.reject(new Error('this API is not connected'))
  return {
    hasSubscriptions: false,
    isClonable: false,
    isConnected: true,
    send: async <T>(method: string) => (Object.hasOwn(answers, method) ? (answers[method] as T) : refuse()),
    clone: () => describing({ specVersion, transactionVersion }),
    connect: refuse,
    disconnect: refuse,
    on: () => () => undefined,
    subscribe: refuse,
    unsubscribe: refuse,
  }
}

/** How metadata refers to a type. */
type TypeId = Parameters<Registry['createLookupType']>[0]

export interface RuntimeApiMethod {
  /** What `state_call` wants. */
  readonly rpcName: string
  readonly encode: (args: readonly unknown[]) => Uint8Array
  /** To JSON: names in camel case, large numbers and bytes in hex. */
  readonly decode: (bytes: Uint8Array) => unknown
}

export class StorageItem {
  readonly #registry: Registry
  readonly #entry: QueryableStorageEntry<'promise'>

  constructor(registry: Registry, entry: QueryableStorageEntry<'promise'>) {
    this.#registry = registry
    this.#entry = entry
  }

  /** Of one value; with fewer arguments than keys, what all those keys begin with. */
  key(args: readonly unknown[]): string {
    const { type, name } = this.#entry.creator.meta
    const isWhole = type.isPlain || args.length >= type.asMap.hashers.length
    return fitting(name.toString(), () =>
      isWhole ? this.#entry.key(...args) : this.#entry.keyPrefix(...args),
    )
  }

  /** The arguments behind a key, as JSON. */
  decodeKey(key: string): readonly unknown[] {
    const found = this.#registry.createTypeUnsafe<StorageKey>('StorageKey', [key])
    return found.setMeta(this.#entry.creator.meta).args.map((each) => each.toJSON())
  }

  /** As JSON: names in camel case, large numbers and bytes in hex. Without bytes the item's default, or `null`. */
  decode(bytes: Uint8Array | undefined): unknown {
    const { type, modifier, fallback } = this.#entry.creator.meta
    if (bytes === undefined && modifier.isOptional) return null
    const valueType = this.#registry.createLookupType(type.isPlain ? type.asPlain : type.asMap.value)
    return this.#registry.createTypeUnsafe(valueType, [bytes ?? fallback.toU8a(true)]).toJSON()
  }
}

/** What the library throws while it encodes is about the value. */
function fitting<T>(what: string, encode: () => T): T {
  try {
    return encode()
  } catch (cause) {
    throw new SubnetError('INVALID', `${what} does not take these values`, { cause })
  }
}
