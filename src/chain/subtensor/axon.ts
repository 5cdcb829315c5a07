/** Addresses as `serve_axon` takes them and the metagraph gives them: an IP as a number, and its kind. */
import { hexToU8a, u8aToHex } from '@polkadot/util'
import { SubnetError } from '../../base/errors.js'
import type { Axon } from '../chain.js'
import { ipToBytes, ipToText } from '../ip.js'

/** The runtime's `ip_type`. */
export type IpType = 4 | 6

/** Throws `INVALID` for anything but the text of an IP address and a port; port 0 is the chain’s to refuse. */
export function ipNumber({ ip, port }: Axon): { readonly ip: bigint; readonly ipType: IpType } {
  if (!Number.isInteger(port) || port < 0 || port > 0xffff)
    throw new SubnetError('INVALID', `${port} is not a port`)
  const bytes = ipToBytes(ip)
  return { ip: BigInt(u8aToHex(bytes)), ipType: bytes.length === 4 ? 4 : 6 }
}

/** The address in text, or `undefined` for what nobody can be reached at. */
export function axonOf(ip: bigint, ipType: number, port: number): Axon | undefined {
  const sizeBytes = { 4: 4, 6: 16 }[ipType]
  if (sizeBytes === undefined || ip === 0n || port === 0 || ip >> BigInt(8 * sizeBytes) > 0n) return undefined
  return { ip: ipToText(hexToU8a(`0x${ip.toString(16).padStart(2 * sizeBytes, '0')}`)), port }
}
