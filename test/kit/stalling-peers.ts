/**
 * Many hostile clients in a process of their own: each opens all the `retrieve` and `store` streams it may to one miner, asks for
 * as much as it may, sends all of a body but one byte, and then neither reads nor writes. Started by `stallingPeers()`; dies with its parent.
 */
import '../../src/base/platform.js'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { FrameStream } from '../../protocols/common/frames.js'
import { type ProtocolSpec, protocolId } from '../../protocols/common/protocol.js'
import { makeAttestation } from '../../protocols/hello/attestation.js'
import { type KnownPeer, Sessions } from '../../protocols/hello/sessions.js'
import { OrderClient } from '../../protocols/order/client.js'
import type { Order } from '../../protocols/order/order.js'
import { RETRIEVE, RETRIEVE_QUEUE_MAX, retrieveOpenedSchema } from '../../protocols/retrieve/messages.js'
import { STORE, storeOpenedSchema } from '../../protocols/store/messages.js'
import { systemClock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { systemRandom } from '../../src/base/random.js'
import { Semaphore } from '../../src/base/semaphore.js'
import { sha256 } from '../../src/crypto/hash.js'
import { cryptoReady, ed25519Signer, type Signer } from '../../src/crypto/keys.js'
import { CHUNK_SIZE } from '../../src/redundancy/profiles.js'
import { netNode } from './net-node.js'

/** As text, so that it can be an argument of a process. */
export interface StallingInit {
  /** Names these peers; no two processes may have the same. */
  readonly name: string
  readonly peers: number
  /** Hex. */
  readonly genesis: string
  readonly netuid: number
  /** The head now, and how fast it goes on: attestations and requests are of the present. */
  readonly block: number
  readonly blockMs: number
  readonly miner: TextPeer
  readonly validator: TextPeer
  /** Hex: a whole chunk that the miner holds. */
  readonly digest: string
}

interface TextPeer {
  readonly peerId: string
  readonly addresses: readonly string[]
  /** Hex. */
  readonly hotkey: string
}

export interface StallingPeers extends AsyncDisposable {
  /** Streams that stand still. */
  readonly streams: number
}

/** Peers that dial at once: the miner takes 64 handshakes, and 128 connections a second from one address. */
const DIALS_AT_ONCE = 16
const ATTEMPTS_MAX = 10
const STARTED_MS = systemClock.monotonicMs()

/** Resolves when all of them stall. */
export async function stallingPeers(init: StallingInit): Promise<StallingPeers> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(init)], { stdio: 'inherit' })
  const ended = once(child, 'exit').then(() => {
    throw new Error('the stalling peers failed')
  })
  const [streams] = (await Promise.race([once(child, 'message'), ended])) as [number]
  return {
    streams,
    async [Symbol.asyncDispose]() {
      // It was waited for already; now its end is what is wanted.
      ended.catch(() => undefined)
      child.kill('SIGKILL')
    },
  }
}

async function runChild(init: StallingInit): Promise<void> {
  process.once('disconnect', () => process.exit(1))
  await cryptoReady()
  const atOnce = new Semaphore({ permitsMax: DIALS_AT_ONCE, waitersMax: init.peers })
  const each = <T, R>(items: readonly T[], work: (item: T) => Promise<R>) =>
    Promise.all(items.map((item) => atOnce.run(() => persistently(() => work(item)))))
  const peers = Array.from({ length: init.peers }, (_, number) =>
    stallingPeer(`${init.name} ${number}`, init),
  )
  await each(peers, (peer) => peer.connect())
  const opened = await each(peers, (peer) => peer.stall())
  process.send?.(opened.reduce((sum, count) => sum + count, 0))
}

/** On a busy machine one of hundreds of peers meets a deadline. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !isSubnetError(error) || !error.retryable) throw error
    }
  }
}

function stallingPeer(name: string, init: StallingInit) {
  const net = netNode(name, { listen: [] })
  const clock = systemClock
  const signer = ed25519Signer(sha256(new TextEncoder().encode(name)))
  const domain = { genesis: Buffer.from(init.genesis, 'hex'), netuid: init.netuid }
  const authority = {
    get block() {
      return init.block + Math.floor((clock.monotonicMs() - STARTED_MS) / init.blockMs)
    },
    isRegistered: () => true,
    isValidator: () => true,
  }
  const attest = () => {
    const fields = { role: 'client', peerId: net.peerId, sequence: 1, agent: 'stalling/0' } as const
    return makeAttestation(signer, domain, { ...fields, block: authority.block })
  }
  const sessions = new Sessions({ net, clock, authority, logger: silentLogger, attest }, { domain })
  const orders = new OrderClient({ sessions, clock, authority, random: systemRandom, signer }, domain)
  const open = async (spec: ProtocolSpec) => {
    const duplex = await sessions.open(peerOf(init.miner), protocolId(spec, init.netuid))
    return new FrameStream(duplex, clock, spec)
  }
  const starting = net.start()
  let order: Order
  return {
    async connect(): Promise<void> {
      await starting
      order = await orderToPut(orders, init)
      await sessions.connect(peerOf(init.miner))
    },
    /** How many of its streams stand still; one that the miner does not let in, or lets go, is none. */
    async stall(): Promise<number> {
      const streams = await Promise.allSettled([
        ...Array.from({ length: RETRIEVE.streamsMax }, async () => askForAll(await open(RETRIEVE), init)),
        ...Array.from({ length: STORE.streamsMax }, async () => sendAlmost(await open(STORE), order, signer)),
      ])
      return streams.filter(({ status }) => status === 'fulfilled').length
    },
  }
}

async function orderToPut(orders: OrderClient, { miner, validator }: StallingInit): Promise<Order> {
  const body = { profile: 'single', put: systemRandom.bytes(16), leaseBlocks: 1_000 } as const
  const { candidates } = await orders.place(peerOf(validator), body)
  const found = candidates.find(({ peerId }) => peerId === miner.peerId)
  if (found === undefined) throw new Error('the miner is no candidate')
  return found.order
}

/** Reads nothing from here on. */
async function askForAll(frames: FrameStream, { digest }: StallingInit): Promise<void> {
  await frames.writeMessage({ type: 'open' })
  const answer = await frames.readMessage(retrieveOpenedSchema, 'opened')
  if (answer.type === 'failure') throw new Error(answer.reason)
  await frames.writeMessage({ type: 'credit', bytes: 2 ** 40 })
  const get = { type: 'get', digest: Buffer.from(digest, 'hex'), firstLeaf: 0, leaves: 0 }
  for (let number = 0; number < RETRIEVE_QUEUE_MAX; number += 1) await frames.writeMessage({ ...get, number })
}

/** Writes nothing from here on. */
async function sendAlmost(frames: FrameStream, order: Order, signer: Signer): Promise<void> {
  await frames.writeMessage({ type: 'open', order })
  const answer = await frames.readMessage(storeOpenedSchema, 'opened')
  if (answer.type === 'failure') throw new Error(answer.reason)
  const [digest, auditRoot] = [signer.publicKey, signer.publicKey]
  await frames.writeMessage({ type: 'chunk', number: 0, digest, auditRoot, sizeBytes: CHUNK_SIZE })
  await frames.writeBody(new Uint8Array(CHUNK_SIZE - 1))
}

function peerOf({ peerId, addresses, hotkey }: TextPeer): KnownPeer {
  return { peerId, addresses, hotkey: Buffer.from(hotkey, 'hex') }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await runChild(JSON.parse(process.argv[2] ?? '{}') as StallingInit)
}
