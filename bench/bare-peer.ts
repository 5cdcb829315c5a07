/** A bare libp2p stream of the same stack, in a process of its own: the physical limit of `transfer.ts`. */
import '../src/base/platform.js'
import { systemClock } from '../src/base/clock.js'
import { steadyHeap } from '../src/base/heap.js'
import { silentLogger } from '../src/base/log.js'
import { systemRandom } from '../src/base/random.js'
import { MIB } from '../src/base/units.js'
import { Libp2pNet } from '../src/net/libp2p-net.js'

export const BARE_PROTOCOL = '/bench/source/1'

/** A node that only listens for the bench, or (without `listen`) only dials. */
export function bareNet(listen: readonly string[]): Libp2pNet {
  return new Libp2pNet(
    {
      netuid: 1,
      privateKeySeed: systemRandom.bytes(32),
      listen,
      privateAddresses: true,
      dht: false,
      gossip: false,
    },
    { clock: systemClock, logger: silentLogger },
  )
}

/** Child process: whoever opens a stream gets `chunks` × 1 MiB. */
async function serve(chunks: number): Promise<void> {
  const net = bareNet(['/ip4/127.0.0.1/tcp/0'])
  const chunk = systemRandom.bytes(MIB)
  net.handle({ id: BARE_PROTOCOL, inboundStreamsMax: 4, outboundStreamsMax: 4 }, async (duplex) => {
    for (let sent = 0; sent < chunks; sent += 1) await duplex.write(chunk)
    await duplex.closeWrite()
  })
  await net.start()
  process.send?.({ peerId: net.peerId, addresses: net.addresses() })
  process.once('disconnect', () => process.exit(0))
}

const [, , role, chunks] = process.argv
if (role === 'serve') {
  steadyHeap()
  await serve(Number(chunks))
}
