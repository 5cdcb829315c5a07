/** Objects through a subnet whose nodes die, lie, stall or are full: what the network promises holds all the same. */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { type Clock, systemClock } from '../../src/base/clock.js'
import { isSubnetError } from '../../src/base/errors.js'
import { seededRandom } from '../../src/base/random.js'
import { KIB, MIB } from '../../src/base/units.js'
import { toSs58 } from '../../src/crypto/keys.js'
import type { SubnetClient } from '../../src/node/client.js'
import type { PutResult } from '../../src/roles/client/put.js'
import type { PutRecord } from '../../src/transfer/put-journal.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { boaster, liar, mute, staller } from '../kit/tamper.js'
import { until } from '../kit/until.js'

describe('a subnet whose nodes come and go', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  let writer: SubnetClient

  before(async () => {
    network = await LocalNetwork.start({ miners: 14, validators: 3 })
    writer = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  /** Miners that hold the object, those with the manifest and the most bytes first. */
  function holders(stored: PutResult): string[] {
    const order = [...stored.holders].sort(
      (a, b) => Number(b.holdsManifest) - Number(a.holdsManifest) || b.bytes - a.bytes,
    )
    return order.map(({ hotkey }) => network.nameOf(hotkey))
  }

  it('gives an object to a client that knows only the chain while six of fourteen miners are gone', async () => {
    const bytes = testBytes('six', 9 * MIB)
    const stored = await writer.storage.put([bytes], { profile: 'small' })
    const byBytes = [...stored.holders].sort((a, b) => b.bytes - a.bytes)
    const gone = byBytes.slice(0, 6).map(({ hotkey }) => network.nameOf(hotkey))
    await network.without(gone, async () => {
      const fresh = await network.client()
      assert.ok(sameBytes(await readBack(fresh, stored.capability), bytes))
      assert.equal((await fresh.storage.stat(stored.capability)).health, 'degraded')
    })
  })

  it('says UNRECOVERABLE, which segment and how many chunks live, while fewer than k holders are left', async () => {
    const stored = await writer.storage.put([testBytes('few', 5 * MIB)], { profile: 'small' })
    const left = holders(stored).slice(0, 2)
    const gone = network.miners.filter((name) => !left.includes(name))
    await network.without(gone, async () => {
      const fresh = await network.client()
      await assert.rejects(readBack(fresh, stored.capability), (error: Error & Record<string, unknown>) => {
        assert.equal(error.code, 'UNRECOVERABLE')
        assert.match(error.message, /segment \d: [0-3] chunks could be had( \(at [^)]+\))?, \d are needed/)
        const { segment, live, needed } = error.data as Record<string, number>
        assert.ok(segment !== undefined && live !== undefined && needed !== undefined && live < needed)
        return true
      })
      assert.equal((await fresh.storage.stat(stored.capability)).health, 'lost')
    })
  })

  it('finds an object again after every validator was restarted, and also meanwhile', async () => {
    const bytes = testBytes('restart', 100_000)
    const { capability } = await writer.storage.put([bytes], { profile: 'copies' })
    await network.without(network.validators, async () => {
      const fresh = await network.client()
      assert.ok(sameBytes(await readBack(fresh, capability), bytes))
    })
    const fresh = await network.client()
    assert.ok(sameBytes(await readBack(fresh, capability), bytes))
  })

  it('has every miner prove what it holds, to each validator that placed it, also after a restart', async () => {
    // Which validator places an object follows from its key: these seeds and keys reach all three.
    const client = await network.client({ random: seededRandom('validators') })
    const placing = new Set<string>()
    const stored: PutResult[] = []
    while (placing.size < 3 && stored.length < 30) {
      stored.push(await client.storage.put([testBytes('audit', 70_000)], { profile: 'copies' }))
      for (const name of network.validators.filter((validator) => !placing.has(validator))) {
        if ((await network.node(name).audit()).length > 0) placing.add(name)
      }
    }
    assert.deepEqual([...placing].sort(), ['validator-0', 'validator-1', 'validator-2'])
    const restarted = new Set(stored.flatMap(holders).slice(0, 3))
    await network.without([...restarted], async () => {
      const outcomes = await auditAll()
      for (const name of restarted) assert.deepEqual(outcomes.get(name), ['missing'])
    })
    const outcomes = await auditAll()
    for (const name of stored.flatMap(holders)) assert.deepEqual(outcomes.get(name), ['pass'], name)
  })

  /** The different outcomes of each miner, at whichever validator. */
  async function auditAll(): Promise<Map<string, string[]>> {
    const reports = await Promise.all(network.validators.map((name) => network.node(name).audit()))
    const outcomes = new Map<string, string[]>()
    for (const { miner, outcome, samples, proven } of reports.flat()) {
      assert.equal(outcome === 'pass', proven === samples)
      const name = network.nameOf(miner)
      outcomes.set(name, [...new Set([...(outcomes.get(name) ?? []), outcome])])
    }
    return outcomes
  }
})

describe('a subnet with one validator and five miners', function () {
  this.timeout(60_000)
  let network: LocalNetwork

  before(async () => {
    network = await LocalNetwork.start({ miners: 5, validators: 1 })
  })

  after(() => network?.[Symbol.asyncDispose]())

  it('has a spare take over for a miner that dies while an object is on its way', async () => {
    const client = await network.client()
    const bytes = testBytes('spare', 8 * MIB)
    async function* source() {
      // The validator has offered it by now.
      await network.stopNode('miner-0')
      yield bytes
    }
    try {
      const stored = await client.storage.put(source(), { profile: 'copies', sizeBytes: bytes.length })
      assert.equal(stored.weakestReceipts, 4)
      assert.ok(stored.retries > 0)
      assert.ok(stored.holders.every(({ hotkey }) => network.nameOf(hotkey) !== 'miner-0'))
      assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
    } finally {
      await network.startNode('miner-0')
      await network.ready()
    }
  })

  it('counts nothing of a put that is aborted half-way, and keeps nothing open or reserved', async () => {
    using sockets = new DialledSockets()
    const client = await sockets.of(() => network.client())
    const leasesBefore = await network.node('validator-0').audit()
    const reason = new Error('enough')
    const controller = new AbortController()
    const put = sockets.of(() =>
      client.storage.put([testBytes('abort', 24 * MIB)], {
        profile: 'copies',
        signal: controller.signal,
        onProgress: () => controller.abort(reason),
      }),
    )
    await assert.rejects(put, reason)
    assert.ok(sockets.open > 0)
    await network.stopClient(client)
    const leases = await network.node('validator-0').audit()
    assert.deepEqual(
      leases.map(({ miner }) => miner),
      leasesBefore.map(({ miner }) => miner),
    )
    await until(
      async () => {
        const miners = await network.node('validator-0').miners()
        return miners.every(({ capacity: { freeBytes, heldBytes, budgetBytes } }) => {
          return freeBytes + heldBytes === budgetBytes
        })
      },
      { deadlineMs: 20_000, title: 'no miner has room reserved' },
    )
    await until(() => sockets.open === 0, { deadlineMs: 10_000, title: "the client's sockets are closed" })
  })

  it('ends an aborted put at once, also when its source has nothing to give', async () => {
    const client = await network.client()
    const controller = new AbortController()
    const reason = new Error('no more patience')
    async function* source() {
      yield testBytes('idle', 3 * MIB)
      setImmediate(() => controller.abort(reason))
      await new Promise(() => undefined)
    }
    const put = client.storage.put(source(), { profile: 'single', signal: controller.signal })
    await assert.rejects(put, reason)
  })
})

/** The sockets that some of what runs here has dialled, among those of all nodes of the process. */
class DialledSockets implements Disposable {
  readonly #sockets: Socket[] = []
  readonly #mark = new AsyncLocalStorage<DialledSockets>()
  readonly #onSocket = (message: unknown) => {
    if (this.#mark.getStore() === this) this.#sockets.push((message as { readonly socket: Socket }).socket)
  }

  constructor() {
    subscribe('net.client.socket', this.#onSocket)
  }

  /** What is dialled in here, and in all that comes of it, is counted. */
  of<T>(work: () => T): T {
    return this.#mark.run(this, work)
  }

  get open(): number {
    return this.#sockets.filter(({ closed }) => !closed).length
  }

  [Symbol.dispose](): void {
    unsubscribe('net.client.socket', this.#onSocket)
  }
}

describe('a subnet that loses the validator of an object on its way', function () {
  this.timeout(60_000)
  let network: LocalNetwork
  const bytes = testBytes('lost', 3 * MIB)

  before(async () => {
    network = await LocalNetwork.start({ miners: 5, validators: 2 })
  })

  after(() => network?.[Symbol.asyncDispose]())

  /** Puts, and stops the validator that has placed the object when half of it is read. */
  async function put(repeatable: boolean, client: SubnetClient): Promise<PutResult> {
    let validator = ''
    const journal = {
      load: async () => undefined,
      save: async (record: PutRecord) => {
        validator ||= network.nameOf(toSs58(record.validator))
      },
      remove: async () => undefined,
    }
    async function* pieces() {
      yield bytes.subarray(0, 2 * MIB)
      if (network.validators.length === 2) await network.stopNode(validator)
      yield bytes.subarray(2 * MIB)
    }
    try {
      const source = repeatable ? pieces : pieces()
      return await client.storage.put(source, { profile: 'copies', journal })
    } finally {
      await network.startNode(validator)
      await network.ready()
    }
  }

  it('has another one take over, if the bytes can be read again', async () => {
    const client = await network.client({ clock: impatient(30) })
    const stored = await put(true, client)
    assert.equal(stored.validatorsTried, 1)
    assert.equal(stored.weakestReceipts, 4)
    assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
  })

  it('says which one is lost and what to do, if they cannot', async () => {
    const client = await network.client({ clock: impatient(30) })
    await assert.rejects(put(false, client), (error) => {
      assert.ok(isSubnetError(error, 'DISCONNECTED') && error.retryable)
      assert.match(network.nameOf(String(error.data.lostValidator)), /validator/)
      assert.match(error.message, /which placed the object, does not count it: .*put it again/)
      return true
    })
  })

  /** A clock on which pauses are so many times shorter: how long a lost validator is asked again. */
  function impatient(times: number): Clock {
    return {
      ...systemClock,
      monotonicMs: () => systemClock.monotonicMs() * times,
      sleep: (delayMs, options) => systemClock.sleep(delayMs / times, options),
    }
  }
})

describe('a subnet that loses miners of an object on its way', function () {
  this.timeout(60_000)
  const bytes = testBytes('torn', 12 * MIB)

  /** Puts, and stops two of the six miners when they hold their part of the bytes and have signed for nothing. */
  async function put(network: LocalNetwork, repeatable: boolean): Promise<PutResult> {
    const client = await network.client()
    let doneBytes = 0
    async function* pieces() {
      yield bytes
      if (network.miners.length < 6) return
      // The last piece is not sent before the end is known.
      await until(() => doneBytes >= bytes.length - 2 * MIB, { deadlineMs: 20_000, title: 'most is kept' })
      for (const name of ['miner-0', 'miner-1']) await network.stopNode(name)
    }
    return await client.storage.put(repeatable ? pieces : pieces(), {
      profile: 'copies',
      sizeBytes: bytes.length,
      onProgress: (progress) => {
        doneBytes = progress.doneBytes
      },
    })
  }

  it('sends to others what those held, if the bytes can be read again, and where there is no room for all anew', async () => {
    await using network = await LocalNetwork.start({ miners: 6, validators: 1, capacityBytes: 18 * MIB })
    const stored = await put(network, true)
    assert.equal(stored.weakestReceipts, 4)
    assert.ok(stored.reusedBytes >= 2 * bytes.length, 'what the others held is not sent again')
    const leavers = ['miner-0', 'miner-1']
    assert.ok(stored.holders.every(({ hotkey }) => !leavers.includes(network.nameOf(hotkey))))
    assert.ok(sameBytes(await readBack(await network.client(), stored.capability), bytes))
  })

  it('says what has happened and what to do, if they cannot', async () => {
    await using network = await LocalNetwork.start({ miners: 6, validators: 1 })
    await assert.rejects(put(network, false), (error) => {
      assert.ok(isSubnetError(error, 'NOT_DURABLE') && error.retryable)
      assert.match(
        error.message,
        /segment \d has \d receipts .* miners have left with what they kept; put it again/,
      )
      return true
    })
  })
})

describe('a subnet in which one miner claims room it does not have', function () {
  this.timeout(60_000)

  it('has spares take what it refuses, and counts what it took', async () => {
    await using network = await LocalNetwork.start({
      miners: 5,
      validators: 1,
      capacities: { 'miner-0': 2 * MIB },
      tampers: { 'miner-0': boaster(256 * MIB) },
    })
    const client = await network.client()
    const bytes = testBytes('boast', 10 * MIB)
    const stored = await client.storage.put([bytes], { profile: 'copies' })
    assert.equal(stored.weakestReceipts, 4)
    const full = stored.holders.find(({ hotkey }) => network.nameOf(hotkey) === 'miner-0')
    assert.ok(full !== undefined && full.chunks >= 1 && full.bytes <= 2 * MIB)
    assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
  })
})

describe('a subnet in which most holders lie or stall', function () {
  this.timeout(60_000)

  it('reads past holders that send wrong bytes', async () => {
    // Honest about the manifest: who lies about that is found out before any chunk is asked for.
    const liars = Object.fromEntries([0, 1, 2].map((i) => [`miner-${i}`, liar('retrieve', 64 * KIB)]))
    await using network = await LocalNetwork.start({ miners: 4, validators: 1, tampers: tampersOf(liars) })
    const client = await network.client()
    const bytes = testBytes('lies', 8 * MIB)
    const { capability } = await client.storage.put([bytes], { profile: 'copies' })
    assert.ok(sameBytes(await readBack(client, capability), bytes))
    assert.ok(Object.values(liars).some(({ lies }) => lies > 0))
  })

  it('reads past holders that stop in the middle of an answer, or never give one', async () => {
    const stallers = {
      'miner-0': staller('retrieve'),
      'miner-1': mute('retrieve'),
      'miner-2': staller('retrieve'),
    }
    await using network = await LocalNetwork.start({ miners: 4, validators: 1, tampers: tampersOf(stallers) })
    try {
      const client = await network.client({ clock: hurried(5) })
      const bytes = testBytes('stalls', 8 * MIB)
      const { capability } = await client.storage.put([bytes], { profile: 'copies' })
      assert.ok(sameBytes(await readBack(client, capability), bytes))
      assert.ok(Object.values(stallers).some(({ stalls }) => stalls > 0))
    } finally {
      for (const { release } of Object.values(stallers)) release()
    }
  })

  function tampersOf<T>(nodes: Readonly<Record<string, { readonly tamper: T }>>): Record<string, T> {
    return Object.fromEntries(Object.entries(nodes).map(([name, { tamper }]) => [name, tamper]))
  }

  /** A clock whose timers fire so many times sooner: patience is what these tests would wait for. */
  function hurried(times: number): Clock {
    return {
      ...systemClock,
      after: (delayMs, fire, options) => systemClock.after(delayMs / times, fire, options),
      sleep: (delayMs, options) => systemClock.sleep(delayMs / times, options),
    }
  }
})
