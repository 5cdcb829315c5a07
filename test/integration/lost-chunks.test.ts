/** Chunks that a miner's disk has lost, renewals that reach a miner late, validators that lose their permit: with real nodes. */
import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isSubnetError } from '../../src/base/errors.js'
import { MIB } from '../../src/base/units.js'
import { toSs58 } from '../../src/crypto/keys.js'
import type { SubnetClient } from '../../src/node/client.js'
import type { PutResult } from '../../src/roles/client/put.js'
import type { PutRecord } from '../../src/transfer/put-journal.js'
import { LocalNetwork } from '../kit/local-network.js'
import { readBack, sameBytes, testBytes } from '../kit/objects.js'
import { until } from '../kit/until.js'

/** Remembers a put for a second one of the same bytes, also after it was done. */
class Memory {
  record: PutRecord | undefined
  load = async () => this.record
  save = async ({ committing: _, ...record }: PutRecord) => {
    this.record = record
  }
  remove = async () => undefined
}

/** As of a process that ends between the commit and its answer, each time. */
class KilledAtTheEnd extends Memory {
  override save = async (record: PutRecord) => {
    this.record = record
  }
}

describe('a miner whose disk has lost chunks', function () {
  this.timeout(120_000)
  let network: LocalNetwork
  let client: SubnetClient

  before(async () => {
    // As many as there are copies: each has one of every segment and of the manifest, and alone can give it all.
    network = await LocalNetwork.start({ miners: 4, validators: 1 })
    client = await network.client()
  })

  after(() => network?.[Symbol.asyncDispose]())

  // First, while nothing else is stored: what an audit then asks for is this lease.
  it('is told of a renewal though it was away when the lease ended, and proves what it holds', async () => {
    const bytes = testBytes('away', 200_000)
    const stored = await client.storage.put([bytes], { profile: 'copies', leaseBlocks: 120 })
    const away = network.nameOf(stored.holders[0]?.hotkey ?? '')
    await network.stopNode(away)
    const { endBlock, miners } = await client.storage.renew(stored.capability, { leaseBlocks: 5_000 })
    assert.ok(endBlock > stored.endBlock + 1_000)
    assert.equal(miners, stored.holders.length)
    await until(async () => client.subnet.view.block > stored.endBlock, {
      deadlineMs: 40_000,
      title: 'the first lease has ended',
    })
    assert.equal((await outcomes()).get(away), undefined, 'it is not asked for what it has not signed')
    await network.startNode(away)
    await network.ready()
    const others = network.miners.filter((name) => name !== away)
    await until(async () => (await outcomes()).get(away) === 'pass', {
      deadlineMs: 20_000,
      title: 'it has signed for longer',
    })
    await network.without(others, async () => {
      assert.ok(sameBytes(await readBack(client, stored.capability), bytes), 'what it held was not dropped')
    })
  })

  it('is not named for them, and stat says how many are left and can be lost still', async () => {
    const bytes = testBytes('lost', 3 * MIB)
    const { capability, holders } = await client.storage.put([bytes], { profile: 'copies' })
    const healthy = await client.storage.stat(capability)
    assert.deepEqual([healthy.health, healthy.weakest.live], ['healthy', 4])
    const victim = network.nameOf(holders[0]?.hotkey ?? '')
    await network.stopNode(victim)
    await ruin(network.dataPath(victim))
    await network.startNode(victim)
    await network.ready()
    // Somebody has to want them, for a miner to see it before its next scrub.
    await until(async () => (await outcomes()).get(victim) === 'fail', {
      deadlineMs: 20_000,
      title: 'the miner at its new address is asked for them',
    })
    await until(async () => (await client.storage.stat(capability)).weakest.live === 3, {
      deadlineMs: 20_000,
      title: 'the validator knows what is lost',
    })
    const { health, weakest, segmentHealth, holdersReachable, copies } = await client.storage.stat(capability)
    assert.deepEqual([health, weakest], ['degraded', { live: 3, n: 4, k: 1 }])
    assert.ok(holdersReachable >= 4, 'it answers all the same')
    assert.equal(segmentHealth[0]?.canLose, 2)
    assert.equal(
      segmentHealth.reduce((sum, { segments }) => sum + segments, 0),
      healthy.segments,
    )
    assert.ok(copies.held <= 4)
    const told = (await network.node('validator-0').miners()).map(({ capacity }) => capacity.lostChunks ?? 0)
    assert.ok(Math.max(...told) > 0)
    assert.ok(sameBytes(await readBack(client, capability), bytes))
  })

  for (const isPublic of [false, true]) {
    it(`has what is lost of a ${isPublic ? 'public' : 'private'} object placed anew by the same put, from another client`, async () => {
      const bytes = testBytes(`again ${isPublic}`, 3 * MIB)
      const journal = new KilledAtTheEnd()
      const options = { profile: 'copies', public: isPublic, journal } as const
      const first = await client.storage.put([bytes], options)
      const { ownerCapability, capability, holders } = first
      const unread = async function* () {
        assert.fail('nothing is lost: nothing is sent')
        yield new Uint8Array(0)
      }
      assert.equal((await client.storage.put(unread(), options)).sentBytes, first.sentBytes)
      const victim = network.nameOf(holders[0]?.hotkey ?? '')
      await network.stopNode(victim)
      await ruin(network.dataPath(victim))
      await network.startNode(victim)
      await network.ready()
      await until(async () => (await outcomes()).get(victim) === 'fail', { deadlineMs: 20_000 })
      const live = async () => (await client.storage.stat(capability)).weakest.live
      await until(async () => (await outcomes()).get(victim) === undefined && (await live()) === 3, {
        deadlineMs: 30_000,
        title: 'the miner has told of all that is lost',
      })
      const other = await network.client()
      const again = await other.storage.put([bytes], options)
      assert.deepEqual([again.capability, again.resumed], [capability, true])
      assert.ok(again.reusedBytes >= 3 * 3 * MIB, 'the others are sent nothing')
      assert.equal(await live(), 4)
      await until(async () => (await outcomes()).get(victim) === 'pass', { deadlineMs: 20_000 })
      const others = network.miners.filter((name) => name !== victim)
      await network.without(others, async () => {
        assert.ok(sameBytes(await readBack(other, capability), bytes), 'it has all of it again')
      })
      await client.storage.release(ownerCapability)
    })
  }

  async function outcomes(): Promise<Map<string, string>> {
    const reports = await network.node('validator-0').audit()
    return new Map(reports.map(({ miner, outcome }) => [network.nameOf(miner), outcome]))
  }
})

describe('a put whose validator loses its permit on the way', function () {
  this.timeout(60_000)
  const bytes = testBytes('permit', 3 * MIB)

  /** Two of three validators have a permit; the one that has placed the object loses it when half of it is read. */
  async function put(isRepeatable: boolean): Promise<{ stored: PutResult; placing: string }> {
    await using network = await LocalNetwork.start({ miners: 5, validators: 3, permits: 2 })
    const client = await network.client()
    const journal = new Memory()
    let placing = ''
    async function* pieces() {
      yield bytes.subarray(0, 2 * MIB)
      const { validator } = journal.record ?? assert.fail('the put is written down')
      if (placing === '') {
        placing = network.nameOf(toSs58(validator))
        for (const name of network.validators) if (name !== placing) await network.stake(name, 5)
        await until(async () => client.subnet.view.member(validator)?.validatorPermit === false, {
          deadlineMs: 30_000,
          title: 'the permit is gone',
        })
      }
      yield bytes.subarray(2 * MIB)
    }
    const stored = await client.storage.put(isRepeatable ? pieces : pieces(), { profile: 'copies', journal })
    assert.notEqual(network.nameOf(toSs58(journal.record?.validator ?? new Uint8Array(32))), placing)
    assert.ok(sameBytes(await readBack(client, stored.capability), bytes))
    return { stored, placing }
  }

  it('goes on at another one, if the bytes can be read again', async () => {
    const { stored } = await put(true)
    assert.ok(stored.validatorsTried >= 1)
    assert.equal(stored.weakestReceipts, 4)
  })

  it('says what has happened and what to do, if they cannot', async () => {
    await assert.rejects(put(false), (error) => {
      assert.ok(isSubnetError(error, 'REFUSED') && error.retryable)
      assert.match(error.message, /the validator \w+, which placed .* lost its permit; put it again/)
      return true
    })
  })
})

/** Overwrites every body of a miner: what a failing disk gives back. */
async function ruin(path: string): Promise<void> {
  let ruined = 0
  for (const file of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!file.isFile() || !file.parentPath.endsWith('bodies')) continue
    const name = join(file.parentPath, file.name)
    await writeFile(name, (await readFile(name)).fill(0xff))
    ruined += 1
  }
  assert.ok(ruined > 0, 'there are bodies')
}
