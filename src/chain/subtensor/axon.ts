/** Addresses as `serve_axon` takes them and the metagraph gives them: an IP as a number, and its kind. */
import { isIPv4, isIPv6 } from 'node:net'
import { SubnetError } from '../../base/errors.js'
import type { Axon } from '../chain.js'

/** The runtime's `ip_type`. */
export type IpType = 4 | 6

/** Throws `INVALID` for anything but the text of an IP address and a port. */
export function ipNumber({ ip, port }: Axon): { readonly ip: bigint; readonly ipType: IpType } {
  if (!Number.isInteger(port) || port < 1 || port > 0xffff)
    throw new SubnetError('INVALID', `${port} is not a port`)
  if (isIPv4(ip)) {
    const value = ip.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
    return { ip: value, ipType: 4 }
  }
  if (!isIPv6(ip) || ip.includes('%')) throw new SubnetError('INVALID', `"${ip}" is no IP address`)
  // The URL parser knows every way to write one; what it gives back has groups of hex and at most one gap.
  const [before = '', after] = new URL(`http://[${ip}]`).hostname.slice(1, -1).split('::')
  const [head, tail] = [before, after ?? ''].map((part) => (part === '' ? [] : part.split(':')))
  const gap = Array(8 - (head?.length ?? 0) - (tail?.length ?? 0)).fill('0')
  const groups = [...(head ?? []), ...gap, ...(tail ?? [])]
  return { ip: groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n), ipType: 6 }
}

/** The address in text, or `undefined` for what nobody can be reached at. */
export function axonOf(ip: bigint, ipType: number, port: number): Axon | undefined {
  if (ip === 0n || port === 0) return undefined
  if (ipType === 4 && ip < 2n ** 32n) {
    const parts = [24n, 16n, 8n, 0n].map((shift) => (ip >> shift) & 0xffn)
    return { ip: parts.join('.'), port }
  }
  if (ipType !== 6) return undefined
  const groups = Array.from({ length: 8 }, (_, i) => ((ip >> BigInt(112 - 16 * i)) & 0xffffn).toString(16))
  return { ip: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port }
}
