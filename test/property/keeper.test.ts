/**
 * The keeper under random orders of asks, settles, order reads that end late or fail, plan changes and restarts. Beside
 * it runs a model that counts what is held, reserved and used by adding it all up.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { SubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import {
  CLIENT_IN_FLIGHT_BYTES_MAX,
  type KeeperMessage,
  keeper,
  type OrderTerms,
  type Ticket,
} from '../../src/roles/miner/keeper.js'
import type { Shard } from '../../src/shard/shard.js'
import { MemoryPartition } from '../kit/memory-partition.js'
import { type RecordedAnswer, RecordingContext } from '../kit/recording-context.js'
import { usageOf } from '../kit/test-chunk.js'

const IN_FLIGHT_BYTES_MAX = 64 * MIB
const VALIDATORS = ['alice', 'bob'] as const

/** A shard that is only its counters: bodies of 60 MiB cost nothing. */
class CountingShard {
  heldBytes = 0
  readonly orderBytes = new Map<string, number>()

  usage() {
    return usageOf(0, this.heldBytes, this.heldBytes)
  }

  async orderUse(serial: Uint8Array): Promise<number> {
    return this.used(Buffer.from(serial).toString('hex'))
  }

  used(serial: string): number {
    return this.orderBytes.get(serial) ?? 0
  }

  charge(serial: string, bytes: number): void {
    this.orderBytes.set(serial, this.used(serial) + bytes)
  }
}

/** Ample, tight for two, tight for one. */
const ORDERS: readonly OrderTerms[] = VALIDATORS.flatMap((validator) =>
  [2 ** 40, 100 * MIB, 30 * MIB].map((maxBytes, index) => ({
    serial: `0${index}`.repeat(16),
    validator,
    maxBytes,
    client: `client ${index}`,
  })),
)

interface Open {
  readonly ticket: Ticket
  readonly order: OrderTerms
  readonly sizeBytes: number
}

interface Pending<T> {
  readonly order: OrderTerms
  readonly size: number
  readonly answer: RecordedAnswer<T>
}

class World {
  readonly #partition = new MemoryPartition()
  readonly #shards = new Map(VALIDATORS.map((validator) => [validator as string, new CountingShard()]))
  #keeper = new RecordingContext<KeeperMessage>(keeper(this.#partition))
  #plan = new Map<string, number>()
  /** Reservations of this incarnation that are not settled. */
  readonly #open: Open[] = []
  readonly #stale: Ticket[] = []
  readonly #spent = new Map<OrderTerms, number>()
  readonly #asked: Pending<Ticket>[] = []
  readonly #spends: Pending<void>[] = []
  readonly #answers: RecordedAnswer<unknown>[] = []

  constructor() {
    for (const [validator, shard] of this.#shards) this.#partition.put(validator, shard as unknown as Shard)
  }

  plan(shares: readonly number[]): void {
    const rows = VALIDATORS.map((validator, i) => ({ validator, shareBytes: shares[i] ?? 0 }))
    this.#plan = new Map(rows.map(({ validator, shareBytes }) => [validator, shareBytes]))
    this.#partition.share(...rows)
  }

  reserve(order: OrderTerms, size: number): void {
    const answer = this.#keeper.ask('reserve', { order, sizeBytes: size })
    this.#asked.push({ order, size, answer })
    this.#answers.push(answer)
    this.#collect()
  }

  spend(order: OrderTerms, size: number): void {
    const answer = this.#keeper.ask('spend', { order, sizeBytes: size })
    this.#spends.push({ order, size, answer })
    this.#answers.push(answer)
    this.#collect()
  }

  settle(pick: number, durable: boolean): void {
    if (this.#open.length === 0) return
    const [open] = this.#open.splice(pick % this.#open.length, 1)
    assert.ok(open)
    if (durable) this.#keep(open)
    this.#keeper.send({ type: 'settle', ticket: open.ticket, usedBytes: durable ? open.sizeBytes : 0 })
  }

  settleStale(pick: number, usedBytes: number): void {
    const ticket = this.#stale[pick % Math.max(1, this.#stale.length)]
    if (ticket !== undefined) this.#keeper.send({ type: 'settle', ticket, usedBytes })
  }

  async read(pick: number, fails: boolean): Promise<void> {
    const waiting = this.#keeper.tasks.filter(({ settled }) => !settled)
    const task = waiting[pick % Math.max(1, waiting.length)]
    if (fails) task?.fail(new Error('torn'))
    else await task?.run()
    this.#collect()
  }

  /** A crash: what the disk has counts on, what was only counted does not. */
  restart(): void {
    for (const answer of this.#answers) {
      // The kernel refuses what a dead incarnation still owes.
      answer.outcome ??= { ok: false, error: new SubnetError('INTERNAL', 'restarted') }
    }
    this.#stale.push(...this.#open.splice(0).map(({ ticket }) => ticket))
    this.#spent.clear()
    this.#keeper = new RecordingContext<KeeperMessage>(keeper(this.#partition))
  }

  check(): void {
    let inFlightBytes = 0
    for (const validator of VALIDATORS) {
      const reservedBytes = this.#sum(({ order }) => order.validator === validator)
      inFlightBytes += reservedBytes
      const budgetBytes = this.#plan.get(validator) ?? 0
      const heldBytes = this.#shards.get(validator)?.heldBytes ?? 0
      const room = this.#keeper.ask('room', { validator }).outcome
      const freeBytes = Math.max(0, budgetBytes - heldBytes - reservedBytes)
      assert.deepEqual(room, { ok: true, value: { budgetBytes, freeBytes } })
    }
    assert.ok(inFlightBytes <= IN_FLIGHT_BYTES_MAX, 'in flight is capped')
    for (const { client } of ORDERS) {
      const clientBytes = this.#sum(({ order }) => order.client === client)
      assert.ok(clientBytes <= CLIENT_IN_FLIGHT_BYTES_MAX, 'in flight of one client is capped')
    }
    for (const order of ORDERS) {
      const reservedBytes = this.#sum((open) => open.order === order)
      const usedBytes = this.#usedOf(order) + reservedBytes + (this.#spent.get(order) ?? 0)
      assert.ok(usedBytes <= order.maxBytes, 'an order is not exceeded')
    }
  }

  /** Everything ends: then nobody waits, and all that was set aside is free again. */
  async end(): Promise<void> {
    for (const task of this.#keeper.tasks) if (!task.settled) await task.run()
    this.#collect()
    assert.ok(
      this.#answers.every(({ outcome }) => outcome !== undefined),
      'every ask is answered',
    )
    while (this.#open.length > 0) this.settle(0, false)
    this.check()
  }

  /** Books what was granted since the last look. */
  #collect(): void {
    for (const { order, size, answer } of take(this.#asked, ({ answer }) => answer.outcome !== undefined)) {
      if (answer.outcome?.ok) this.#open.push({ ticket: answer.outcome.value, order, sizeBytes: size })
    }
    for (const { order, size, answer } of take(this.#spends, ({ answer }) => answer.outcome !== undefined)) {
      if (answer.outcome?.ok) this.#spent.set(order, (this.#spent.get(order) ?? 0) + size)
    }
  }

  #keep({ order, sizeBytes }: Open): void {
    const shard = this.#shards.get(order.validator)
    assert.ok(shard)
    shard.heldBytes += sizeBytes
    shard.charge(order.serial, sizeBytes)
  }

  #usedOf(order: OrderTerms): number {
    return this.#shards.get(order.validator)?.used(order.serial) ?? 0
  }

  #sum(of: (open: Open) => boolean): number {
    return this.#open.filter(of).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }
}

/** Removes what matches and returns it. */
function take<T>(list: T[], matches: (item: T) => boolean): T[] {
  const taken = list.filter(matches)
  list.splice(0, list.length, ...list.filter((item) => !matches(item)))
  return taken
}

const order = fc.constantFrom(...ORDERS)
const size = fc.constantFrom(1, 7 * MIB, 29 * MIB, 60 * MIB)
const pick = fc.nat(20)
const share = fc.constantFrom(0, 50 * MIB, 200 * MIB, 2 ** 40)

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('reserve' as const), order, size }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('spend' as const), order, size }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), pick, durable: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('read' as const), pick, fails: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('stale' as const), pick, size }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('plan' as const), shares: fc.tuple(share, share) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

describe('keeper under random messages', () => {
  it('keeps every limit, counts exactly and answers every ask', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), async (steps) => {
        const world = new World()
        world.plan([200 * MIB, 2 ** 40])
        for (const next of steps) {
          if (next.do === 'reserve') world.reserve(next.order, next.size)
          else if (next.do === 'spend') world.spend(next.order, next.size)
          else if (next.do === 'settle') world.settle(next.pick, next.durable)
          else if (next.do === 'read') await world.read(next.pick, next.fails)
          else if (next.do === 'stale') world.settleStale(next.pick, next.size)
          else if (next.do === 'plan') world.plan(next.shares)
          else world.restart()
          world.check()
        }
        await world.end()
      }),
      { numRuns: 200 },
    )
  })
})
