/**
 * The building blocks of message schemas, and the strict decoder: dag-cbor in its one canonical form, every field
 * present, of its type and within its limit, and no field besides. What passes may be trusted as far as its form goes.
 */
import { decode as decodeCbor, encode as encodeCbor } from '@ipld/dag-cbor'
import { equals } from 'uint8arrays'
import { z } from 'zod'
import { SubnetError } from '../../src/base/errors.js'
import { DIGEST_BYTES } from '../../src/crypto/hash.js'
import { PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from '../../src/crypto/keys.js'
import { checkOutline } from './outline.js'

/** A byte string of exactly this length. The decoder copies it out of the message, so it pins nothing else. */
export function fixedBytes(lengthBytes: number) {
  return boundedBytes(lengthBytes, lengthBytes)
}

/** A byte string between two lengths, both included. */
export function boundedBytes(minBytes: number, maxBytes: number) {
  return z
    .custom<Uint8Array>((value) => value instanceof Uint8Array, 'not a byte string')
    .refine((value) => value.length >= minBytes && value.length <= maxBytes, 'has the wrong length')
}

export function integer(min: number, max: number) {
  return z.number().int().min(min).max(max)
}

/** Printable ASCII: what a peer writes may be shown to an operator and must not move the cursor. */
export function text(maxChars: number) {
  return z
    .string()
    .min(1)
    .max(maxChars)
    .regex(/^[\x20-\x7e]*$/, 'is not printable ASCII')
}

/**
 * A list of `min` to `max` items that stops at the first wrong one. zod's own collects an issue for each: hundreds of
 * megabytes for one hostile message.
 */
export function list<T>(item: z.ZodType<T>, min: number, max: number) {
  return z.unknown().transform((value, context): T[] => {
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      context.addIssue({ code: 'custom', message: `is not a list of ${min} to ${max} items` })
      return z.NEVER
    }
    const items: T[] = []
    for (const [index, each] of value.entries()) {
      const result = item.safeParse(each)
      if (!result.success) {
        const [issue] = result.error.issues
        const path = [index, ...(issue?.path ?? [])]
        context.addIssue({ code: 'custom', message: issue?.message ?? 'is wrong', path })
        return z.NEVER
      }
      items.push(result.data)
    }
    return items
  })
}

export const digestField = fixedBytes(DIGEST_BYTES)
export const publicKeyField = fixedBytes(PUBLIC_KEY_BYTES)
export const signatureField = fixedBytes(SIGNATURE_BYTES)
export const nonceField = fixedBytes(16)
export const serialField = fixedBytes(16)
/** Block numbers: 32 bits, as on the chain. */
export const blockField = integer(0, 0xffffffff)
/** A peer id in its text form. */
export const peerIdField = text(128)
/** A multiaddr in its text form. */
export const addressField = text(256)

/** Encodes a message or a signed structure in canonical dag-cbor. */
export function encodeMessage(value: unknown): Uint8Array {
  return encodeCbor(value)
}

/** Decodes a message strictly. Throws `INVALID` whose `data.field` names what is wrong, and nothing else. */
export function decodeMessage<T>(schema: z.ZodType<T>, bytes: Uint8Array, what: string): T {
  checkOutline(bytes, what)
  let value: unknown
  try {
    value = decodeCbor(bytes)
  } catch (cause) {
    throw new SubnetError('INVALID', `${what} is not dag-cbor`, { cause })
  }
  const result = schema.safeParse(value)
  if (!result.success) throw invalid(what, result.error.issues[0])
  if (!equals(encodeCbor(value), bytes)) {
    throw new SubnetError('INVALID', `${what} is not in canonical form`)
  }
  return result.data
}

function invalid(what: string, issue: z.core.$ZodIssue | undefined): SubnetError {
  const field = issue?.path.join('.') ?? ''
  // zod lists the unknown names: those are the peer's words, and may be a megabyte.
  const why = issue?.code === 'unrecognized_keys' ? 'has unknown fields' : (issue?.message ?? 'is wrong')
  const text = `${what}: ${field === '' ? 'message' : field} ${why}`
  return new SubnetError('INVALID', text, { data: { field } })
}
