/**
 * Every type of message there is, taken from the protocols themselves: what is exported by a `messages.ts` counts, and a
 * protocol without an entry here, or a type without a vector, fails `wire-fuzz.test.ts`. Not a list to keep by hand.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import * as capacity from '../../protocols/capacity/messages.js'
import * as challenge from '../../protocols/challenge/messages.js'
import { envelopeSchema } from '../../protocols/common/signed.js'
import { failureSchema } from '../../protocols/common/status.js'
import * as have from '../../protocols/have/messages.js'
import * as hello from '../../protocols/hello/messages.js'
import { signedLeaseSchema } from '../../protocols/lease/lease.js'
import * as lease from '../../protocols/lease/messages.js'
import * as order from '../../protocols/order/messages.js'
import * as retrieve from '../../protocols/retrieve/messages.js'
import * as store from '../../protocols/store/messages.js'
import { projectRoot } from './source-tree.js'
import type { WireMessage } from './wire-vectors.js'

export const PROTOCOLS = { capacity, challenge, have, hello, lease, order, retrieve, store } as const

/** What messages of several protocols are made of, or are encoded inside others. */
const COMMON = { failureSchema, envelopeSchema, signedLeaseSchema }

/** Exported parts of messages: they never stand alone. */
const PARTS: ReadonlySet<unknown> = new Set([
  challenge.sampleSchema,
  challenge.sampleAnswerSchema,
  hello.roleSchema,
  hello.attestationSchema,
  order.candidateSchema,
  order.holderSchema,
])

/** Folders of `protocols/` that hold one. */
export function protocolFolders(): string[] {
  const folders = readdirSync(join(projectRoot(), 'protocols'), { withFileTypes: true })
  return folders.filter((each) => each.isDirectory() && each.name !== 'common').map(({ name }) => name)
}

/** Names of message types that no vector has. */
export function uncovered(messages: readonly WireMessage[]): string[] {
  const covered = new Set<unknown>()
  for (const { value, schemas } of messages) {
    const type = (value as { readonly type?: unknown }).type
    for (const each of schemas.flatMap(variantsOf)) if (typeOf(each) === type) covered.add(each)
  }
  const exported = Object.entries({ common: COMMON, ...PROTOCOLS }).flatMap(([protocol, module]) =>
    Object.entries(module).flatMap(([name, schema]) => {
      if (!name.endsWith('Schema') || PARTS.has(schema)) return []
      const variants = variantsOf(schema)
      if (variants.length === 0) return [`${protocol}: ${name} is neither a message nor a known part of one`]
      return variants
        .filter((variant) => !covered.has(variant))
        .map((variant) => `${protocol}: ${typeOf(variant) ?? 'message'} of ${name}`)
    }),
  )
  return [...new Set(exported)]
}

function variantsOf(schema: unknown): z.ZodObject[] {
  if (schema instanceof z.ZodObject) return [schema]
  return schema instanceof z.ZodDiscriminatedUnion ? schema.options.flatMap(variantsOf) : []
}

function typeOf(schema: z.ZodObject): unknown {
  const type: unknown = schema.shape.type
  return type instanceof z.ZodLiteral ? type.value : undefined
}
