/** Names and addresses of peers as text, from the chain or from strangers, as libp2p takes them. */
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { SubnetError } from '../base/errors.js'

/** Throws `INVALID`. */
export function parsePeerId(text: string): PeerId {
  try {
    return peerIdFromString(text)
  } catch (cause) {
    throw new SubnetError('INVALID', `"${text}" is not a peer id`, { cause })
  }
}

/** Addresses come from strangers: those that do not parse or name another peer are left out. */
export function dialAddresses(peerId: string, addresses: readonly string[]): Multiaddr[] {
  return addresses.flatMap((text) => {
    try {
      const address = multiaddr(text)
      const named = address.getComponents().findLast(({ name }) => name === 'p2p')?.value
      if (named === undefined) return [address.encapsulate(`/p2p/${peerId}`)]
      return named === peerId ? [address] : []
    } catch {
      // Not a multiaddr; the others may still answer.
      return []
    }
  })
}
