/**
 * Reading a decoded dag-cbor value field by field: each check names the path of the field it refuses, with `INVALID`.
 * The bytes it starts from must be the one canonical encoding of their value, so equal meaning is equal bytes.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { equals } from 'uint8arrays/equals'
import { SubnetError } from '../base/errors.js'

export type Fields = Readonly<Record<string, unknown>>

export function refuse(path: string, why: string, cause?: unknown): never {
  throw new SubnetError('INVALID', `${path}: ${why}`, { data: { field: path }, cause })
}

/** The value of canonical dag-cbor bytes, of at least one and at most `bytesMax`. */
export function readCanonical(bytes: Uint8Array, path: string, bytesMax: number): unknown {
  if (bytes.length === 0 || bytes.length > bytesMax) {
    refuse(path, `must have 1 to ${bytesMax} bytes, has ${bytes.length}`)
  }
  let value: unknown
  let again: Uint8Array
  try {
    value = decode(bytes)
    again = encode(value)
  } catch (cause) {
    // Whatever the codec says, a stack overflow by deep nesting included, it is these bytes' fault.
    refuse(path, 'is not dag-cbor', cause)
  }
  if (!equals(again, bytes)) refuse(path, 'is not the canonical encoding')
  return value
}

/** A map with every key of `required`, perhaps some of `optional`, and no other. */
export function readMap(
  value: unknown,
  path: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Fields {
  const isMap =
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  if (!isMap) refuse(path, 'must be a map')
  for (const key of required) if (!Object.hasOwn(value, key)) refuse(`${path}.${key}`, 'is missing')
  for (const key of Object.keys(value)) {
    if (!required.includes(key) && !optional.includes(key)) refuse(path, 'has an unknown field')
  }
  return value as Fields
}

export function readList(value: unknown, path: string, lengthMin: number, lengthMax: number): unknown[] {
  if (!Array.isArray(value)) refuse(path, 'must be a list')
  if (value.length < lengthMin || value.length > lengthMax) {
    const limits = lengthMin === lengthMax ? `${lengthMin}` : `${lengthMin} to ${lengthMax}`
    refuse(path, `must have ${limits} entries, has ${value.length}`)
  }
  return value
}

export function readBytes(value: unknown, path: string, lengthBytes: number): Uint8Array {
  if (!(value instanceof Uint8Array)) refuse(path, 'must be bytes')
  if (value.length !== lengthBytes) refuse(path, `must have ${lengthBytes} bytes, has ${value.length}`)
  return value
}

export function readInteger(value: unknown, path: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    refuse(path, `must be an integer from ${min} to ${max}`)
  }
  return value
}

/** Exactly this text or number: for versions, algorithms and values that follow from others. */
export function readConstant<T extends string | number>(value: unknown, path: string, expected: T): T {
  if (value !== expected) refuse(path, `must be ${expected}`)
  return expected
}

export function readChoice<T extends string>(value: unknown, path: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === value)
  if (choice === undefined) refuse(path, `must be one of ${choices.join(', ')}`)
  return choice
}
