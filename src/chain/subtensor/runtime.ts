/**
 * One version of the chain's runtime, as its metadata describes it: from names and plain values to the SCALE bytes of
 * storage keys, calls and transactions, and back. Whatever the metadata has not is `undefined` when read and refused
 * when called. Nothing here talks to a node.
 */
import type { Metadata, TypeRegistry, Vec } from '@polkadot/types'
import type {
  DispatchError,
  EventRecord,
  PalletMetadataLatest,
  SiVariant,
  StorageEntryMetadataLatest,
} from '@polkadot/types/interfaces'
import type { Codec } from '@polkadot/types/types'
import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { xxhashAsU8a } from '@polkadot/util-crypto/xxhash'
import { concat } from 'uint8arrays'
import { SubnetError } from '../../base/errors.js'
import { refusedBefore } from './refusals.js'
import { toHex } from './scale.js'

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

export class Runtime {
  readonly version: RuntimeVersion
  readonly #types: TypeRegistry
  readonly #metadata: Metadata

  private constructor(version: RuntimeVersion, types: TypeRegistry, metadata: Metadata) {
    this.version = version
    this.#types = types
    this.#metadata = metadata
  }

  /** Loads @polkadot/types on first use: it costs half a second and 40 MiB, which only a real chain is worth. */
  static async load(metadataBytes: Uint8Array, version: RuntimeVersion): Promise<Runtime> {
    const { Metadata, TypeRegistry } = await import('@polkadot/types')
    const types = new TypeRegistry()
    const metadata = new Metadata(types, toHex(metadataBytes) as `0x${string}`)
    types.setMetadata(metadata, undefined, undefined, true)
    return new Runtime(version, types, metadata)
  }

  /** The storage item, or `undefined` when this runtime has none of that name. */
  storage(pallet: string, item: string): StorageItem | undefined {
    const found = this.#pallet(pallet)
    const storage = found?.storage.unwrapOr(undefined)
    const entry = storage?.items.find(({ name }) => name.eq(item))
    if (storage === undefined || entry === undefined) return undefined
    return new StorageItem(this.#types, storage.prefix.toString(), entry)
  }

  /** The call in SCALE. Throws `CHAIN_REFUSED` when this runtime has no such call, `INVALID` for values that do not fit. */
  encodeCall({ pallet, name, args }: RuntimeCall): Uint8Array {
    const found = this.#pallet(pallet)
    const variant = this.#call(pallet, name)
    const spec = `spec ${this.version.specVersion}`
    if (found === undefined || variant === undefined) {
      throw refusedBefore('CallNotFound', `this chain’s runtime (${spec}) has no call ${pallet}.${name}`)
    }
    const fields = fieldsOf(variant)
    const strange = fields.filter((field) => !Object.hasOwn(args, field))
    if (strange.length > 0 || fields.length !== Object.keys(args).length) {
      const text = `${pallet}.${name} of this chain’s runtime (${spec}) takes ${fields.join(', ')}, which this version does not know: update it`
      throw refusedBefore('CallChanged', text)
    }
    const values = variant.fields.map((field, i) =>
      this.#encode(field.type, args[fields[i] ?? ''], `${name}.${fields[i]}`),
    )
    return concat([Uint8Array.of(found.index.toNumber(), variant.index.toNumber()), ...values])
  }

  /** Names of a call's arguments in this runtime, or `undefined` when it has no such call. */
  callFields(pallet: string, name: string): readonly string[] | undefined {
    const variant = this.#call(pallet, name)
    return variant === undefined ? undefined : fieldsOf(variant)
  }

  /** A function of the runtime API, or `undefined` when the metadata names none. */
  api(name: string, method: string): RuntimeApiMethod | undefined {
    const api = this.#metadata.asLatest.apis.find((each) => each.name.eq(name))
    const found = api?.methods.find((each) => each.name.eq(method))
    if (found === undefined) return undefined
    return {
      rpcName: `${name}_${method}`,
      encode: (args) =>
        concat(found.inputs.map((input, i) => this.#encode(input.type, args[i], `${method}.${input.name}`))),
      decode: (bytes) => this.#decode(found.output, bytes).toJSON(),
    }
  }

  /** As JSON. */
  constant(pallet: string, name: string): unknown {
    const found = this.#pallet(pallet)?.constants.find((each) => each.name.eq(name))
    return found === undefined ? undefined : this.#decode(found.type, found.value.toU8a(true)).toJSON()
  }

  /** In the order in which they stand in a transaction. */
  extensions(): readonly RuntimeExtension[] {
    // Not from the latest form: @polkadot/types 16.5.6 loses a type on the way there from 15 (`implict` in toV16.js).
    const isNew = this.#metadata.version >= 16
    const types = isNew
      ? this.#metadata.asV16.extrinsic.transactionExtensions.map((each) => [each, each.implicit] as const)
      : this.#metadata.asV15.extrinsic.signedExtensions.map((each) => [each, each.additionalSigned] as const)
    return types.map(([{ identifier, type }, signed]) => ({
      identifier: identifier.toString(),
      isEmpty: [type, signed].every((each) => this.#create(each).encodedLength === 0),
    }))
  }

  /** From the bytes of `System.Events`. */
  decodeEvents(bytes: Uint8Array): readonly RuntimeEvent[] {
    const records = this.#types.createType<Vec<EventRecord>>('Vec<EventRecord>', bytes)
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
    const dispatch = this.#types.createType<DispatchError>('DispatchError', error.toU8a())
    if (dispatch.isModule) return this.#types.findMetaError(dispatch.asModule).name
    return dispatch.isToken
      ? dispatch.asToken.type
      : dispatch.isArithmetic
        ? dispatch.asArithmetic.type
        : dispatch.type
  }

  #pallet(name: string): PalletMetadataLatest | undefined {
    return this.#metadata.asLatest.pallets.find((each) => each.name.eq(name))
  }

  #call(pallet: string, name: string): SiVariant | undefined {
    const calls = this.#pallet(pallet)?.calls.unwrapOr(undefined)
    if (calls === undefined) return undefined
    return this.#types.lookup.getSiType(calls.type).def.asVariant.variants.find((each) => each.name.eq(name))
  }

  #create(type: TypeId, value?: unknown): Codec {
    return this.#types.createTypeUnsafe(
      this.#types.createLookupType(type),
      value === undefined ? [] : [value],
    )
  }

  #encode(type: TypeId, value: unknown, what: string): Uint8Array {
    return encodeValue(() => this.#create(type, value), what)
  }

  #decode(type: TypeId, bytes: Uint8Array): Codec {
    return this.#create(type, bytes)
  }
}

function fieldsOf(variant: SiVariant): string[] {
  return [...variant.fields].map((field) => field.name.unwrapOrDefault().toString())
}

/** How metadata refers to a type. */
type TypeId = Parameters<TypeRegistry['createLookupType']>[0]

export interface RuntimeApiMethod {
  /** What `state_call` wants. */
  readonly rpcName: string
  readonly encode: (args: readonly unknown[]) => Uint8Array
  /** To JSON: names in camel case, large numbers and bytes in hex. */
  readonly decode: (bytes: Uint8Array) => unknown
}

/** Bytes of the hash in front of the key's own, for the hashers that keep it. */
const CONCAT_HASH_BYTES: Readonly<Record<string, number>> = {
  Identity: 0,
  Twox64Concat: 8,
  Blake2_128Concat: 16,
}

export class StorageItem {
  readonly name: string
  readonly #types: TypeRegistry
  readonly #prefix: Uint8Array
  readonly #entry: StorageEntryMetadataLatest

  constructor(types: TypeRegistry, pallet: string, entry: StorageEntryMetadataLatest) {
    this.name = `${pallet}.${entry.name}`
    this.#types = types
    this.#prefix = concat([xxhashAsU8a(pallet, 128), xxhashAsU8a(entry.name.toString(), 128)])
    this.#entry = entry
  }

  /** Of one value; with fewer arguments than keys, what all those keys begin with. */
  key(args: readonly unknown[]): string {
    const parts = this.#keys()
      .slice(0, args.length)
      .map(({ hasher, type }, i) => {
        const value = args[i]
        const bytes = encodeValue(
          () => this.#types.createTypeUnsafe(this.#types.createLookupType(type), [value]),
          this.name,
        )
        return hashed(hasher, bytes)
      })
    return toHex(concat([this.#prefix, ...parts]))
  }

  /** The arguments behind a key, as JSON. */
  decodeKey(key: Uint8Array): readonly unknown[] {
    let rest = key.subarray(this.#prefix.length)
    return this.#keys().map(({ hasher, type }) => {
      rest = rest.subarray(CONCAT_HASH_BYTES[hasher] ?? 0)
      const value = this.#types.createTypeUnsafe(this.#types.createLookupType(type), [rest])
      rest = rest.subarray(value.encodedLength)
      return value.toJSON()
    })
  }

  /** As JSON: names in camel case, large numbers and bytes in hex. Without bytes the item's default, or `null`. */
  decode(bytes: Uint8Array | undefined): unknown {
    const { type, modifier, fallback } = this.#entry
    if (bytes === undefined && modifier.isOptional) return null
    const valueType = type.isPlain ? type.asPlain : type.asMap.value
    const from = bytes ?? fallback.toU8a(true)
    return this.#types.createTypeUnsafe(this.#types.createLookupType(valueType), [from]).toJSON()
  }

  #keys(): readonly { readonly hasher: string; readonly type: TypeId }[] {
    const { type } = this.#entry
    if (type.isPlain) return []
    const { hashers, key } = type.asMap
    const types = hashers.length === 1 ? [key] : [...this.#types.lookup.getSiType(key).def.asTuple]
    return types.map((each, i) => ({ hasher: hashers[i]?.type ?? '', type: each }))
  }
}

function hashed(hasher: string, bytes: Uint8Array): Uint8Array {
  switch (hasher) {
    case 'Identity':
      return bytes
    case 'Twox64Concat':
      return concat([xxhashAsU8a(bytes, 64), bytes])
    case 'Blake2_128Concat':
      return concat([blake2AsU8a(bytes, 128), bytes])
    default:
      throw refusedBefore(
        'StorageChanged',
        `this chain’s runtime hashes a key with ${hasher}: update this program`,
      )
  }
}

function encodeValue(create: () => Codec, what: string): Uint8Array {
  try {
    return create().toU8a()
  } catch (cause) {
    throw new SubnetError('INVALID', `${what} does not take this value`, { cause })
  }
}
