/**
 * One end of a stream of libp2p as its packages come: TCP, Noise and Yamux with their defaults, and nothing of ours. Started
 * by `stock-peers.ts`: `serve` sends `chunks` × 1 MiB on every stream, `fetch` reads what each IPC message names.
 */
import '../src/base/platform.js'
import { randomFillSync } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { MIB } from '../src/base/units.js'

const PROTOCOL = '/bench/stock/1'

async function start(listen: readonly string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  })
}

async function serve(chunks: number): Promise<void> {
  const node = await start(['/ip4/127.0.0.1/tcp/0'])
  const chunk = randomFillSync(new Uint8Array(MIB))
  await node.handle(PROTOCOL, async (stream) => {
    for (let sent = 0; sent < chunks; sent += 1) {
      if (!stream.send(chunk)) await stream.onDrain()
    }
    await stream.close()
  })
  process.send?.(node.getMultiaddrs().map(String)[0])
}

/** Answers each address with the number of bytes that came from there on a new stream. */
async function fetch(): Promise<void> {
  const node = await start([])
  process.on('message', async (address: string) => {
    const stream = await node.dialProtocol(multiaddr(address), PROTOCOL)
    let bytes = 0
    for await (const piece of stream) bytes += piece.byteLength
    await stream.close()
    process.send?.(bytes)
  })
  process.send?.('ready')
}

const [, , role, chunks] = process.argv
process.once('disconnect', () => process.exit(0))
if (role === 'serve') await serve(Number(chunks))
else await fetch()
