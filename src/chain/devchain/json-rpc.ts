/**
 * JSON-RPC 2.0 as the devchain speaks it over a WebSocket: one text message per request, answer or head; no batches.
 * An error carries the package's own code and data next to the numbers the standard asks for.
 */
import * as z from 'zod'
import { SubnetError } from '../../base/errors.js'
import { blockHead } from './api.js'

/** Messages to the server; the largest request is a submit of about 13 kB. */
export const REQUEST_BYTES_MAX = 16 * 1024
/** Messages to the client; a full metagraph has about 110 kB, all weights of 256 uids 800 kB. */
export const REPLY_BYTES_MAX = 1024 * 1024

export const SUBSCRIBE_HEADS = 'subscribeHeads'
const HEAD = 'head'

/** The standard's own error numbers, and the first of the range it leaves to servers. */
export const RPC_ERRORS = {
  parse: -32_700,
  invalidRequest: -32_600,
  methodNotFound: -32_601,
  invalidParams: -32_602,
  internal: -32_603,
  server: -32_000,
} as const

export type RequestId = string | number | null

const version = z.literal('2.0')
const requestId = z.union([z.string().max(64), z.int(), z.null()])

export const requestSchema = z.strictObject({
  jsonrpc: version,
  /** Without it the request is a notification, which gets no answer. */
  id: requestId.optional(),
  method: z.string().max(64),
  params: z.unknown().optional(),
})

const rpcError = z.strictObject({
  code: z.int(),
  message: z.string(),
  data: z
    .strictObject({
      code: z.string(),
      data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])),
    })
    .optional(),
})
export type RpcError = z.infer<typeof rpcError>

/** Whatever a server may send: an answer, an error, or a head. */
export const replySchema = z.union([
  z.strictObject({ jsonrpc: version, id: z.int(), result: z.unknown() }),
  z.strictObject({ jsonrpc: version, id: requestId, error: rpcError }),
  z.strictObject({ jsonrpc: version, method: z.literal(HEAD), params: blockHead }),
])

export function requestText(id: number, method: string, params: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, method, params })
}

export function resultText(id: RequestId, result: unknown): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result })
}

export function errorText(id: RequestId, rpcCode: number, error: SubnetError): string {
  const data = { code: error.code, data: error.data }
  return JSON.stringify({ jsonrpc: '2.0', id, error: { code: rpcCode, message: error.message, data } })
}

export function headText(head: { readonly number: number; readonly hash: string }): string {
  return JSON.stringify({ jsonrpc: '2.0', method: HEAD, params: head })
}

/** What the server meant: the chain's own words as they are, anything else as a chain that does not answer. */
export function errorOf({ message, data }: RpcError): SubnetError {
  if (data?.code === 'CHAIN_REFUSED' || data?.code === 'INVALID') {
    return new SubnetError(data.code, message, { data: data.data })
  }
  return new SubnetError('CHAIN_UNAVAILABLE', `the devchain failed: ${message}`, {
    data: data === undefined ? {} : { remoteCode: data.code },
  })
}
