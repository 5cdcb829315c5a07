/** A reader and holders of chunks, in memory: real `retrieve` streams, handlers the test scripts. Wait for `cryptoReady`. */
import { type HaveHandler, serveHave } from '../../protocols/have/server.js'
import type { Holder } from '../../protocols/order/messages.js'
import { type Order, signOrder } from '../../protocols/order/order.js'
import type { ChunkRange, OrderAccount } from '../../protocols/retrieve/exchange.js'
import { type RetrieveHandler, serveRetrieve } from '../../protocols/retrieve/server.js'
import { SubnetError } from '../../src/base/errors.js'
import { type Random, seededRandom } from '../../src/base/random.js'
import { sha256 } from '../../src/crypto/hash.js'
import { ed25519Signer, type Signer } from '../../src/crypto/keys.js'
import { LEAF_BYTES, LeafHasher, proveRange } from '../../src/crypto/merkle.js'
import { testHotkey } from './chain-keys.js'
import { FakeClock } from './fake-clock.js'
import { freeAccount } from './order-accounts.js'
import { PeerMesh } from './peer-mesh.js'
import { deferred } from './probe-actor.js'
import { testId } from './test-chunk.js'
import { TEST_DOMAIN } from './test-subnet.js'

const READER_SEED = testId(32, 78)
const hex = (digest: Uint8Array) => Buffer.from(digest).toString('hex')

/** Gives whole chunks. */
export class ScriptedHolder implements RetrieveHandler, HaveHandler {
  readonly #chunks = new Map<string, Uint8Array>()
  /** Chunks that were asked for, as hex. */
  readonly asked: string[] = []
  /** How many of these without an order. */
  withoutOrder = 0
  /** Digests in each question it got. */
  readonly questions: number[] = []
  /** Says that it holds whatever it is asked for. */
  claimsAll = false
  refusal: Error | undefined
  /** Bytes of all bodies it gave. */
  givenBytes = 0
  /** Gives bytes that are not the chunk's. */
  lies = false
  #hold: ReturnType<typeof deferred<void>> | undefined

  put(...bodies: readonly Uint8Array[]): void {
    for (const body of bodies) this.#chunks.set(hex(sha256(body)), body)
  }

  /** Loses every chunk. */
  forget(): void {
    this.#chunks.clear()
  }

  /** Answers nothing until `release`. */
  hold(): void {
    this.#hold = deferred<void>()
  }

  release(): void {
    this.#hold?.resolve()
    this.#hold = undefined
  }

  async account(): Promise<OrderAccount> {
    return freeAccount()
  }

  async read(_order: Order, digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange> {
    return await this.#give(digest, firstLeaf, leaves)
  }

  async #give(digest: Uint8Array, firstLeaf: number, leaves: number): Promise<ChunkRange> {
    this.asked.push(hex(digest))
    await this.#hold?.promise
    if (this.refusal !== undefined) throw this.refusal
    const bytes = this.#chunks.get(hex(digest))
    if (bytes === undefined) throw new SubnetError('NOT_FOUND', 'not held')
    if (leaves > 0) {
      const hasher = new LeafHasher()
      hasher.update(bytes)
      const { leafHashes } = hasher.finish()
      const end = Math.min(bytes.length, (firstLeaf + leaves) * LEAF_BYTES)
      const part = bytes.subarray(firstLeaf * LEAF_BYTES, end)
      this.givenBytes += part.length
      const proof = proveRange(leafHashes, firstLeaf, Math.ceil(part.length / LEAF_BYTES))
      return { sizeBytes: bytes.length, bytes: part, proof }
    }
    this.givenBytes += bytes.length
    return { sizeBytes: bytes.length, bytes: this.lies ? bytes.map((byte) => byte ^ 1) : bytes, proof: [] }
  }

  async readWithoutOrder(
    _peerId: string,
    digest: Uint8Array,
    firstLeaf: number,
    leaves: number,
  ): Promise<ChunkRange> {
    this.withoutOrder += 1
    return await this.#give(digest, firstLeaf, leaves)
  }

  async have(digests: readonly Uint8Array[]): Promise<readonly boolean[]> {
    this.questions.push(digests.length)
    return digests.map((digest) => this.claimsAll || this.#chunks.has(hex(digest)))
  }

  async served(): Promise<void> {}
}

export class RetrievePeers {
  readonly clock = new FakeClock()
  readonly mesh = new PeerMesh()
  readonly miners: readonly ScriptedHolder[]
  readonly holders: readonly Holder[]
  /** The reader's. */
  readonly components: {
    readonly sessions: ReturnType<PeerMesh['join']>
    readonly clock: FakeClock
    readonly signer: Signer
    readonly domain: typeof TEST_DOMAIN
    readonly random: Random
  }

  constructor(miners: number, signer = ed25519Signer(READER_SEED)) {
    const { clock, mesh } = this
    const authority = { block: 1, isRegistered: () => true, isValidator: () => true }
    this.miners = Array.from({ length: miners }, (_, number) => {
      const handler = new ScriptedHolder()
      const key = testHotkey(number).signer.publicKey
      const sessions = mesh.join({ peerId: `peer ${number}`, role: 'miner', key })
      serveRetrieve({ sessions, clock, authority, handler }, { domain: TEST_DOMAIN, miner: key })
      serveHave({ sessions, clock, handler })
      return handler
    })
    this.holders = this.miners.map((_, number) => holderAt(number, signer.publicKey))
    this.components = {
      sessions: mesh.join({ peerId: 'reader', role: 'client', key: signer.publicKey }),
      clock,
      signer,
      domain: TEST_DOMAIN,
      random: seededRandom('reader'),
    }
  }

  holder(number: number): Holder {
    const holder = this.holders[number]
    if (holder === undefined) throw new RangeError('there is no such miner')
    return holder
  }

  miner(number: number): ScriptedHolder {
    const miner = this.miners[number]
    if (miner === undefined) throw new RangeError('there is no such miner')
    return miner
  }
}

function holderAt(number: number, readerKey: Uint8Array): Holder {
  const hotkey = testHotkey(number).signer.publicKey
  const order = signOrder(testHotkey(1_000).signer, TEST_DOMAIN, {
    verb: 'get',
    client: readerKey,
    miner: hotkey,
    maxBytes: 2 ** 40,
    serial: testId(16, number),
    expiresBlock: 1_000,
    leaseEndBlock: 1_000,
  })
  return { hotkey, peerId: `peer ${number}`, address: '/ip4/127.0.0.1/tcp/1', order }
}
