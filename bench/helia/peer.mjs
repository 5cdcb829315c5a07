/**
 * A Helia node that serves or fetches blocks by bitswap alone, for `bench/transfer.ts`. Runs on the Node of this folder.
 *
 *   node peer.mjs serve <blocks>           prints its address and the blocks' names as IPC messages
 *   node peer.mjs fetch                    fetches what each IPC message names, into an empty store
 */
import { randomFillSync } from 'node:crypto'
import { noise } from '@chainsafe/libp2p-noise'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { MemoryBlockstore } from 'blockstore-core'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import { sha256 } from 'multiformats/hashes/sha2'

const BLOCK_BYTES = 1024 * 1024
/** Blocks asked for at once: what served it best among 4, 16, 64, 256 and all. */
const DEPTH = 64

async function node(blockstore, listen) {
  const helia = withBitswap(
    withLibp2pLight(createHeliaLight({ blockstore, start: false }), {
      addresses: { listen },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify() },
    }),
  )
  await helia.start()
  return helia
}

async function serve(blocks) {
  const store = new MemoryBlockstore()
  const cids = []
  for (let block = 0; block < blocks; block += 1) {
    const bytes = randomFillSync(new Uint8Array(BLOCK_BYTES))
    const cid = CID.createV1(raw.code, await sha256.digest(bytes))
    store.put(cid, bytes)
    cids.push(cid.toString())
  }
  const helia = await node(store, ['/ip4/127.0.0.1/tcp/0'])
  process.send({ address: helia.libp2p.getMultiaddrs()[0].toString(), cids })
}

async function fetchAll({ address, cids }) {
  const store = new MemoryBlockstore()
  const helia = await node(store, [])
  await helia.libp2p.dial(multiaddr(address))
  process.send({ ready: true })
  await new Promise((resolve) => process.once('message', resolve))
  const queue = cids.map((cid) => CID.parse(cid))
  let bytes = 0
  const worker = async () => {
    for (let cid = queue.shift(); cid !== undefined; cid = queue.shift()) {
      for await (const piece of helia.blockstore.get(cid)) bytes += piece.length
      // The bench is about the transfer: what was fetched need not stay in memory.
      await store.delete(cid)
    }
  }
  await Promise.all(Array.from({ length: DEPTH }, worker))
  await helia.stop()
  process.send({ bytes })
}

process.once('disconnect', () => process.exit(0))
if (process.argv[2] === 'serve') await serve(Number(process.argv[3]))
else process.once('message', fetchAll)
