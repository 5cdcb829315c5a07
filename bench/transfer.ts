/**
 * Verified chunk transfer, one miner process to one client process, against a bare stream of libp2p as its packages come,
 * one through our adapter, and Helia's bitswap if it is installed: `npm ci --prefix bench/helia`.
 *
 *   node dist/bench/transfer.js [MiB, default 1024]
 */
import '../src/base/platform.js'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { OrderClient } from '../protocols/order/client.js'
import { RetrieveStream } from '../protocols/retrieve/client.js'
import { OrderTally } from '../protocols/retrieve/receipt.js'
import { systemClock } from '../src/base/clock.js'
import { steadyHeap } from '../src/base/heap.js'
import { silentLogger } from '../src/base/log.js'
import { seededRandom, systemRandom } from '../src/base/random.js'
import { release } from '../src/base/release.js'
import { MIB } from '../src/base/units.js'
import { Devnet } from '../src/cli/devnet/devnet.js'
import type { PeerAddress } from '../src/net/net.js'
import { createClient, type SubnetClient } from '../src/node/client.js'
import { parseCapability } from '../src/redundancy/capability.js'
import type { ChunkReference } from '../src/redundancy/chunk.js'
import { parseManifestNode, parseManifestRoot } from '../src/redundancy/manifest.js'
import type { Holder } from '../src/transfer/holder.js'
import { Locator } from '../src/transfer/locate.js'
import { HolderSearch } from '../src/transfer/search.js'
import { candidatePeer } from '../src/transfer/store-pool.js'
import { BARE_PROTOCOL, bareNet } from './bare-peer.js'
import { HeliaPeers, heliaInstalled } from './helia-peers.js'
import {
  interleaveAll,
  machine,
  median,
  medianRatio,
  peakMiB,
  type Sample,
  sample,
  table,
} from './measure.js'
import { StockPeers } from './stock-peers.js'

const ROUNDS = 5
/** Requests outstanding: within the stream's credit of 4 MiB. */
const DEPTH = 4

// As the command line does.
steadyHeap()
const chunks = Number(process.argv[2] ?? 1024)
const path = await mkdtemp(join(tmpdir(), 'subnet-bench-'))
const devnet = new Devnet(
  { clock: systemClock, random: systemRandom, logger: silentLogger },
  { path, miners: 1, validators: 1, capacity: `${chunks + 256}MiB`, port: 0 },
)
try {
  await devnet.start()
  const client = createClient({ chain: devnet.endpoint })
  await client.start()
  const stored = await storeChunks(client)
  const stock = await StockPeers.start(chunks)
  const bare = fork(fileURLToPath(new URL('bare-peer.js', import.meta.url)), ['serve', String(chunks)])
  const [barePeer] = (await once(bare, 'message')) as [PeerAddress]
  const dialer = bareNet([])
  await dialer.start()
  const minerPid = devnet.miners[0]?.process.pid ?? 0
  const helia = heliaInstalled() ? await HeliaPeers.start(chunks) : undefined
  const sides = [
    () => sample(() => fetchAll(client, stored), [minerPid]),
    () => stock.fetch(),
    () => sample(() => readBare(dialer, barePeer), [bare.pid ?? 0]),
    ...(helia === undefined ? [] : [() => helia.fetch()]),
  ]
  const [ours = [], stocks = [], bares = [], helias] = await interleaveAll(ROUNDS, sides)
  const row = (name: string, samples: readonly Sample[]) => [
    name,
    median(samples.map(({ seconds }) => chunks / seconds)).toFixed(0),
    median(samples.map(({ cpuSeconds }) => cpuSeconds / (chunks / 1024))).toFixed(2),
    medianRatio(seconds(stocks), seconds(samples)).toFixed(2),
    medianRatio(seconds(bares), seconds(samples)).toFixed(2),
    medianRatio(seconds(samples), seconds(ours)).toFixed(2),
  ]
  console.log(`${chunks} chunks of 1 MiB, medians of ${ROUNDS} interleaved rounds; ${machine()}`)
  console.log(
    table([
      ['', 'MiB/s', 'CPU s/GiB both ends', 'of stock', 'of bare', 'time of ours'],
      row('verified chunks, one miner → one client', ours),
      row('stock libp2p stream', stocks),
      row('bare libp2p stream through our adapter', bares),
      ...(helias === undefined ? [] : [row('Helia bitswap, same transport', helias)]),
    ]),
  )
  console.log(
    `peak memory: client ${peakMiB('self').toFixed(0)} MiB, miner ${peakMiB(minerPid).toFixed(0)} MiB`,
  )
  stock.stop()
  bare.disconnect()
  helia?.stop()
  await dialer.stop()
  await client.stop()
} finally {
  await devnet.stop()
  await rm(path, { recursive: true, force: true })
}

function seconds(samples: readonly Sample[]): number[] {
  return samples.map((one) => one.seconds)
}

interface Stored {
  readonly address: Uint8Array
  readonly references: readonly ChunkReference[]
}

/** Puts one object under `single` and finds out where its chunks are. */
async function storeChunks(client: SubnetClient): Promise<Stored> {
  const random = seededRandom('transfer')
  async function* data() {
    for (let i = 0; i < chunks; i += 1) yield random.bytes(MIB)
  }
  const { capability } = await client.storage.put(data(), { profile: 'single' })
  const { address } = parseCapability(capability)
  const components = { ...client.subnet.network, clock: systemClock }
  const holder = await locate(client, address)
  const stream = await RetrieveStream.open(components, candidatePeer(holder), tallyOf(client, holder))
  const manifest = parseManifestRoot(await stream.getWhole(address))
  const { content } = manifest
  const references: ChunkReference[] = []
  if (content.kind === 'segments') references.push(...content.segments.flatMap((segment) => segment.chunks))
  if (content.kind === 'nodes') {
    for (const node of content.nodes) {
      const entries = parseManifestNode(manifest, node, await stream.getWhole(node.digest))
      references.push(...entries.flatMap((segment) => segment.chunks))
    }
  }
  await stream.close()
  return { address, references }
}

/** The miner, with a fresh order: one permits each byte only twice. */
async function locate(client: SubnetClient, address: Uint8Array): Promise<Holder> {
  const { network, view, signer } = client.subnet
  const orders = new OrderClient(
    { ...network, clock: systemClock, random: systemRandom, authority: view, signer },
    network.domain,
  )
  const validators = view
    .validators()
    .flatMap((member) =>
      member.endpoint === undefined ? [] : [{ ...member.endpoint, hotkey: member.publicKey }],
    )
  const components = {
    ...network,
    clock: systemClock,
    findProviders: async function* () {},
    miners: () => [],
  }
  const search = new HolderSearch(components)
  const [holder] = await new Locator(
    { orders, clock: systemClock, authority: view, search },
    address,
    validators,
  ).node(0, address)
  if (holder === undefined) throw new Error('nobody holds the manifest')
  return holder
}

async function fetchAll(client: SubnetClient, stored: Stored): Promise<void> {
  const components = { ...client.subnet.network, clock: systemClock }
  const holder = await locate(client, stored.address)
  const stream = await RetrieveStream.open(components, candidatePeer(holder), tallyOf(client, holder))
  const queue = [...stored.references]
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      // As the decoder does when it is done with them.
      release((await stream.get(next)).content.bytes)
    }
  }
  await Promise.all(Array.from({ length: DEPTH }, worker))
  await stream.close()
}

function tallyOf(client: SubnetClient, { order }: Holder): OrderTally | undefined {
  const { signer, network } = client.subnet
  return order === undefined ? undefined : new OrderTally(order, { signer, domain: network.domain })
}

async function readBare(dialer: ReturnType<typeof bareNet>, peer: PeerAddress): Promise<void> {
  const duplex = await dialer.open(peer, BARE_PROTOCOL)
  let bytes = 0
  for (let piece = await duplex.read(); piece !== undefined; piece = await duplex.read())
    bytes += piece.length
  if (bytes !== chunks * MIB) throw new Error(`the bare stream gave ${bytes} bytes`)
  await duplex.closeWrite()
}
