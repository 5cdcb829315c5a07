/** A client and miners of one upload, in memory: real `store` streams, handlers the test scripts. Wait for `cryptoReady`. */
import { equals } from 'uint8arrays'
import type { SignedLease } from '../../protocols/lease/lease.js'
import { signLease } from '../../protocols/lease/lease.js'
import type { Candidate } from '../../protocols/order/messages.js'
import { type Order, signOrder } from '../../protocols/order/order.js'
import {
  type LeaseRequest,
  type Reservation,
  type StoreHandler,
  serveStore,
} from '../../protocols/store/server.js'
import { seededRandom } from '../../src/base/random.js'
import type { NewChunk } from '../../src/shard/shard.js'
import { testHotkey } from './chain-keys.js'
import { FakeClock } from './fake-clock.js'
import { PeerMesh } from './peer-mesh.js'
import { deferred } from './probe-actor.js'
import { testId } from './test-chunk.js'
import { TEST_DOMAIN } from './test-subnet.js'

export const STORE_VALIDATOR = 1_000
export const CLIENT_KEY = testId(32, 77)

type Body = Omit<NewChunk, 'expiresBlock' | 'order'>

/** Keeps every chunk and signs every lease, unless a refusal is scripted. */
export class ScriptedMiner implements StoreHandler {
  readonly #number: number
  readonly kept: Body[] = []
  /** How often room was asked for. */
  asked = 0
  /** How often it was asked what it has. */
  extended = 0
  /** What the next bodies are refused with, in turn; the last of them for good when `forever`. */
  refusals: Error[] = []
  forever = false
  leaseRefusal: Error | undefined
  #hold: ReturnType<typeof deferred<void>> | undefined

  constructor(number: number) {
    this.#number = number
  }

  /** Keeps nothing, and answers no body, until `release`. */
  hold(): void {
    this.#hold = deferred<void>()
  }

  release(): void {
    this.#hold?.resolve()
    this.#hold = undefined
  }

  async have(_order: Order, digests: readonly Uint8Array[]): Promise<boolean[]> {
    this.extended += 1
    return digests.map((digest) => this.kept.some((chunk) => equals(chunk.digest, digest)))
  }

  async reserve(_order: Order): Promise<Reservation> {
    this.asked += 1
    const refusal = this.forever ? this.refusals[0] : this.refusals.shift()
    if (refusal !== undefined) throw refusal
    const keep = async (chunk: Body) => {
      await this.#hold?.promise
      // Copied: the bytes are only lent.
      this.kept.push({ ...chunk, body: chunk.body.map((piece) => Uint8Array.from(piece)) })
      return 'stored' as const
    }
    return { keep, release: () => undefined }
  }

  async lease(order: Order, request: LeaseRequest): Promise<SignedLease> {
    if (this.leaseRefusal !== undefined) throw this.leaseRefusal
    const { signer } = testHotkey(this.#number)
    return signLease(signer, TEST_DOMAIN, {
      object: request.object,
      validator: order.validator,
      miner: signer.publicKey,
      entries: [...request.entries],
      startBlock: 1,
      endBlock: request.endBlock,
    })
  }
}

export class StorePeers {
  readonly clock = new FakeClock()
  readonly mesh = new PeerMesh()
  /** Of every miner, and of the client. */
  readonly authority = { block: 1, isRegistered: () => true, isValidator: () => true }
  readonly miners: readonly ScriptedMiner[]
  readonly candidates: readonly Candidate[]
  /** The client's. */
  readonly components: {
    readonly sessions: ReturnType<PeerMesh['join']>
    readonly clock: FakeClock
    readonly random: ReturnType<typeof seededRandom>
  }

  constructor(miners: number) {
    const { clock, mesh, authority } = this
    this.miners = Array.from({ length: miners }, (_, number) => {
      const handler = new ScriptedMiner(number)
      const key = testHotkey(number).signer.publicKey
      const sessions = mesh.join({ peerId: this.peerId(number), role: 'miner', key })
      serveStore({ sessions, clock, authority, handler }, { domain: TEST_DOMAIN, miner: key })
      return handler
    })
    this.candidates = this.offer(1_000)
    const sessions = mesh.join({ peerId: 'client', role: 'client', key: CLIENT_KEY })
    this.components = { sessions, clock, random: seededRandom('client') }
  }

  peerId(number: number): string {
    return `peer ${number}`
  }

  /** All miners, with orders that end at this block. */
  offer(expiresBlock: number): Candidate[] {
    return this.miners.map((_, number) => this.#candidate(number, expiresBlock))
  }

  #candidate(number: number, expiresBlock: number): Candidate {
    const hotkey = testHotkey(number).signer.publicKey
    const order = signOrder(testHotkey(STORE_VALIDATOR).signer, TEST_DOMAIN, {
      verb: 'put',
      client: CLIENT_KEY,
      miner: hotkey,
      maxBytes: 2 ** 40,
      serial: testId(16, number),
      expiresBlock,
      leaseEndBlock: 2_000,
    })
    return {
      hotkey,
      peerId: this.peerId(number),
      address: '/ip4/127.0.0.1/tcp/1',
      group: `g${number}`,
      weight: 1,
      order,
    }
  }
}
