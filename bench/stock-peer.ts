/**
 * A stream of libp2p as its packages come: TCP, Noise and Yamux with their defaults and none of our adapter, in a process
 * of its own. What `transfer.ts` measures beside the bare stream of our stack, which has our packets and windows too.
 */

import '../src/base/platform.js'
import { noise } from '@chainsafe/libp2p-noise'
import type { Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { systemRandom } from '../src/base/random.js'
import { MIB } from '../src/base/units.js'

const PROTOCOL = '/bench/stock/1'

export async function stockNode(listen: readonly string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  })
}

/** Reads all that the peer sends on a new stream; resolves with how many bytes came. */
export async function readStock(node: Libp2p, address: string): Promise<number> {
  const stream = await node.dialProtocol(multiaddr(address), PROTOCOL)
  let bytes = 0
  for await (const piece of stream) bytes += piece.byteLength
  await stream.close()
  return bytes
}

/** Child process: whoever opens a stream gets `chunks` × 1 MiB. */
async function serve(chunks: number): Promise<void> {
  const node = await stockNode(['/ip4/127.0.0.1/tcp/0'])
  const chunk = systemRandom.bytes(MIB)
  await node.handle(PROTOCOL, async (stream: Stream) => {
    for (let sent = 0; sent < chunks; sent += 1) {
      if (!stream.send(chunk)) await stream.onDrain()
    }
    await stream.close()
  })
  process.send?.(node.getMultiaddrs().map(String)[0])
  process.once('disconnect', () => process.exit(0))
}

const [, , role, chunks] = process.argv
if (role === 'serve-stock') await serve(Number(chunks))
