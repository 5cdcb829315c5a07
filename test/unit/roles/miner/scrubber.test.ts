import assert from 'node:assert/strict'
import { toString as bytesToText } from 'uint8arrays'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import type { Finding } from '../../../../src/roles/miner/inspector.js'
import { type ScrubberComponents, scrubber, scrubNext } from '../../../../src/roles/miner/scrubber.js'
import { createMemoryShard } from '../../../../src/shard/memory-shard.js'
import type { Shard } from '../../../../src/shard/shard.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { RecordingContext } from '../../../kit/recording-context.js'
import { testChunk } from '../../../kit/test-chunk.js'

const INIT = { periodMs: 1_000_000 }

async function shardOf(sizes: readonly number[]) {
  const shard = createMemoryShard()
  await shard.start()
  for (const [seed, size] of sizes.entries()) await shard.put(testChunk(seed, size))
  return shard
}

function setUp(shards: readonly Shard[]) {
  const clock = new FakeClock()
  const read: string[] = []
  let finding: Finding = 'whole'
  const components: ScrubberComponents = {
    shards: { all: () => shards },
    inspector: {
      inspect: async (_, digest) => {
        read.push(bytesToText(digest, 'hex'))
        return finding
      },
    },
    clock,
    random: seededRandom('scrub'),
    logger: silentLogger,
  }
  const find = (next: Finding) => {
    finding = next
  }
  return { clock, read, components, find }
}

describe('scrubNext', () => {
  it('reads every chunk of every shard once in a period, each for its size', async () => {
    const shards = [await shardOf([300, 100]), await shardOf([100])]
    const { read, components } = setUp(shards)
    const walks = new WeakMap()
    const pauses = new Map<string, number>()
    while (pauses.size < 3) {
      const pauseMs = await scrubNext(components, INIT, walks)
      pauses.set(read.at(-1) ?? '', pauseMs)
    }
    const hex = (seed: number, size: number) => bytesToText(testChunk(seed, size).digest, 'hex')
    assert.equal(pauses.get(hex(0, 300)), 600_000)
    assert.equal(pauses.get(hex(1, 100)), 200_000)
    assert.equal(pauses.get(hex(0, 100)), 200_000)
  })

  it('goes round in the order of the digests', async () => {
    const { read, components } = setUp([await shardOf([10, 10, 10, 10])])
    const walks = new WeakMap()
    for (let i = 0; i < 8; i += 1) await scrubNext(components, INIT, walks)
    assert.deepEqual(read.slice(0, 4), [...read.slice(0, 4)].sort())
    assert.deepEqual(read.slice(4), read.slice(0, 4))
    assert.equal(new Set(read).size, 4)
  })

  it('goes on after a restart where it wrote down that it was, at most every ten minutes', async () => {
    const shard = await shardOf([10, 10, 10, 10])
    const { read, components, clock } = setUp([shard])
    const walks = new WeakMap()
    await scrubNext(components, INIT, walks)
    assert.equal(await shard.scrubbed(), undefined)
    await clock.advance(600_000)
    await scrubNext(components, INIT, walks)
    await scrubNext(components, INIT, walks)
    assert.equal(bytesToText((await shard.scrubbed()) ?? new Uint8Array(0), 'hex'), read[1])
    await scrubNext(components, INIT, new WeakMap())
    assert.equal(read[3], read[2], 'what was read after the note is read again')
  })

  it('comes back to a chunk that could not be looked at', async () => {
    const { read, components, find } = setUp([await shardOf([10, 10])])
    const walks = new WeakMap()
    find('unsure')
    assert.equal(await scrubNext(components, INIT, walks), 60_000)
    find('lost')
    await scrubNext(components, INIT, walks)
    assert.equal(read[1], read[0])
    await scrubNext(components, INIT, walks)
    assert.notEqual(read[2], read[0])
  })

  it('waits when nothing is held', async () => {
    const { read, components } = setUp([await shardOf([])])
    assert.equal(await scrubNext(components, INIT, new WeakMap()), 3_600_000)
    assert.deepEqual(read, [])
  })
})

describe('scrubber', () => {
  it('has one read in flight, and the next a pause after it', async () => {
    const { components } = setUp([await shardOf([10])])
    const context = new RecordingContext(scrubber(components, INIT))
    context.timers[0]?.fire()
    assert.equal(context.tasks.length, 1)
    assert.equal(context.timers.filter(({ pending }) => pending).length, 0)
    await context.tasks[0]?.run()
    assert.deepEqual(
      context.timers.filter(({ pending }) => pending).map(({ delayMs }) => delayMs),
      [1_000_000],
    )
    context.timers[1]?.fire()
    context.tasks[1]?.fail(new Error('disk'))
    assert.equal(context.timers.at(-1)?.delayMs, 60_000)
  })
})
