/**
 * A node that speaks a subtensor node's JSON-RPC over WebSocket, with the real runtime's metadata and none of its rules:
 * tests put bytes into its storage and say what a call does. Its pool checks what a real one checks of every
 * transaction (signature, era, genesis, nonce), decoding it with @polkadot/types. It can be told to misbehave.
 */
import type { AddressInfo } from 'node:net'
import { blake2AsU8a } from '@polkadot/util-crypto/blake2'
import { type WebSocket, WebSocketServer } from 'ws'
import { verifySignature } from '../../src/crypto/keys.js'
import { callOf, extrinsicOf, type MockCall, putInto, type Storage } from './mock-transaction.js'
import { metadataBytes, SPEC_VERSION, secondEncoder, TRANSACTION_VERSION } from './subtensor-metadata.js'
import { hex } from './vectors.js'

/** Error of `SubtensorModule` (7), `Commitments` (18) …: pallet and error index. */
export interface MockFailure {
  readonly pallet: number
  readonly error: number
}

/** A JSON-RPC error. */
export interface MockRefusal {
  readonly code: number
  readonly message: string
  readonly data?: unknown
}

interface Block {
  readonly number: number
  readonly hash: string
  readonly parentHash: string
  readonly extrinsics: readonly string[]
  readonly storage: Storage
  readonly specVersion: number
}

export interface MockSubtensorInit {
  /** Names the genesis. */
  readonly chain?: string
  /** How old the blocks say they are. */
  readonly ageMs?: number
  readonly specName?: string
  /** Instead of the real runtime's. */
  readonly metadata?: Uint8Array
}

/** As a node names what it pushes; each connection has its own. */
const SUBSCRIPTION = 'k9Xq'

type Handler = (params: readonly unknown[]) => unknown

const invalid = (text: string): MockRefusal => ({ code: 1010, message: 'Invalid Transaction', data: text })

export class MockSubtensor implements AsyncDisposable {
  /** What each transaction in a block does; its failure is the transaction's. */
  execute: (call: MockCall, storage: Storage) => MockFailure | undefined = () => undefined
  /** Runs before a submission is looked at. */
  pool: (call: MockCall) => MockRefusal | undefined = () => undefined
  /** Runtime functions, by `Api_method`; the result in hex. */
  readonly apis = new Map<string, (argument: Uint8Array, storage: Storage) => string>()
  /** Runs before any answer: a refusal, `stall` for none at all, `close`, `babble` for no JSON, or `lose`: done, but the answer is lost. */
  fault: (method: string) => MockRefusal | 'stall' | 'close' | 'babble' | 'lose' | undefined = () => undefined
  /** Its next index counts what is in the pool, as it should. */
  countsPool = true
  /** Says so when it gets bytes that are in its pool. */
  knowsAgain = true
  /** Takes transactions in and forgets them. */
  forgetful = false
  /** Calls of transactions that reached a block, in order. */
  readonly executed: MockCall[] = []
  /** Every method that was asked, in order. */
  readonly asked: string[] = []
  /** How many transactions were sent, refused ones included. */
  submissions = 0
  specVersion = SPEC_VERSION
  /** Blocks that are not final yet. */
  finalityLag = 2
  readonly #server: WebSocketServer
  readonly #init: MockSubtensorInit
  readonly #metadata: Uint8Array
  readonly #subscribers = new Map<WebSocket, string>()
  readonly #handlers: Readonly<Record<string, Handler>>
  readonly #events = secondEncoder().key('system', 'events')
  /** Every block there was, also those a reorganisation undid. */
  readonly #known = new Map<string, Block>()
  #best: Block[] = []
  #pool: string[] = []
  #forks = 0

  private constructor(server: WebSocketServer, init: MockSubtensorInit) {
    this.#server = server
    this.#init = init
    this.#metadata = init.metadata ?? metadataBytes()
    this.#handlers = this.#makeHandlers()
    this.#append(this.#block([], new Map()))
    server.on('connection', (socket) => {
      socket.on('message', (data) => this.#receive(socket, data.toString()))
      socket.on('close', () => this.#subscribers.delete(socket))
    })
  }

  static async open(init: MockSubtensorInit = {}): Promise<MockSubtensor> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await new Promise<void>((resolve) => server.once('listening', resolve))
    return new MockSubtensor(server, init)
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get head(): Block {
    const block = this.#best.at(-1)
    if (block === undefined) throw new Error('a chain has a block')
    return block
  }

  get genesisHash(): string {
    return this.#best[0]?.hash ?? ''
  }

  /** Transactions in the pool. */
  get waiting(): number {
    return this.#pool.length
  }

  get connections(): number {
    return this.#server.clients.size
  }

  /** Sets a value of the newest block's state, and so of all that follow. By names in camel case. */
  put(pallet: string, item: string, keys: readonly unknown[], value: unknown): void {
    putInto(this.head.storage, pallet, item, keys, value)
  }

  /** A block with everything in the pool. */
  makeBlock(): Block {
    const extrinsics = this.#pool
    this.#pool = []
    const storage = new Map(this.head.storage)
    const events = extrinsics.map((each, i) => this.#run(each, i, storage))
    const outcome = `0x${hex(secondEncoder().type('Compact<u32>', events.length))}${events.join('')}`
    storage.set(this.#events, outcome)
    const block = this.#append(this.#block(extrinsics, storage))
    this.#announce(block)
    return block
  }

  makeBlocks(number: number): void {
    for (let i = 0; i < number; i += 1) this.makeBlock()
  }

  /** Other blocks take the place of the newest `depth`, and one more; what they held is in no block any more. */
  reorganise(depth: number): void {
    this.#best = this.#best.slice(0, -depth)
    this.#forks += 1
    for (let i = 0; i <= depth; i += 1) {
      const block = this.#append(this.#block([], new Map(this.head.storage)))
      if (i === depth) this.#announce(block)
    }
  }

  /** Ends all connections as a crashing process would. */
  closeAll(): void {
    for (const socket of this.#server.clients) socket.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closeAll()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  #block(extrinsics: readonly string[], storage: Storage): Block {
    const parent = this.#best.at(-1)
    const number = (parent?.number ?? -1) + 1
    const name = `${this.#init.chain ?? 'mock'} ${number} ${this.#forks}`
    const hash = `0x${hex(blake2AsU8a(name, 256))}`
    putInto(storage, 'timestamp', 'now', [], Date.now() - (this.#init.ageMs ?? 0))
    return {
      number,
      hash,
      parentHash: parent?.hash ?? `0x${'00'.repeat(32)}`,
      extrinsics,
      storage,
      specVersion: this.specVersion,
    }
  }

  #append(block: Block): Block {
    this.#best.push(block)
    this.#known.set(block.hash, block)
    return block
  }

  #announce(block: Block): void {
    for (const [socket, subscription] of this.#subscribers) {
      const params = { subscription, result: headerOf(block) }
      socket.send(JSON.stringify({ jsonrpc: '2.0', method: 'chain_newHead', params }))
    }
  }

  /** Runs a transaction: its nonce is spent whatever it does. The event in SCALE, without 0x. */
  #run(extrinsic: string, index: number, storage: Storage): string {
    const call = callOf(extrinsic)
    this.executed.push(call)
    putInto(storage, 'system', 'account', [call.signer], {
      nonce: call.nonce + 1,
      data: { free: this.#free(call.signer) },
    })
    const failure = this.execute(call, storage)
    const phase = `00${hex(secondEncoder().type('u32', index))}`
    // Weight {0, 0}, class Normal, fee paid; no topics.
    const info = '00000000'
    if (failure === undefined) return `${phase}0000${info}00`
    const module = Buffer.from([3, failure.pallet, failure.error, 0, 0, 0]).toString('hex')
    return `${phase}0001${module}${info}00`
  }

  #free(signer: string): number {
    const found = this.head.storage.get(secondEncoder().key('system', 'account', signer))
    if (found === undefined) return 0
    const account = secondEncoder().types.createType('AccountInfo', found).toJSON() as {
      data: { free: number }
    }
    return account.data.free
  }

  #nonce(address: string): number {
    const found = this.head.storage.get(secondEncoder().key('system', 'account', address))
    return found === undefined ? 0 : Buffer.from(found.slice(2, 10), 'hex').readUInt32LE()
  }

  #receive(socket: WebSocket, text: string): void {
    const { id, method, params } = JSON.parse(text) as { id: number; method: string; params: unknown[] }
    this.asked.push(method)
    const fault = this.fault(method)
    if (fault === 'stall') return
    if (fault === 'close') {
      socket.terminate()
      return
    }
    if (fault === 'babble') {
      socket.send('<html>502 Bad Gateway</html>')
      return
    }
    const reply = (body: object) => {
      if (fault === 'lose') socket.terminate()
      else socket.send(JSON.stringify({ jsonrpc: '2.0', id, ...body }))
    }
    if (fault !== undefined && fault !== 'lose') {
      reply({ error: fault })
      return
    }
    if (method === 'chain_subscribeNewHeads') this.#subscribers.set(socket, SUBSCRIPTION)
    try {
      const handler = this.#handlers[method]
      if (handler === undefined) throw { code: -32_601, message: 'Method not found' } satisfies MockRefusal
      reply({ result: handler(params) ?? null })
    } catch (error) {
      if (error instanceof Error) throw error
      reply({ error })
    }
  }

  #makeHandlers(): Readonly<Record<string, Handler>> {
    return {
      chain_getBlockHash: ([number]) => this.#best[Number(number)]?.hash,
      chain_getFinalizedHead: () => this.#best[Math.max(0, this.head.number - this.finalityLag)]?.hash,
      chain_getHeader: ([hash]) => headerOf(this.#at(hash)),
      chain_getBlock: ([hash]) => {
        const block = this.#known.get(String(hash))
        return (
          block && { block: { header: headerOf(block), extrinsics: block.extrinsics }, justifications: null }
        )
      },
      chain_subscribeNewHeads: () => SUBSCRIPTION,
      state_getRuntimeVersion: ([hash]) => ({
        specName: this.#init.specName ?? 'node-subtensor',
        specVersion: this.#at(hash).specVersion,
        transactionVersion: TRANSACTION_VERSION,
      }),
      state_getMetadata: () => `0x${hex(this.#metadata)}`,
      state_getStorage: ([key, hash]) => this.#at(hash).storage.get(String(key)),
      state_queryStorageAt: ([keys, hash]) => {
        const block = this.#at(hash)
        return [
          {
            block: block.hash,
            changes: (keys as string[]).map((key) => [key, block.storage.get(key) ?? null]),
          },
        ]
      },
      state_getKeysPaged: ([prefix, count, start, hash]) =>
        [...this.#at(hash).storage.keys()]
          .filter((key) => key.startsWith(String(prefix)) && (start === null || key > String(start)))
          .sort()
          .slice(0, Number(count)),
      state_call: ([name, argument, hash]) => this.#callApi(String(name), String(argument), this.#at(hash)),
      system_accountNextIndex: ([address]) =>
        this.#nonce(String(address)) +
        this.#pool.filter(() => this.countsPool).filter((each) => callOf(each).signer === address).length,
      author_submitExtrinsic: ([extrinsic]) => this.#submit(String(extrinsic)),
    }
  }

  #at(hash: unknown): Block {
    if (hash === undefined || hash === null) return this.head
    const block = this.#known.get(String(hash))
    if (block === undefined)
      throw { code: 4003, message: 'Client error: UnknownBlock: Header was not found in the database' }
    return block
  }

  #callApi(name: string, argument: string, block: Block): string {
    const bytes = Buffer.from(argument.slice(2), 'hex')
    if (name === 'Metadata_metadata_at_version') {
      if (bytes.readUInt32LE() !== 16) return '0x00'
      return `0x01${hex(secondEncoder().type('Bytes', `0x${hex(this.#metadata)}`))}`
    }
    const api = this.apis.get(name)
    if (api === undefined)
      throw { code: 4003, message: `Execution failed: Exported method ${name} is not found` }
    return api(bytes, block.storage)
  }

  #submit(extrinsic: string): string {
    this.submissions += 1
    const call = callOf(extrinsic)
    const refusal = this.#invalid(extrinsic, call) ?? this.pool(call)
    if (refusal !== undefined) throw refusal
    if (!this.forgetful) this.#pool.push(extrinsic)
    return `0x${hex(blake2AsU8a(extrinsic, 256))}`
  }

  /** As `sc-transaction-pool` and the runtime's extensions judge. */
  #invalid(extrinsic: string, call: MockCall): MockRefusal | undefined {
    if (this.#pool.includes(extrinsic))
      return !this.knowsAgain ? undefined : { code: 1013, message: 'Transaction Already Imported' }
    const nonce = this.#nonce(call.signer)
    if (call.nonce < nonce) return invalid('Transaction is outdated')
    const same = this.#pool
      .map(callOf)
      .some((each) => each.signer === call.signer && each.nonce === call.nonce)
    if (same) return { code: 1014, message: 'Priority is too low: (1 vs 1)' }
    return this.#isSigned(extrinsic) ? undefined : invalid('Transaction has a bad signature')
  }

  /** Over the payload that @polkadot/types makes of the transaction and what this chain knows. */
  #isSigned(bytes: string): boolean {
    const extrinsic = extrinsicOf(bytes)
    const birth = extrinsic.era.asMortalEra.birth(this.head.number)
    const { types } = secondEncoder()
    const payload = types.createType(
      'ExtrinsicPayload',
      {
        method: extrinsic.method.toHex(),
        era: extrinsic.era.toHex(),
        nonce: extrinsic.nonce.toHex(),
        tip: 0,
        mode: 0,
        specVersion: this.specVersion,
        transactionVersion: TRANSACTION_VERSION,
        genesisHash: this.genesisHash,
        blockHash: this.#best[birth]?.hash ?? '0x',
      },
      { version: 4 },
    )
    const message = payload.toU8a({ method: true })
    const signed = message.length > 256 ? blake2AsU8a(message, 256) : message
    const publicKey = extrinsic.signer.toU8a().slice(1)
    return verifySignature('sr25519', publicKey, signed, extrinsic.signature.toU8a().slice(-64))
  }
}

function headerOf({ number, parentHash }: Block) {
  return { number: `0x${number.toString(16)}`, parentHash, digest: { logs: [] } }
}
