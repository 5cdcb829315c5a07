import assert from 'node:assert/strict'
import { ActorSystem } from '../../../../src/actor/system.js'
import { isSubnetError, SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { MIB } from '../../../../src/base/units.js'
import {
  CLIENT_IN_FLIGHT_BYTES_MAX,
  type KeeperMessage,
  keeper,
  type OrderTerms,
  type Room,
  type Ticket,
} from '../../../../src/roles/miner/keeper.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import type { Shard } from '../../../../src/shard/shard.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { specOf } from '../../../kit/probe-actor.js'
import { type RecordedAnswer, RecordingContext } from '../../../kit/recording-context.js'
import { testChunk, testId } from '../../../kit/test-chunk.js'

const IN_FLIGHT_BYTES_MAX = 64 * MIB

function orderOf(
  seed: number,
  maxBytes = 2 ** 40,
  validator = 'alice',
  client = `client ${seed}`,
): OrderTerms {
  return { serial: Buffer.from(testId(16, seed)).toString('hex'), validator, maxBytes, client }
}

class Bench {
  readonly partition = new MemoryPartition()
  keeper = new RecordingContext<KeeperMessage>(keeper(this.partition))

  static async with(shareBytes: number): Promise<Bench> {
    const bench = new Bench()
    await bench.partition.open('alice')
    bench.partition.share({ validator: 'alice', shareBytes })
    return bench
  }

  get alice(): Shard {
    const shard = this.partition.get('alice')
    assert.ok(shard)
    return shard
  }

  room(validator = 'alice'): Room {
    return answerOf(this.keeper.ask('room', { validator }))
  }

  /** Asks, and lets the order's use be read if it was not yet. */
  async reserve(order: OrderTerms, sizeBytes: number): Promise<RecordedAnswer<Ticket>> {
    const answer = this.keeper.ask('reserve', { order, sizeBytes })
    await this.#readOrders()
    return answer
  }

  async spend(order: OrderTerms, sizeBytes: number): Promise<RecordedAnswer<void>> {
    const answer = this.keeper.ask('spend', { order, sizeBytes })
    await this.#readOrders()
    return answer
  }

  async ticket(order: OrderTerms, sizeBytes: number): Promise<Ticket> {
    return answerOf(await this.reserve(order, sizeBytes))
  }

  settle(ticket: Ticket, usedBytes: number): void {
    this.keeper.send({ type: 'settle', ticket, usedBytes })
  }

  restart(): void {
    this.keeper = new RecordingContext<KeeperMessage>(keeper(this.partition))
  }

  async #readOrders(): Promise<void> {
    for (const task of this.keeper.tasks) if (!task.settled) await task.run()
  }
}

function answerOf<T>(answer: RecordedAnswer<T>): T {
  assert.ok(answer.outcome?.ok, `answered with a value, not ${JSON.stringify(answer.outcome)}`)
  return answer.outcome.value
}

function refusal(answer: RecordedAnswer<unknown>): SubnetError {
  assert.ok(answer.outcome?.ok === false && answer.outcome.error instanceof SubnetError, 'refused')
  return answer.outcome.error
}

describe('keeper: room', () => {
  it('is the share less what the shard holds and what is reserved', async () => {
    const bench = await Bench.with(10_000)
    await bench.alice.put(testChunk(1, 3_000))
    await bench.ticket(orderOf(1), 2_000)
    assert.deepEqual(bench.room(), { budgetBytes: 10_000, freeBytes: 5_000 })
  })

  it('is never below 0, though the shard hold more than its share', async () => {
    const bench = await Bench.with(1_000)
    await bench.alice.put(testChunk(1, 3_000))
    assert.deepEqual(bench.room(), { budgetBytes: 1_000, freeBytes: 0 })
  })

  it('is 0 for who is not in the plan, and before there is one', async () => {
    const bench = new Bench()
    await bench.partition.open('alice')
    assert.deepEqual(bench.room(), { budgetBytes: 0, freeBytes: 0 })
    bench.partition.share({ validator: 'bob', shareBytes: 5 })
    assert.deepEqual(bench.room(), { budgetBytes: 0, freeBytes: 0 })
  })

  it('is 0 where the plan has a share and no shard is open', () => {
    const bench = new Bench()
    bench.partition.share({ validator: 'alice', shareBytes: MIB })
    assert.equal(bench.room().freeBytes, 0)
  })

  it('follows a change of plan at once, also downwards below what is reserved', async () => {
    const bench = await Bench.with(1_000)
    await bench.ticket(orderOf(1), 800)
    bench.partition.share({ validator: 'alice', shareBytes: 5_000 })
    assert.equal(bench.room().freeBytes, 4_200)
    bench.partition.share({ validator: 'alice', shareBytes: 500 })
    assert.equal(bench.room().freeBytes, 0)
    assert.equal(refusal(await bench.reserve(orderOf(1), 1)).code, 'NO_SPACE')
  })

  it('of a draining shard is 0, however much its leases leave', async () => {
    const bench = await Bench.with(MIB)
    bench.partition.share({ validator: 'alice', shareBytes: 4 * MIB, drains: true })
    assert.equal(bench.room().freeBytes, 0)
    assert.equal(refusal(await bench.reserve(orderOf(1), 1)).code, 'NO_SPACE')
  })

  it('is there after a restart, without waiting for the next plan', async () => {
    const bench = await Bench.with(1_000)
    bench.restart()
    await bench.ticket(orderOf(1), 1_000)
  })
})

describe('keeper: reservations', () => {
  it('takes exactly what fits and refuses one byte more with NO_SPACE', async () => {
    const bench = await Bench.with(1_000)
    await bench.ticket(orderOf(1), 600)
    assert.equal(refusal(await bench.reserve(orderOf(2), 401)).code, 'NO_SPACE')
    await bench.ticket(orderOf(2), 400)
  })

  it('says BUSY with a hint at the cap of bytes in flight, over all validators', async () => {
    const bench = await Bench.with(2 * IN_FLIGHT_BYTES_MAX)
    await bench.partition.open('bob')
    bench.partition.share(
      { validator: 'alice', shareBytes: IN_FLIGHT_BYTES_MAX },
      { validator: 'bob', shareBytes: IN_FLIGHT_BYTES_MAX },
    )
    const whole = IN_FLIGHT_BYTES_MAX / CLIENT_IN_FLIGHT_BYTES_MAX
    for (let seed = 10; seed < 9 + whole; seed += 1)
      await bench.ticket(orderOf(seed), CLIENT_IN_FLIGHT_BYTES_MAX)
    const first = await bench.ticket(orderOf(1), CLIENT_IN_FLIGHT_BYTES_MAX - 10)
    const bob = orderOf(2, 2 ** 40, 'bob')
    const busy = refusal(await bench.reserve(bob, 11))
    assert.equal(busy.code, 'BUSY')
    assert.ok(Number(busy.data.retryAfterMs) > 0)
    await bench.ticket(bob, 10)
    bench.settle(first, 0)
    await bench.ticket(bob, 11)
  })

  it('says BUSY at the cap of one client, over all its orders, and leaves the others room', async () => {
    const bench = await Bench.with(2 * IN_FLIGHT_BYTES_MAX)
    const own = (seed: number) => orderOf(seed, 2 ** 40, 'alice', 'greedy')
    const first = await bench.ticket(own(1), CLIENT_IN_FLIGHT_BYTES_MAX - 10)
    const busy = refusal(await bench.reserve(own(2), 11))
    assert.deepEqual([busy.code, busy.message], ['BUSY', 'more than 32.0 MiB of this client are in flight'])
    await bench.ticket(own(2), 10)
    await bench.ticket(orderOf(3), CLIENT_IN_FLIGHT_BYTES_MAX)
    bench.settle(first, 0)
    await bench.ticket(own(2), CLIENT_IN_FLIGHT_BYTES_MAX - 10)
  })

  it('gives everything back when nothing came', async () => {
    const bench = await Bench.with(1_000)
    const order = orderOf(1, 1_000)
    bench.settle(await bench.ticket(order, 1_000), 0)
    assert.equal(bench.room().freeBytes, 1_000)
    await bench.ticket(order, 1_000)
  })

  it('keeps the use of the order when the body is durable, and counts its room once', async () => {
    const bench = await Bench.with(2_000)
    const order = orderOf(1, 1_000)
    const ticket = await bench.ticket(order, 1_000)
    await bench.alice.put(testChunk(1, 1_000))
    bench.settle(ticket, 1_000)
    assert.equal(bench.room().freeBytes, 1_000)
    assert.equal(refusal(await bench.reserve(order, 1)).code, 'REFUSED')
  })

  it('settles a ticket once', async () => {
    const bench = await Bench.with(1_000)
    const ticket = await bench.ticket(orderOf(1), 500)
    await bench.ticket(orderOf(1), 400)
    bench.settle(ticket, 0)
    bench.settle(ticket, 0)
    assert.equal(bench.room().freeBytes, 600)
  })

  it('ignores a ticket of an earlier incarnation, whatever it has reserved since', async () => {
    const bench = await Bench.with(1_000)
    const before = await bench.ticket(orderOf(1), 300)
    bench.restart()
    await bench.ticket(orderOf(1), 300)
    bench.settle(before, 0)
    assert.equal(bench.room().freeBytes, 700)
  })
})

describe('keeper: orders', () => {
  it('refuses what an order has not left, and takes the rest of it', async () => {
    const bench = await Bench.with(MIB)
    const order = orderOf(1, 1_000)
    await bench.ticket(order, 700)
    assert.equal(refusal(await bench.reserve(order, 301)).code, 'REFUSED')
    await bench.ticket(order, 300)
  })

  it('counts two orders apart', async () => {
    const bench = await Bench.with(MIB)
    await bench.ticket(orderOf(1, 1_000), 1_000)
    await bench.ticket(orderOf(2, 1_000), 1_000)
    assert.equal(refusal(await bench.reserve(orderOf(1, 1_000), 1)).code, 'REFUSED')
  })

  it('counts orders of two validators apart, though they chose the same serial', async () => {
    const bench = await Bench.with(MIB)
    await bench.partition.open('bob')
    await bench.spend(orderOf(1, 1_000, 'bob'), 1_000)
    await bench.ticket(orderOf(1, 1_000), 1_000)
  })

  it('reads from the shard what an order has used before, also after a restart', async () => {
    const bench = await Bench.with(MIB)
    await bench.alice.addOrderUse({ serial: testId(16, 1), expiresBlock: 100 }, 600)
    const order = orderOf(1, 1_000)
    assert.equal(refusal(await bench.reserve(order, 401)).code, 'REFUSED')
    const ticket = await bench.ticket(order, 400)
    await bench.alice.addOrderUse({ serial: testId(16, 1), expiresBlock: 100 }, 400)
    bench.settle(ticket, 400)
    bench.restart()
    assert.equal(refusal(await bench.reserve(order, 1)).code, 'REFUSED')
  })

  it('reads once for all who ask meanwhile, and answers them in turn', async () => {
    const bench = await Bench.with(MIB)
    const order = orderOf(1, 1_000)
    const answers = [1, 2, 3].map(() => bench.keeper.ask('reserve', { order, sizeBytes: 400 }))
    assert.deepEqual(
      answers.map(({ outcome }) => outcome),
      [undefined, undefined, undefined],
    )
    assert.equal(bench.keeper.tasks.length, 1)
    bench.keeper.tasks[0]?.succeed(0)
    assert.deepEqual(
      answers.map(({ outcome }) => outcome?.ok),
      [true, true, false],
    )
  })

  it('takes what is read from it, and refuses beyond it', async () => {
    const bench = await Bench.with(0)
    const order = orderOf(1, 1_000)
    answerOf(await bench.spend(order, 1_000))
    assert.equal(refusal(await bench.spend(order, 1)).code, 'REFUSED')
  })

  it('refuses where the validator has no shard', async () => {
    const bench = await Bench.with(MIB)
    assert.equal(refusal(await bench.reserve(orderOf(1, 10, 'nobody'), 1)).code, 'NO_SPACE')
    assert.equal(bench.keeper.tasks.length, 0)
  })

  it('refuses all who wait when the use cannot be read, and reads again for the next', async () => {
    const bench = await Bench.with(MIB)
    const order = orderOf(1)
    const answers = [1, 2].map(() => bench.keeper.ask('reserve', { order, sizeBytes: 1 }))
    bench.keeper.tasks[0]?.fail(new Error('torn'))
    assert.deepEqual(
      answers.map((answer) => refusal(answer).code),
      ['DISK', 'DISK'],
    )
    await bench.ticket(order, 1)
  })

  it('forgets the oldest orders beyond its limit, never one with a reservation, and reads them again', async () => {
    const bench = await Bench.with(MIB)
    const ticket = await bench.ticket(orderOf(0, 100), 100)
    for (let seed = 1; seed < 4_096; seed += 1) {
      bench.keeper.ask('spend', { order: orderOf(seed, 100), sizeBytes: 1 })
      bench.keeper.tasks.at(-1)?.succeed(0)
    }
    const reads = bench.keeper.tasks.length
    await bench.spend(orderOf(5_000), 1)
    assert.equal(refusal(await bench.reserve(orderOf(0, 100), 1)).code, 'REFUSED')
    assert.equal(bench.keeper.tasks.length, reads + 1, 'the reserved one is still known')
    await bench.spend(orderOf(1, 100), 1)
    assert.equal(bench.keeper.tasks.length, reads + 2, 'the oldest other one is read again')
    bench.settle(ticket, 0)
    await bench.ticket(orderOf(0, 100), 100)
  })
})

describe('keeper in an actor system', () => {
  it('tells a caller that the order cannot be read, and goes on', async () => {
    const partition = new MemoryPartition()
    const broken = createMemoryShard()
    partition.put('alice', broken)
    partition.share({ validator: 'alice', shareBytes: MIB })
    const actors = new ActorSystem(
      { clock: new FakeClock(), log: silentLogger },
      { onFailure: (reason) => assert.fail(reason) },
    )
    const ref = actors.spawn(specOf('keeper', keeper(partition)))
    // A shard that does not run refuses.
    await assert.rejects(ref.ask('reserve', { order: orderOf(1), sizeBytes: 1 }), (error) =>
      isSubnetError(error, 'DISK'),
    )
    await broken.start()
    assert.equal((await ref.ask('reserve', { order: orderOf(1), sizeBytes: 1 })).sizeBytes, 1)
    await actors.stop()
  })
})
