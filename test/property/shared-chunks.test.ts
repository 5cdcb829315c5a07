/**
 * Public objects share chunks: leases of several objects, and several places of one, name the same digest at one miner.
 * Whatever is leased, renewed and released in whatever order, a chunk is there exactly as long as something keeps it, and
 * in the trash, where nobody can read it, for its time from then on.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { decodeMessage } from '../../protocols/common/schema.js'
import { countersignLease, keptLeaseSchema, type LeaseEntry } from '../../protocols/lease/lease.js'
import { signOrder } from '../../protocols/order/order.js'
import { isSubnetError } from '../../src/base/errors.js'
import { silentLogger } from '../../src/base/log.js'
import { cryptoReady } from '../../src/crypto/keys.js'
import type { KeeperMessage } from '../../src/roles/miner/keeper.js'
import { StoreService } from '../../src/roles/miner/store-service.js'
import { sweep } from '../../src/roles/miner/sweeper.js'
import { createMemoryShard } from '../../src/shard/memory-shard.js'
import { testHotkey } from '../kit/chain-keys.js'
import { MemoryPartition } from '../kit/memory-partition.js'
import { RecordingRef } from '../kit/recording-context.js'
import { testChunk, testId } from '../kit/test-chunk.js'
import { TEST_DOMAIN } from '../kit/test-subnet.js'

const OBJECTS = 4
const CHUNKS = 4
const TRASH_BLOCKS = 20
/** From its signing on. */
const ORDER_BLOCKS = 15
const objects = Array.from({ length: OBJECTS }, (_, i) => testId(32, 50 + i))
const chunks = Array.from({ length: CHUNKS }, (_, i) => testChunk(1 + i, 100))

const step = fc.oneof(
  fc.record({
    type: fc.constant('lease' as const),
    object: fc.nat(OBJECTS - 1),
    // The same chunk in several places is likely.
    chunks: fc.array(fc.nat(CHUNKS - 1), { minLength: 1, maxLength: 6 }),
    blocks: fc.integer({ min: 1, max: 60 }),
    counts: fc.boolean(),
  }),
  fc.record({ type: fc.constant('renew' as const), object: fc.nat(OBJECTS - 1), blocks: fc.nat(60) }),
  fc.record({ type: fc.constant('release' as const), object: fc.nat(OBJECTS - 1) }),
  fc.record({ type: fc.constant('wait' as const), blocks: fc.integer({ min: 1, max: 25 }) }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

interface ModelLease {
  readonly chunks: ReadonlySet<number>
  /** The same, in the order of the entries. */
  readonly places: readonly number[]
  /** Those of them that were there when it was signed. */
  readonly covered: ReadonlySet<number>
  readonly endBlock: number
  readonly counts: boolean
}

/** What ought to be kept, told without any of the miner's code. */
class Model {
  block = 10
  readonly leases = new Map<number, ModelLease>()
  /** Signed beside one that counts, and not counted. */
  readonly successors = new Map<number, Pick<ModelLease, 'chunks' | 'endBlock'>>()
  /** Block at which a chunk that is held goes to the trash. */
  readonly held = new Map<number, number>()
  /** Block at which a chunk in the trash goes. */
  readonly trash = new Map<number, number>()

  hold(names: Iterable<number>, endBlock: number): void {
    for (const chunk of names) {
      this.held.set(chunk, Math.max(this.held.get(chunk) ?? 0, endBlock))
      this.trash.delete(chunk)
    }
  }

  isThere(chunk: number): boolean {
    return this.held.has(chunk) || this.trash.has(chunk)
  }

  release(object: number): void {
    const own = [this.leases, this.successors].flatMap((leases) => [...(leases.get(object)?.chunks ?? [])])
    this.leases.delete(object)
    this.successors.delete(object)
    for (const chunk of new Set(own)) {
      const block = this.held.get(chunk)
      if (block === undefined) continue
      const others = [...this.leases.values(), ...this.successors.values()].filter(
        (lease) => lease.chunks.has(chunk) && lease.endBlock > this.block,
      )
      if (others.length === 0) this.#throwAway(chunk)
      else this.held.set(chunk, Math.min(block, Math.max(...others.map(({ endBlock }) => endBlock))))
    }
  }

  sweep(): void {
    for (const [chunk, block] of this.trash) if (block <= this.block) this.trash.delete(chunk)
    for (const [chunk, block] of this.held) if (block <= this.block) this.#throwAway(chunk)
    for (const leases of [this.leases, this.successors]) {
      for (const [object, { endBlock }] of leases)
        if (endBlock + TRASH_BLOCKS <= this.block) leases.delete(object)
    }
  }

  #throwAway(chunk: number): void {
    this.held.delete(chunk)
    this.trash.set(chunk, this.block + TRASH_BLOCKS)
  }
}

class World {
  readonly model = new Model()
  readonly shard = createMemoryShard()
  readonly #head = { block: this.model.block }
  readonly #miner = testHotkey(1).signer
  readonly #validator = testHotkey(2).signer
  readonly #service: StoreService

  constructor() {
    const partition = new MemoryPartition()
    partition.put(testHotkey(2).address, this.shard)
    const keeper = new RecordingRef<KeeperMessage>()
    this.#service = new StoreService(
      {
        keeper,
        shards: partition,
        signer: this.#miner,
        head: this.#head,
        health: { checkWrites: () => undefined },
        onDiskFailure: () => undefined,
        onCounted: () => undefined,
      },
      { domain: TEST_DOMAIN, trashBlocks: TRASH_BLOCKS },
    )
  }

  async apply(action: Step): Promise<void> {
    switch (action.type) {
      case 'lease':
        await this.#lease(action)
        break
      case 'renew':
        await this.#renew(action.object, action.blocks)
        break
      case 'release':
        await this.#release(action.object)
        break
      case 'wait':
        this.model.block += action.blocks
        this.#head.block = this.model.block
        await sweep(
          {
            shards: { all: () => [this.shard], plan: () => undefined },
            head: this.#head,
            logger: silentLogger,
          },
          { trashBlocks: TRASH_BLOCKS },
        )
        this.model.sweep()
    }
  }

  /** Bodies that are there, and until when, are those that ought to be; what is in the trash cannot be read. */
  async check(): Promise<void> {
    const { model, shard } = this
    const found: (number | undefined)[] = []
    for (const [chunk, { digest }] of chunks.entries()) {
      found.push((await shard.describe(digest))?.expiresBlock)
      assert.equal(found[chunk], model.held.get(chunk))
      assert.equal((await shard.trashed(digest))?.expiresBlock, model.trash.get(chunk))
      const reading = shard.read(digest, 0, 1)
      if (model.held.has(chunk)) await reading
      else await assert.rejects(reading, (error) => isSubnetError(error, 'NOT_FOUND'))
    }
    for (const { covered, endBlock } of model.leases.values()) {
      if (endBlock <= model.block) continue
      for (const chunk of covered)
        assert.ok((found[chunk] ?? 0) >= endBlock, 'what is leased is there until the end')
    }
    assert.equal(shard.usage().chunks, model.held.size)
  }

  async #lease({ object, chunks: names, blocks, counts }: Extract<Step, { type: 'lease' }>): Promise<void> {
    const { model, shard } = this
    const expiresBlock = model.block + ORDER_BLOCKS
    for (const name of names) await shard.put({ ...(chunks[name] as (typeof chunks)[0]), expiresBlock })
    model.hold(names, expiresBlock)
    const endBlock = model.block + blocks
    const entries = names.map((name, index): LeaseEntry => {
      const { digest, auditRoot, sizeBytes } = chunks[name] as (typeof chunks)[0]
      return [digest, auditRoot, sizeBytes, 0, index]
    })
    const order = signOrder(this.#validator, TEST_DOMAIN, {
      verb: 'put',
      client: testId(32, 9),
      miner: this.#miner.publicKey,
      maxBytes: 10_000,
      serial: testId(16, 1),
      expiresBlock,
      leaseEndBlock: endBlock,
    })
    const id = objects[object] as Uint8Array
    const before = model.leases.get(object)
    const signed = await this.#service.lease(order, { object: id, entries, endBlock })
    if (counts) {
      const signature = countersignLease(this.#validator, TEST_DOMAIN, signed.lease)
      await this.#service.confirm(this.#validator.publicKey, id, signature)
    }
    const goesOn = before?.counts === true && before.endBlock > model.block
    // Asked for again as it is, the one that counts is the answer.
    if (goesOn && before.endBlock === endBlock && before.places.join() === names.join()) return
    model.hold(names, endBlock)
    const lease = { chunks: new Set(names), places: names, endBlock }
    if (goesOn && !counts) {
      model.successors.set(object, lease)
      return
    }
    if (goesOn) model.successors.delete(object)
    model.leases.set(object, { ...lease, covered: lease.chunks, counts })
  }

  async #renew(object: number, blocks: number): Promise<void> {
    const { model } = this
    const id = objects[object] as Uint8Array
    const bytes = await this.shard.lease(id)
    const known = model.leases.get(object)
    assert.equal(bytes === undefined, known === undefined)
    if (bytes === undefined || known === undefined) return
    const { lease } = decodeMessage(keptLeaseSchema, bytes, 'kept lease')
    const endBlock = lease.endBlock + blocks
    const validatorSignature = countersignLease(this.#validator, TEST_DOMAIN, { ...lease, endBlock })
    const renewal = { object: id, endBlock, validatorSignature }
    const renewing = this.#service.renew(this.#validator.publicKey, renewal)
    const covered = new Set([...known.chunks].filter((chunk) => model.isThere(chunk)))
    if (covered.size === 0) {
      await assert.rejects(renewing, (error) => isSubnetError(error, 'NOT_FOUND'))
      return
    }
    await renewing
    model.hold(covered, endBlock)
    model.leases.set(object, { ...known, covered, endBlock, counts: true })
  }

  async #release(object: number): Promise<void> {
    const releasing = this.#service.release(this.#validator.publicKey, objects[object] as Uint8Array)
    if (this.model.leases.has(object)) {
      await releasing
      this.model.release(object)
    } else await assert.rejects(releasing, (error) => isSubnetError(error, 'NOT_FOUND'))
  }
}

describe('chunks that several leases name', () => {
  before(cryptoReady)

  it('are kept as long as one of them needs them, and no longer', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const world = new World()
        await world.shard.start()
        for (const each of steps) {
          await world.apply(each)
          await world.check()
        }
        for (let object = 0; object < OBJECTS; object += 1) await world.apply({ type: 'release', object })
        await world.check()
        // What a lease named that was replaced before it counted stays until its end: beyond any end that a step can give.
        for (let wait = 0; wait < 2; wait += 1) {
          await world.apply({ type: 'wait', blocks: 10_000 })
          await world.check()
          assert.equal(world.shard.usage().chunks, 0, 'nothing keeps them any more')
        }
        assert.equal(await world.shard.isEmpty(), true, 'the trash has had its time')
      }),
      { numRuns: 150 },
    )
  })
})
