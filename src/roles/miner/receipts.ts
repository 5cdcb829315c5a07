/**
 * What a miner sent under each order and what of it was confirmed. The newest receipt of every order is kept with the
 * order until its validator must have settled it; both are signed, so nobody needs to believe the miner. Writing is
 * batched: a crash loses the receipts of the last seconds, which the client's next one makes good.
 */
import { z } from 'zod'
import { decodeMessage, encodeMessage, integer } from '../../../protocols/common/schema.js'
import { type Order, orderSchema } from '../../../protocols/order/order.js'
import type { OrderAccount } from '../../../protocols/retrieve/exchange.js'
import { RECEIPT_GAP_BYTES_MAX, type Receipt, receiptSchema } from '../../../protocols/retrieve/receipt.js'
import type { AccountRequest } from '../../../protocols/retrieve/server.js'
import type { Clock, Timer } from '../../base/clock.js'
import { invariant, SubnetError } from '../../base/errors.js'
import type { Startable } from '../../base/lifecycle.js'
import type { Logger } from '../../base/log.js'
import { formatBytes, MIB } from '../../base/units.js'
import type { IndexChange, IndexDb, OpenIndex } from '../../shard/level-index.js'

/** Between two writes: what a crash can lose of the receipts. */
const WRITE_INTERVAL_MS = 5_000
/** What may have been lost on its way when streams broke, per order, before the order is served no more. */
export const LOST_BYTES_MAX = 64 * MIB
/** A receipt is kept for a week of 12-second blocks after its order has expired. */
export const CLAIM_BLOCKS = 50_400
/** Orders with a receipt on disk, about 600 bytes each; beyond that those that expire first are forgotten. */
const ROWS_MAX = 65_536
/** Orders in memory without a stream; the one used longest ago is read from the disk again. */
const ACCOUNTS_MAX = 8_192

const rowSchema = z.strictObject({
  order: orderSchema,
  receipt: receiptSchema,
  sentBytes: integer(0, Number.MAX_SAFE_INTEGER),
})

/** Bytes served under the orders of one validator since this miner's data directory was made. */
const trafficSchema = z.strictObject({
  servedBytes: integer(0, Number.MAX_SAFE_INTEGER),
  receiptedBytes: integer(0, Number.MAX_SAFE_INTEGER),
})
export type Traffic = z.infer<typeof trafficSchema>

/** An order with its newest receipt: what is shown to the validator. */
export interface KeptReceipt {
  readonly order: Order
  readonly receipt: Receipt
}

interface Account {
  readonly order: Order
  readonly onRoom: Set<() => void>
  receipt: Receipt | undefined
  sentBytes: number
  /** Sent and unconfirmed when the last stream ended: much of it may never have arrived. */
  lostBytes: number
  /** On the disk as it is here. */
  isWritten: boolean
  isOnDisk: boolean
}

export interface ReceiptsComponents {
  readonly clock: Clock
  readonly logger: Logger
  /** Our newest head. */
  readonly head: { readonly block: number }
  readonly openIndex: OpenIndex
}

export class Receipts implements Startable {
  readonly #components: ReceiptsComponents
  readonly #path: string
  readonly #accounts = new Map<string, Promise<Account>>()
  /** Accounts that are not on the disk as they are. */
  readonly #changed = new Set<Account>()
  readonly #traffic = new Map<string, { servedBytes: number; receiptedBytes: number }>()
  readonly #changedTraffic = new Set<string>()
  #rows = 0
  #index: IndexDb | undefined
  #timer: Timer | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(components: ReceiptsComponents, path: string) {
    this.#components = components
    this.#path = path
  }

  async start(): Promise<void> {
    const index = await this.#components.openIndex(this.#path)
    this.#index = index
    this.#rows = readCount(await index.get(COUNT_KEY))
    for await (const [key, value] of index.entries(TRAFFIC_RANGE)) {
      this.#traffic.set(textOf(key.subarray(1)), decodeMessage(trafficSchema, value, 'traffic'))
    }
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await this.write()
    const index = this.#index
    this.#index = undefined
    await index?.close()
  }

  /** For the validator with this key. */
  traffic(validator: Uint8Array): Traffic {
    return { ...(this.#traffic.get(textOf(validator)) ?? { servedBytes: 0, receiptedBytes: 0 }) }
  }

  /** What can be claimed, the order that expires first first; as of the last write. */
  async *kept(): AsyncGenerator<KeptReceipt> {
    for await (const [, value] of this.#open.entries(ROW_RANGE)) {
      const { order, receipt } = decodeMessage(rowSchema, value, 'receipt')
      yield { order, receipt }
    }
  }

  /** As `RetrieveHandler.account`. */
  async account(order: Order, { receipt, onRoom }: AccountRequest): Promise<OrderAccount> {
    const account = await this.#account(order)
    if (receipt !== undefined && receipt.bytes > (account.receipt?.bytes ?? 0)) {
      account.sentBytes = Math.max(account.sentBytes, receipt.bytes)
      this.#confirm(account, receipt)
    }
    const unconfirmedBytes = account.sentBytes - (account.receipt?.bytes ?? 0)
    if (account.onRoom.size === 0) account.lostBytes = unconfirmedBytes
    if (unconfirmedBytes > LOST_BYTES_MAX) {
      throw new SubnetError('REFUSED', `${formatBytes(unconfirmedBytes)} of this order were never confirmed`)
    }
    account.onRoom.add(onRoom)
    return {
      get roomBytes() {
        const confirmedBytes = account.receipt?.bytes ?? 0
        return confirmedBytes + account.lostBytes + RECEIPT_GAP_BYTES_MAX - account.sentBytes
      },
      send: (bytes) => this.#send(account, bytes),
      confirm: (newer) => {
        if (newer.bytes > account.sentBytes) {
          throw new SubnetError('INVALID', `receipt: ${account.sentBytes} bytes were sent under the order`)
        }
        // On another stream of the order a higher one may have overtaken it.
        if (newer.bytes > (account.receipt?.bytes ?? 0)) this.#confirm(account, newer)
      },
      close: () => {
        account.onRoom.delete(onRoom)
      },
    }
  }

  /** Everything that changed, in one synced step; what cannot be written stays for the next time. */
  async write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
  }

  get #open(): IndexDb {
    invariant(this.#index !== undefined, 'the receipts are open')
    return this.#index
  }

  #send(account: Account, bytes: number): void {
    account.sentBytes += bytes
    this.#count(account.order, { servedBytes: bytes, receiptedBytes: 0 })
    if (account.receipt !== undefined) this.#touch(account)
  }

  #confirm(account: Account, receipt: Receipt): void {
    const grownBytes = receipt.bytes - (account.receipt?.bytes ?? 0)
    account.receipt = receipt
    this.#count(account.order, { servedBytes: 0, receiptedBytes: grownBytes })
    this.#touch(account)
    for (const onRoom of account.onRoom) onRoom()
  }

  #touch(account: Account): void {
    account.isWritten = false
    this.#changed.add(account)
  }

  #count({ validator }: Order, { servedBytes, receiptedBytes }: Traffic): void {
    const key = textOf(validator)
    const before = this.#traffic.get(key) ?? { servedBytes: 0, receiptedBytes: 0 }
    before.servedBytes += servedBytes
    before.receiptedBytes += receiptedBytes
    this.#traffic.set(key, before)
    this.#changedTraffic.add(key)
  }

  async #account(order: Order): Promise<Account> {
    const key = rowKey(order)
    const name = textOf(key)
    const known = this.#accounts.get(name) ?? this.#read(order, key)
    this.#accounts.delete(name)
    this.#accounts.set(name, known)
    // One that could not be read is tried again by the next stream.
    known.catch(() => this.#accounts.delete(name))
    return await known
  }

  async #read(order: Order, key: Uint8Array): Promise<Account> {
    const value = await this.#open.get(key)
    const row = value === undefined ? undefined : decodeMessage(rowSchema, value, 'receipt')
    return {
      order,
      onRoom: new Set(),
      receipt: row?.receipt,
      sentBytes: row?.sentBytes ?? 0,
      lostBytes: 0,
      isWritten: true,
      isOnDisk: row !== undefined,
    }
  }

  #schedule(): void {
    this.#timer = this.#components.clock.after(WRITE_INTERVAL_MS, () => {
      void this.write().then(() => {
        if (this.#index !== undefined) this.#schedule()
      })
    })
  }

  async #write(): Promise<void> {
    const accounts = [...this.#changed]
    const validators = [...this.#changedTraffic]
    this.#changed.clear()
    this.#changedTraffic.clear()
    try {
      const added = accounts.filter(({ isOnDisk }) => !isOnDisk).length
      const forgotten = await this.#forgettable(added)
      const changes: IndexChange[] = [
        ...forgotten.map((key) => ({ key, value: undefined })),
        ...accounts.map(accountRow),
        ...validators.map((key) => this.#trafficRow(key)),
      ]
      const rows = this.#rows + added - forgotten.length
      for (const account of accounts) account.isWritten = true
      if (changes.length > 0)
        await this.#open.write([...changes, { key: COUNT_KEY, value: encodeMessage(rows) }])
      this.#rows = rows
      for (const account of accounts) account.isOnDisk = true
    } catch (error) {
      for (const account of accounts) this.#touch(account)
      for (const key of validators) this.#changedTraffic.add(key)
      this.#components.logger.warn({ err: error }, 'receipts could not be written; they are kept in memory')
    }
    await this.#forgetIdle()
  }

  /** Rows past their time, and those that expire first where there is no room for `added` more; none that is in use. */
  async #forgettable(added: number): Promise<Uint8Array[]> {
    const { block } = this.#components.head
    const overflow = Math.max(0, this.#rows + added - ROWS_MAX)
    const keys: Uint8Array[] = []
    for await (const [key] of this.#open.entries({ ...ROW_RANGE, limit: Math.max(overflow, 256) })) {
      if (keys.length >= overflow && expiryOf(key) + CLAIM_BLOCKS >= block) break
      if (!this.#accounts.has(textOf(key))) keys.push(key)
    }
    return keys
  }

  /** Accounts that nobody uses: those of expired orders, and the oldest of too many. */
  async #forgetIdle(): Promise<void> {
    let excess = this.#accounts.size - ACCOUNTS_MAX
    for (const [name, reading] of [...this.#accounts]) {
      const account = await reading.catch(() => undefined)
      if (account === undefined || account.onRoom.size > 0 || !account.isWritten) continue
      if (excess <= 0 && account.order.expiresBlock >= this.#components.head.block) continue
      this.#accounts.delete(name)
      excess -= 1
    }
  }

  #trafficRow(key: string): IndexChange {
    const value = encodeMessage(this.#traffic.get(key))
    return { key: Buffer.concat([TRAFFIC_KEYS, Buffer.from(key, 'hex')]), value }
  }
}

const ROW_KEYS = Uint8Array.of(1)
const TRAFFIC_KEYS = Uint8Array.of(2)
const COUNT_KEY = Uint8Array.of(3)
const ROW_RANGE = { from: ROW_KEYS, before: TRAFFIC_KEYS }
const TRAFFIC_RANGE = { from: TRAFFIC_KEYS, before: COUNT_KEY }

/** Sorted by the block at which the order expires. Serials are their validator's to choose. */
function rowKey({ expiresBlock, validator, serial }: Order): Uint8Array {
  const expiry = Buffer.alloc(4)
  expiry.writeUInt32BE(expiresBlock)
  return Buffer.concat([ROW_KEYS, expiry, validator, serial])
}

function expiryOf(key: Uint8Array): number {
  return new DataView(key.buffer, key.byteOffset).getUint32(ROW_KEYS.length)
}

function accountRow(account: Account): IndexChange {
  const { order, receipt, sentBytes } = account
  return { key: rowKey(order), value: encodeMessage({ order, receipt, sentBytes }) }
}

function readCount(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : decodeMessage(integer(0, Number.MAX_SAFE_INTEGER), value, 'receipts kept')
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
