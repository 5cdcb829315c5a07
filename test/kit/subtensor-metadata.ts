/**
 * The real runtime's metadata (spec 381), and a second encoder made from it with @polkadot/types' own storage and
 * transaction classes: what the product encodes by hand is checked against it. Source of the bytes: shared vectors,
 * `subtensor-metadata-v16-spec381.scale`, the answer of a 2026 node to `Metadata_metadata_at_version(16)`.
 */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expandMetadata, Metadata, StorageKey, TypeRegistry } from '@polkadot/types'
import type { Codec } from '@polkadot/types/types'
import { hex } from './vectors.js'

export const SPEC_VERSION = 381
export const TRANSACTION_VERSION = 1

export function metadataBytes(): Uint8Array {
  return gunzipSync(readFileSync('test/vectors/subtensor-metadata-v16-spec381.scale.gz'))
}

/** The same metadata with a name replaced by another one of its length everywhere: a runtime without that thing. */
export function metadataWithout(...names: readonly string[]): Uint8Array {
  let text = Buffer.from(metadataBytes()).toString('latin1')
  for (const name of names) {
    // Names are SCALE texts: their length stands in front, so no longer name is hit.
    const length = String.fromCharCode(name.length << 2)
    text = text.replaceAll(length + name, `${length}Gone${name.slice(4)}`)
  }
  return Buffer.from(text, 'latin1')
}

/** The same metadata with a name replaced by any other everywhere. */
export function metadataRenamed(name: string, other: string): Uint8Array {
  const encoded = (each: string) => String.fromCharCode(each.length << 2) + each
  const text = Buffer.from(metadataBytes()).toString('latin1')
  return Buffer.from(text.replaceAll(encoded(name), encoded(other)), 'latin1')
}

export interface SecondEncoder {
  readonly types: TypeRegistry
  /** 0x-prefixed storage key, by pallet and item in camel case. */
  key(pallet: string, item: string, ...keys: unknown[]): string
  /** SCALE of a storage item's value. */
  value(pallet: string, item: string, value: unknown): string
  /** SCALE of a named type. */
  type(name: string, value: unknown): Uint8Array
}

let second: SecondEncoder | undefined

/** Made once: it takes a second. */
export function secondEncoder(): SecondEncoder {
  if (second !== undefined) return second
  const types = new TypeRegistry()
  const metadata = new Metadata(types, `0x${hex(metadataBytes())}`)
  types.setMetadata(metadata, undefined, undefined, true)
  const { query } = expandMetadata(types, metadata)
  const entryOf = (pallet: string, item: string) => {
    const entry = query[pallet]?.[item]
    if (entry === undefined) throw new Error(`no storage ${pallet}.${item}`)
    return entry
  }
  second = {
    types,
    key(pallet, item, ...keys) {
      const entry = entryOf(pallet, item)
      return new StorageKey(types, keys.length === 0 ? entry : [entry, keys]).toHex()
    },
    value(pallet, item, value) {
      const { type } = entryOf(pallet, item).meta
      const id = type.isPlain ? type.asPlain : type.asMap.value
      return `0x${hex(types.createTypeUnsafe<Codec>(types.createLookupType(id), [value]).toU8a())}`
    },
    type: (name, value) => types.createTypeUnsafe<Codec>(name, [value]).toU8a(),
  }
  return second
}

/** Of `SubtensorModule`, by name. */
export function errorIndex(name: string): number {
  const { types } = secondEncoder()
  for (let error = 0; error < 256; error += 1) {
    if (types.findMetaError(Uint8Array.of(7, error, 0, 0, 0)).name === name) return error
  }
  throw new Error(`no error ${name}`)
}
