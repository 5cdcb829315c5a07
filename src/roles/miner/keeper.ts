/**
 * The keeper decides who may bring or take how much: room in each validator's shard, what each order has left, and how
 * many bytes may be in flight. It never sees a body. Its counts of what is held and used come from the shards, so a
 * restart begins with the truth on disk and no reservations.
 *
 * Next hop on the store path: shard/level-shard.ts, through store-service.ts.
 */
import type { Behavior, Context, Reply } from '../../actor/behavior.js'
import { SubnetError } from '../../base/errors.js'
import { formatBytes, MIB } from '../../base/units.js'
import type { PartitionPlan } from '../../shard/partition.js'
import type { Shard } from '../../shard/shard.js'

/** Bodies between their header and their sync, all clients together. More would be memory, not speed: `bench/stalled-peers.ts`. */
const IN_FLIGHT_BYTES_MAX = 64 * MIB
/** Of these those of one client: what the credit of one connection lets it send. */
export const CLIENT_IN_FLIGHT_BYTES_MAX = 32 * MIB
/** When a client that was told BUSY should come back: a sync of what is in flight takes about that. */
const RETRY_AFTER_MS = 500
/** Orders remembered in memory; the oldest is read from its shard again when it returns. */
const ORDERS_MAX = 4_096

/** What the keeper needs to know of an order. */
export interface OrderTerms {
  /** Hex. */
  readonly serial: string
  /** SS58 of the validator whose shard it is about. */
  readonly validator: string
  readonly maxBytes: number
  /** Hex: the key of the client that may use it. */
  readonly client: string
}

/** What is set aside until `settle`. Known by identity: to a later incarnation, one of an earlier means nothing. */
export interface Ticket {
  readonly validator: string
  /** Names the order it is taken from. */
  readonly orderKey: string
  readonly client: string
  readonly sizeBytes: number
  /** What may be left in the shard's trash beside it: trash is only what the share has no other use for. */
  readonly trashBytesMax: number
}

export interface Room {
  /** The partition plan's share of this validator. */
  readonly budgetBytes: number
  /** What still fits, at the cost of the trash; 0 for a shard that drains or is not open. */
  readonly freeBytes: number
}

export type KeeperMessage =
  /** Set room aside for a body; `NO_SPACE`, `BUSY`, or `REFUSED` when the order has not that much left. */
  | {
      readonly type: 'reserve'
      readonly order: OrderTerms
      readonly sizeBytes: number
      readonly reply: Reply<Ticket>
    }
  /** The body is durable (`usedBytes` = its size) or will not come (0). */
  | { readonly type: 'settle'; readonly ticket: Ticket; readonly usedBytes: number }
  /** Take from an order for bytes about to be read; `REFUSED` when it has not that much left. */
  | {
      readonly type: 'spend'
      readonly order: OrderTerms
      readonly sizeBytes: number
      readonly reply: Reply<void>
    }
  | { readonly type: 'room'; readonly validator: string; readonly reply: Reply<Room> }

type PrivateMessage = {
  readonly type: 'order-read'
  readonly order: OrderTerms
  readonly result: number | Error
}

/** Finds the open shard of a validator. */
export interface ShardSource {
  get(validator: string): Shard | undefined
}

/** The shards, and the plan in force: asked for at each message, so that a restart of the keeper misses nothing. */
export interface PlannedShards extends ShardSource {
  plan(): PartitionPlan | undefined
}

interface OrderState {
  /** Durable use and reservations; `undefined` while it is read from the shard. */
  usedBytes: number | undefined
  readonly waiting: { readonly run: () => void; readonly refuse: (error: Error) => void }[]
}

interface KeeperState {
  readonly reservations: Set<Ticket>
  readonly reservedBytes: Map<string, number>
  readonly orders: Map<string, OrderState>
  inFlightBytes: number
  /** Only clients that have some. */
  readonly clientInFlightBytes: Map<string, number>
}

export function keeper(shards: PlannedShards): Behavior<KeeperMessage> {
  const behavior: Behavior<KeeperMessage | PrivateMessage, KeeperState> = {
    start: () => ({
      reservations: new Set(),
      reservedBytes: new Map(),
      orders: new Map(),
      inFlightBytes: 0,
      clientInFlightBytes: new Map(),
    }),
    receive(state, message, context) {
      switch (message.type) {
        case 'reserve':
          withOrder(state, shards, context, message.order, message.reply, (order) =>
            reserve(state, shards, order, message),
          )
          break
        case 'spend':
          withOrder(state, shards, context, message.order, message.reply, (order) => {
            order.usedBytes = take(order, message.order, message.sizeBytes)
            message.reply.answer()
          })
          break
        case 'settle':
          settle(state, message.ticket, message.usedBytes)
          break
        case 'room':
          message.reply.answer(roomOf(state, shards, message.validator))
          break
        case 'order-read':
          orderRead(state, message.order, message.result)
          break
      }
    },
  }
  return behavior
}

/** Runs `act` with the order's state, reading it from the shard first where needed; what it throws is the answer. */
function withOrder(
  state: KeeperState,
  shards: ShardSource,
  context: Context<KeeperMessage | PrivateMessage>,
  terms: OrderTerms,
  reply: Reply<never>,
  act: (order: OrderState) => void,
): void {
  const run = (order: OrderState) => {
    try {
      act(order)
    } catch (error) {
      if (!(error instanceof SubnetError)) throw error
      reply.refuse(error)
    }
  }
  const refuse = (error: Error) => reply.refuse(error)
  const known = state.orders.get(orderKey(terms))
  if (known?.usedBytes !== undefined) {
    run(known)
    return
  }
  if (known !== undefined) {
    known.waiting.push({ run: () => run(known), refuse })
    return
  }
  const shard = shards.get(terms.validator)
  if (shard === undefined) {
    refuse(noShard(terms.validator))
    return
  }
  const order: OrderState = { usedBytes: undefined, waiting: [] }
  order.waiting.push({ run: () => run(order), refuse })
  forgetOldest(state)
  state.orders.set(orderKey(terms), order)
  context.task(
    () => shard.orderUse(Uint8Array.from(Buffer.from(terms.serial, 'hex'))),
    (outcome) => ({
      type: 'order-read',
      order: terms,
      result: outcome.ok
        ? outcome.value
        : new SubnetError('DISK', 'order use not readable', { cause: outcome.error }),
    }),
  )
}

function orderRead(state: KeeperState, terms: OrderTerms, result: number | Error): void {
  const order = state.orders.get(orderKey(terms))
  if (order === undefined) return
  const waiting = order.waiting.splice(0)
  if (typeof result === 'number') {
    order.usedBytes = result
    for (const { run } of waiting) run()
  } else {
    state.orders.delete(orderKey(terms))
    for (const { refuse } of waiting) refuse(result)
  }
}

function reserve(
  state: KeeperState,
  shards: PlannedShards,
  order: OrderState,
  message: Extract<KeeperMessage, { type: 'reserve' }>,
): void {
  const { validator, client } = message.order
  const { sizeBytes } = message
  const clientBytes = (state.clientInFlightBytes.get(client) ?? 0) + sizeBytes
  if (clientBytes > CLIENT_IN_FLIGHT_BYTES_MAX)
    throw busy(`more than ${formatBytes(CLIENT_IN_FLIGHT_BYTES_MAX)} of this client are in flight`)
  if (state.inFlightBytes + sizeBytes > IN_FLIGHT_BYTES_MAX)
    throw busy(`more than ${formatBytes(IN_FLIGHT_BYTES_MAX)} of all clients are in flight`)
  const { freeBytes } = roomOf(state, shards, validator)
  if (freeBytes < sizeBytes) {
    throw new SubnetError('NO_SPACE', `${formatBytes(freeBytes)} left in the shard of ${validator}`)
  }
  order.usedBytes = take(order, message.order, sizeBytes)
  const trashBytesMax = freeBytes - sizeBytes
  const ticket: Ticket = { validator, orderKey: orderKey(message.order), client, sizeBytes, trashBytesMax }
  state.reservations.add(ticket)
  state.reservedBytes.set(validator, (state.reservedBytes.get(validator) ?? 0) + sizeBytes)
  state.inFlightBytes += sizeBytes
  state.clientInFlightBytes.set(client, clientBytes)
  message.reply.answer(ticket)
}

/** The order's new use, or `REFUSED`. */
function take(order: OrderState, terms: OrderTerms, sizeBytes: number): number {
  const usedBytes = (order.usedBytes ?? 0) + sizeBytes
  if (usedBytes > terms.maxBytes) {
    throw new SubnetError('REFUSED', `the order permits ${formatBytes(terms.maxBytes)}, and they are used up`)
  }
  return usedBytes
}

/** A ticket of an earlier incarnation is unknown and needs nothing: its bytes are counted by the shard. */
function settle(state: KeeperState, ticket: Ticket, usedBytes: number): void {
  if (!state.reservations.delete(ticket)) return
  const { validator, orderKey, client, sizeBytes } = ticket
  state.reservedBytes.set(validator, (state.reservedBytes.get(validator) ?? 0) - sizeBytes)
  state.inFlightBytes -= sizeBytes
  const clientBytes = (state.clientInFlightBytes.get(client) ?? 0) - sizeBytes
  if (clientBytes > 0) state.clientInFlightBytes.set(client, clientBytes)
  else state.clientInFlightBytes.delete(client)
  const order = state.orders.get(orderKey)
  if (order?.usedBytes !== undefined) order.usedBytes -= sizeBytes - usedBytes
}

function roomOf(state: KeeperState, shards: PlannedShards, validator: string): Room {
  const shard = shards.get(validator)
  const share = shards.plan()?.shares.find((each) => each.validator === validator)
  const budgetBytes = share?.shareBytes ?? 0
  if (shard === undefined || share === undefined || share.drains) return { budgetBytes, freeBytes: 0 }
  const takenBytes = shard.usage().bytes + (state.reservedBytes.get(validator) ?? 0)
  return { budgetBytes, freeBytes: Math.max(0, budgetBytes - takenBytes) }
}

/** Serials are their validator's to choose, and each shard counts its own. */
function orderKey({ validator, serial }: OrderTerms): string {
  return `${validator}/${serial}`
}

function forgetOldest(state: KeeperState): void {
  if (state.orders.size < ORDERS_MAX) return
  const inUse = new Set([...state.reservations].map((ticket) => ticket.orderKey))
  for (const [key, order] of state.orders) {
    if (order.usedBytes === undefined || inUse.has(key)) continue
    state.orders.delete(key)
    return
  }
}

function noShard(validator: string): SubnetError {
  return new SubnetError('NO_SPACE', `there is no shard for ${validator} in the partition plan`)
}

function busy(text: string): SubnetError {
  return new SubnetError('BUSY', text, { data: { retryAfterMs: RETRY_AFTER_MS } })
}
