/** Schemas of the JSON that @polkadot/types gives: numbers above 2⁵³ come in hex, texts as bytes in hex or in a list. */
import { hexToU8a } from '@polkadot/util'
import { toString as bytesToText } from 'uint8arrays'
import * as z from 'zod'

/** A number that is exact as one. */
export const count = z.number().int()
/** Of any size, never negative. */
export const amount = z
  .union([z.number().int(), z.string().regex(/^0x[0-9a-f]+$/)])
  .transform((value) => BigInt(value))
export const address = z.string()
export const bytes = z
  .string()
  .regex(/^0x([0-9a-f]{2})*$/i)
  .transform((value) => hexToU8a(value))
/** What is no UTF-8 shows as replacement characters: it is for people. */
export const text = z
  .union([bytes, z.array(z.number().int()).transform((values) => Uint8Array.from(values))])
  .transform((value) => bytesToText(value, 'utf8'))
