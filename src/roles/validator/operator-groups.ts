/**
 * Which miners are one operator, as far as anybody can see: those of one coldkey, and those of one public /24 or /48.
 * Chunks of a segment are spread over groups, so that one owner or one data centre cannot take a segment along.
 */
import type { Member } from '../../chain/subnet-view.js'

/** A group's name by hotkey; the name is a coldkey of the group, so it is stable while that member stays. */
export function operatorGroups(members: readonly Member[]): ReadonlyMap<string, string> {
  const parent = new Map<string, string>()
  const find = (name: string): string => {
    const above = parent.get(name) ?? name
    return above === name ? name : find(above)
  }
  const unite = (a: string, b: string) => {
    const [first, second] = [find(a), find(b)].sort() as [string, string]
    parent.set(second, first)
  }
  const coldkeyOfNetwork = new Map<string, string>()
  for (const { coldkey, endpoint } of members) {
    for (const address of endpoint?.addresses ?? []) {
      const network = publicNetwork(address)
      if (network === undefined) continue
      const neighbour = coldkeyOfNetwork.get(network)
      if (neighbour === undefined) coldkeyOfNetwork.set(network, coldkey)
      else unite(neighbour, coldkey)
    }
  }
  return new Map(members.map(({ hotkey, coldkey }) => [hotkey, find(coldkey)]))
}

/** The /24 (IPv4) or /48 (IPv6) of a multiaddr, or `undefined` when it is no public IP address. */
export function publicNetwork(address: string): string | undefined {
  const [, kind, host = ''] = address.split('/')
  if (kind === 'ip4') {
    const octets = host.split('.').map(Number)
    return isPublicIpv4(octets) ? octets.slice(0, 3).join('.') : undefined
  }
  if (kind === 'ip6') {
    const groups = expandIpv6(host)
    const first = groups?.[0] ?? 0
    // 2000::/3 is all that is globally routed.
    return groups !== undefined && first >= 0x2000 && first <= 0x3fff
      ? groups.slice(0, 3).join(':')
      : undefined
  }
  return undefined
}

function isPublicIpv4(octets: readonly number[]): boolean {
  const [a = 0, b = 0] = octets
  if (octets.length !== 4 || octets.some((octet) => !Number.isInteger(octet) || octet < 0 || octet > 255))
    return false
  if (a === 0 || a === 10 || a === 127 || a >= 224) return false
  if (a === 100 && b >= 64 && b < 128) return false
  if (a === 169 && b === 254) return false
  if (a === 172 && b >= 16 && b < 32) return false
  return !(a === 192 && b === 168)
}

/** The eight 16-bit groups of an IPv6 address, `undefined` if it is none. */
function expandIpv6(host: string): number[] | undefined {
  const [head = '', tail] = host.split('::')
  const parse = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const left = parse(head)
  const right = tail === undefined ? [] : parse(tail)
  const missing = tail === undefined ? 0 : 8 - left.length - right.length
  const groups = [...left, ...new Array<number>(Math.max(0, missing)).fill(0), ...right]
  return groups.length === 8 && groups.every((group) => group >= 0 && group <= 0xffff) ? groups : undefined
}
