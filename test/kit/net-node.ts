/** Real libp2p nodes on loopback for tests: started, and stopped when they go out of scope. */
import '../../src/base/platform.js'
import { createHash } from 'node:crypto'
import { systemClock } from '../../src/base/clock.js'
import { silentLogger } from '../../src/base/log.js'
import type { NetInit } from '../../src/net/libp2p-config.js'
import { Libp2pNet } from '../../src/net/libp2p-net.js'

export const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

/** Not started. The name makes the identity. */
export function netNode(name: string, init: Partial<NetInit> = {}): Libp2pNet {
  return new Libp2pNet(
    {
      netuid: 1,
      privateKeySeed: Uint8Array.from(createHash('sha256').update(name).digest()),
      listen: [LOOPBACK],
      privateAddresses: true,
      dht: false,
      gossip: false,
      ...init,
    },
    { clock: systemClock, logger: silentLogger },
  )
}

/** What to tell another node about this one. */
export function addressOf(net: Libp2pNet): {
  readonly peerId: string
  readonly addresses: readonly string[]
} {
  return { peerId: net.peerId, addresses: net.addresses() }
}

/** Starts nodes, and stops them all at the end of the scope, in reverse. */
export async function startAll<T extends readonly Libp2pNet[]>(
  ...nets: T
): Promise<{ readonly nets: T } & AsyncDisposable> {
  for (const net of nets) await net.start()
  return {
    nets,
    async [Symbol.asyncDispose]() {
      // One by one: two libp2p nodes that close one connection at the same moment wait half a second for each other.
      for (const net of [...nets].reverse()) await net.stop()
    },
  }
}
