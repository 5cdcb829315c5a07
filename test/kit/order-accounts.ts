/** Order accounts for handlers whose test is not about receipts. */
import type { OrderAccount } from '../../protocols/retrieve/exchange.js'

/** Asks for no receipt and takes every one. */
export function freeAccount(): OrderAccount {
  return { roomBytes: Number.POSITIVE_INFINITY, send() {}, confirm() {}, close() {} }
}
