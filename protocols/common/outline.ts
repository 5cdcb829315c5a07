/**
 * A look at a header's outline before anything is built from it: how many items it has and how deep they lie. A decoder
 * makes objects of fifty times the size of what it reads (one byte is an empty map) and calls itself for what is
 * nested, so both are bounded here. Not a validator: what cannot be read is left to the decoder.
 */
import { SubnetError } from '../../src/base/errors.js'

/** Items of one message, keys counted: a full lease has 49,000, a full answer to `locate` 170,000. */
export const ITEMS_MAX = 262_144
/** Arrays and maps inside one another; the deepest message has 5. */
export const DEPTH_MAX = 16

const [BYTES, TEXT, ARRAY, MAP, TAG] = [2, 3, 4, 5, 6]

/** Throws `INVALID` for what is too many or too deep. Takes time in proportion to the bytes and no memory. */
export function checkOutline(bytes: Uint8Array, what: string): void {
  /** Items still to come in each open array or map. */
  const open = [1]
  let items = 0
  for (let at = 0; open.length > 0; ) {
    const top = open.length - 1
    const left = open[top] as number
    if (left === 0) {
      open.pop()
      continue
    }
    const head = readHead(bytes, at)
    if (head === undefined) return
    open[top] = left - 1
    at = head.end
    items += 1
    if (items > ITEMS_MAX) throw new SubnetError('INVALID', `${what} has more than ${ITEMS_MAX} items`)
    if (head.major === BYTES || head.major === TEXT) at += head.value
    else if (head.major === ARRAY) open.push(head.value)
    else if (head.major === MAP) open.push(2 * head.value)
    else if (head.major === TAG) open.push(1)
    if (open.length > DEPTH_MAX + 1) {
      throw new SubnetError('INVALID', `${what} nests deeper than ${DEPTH_MAX}`)
    }
  }
}

/** The first byte of an item and the number that belongs to it (RFC 8949, section 3); `undefined` where that ends. */
function readHead(
  bytes: Uint8Array,
  at: number,
): { readonly major: number; readonly value: number; readonly end: number } | undefined {
  const first = bytes[at]
  if (first === undefined) return undefined
  const [major, info] = [first >> 5, first & 31]
  if (info < 24) return { major, value: info, end: at + 1 }
  const end = at + 1 + 2 ** (info - 24)
  if (info > 27 || end > bytes.length) return undefined
  let value = 0
  for (let i = at + 1; i < end; i += 1) value = value * 256 + (bytes[i] as number)
  return { major, value, end }
}
