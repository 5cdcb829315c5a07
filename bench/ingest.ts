/**
 * Ingest without the network: whole chunks through the store service, the keeper and a shard on the disk, against the
 * slower of what it cannot do without: hashing alone, and writing alone. Not to be run on a tmpfs.
 *
 *   node dist/bench/ingest.js [MiB, default 512] [directory]
 *
 * Hashing alone: one thread computes, for every chunk, what the miner must know before it may store it: the digest of
 * the body, the hashes of its 4 KiB leaves and the root over them. Writing alone: one file written from its start in
 * groups of `GROUP_CHUNKS` chunks, each group synced (`fdatasync`) before the next.
 */
import '../src/base/platform.js'
import { mkdir, mkdtemp, open, rm, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { type Order, signOrder } from '../protocols/order/order.js'
import { ActorSystem } from '../src/actor/system.js'
import { BufferPool } from '../src/base/buffer-pool.js'
import { systemClock } from '../src/base/clock.js'
import { silentLogger } from '../src/base/log.js'
import { seededRandom } from '../src/base/random.js'
import { MIB } from '../src/base/units.js'
import { cryptoReady, sr25519Signer, toSs58 } from '../src/crypto/keys.js'
import { type BodyHashes, LeafHasher } from '../src/crypto/merkle.js'
import { DiskHealth } from '../src/roles/miner/disk-watch.js'
import { keeper } from '../src/roles/miner/keeper.js'
import { StoreService } from '../src/roles/miner/store-service.js'
import { createPartitionStore } from '../src/shard/partition-store.js'
import { interleave, machine, median, medianRatio, peakMiB, type Sample, sample, table } from './measure.js'

const PAIRS = 5
/** Chunks written between two syncs of the bare file: as many as the shard writes in one group. */
const GROUP_CHUNKS = 16
/** Chunks under way at once: what four clients' streams have. */
const DEPTH = 32
/** A body arrives in pieces of about this size. */
const PIECE_BYTES = 64 * 1024
/** `statfs` type of a file system in memory. */
const TMPFS = 0x01021994

const chunks = Number(process.argv[2] ?? 512)
const path = await mkdtemp(join(process.argv[3] ?? tmpdir(), 'subnet-ingest-'))
try {
  if ((await statfs(path)).type === TMPFS) throw new Error(`${path} is in memory: name a directory on a disk`)
  await cryptoReady()
  const random = seededRandom('ingest')
  // Other bytes each round, made outside of what is timed.
  const noise = random.bytes(MIB)
  let round = 0
  const runs: Sample[] = []
  const bare = { hash: [] as Sample[], write: [] as Sample[] }
  await interleave(
    PAIRS,
    async () => {
      const ingest = await openIngest(join(path, `round-${round}`))
      const one = await sample(() => ingest.run(noise, round))
      await ingest.close()
      runs.push(one)
      return one
    },
    async () => {
      bare.hash.push(await sample(() => hashAlone(noise, round)))
      bare.write.push(await sample(() => writeAlone(join(path, `bare-${round}`), noise, round)))
      round += 1
      return runs[0] as Sample
    },
  )
  report(runs, bare)
} finally {
  await rm(path, { recursive: true, force: true })
}

function report(runs: readonly Sample[], bare: { hash: readonly Sample[]; write: readonly Sample[] }): void {
  const rate = (samples: readonly Sample[]) =>
    median(samples.map(({ seconds }) => chunks / seconds)).toFixed(0)
  const cpu = (samples: readonly Sample[]) =>
    median(samples.map(({ cpuSeconds }) => cpuSeconds / (chunks / 1024))).toFixed(2)
  const seconds = (samples: readonly Sample[]) => samples.map((one) => one.seconds)
  const slower = seconds(bare.hash).map((value, i) => Math.max(value, bare.write[i]?.seconds ?? 0))
  const ratio = (of: readonly number[]) => medianRatio(of, seconds(runs)).toFixed(2)
  console.log(`${chunks} chunks of 1 MiB, ${PAIRS} interleaved pairs, medians; ${machine()}`)
  console.log(
    table([
      ['', 'MiB/s', 'CPU s/GiB', 'ingest is, of it'],
      ['ingest: keeper, hash, verify, write, sync', rate(runs), cpu(runs), ''],
      ['hashing alone', rate(bare.hash), cpu(bare.hash), ratio(seconds(bare.hash))],
      ['synced sequential writing alone', rate(bare.write), cpu(bare.write), ratio(seconds(bare.write))],
      ['the slower of both, pair by pair', '', '', ratio(slower)],
    ]),
  )
  console.log(`peak memory: ${peakMiB('self').toFixed(0)} MiB`)
}

/** Makes noise the body of chunk `number` of a round: its name in front. */
function name(noise: Uint8Array, round: number, number: number): Uint8Array {
  new DataView(noise.buffer, noise.byteOffset).setUint32(0, round)
  new DataView(noise.buffer, noise.byteOffset).setUint32(4, number)
  return noise
}

function hashesOf(bytes: Uint8Array) {
  const hasher = new LeafHasher()
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) hasher.update(bytes.subarray(at, at + PIECE_BYTES))
  return hasher.finish()
}

async function hashAlone(noise: Uint8Array, round: number): Promise<void> {
  for (let number = 0; number < chunks; number += 1) hashesOf(name(noise, round, number))
}

async function writeAlone(file: string, noise: Uint8Array, round: number): Promise<void> {
  const handle = await open(file, 'w')
  const bodies = Array.from({ length: GROUP_CHUNKS }, () => Uint8Array.from(noise))
  for (let number = 0; number < chunks; number += GROUP_CHUNKS) {
    const group = bodies.slice(0, chunks - number)
    for (const [i, bytes] of group.entries()) name(bytes, round, number + i)
    await handle.writev(group, number * MIB)
    await handle.datasync()
  }
  await handle.close()
  await rm(file)
}

async function openIngest(directory: string) {
  await mkdir(directory)
  const [miner, validator] = [
    sr25519Signer(new Uint8Array(32).fill(1)),
    sr25519Signer(new Uint8Array(32).fill(2)),
  ]
  const domain = { genesis: new Uint8Array(32), netuid: 1 }
  const store = createPartitionStore({ path: directory }, { logger: silentLogger })
  await store.start()
  const address = toSs58(validator.publicKey)
  await store.open(address)
  const budgetBytes = 2 * chunks * MIB
  await store.setPlan({
    budgetBytes,
    shares: [{ validator: address, shareBytes: budgetBytes, drains: false }],
  })
  const actors = new ActorSystem({ clock: systemClock, log: silentLogger }, { onFailure: console.error })
  const ref = actors.spawn({
    id: 'keeper',
    behavior: keeper(store),
    restart: 'permanent',
    mailbox: { max: 1_024, policy: 'reject' },
    tasksMax: 64,
  })
  const service = new StoreService(
    {
      keeper: ref,
      shards: store,
      signer: miner,
      head: { block: 1 },
      health: new DiskHealth(),
      onDiskFailure: () => undefined,
      onCounted: () => undefined,
    },
    { domain, trashBlocks: 0 },
  )
  // The keeper gives one client a part of what may be in flight: so there are several.
  const orders = [1, 2].map((client) =>
    signOrder(validator, domain, {
      verb: 'put',
      client: new Uint8Array(32).fill(client),
      miner: miner.publicKey,
      maxBytes: budgetBytes,
      serial: new Uint8Array(16).fill(client),
      expiresBlock: 100,
      leaseEndBlock: 100,
    }),
  )
  return {
    run: (noise: Uint8Array, round: number) => ingest(service, orders, noise, round),
    close: async () => {
      await actors.stop()
      await store.stop()
      await rm(directory, { recursive: true })
    },
  }
}

/** Hashes and copies a body piece by piece, as it would come from a socket: with a turn of the event loop after each. */
async function receive(source: Uint8Array, target: Uint8Array): Promise<BodyHashes> {
  const hasher = new LeafHasher()
  // Another body is named in the same place during the first turn.
  const start = source.slice(0, PIECE_BYTES)
  for (let at = 0; at < source.length; at += PIECE_BYTES) {
    const piece = at === 0 ? start : source.subarray(at, at + PIECE_BYTES)
    hasher.update(piece)
    target.set(piece, at)
    await turn()
  }
  return hasher.finish()
}

/** As `protocols/store/server.ts` does it with each body it has read. */
async function ingest(
  service: StoreService,
  orders: readonly Order[],
  noise: Uint8Array,
  round: number,
): Promise<void> {
  const buffers = new BufferPool({ sizeBytes: MIB, freeMax: DEPTH })
  let next = 0
  const worker = async (order: Order) => {
    for (let number = next++; number < chunks; number = next++) {
      const reservation = await service.reserve(order, MIB)
      const bytes = buffers.take()
      const hashes = await receive(name(noise, round, number), bytes)
      await reservation.keep({ ...hashes, sizeBytes: MIB, body: [bytes] })
      buffers.give(bytes)
    }
  }
  await Promise.all(Array.from({ length: DEPTH }, (_, i) => worker(orders[i % orders.length] as Order)))
}
