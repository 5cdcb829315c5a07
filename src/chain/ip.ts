/** Addresses of `serve` as bytes: four or sixteen, in network order, which is how every chain counts them. */
import { isIPv4, isIPv6 } from 'node:net'
import { SubnetError } from '../base/errors.js'

/** Throws `INVALID` for a text that is no IPv4 or IPv6 address, or one with a zone. */
export function ipToBytes(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number)
  if (!isIPv6(text) || text.includes('%')) {
    throw new SubnetError('INVALID', `"${text.slice(0, 64)}" is no IPv4 or IPv6 address`)
  }
  // In one form: eight groups, the longest run of zeros as "::", no dotted quad at the end.
  const [head = '', tail] = new URL(`http://[${text}]`).hostname.slice(1, -1).split('::')
  const front = groups(head)
  const back = groups(tail ?? '')
  const middle = Array.from({ length: 8 - front.length - back.length }, () => 0)
  return Uint8Array.from([...front, ...middle, ...back].flatMap((group) => [group >> 8, group & 0xff]))
}

/** The one text of four or sixteen bytes (RFC 5952). */
export function ipToText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (bytes.length !== 16) throw new SubnetError('INVALID', 'an address has 4 or 16 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16)).join(':')
  return new URL(`http://[${text}]`).hostname.slice(1, -1)
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
}
