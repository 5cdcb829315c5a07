import assert from 'node:assert/strict'
import { equals } from 'uint8arrays'
import { CHALLENGE_SAMPLES, type Challenge } from '../../../../protocols/challenge/messages.js'
import { type ChallengeHandler, serveChallenge } from '../../../../protocols/challenge/server.js'
import type { LeaseEntry } from '../../../../protocols/lease/lease.js'
import { SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import { MIB } from '../../../../src/base/units.js'
import type { Member } from '../../../../src/chain/subnet-view.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { LEAF_BYTES } from '../../../../src/crypto/merkle.js'
import { Prover } from '../../../../src/roles/miner/prover.js'
import { Auditor, type AuditorComponents } from '../../../../src/roles/validator/auditor.js'
import { Ledger } from '../../../../src/roles/validator/ledger.js'
import { PAGE_ROWS } from '../../../../src/roles/validator/ledger-database.js'
import type { NewChunk } from '../../../../src/shard/shard.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { FakeClock } from '../../../kit/fake-clock.js'
import { MemoryPartition } from '../../../kit/memory-partition.js'
import { PeerMesh } from '../../../kit/peer-mesh.js'
import { type TempDir, tempDir } from '../../../kit/temp-dir.js'
import { testChunk, testId } from '../../../kit/test-chunk.js'
import { testDisk } from '../../../kit/test-disk.js'
import { testLease } from '../../../kit/test-object.js'
import { peerOf, TEST_DOMAIN, TestSubnet } from '../../../kit/test-subnet.js'

const MINER = testHotkey
/** 40 leaves: 1, 3 (the last one short), 16 and 20. */
const CHUNKS = [100, 2 * LEAF_BYTES + 1, 16 * LEAF_BYTES, 20 * LEAF_BYTES].map((size, seed) =>
  testChunk(seed, size),
)
const LEAVES = 40

function entryOf(chunk: NewChunk, index: number): LeaseEntry {
  return [chunk.digest, chunk.auditRoot, chunk.sizeBytes, 0, index]
}

describe('Auditor', () => {
  let directory: TempDir
  let ledger: Ledger
  let subnet: TestSubnet
  let mesh: PeerMesh
  let auditor: Auditor
  let auditorOf: (ledger: AuditorComponents['ledger']) => Auditor
  const clock = new FakeClock()

  before(cryptoReady)
  beforeEach(async () => {
    directory = await tempDir()
    ledger = new Ledger(directory.path)
    await ledger.start()
    subnet = new TestSubnet()
    mesh = new PeerMesh()
    await subnet.set([{ key: MINER(0) }, { key: MINER(1), record: undefined }, { key: MINER(2) }], 10)
    const sessions = mesh.join({
      peerId: 'auditor',
      role: 'validator',
      key: testHotkey(100).signer.publicKey,
    })
    auditorOf = (counted) => {
      const random = seededRandom('audit')
      return new Auditor({ sessions, clock, ledger: counted, view: subnet.view, random }, TEST_DOMAIN)
    }
    auditor = auditorOf(ledger)
  })
  afterEach(async () => {
    await ledger.stop()
    await directory[Symbol.asyncDispose]()
  })

  /** The miner with this number leases these chunks under one object. */
  async function lease(
    miner: number,
    object: number,
    chunks: readonly NewChunk[],
    endBlock = 100,
  ): Promise<void> {
    await leaseEntries(miner, testId(32, object), chunks.map(entryOf), endBlock)
  }

  /** The miner leases chunks of these names, of a megabyte each. */
  async function leaseNamed(miner: number, digests: readonly Uint8Array[]): Promise<void> {
    const entries = digests.map((digest, index): LeaseEntry => [digest, testId(32, 9), MIB, 0, index])
    await leaseEntries(miner, testId(32, 500 + miner), entries, 100)
  }

  async function leaseEntries(
    miner: number,
    name: Uint8Array,
    entries: LeaseEntry[],
    endBlock: number,
  ): Promise<void> {
    const { signer } = MINER(miner)
    const terms = { object: name, validator: testHotkey(100).signer.publicKey, endBlock }
    const signed = testLease(signer, entries, terms)
    const row = {
      profile: 'small' as const,
      client: testId(32, 8),
      owner: testId(32, 7),
      nodes: [name],
      nodeHolders: [],
      segments: 0,
      miners: [signer.publicKey],
      minerBytes: [1],
      committedBlock: 1,
      endBlock,
    }
    await ledger.record({ object: name, row, segments: [], leases: [signed] })
  }

  function serve(miner: number, handler: ChallengeHandler): void {
    const { peerId } = peerOf(miner)
    const sessions = mesh.join({ peerId, role: 'miner', key: MINER(miner).signer.publicKey })
    serveChallenge({ sessions, clock, handler })
  }

  async function holding(miner: number, chunks: readonly NewChunk[]): Promise<void> {
    const shards = new MemoryPartition()
    const shard = await shards.open('v')
    for (const chunk of chunks) await shard.put(chunk)
    serve(
      miner,
      new Prover({ shards, signer: MINER(miner).signer, logger: silentLogger, ...testDisk() }, TEST_DOMAIN),
    )
  }

  function memberAt(miner: number): Member {
    const member = subnet.view.members()[miner]
    assert.ok(member)
    return member
  }

  it('passes a miner that proves every sample', async () => {
    await lease(0, 1, CHUNKS.slice(0, 2))
    await lease(0, 2, CHUNKS.slice(2))
    await holding(0, CHUNKS)
    const report = await auditor.auditMiner(memberAt(0))
    assert.deepEqual(report, {
      miner: MINER(0).address,
      outcome: 'pass',
      samples: CHALLENGE_SAMPLES,
      proven: CHALLENGE_SAMPLES,
      latencyMs: 0,
    })
  })

  it('fails a miner that lost a chunk, and says how much it proved', async () => {
    await lease(0, 1, CHUNKS)
    await holding(0, CHUNKS.slice(0, 3))
    const report = await auditor.auditMiner(memberAt(0))
    assert.equal(report?.outcome, 'fail')
    assert.ok(report.proven > 0 && report.proven < CHALLENGE_SAMPLES)
  })

  it('does not ask for what a miner has told to be lost, until it has signed for it anew', async () => {
    await lease(0, 1, CHUNKS)
    await holding(0, CHUNKS.slice(0, 3))
    const [first, , , last] = CHUNKS
    assert.ok(first && last)
    const told = { losses: [[1, last.digest] as const, [2, testId(32, 1)] as const], heard: 2, block: 10 }
    const since = await ledger.hearing(MINER(0).address)
    assert.equal(await ledger.markLost(MINER(0).address, told, since), 1)
    assert.equal((await auditor.auditMiner(memberAt(0)))?.outcome, 'pass')
    await lease(0, 2, [last])
    assert.equal((await auditor.auditMiner(memberAt(0)))?.outcome, 'fail')
  })

  it('fails a miner that holds nothing of what it leased', async () => {
    await lease(0, 1, CHUNKS)
    await holding(0, [])
    const report = await auditor.auditMiner(memberAt(0))
    assert.deepEqual([report?.outcome, report?.proven], ['fail', 0])
  })

  it('misses a miner that has published no address, is down, or refuses', async () => {
    await lease(1, 1, CHUNKS)
    assert.deepEqual(await auditor.auditMiner(memberAt(1)), {
      miner: MINER(1).address,
      outcome: 'missing',
      samples: CHALLENGE_SAMPLES,
      proven: 0,
      reason: 'no published address',
    })
    await lease(0, 2, CHUNKS)
    const down = await auditor.auditMiner(memberAt(0))
    assert.equal(down?.outcome, 'missing')
    assert.match(down.reason ?? '', /^DISCONNECTED: /)
    serve(0, {
      prove: async () => {
        throw new SubnetError('BUSY', 'later')
      },
    })
    const busy = await auditor.auditMiner(memberAt(0))
    assert.match(busy?.reason ?? '', /^BUSY: /)
  })

  it('misses an answer that the miner did not sign: it proves nothing against it either', async () => {
    await lease(0, 1, CHUNKS)
    const shards = new MemoryPartition()
    const shard = await shards.open('v')
    for (const chunk of CHUNKS) await shard.put(chunk)
    serve(
      0,
      new Prover({ shards, signer: MINER(2).signer, logger: silentLogger, ...testDisk() }, TEST_DOMAIN),
    )
    const report = await auditor.auditMiner(memberAt(0))
    assert.equal(report?.outcome, 'missing')
    assert.match(report.reason ?? '', /^BAD_SIGNATURE: /)
  })

  it('does not ask for what leases no longer cover', async () => {
    await lease(0, 1, CHUNKS.slice(0, 3), 10)
    assert.equal(await auditor.auditMiner(memberAt(0)), undefined)
    await lease(0, 2, CHUNKS.slice(3), 11)
    await holding(0, CHUNKS.slice(3))
    assert.equal((await auditor.auditMiner(memberAt(0)))?.outcome, 'pass')
  })

  it('asks for a chunk no more often because thousands of places name it', async () => {
    const [first, , shared] = CHUNKS
    assert.ok(first && shared)
    // One leaf, and one of 16 leaves in 400 places of two objects.
    await lease(0, 1, [first, ...Array.from({ length: 200 }, () => shared)])
    await lease(
      0,
      2,
      Array.from({ length: 200 }, () => shared),
    )
    let ofFirst = 0
    serve(0, {
      prove: async ({ samples }) => {
        ofFirst += samples.filter(([digest]) => equals(digest, first.digest)).length
        throw new SubnetError('BUSY', 'only counting')
      },
    })
    const rounds = 100
    for (let round = 0; round < rounds; round += 1) await auditor.auditMiner(memberAt(0))
    // One leaf of 17: 188 expected, with a deviation of 13. Counted by places it would be 0.5.
    assert.ok(Math.abs(ofFirst - (rounds * CHALLENGE_SAMPLES) / 17) < 60, `${ofFirst}`)
  })

  it('handles no more chunks in one turn of the event loop than a page has, of all miners together', async () => {
    const many = Array.from({ length: 3_000 }, (_, index) => index)
    for (const miner of [0, 1, 2])
      await leaseNamed(
        miner,
        many.map((index) => testId(32, miner * 10_000 + index)),
      )
    let turn = 0
    const inTurn = new Map<number, number>()
    const counting: AuditorComponents['ledger'] = {
      counts: (object, miner) => ledger.counts(object, miner),
      async *chunks(miner) {
        for await (const page of ledger.chunks(miner)) {
          inTurn.set(turn, (inTurn.get(turn) ?? 0) + page.length)
          yield page
        }
      },
    }
    let immediate = setImmediate(function tick() {
      turn += 1
      immediate = setImmediate(tick)
    })
    try {
      const reports = await auditorOf(counting).auditAll()
      assert.equal(reports.length, 3)
    } finally {
      clearImmediate(immediate)
    }
    assert.equal(
      [...inTurn.values()].reduce((sum, rows) => sum + rows, 0),
      9_000,
    )
    assert.ok(Math.max(...inTurn.values()) <= PAGE_ROWS, `${Math.max(...inTurn.values())} in one turn`)
  })

  it('reports on those that hold something and on nobody else', async () => {
    await lease(0, 1, CHUNKS)
    await lease(1, 2, CHUNKS)
    await holding(0, CHUNKS)
    const reports = await auditor.auditAll()
    assert.deepEqual(
      reports.map(({ miner, outcome }) => [miner, outcome]),
      [
        [MINER(0).address, 'pass'],
        [MINER(1).address, 'missing'],
      ],
    )
  })

  it('ends with the reason it is aborted with', async () => {
    await lease(0, 1, CHUNKS)
    const stop = new AbortController()
    serve(0, {
      prove: async () => {
        stop.abort(new Error('enough'))
        throw new SubnetError('BUSY', 'later')
      },
    })
    await assert.rejects(auditor.auditMiner(memberAt(0), { signal: stop.signal }), /enough/)
  })

  it('draws every leaf of all leases with the same chance, and asks anew each time', async () => {
    await lease(0, 1, CHUNKS.slice(0, 2))
    await lease(0, 2, CHUNKS.slice(2))
    const asked: Challenge[] = []
    serve(0, {
      prove: async (challenge) => {
        asked.push(challenge)
        throw new SubnetError('BUSY', 'only counting')
      },
    })
    const rounds = 250
    for (let round = 0; round < rounds; round += 1) await auditor.auditMiner(memberAt(0))
    const drawn = new Map<string, number>()
    for (const { samples } of asked) {
      assert.equal(samples.length, CHALLENGE_SAMPLES)
      for (const [digest, leaf] of samples) {
        const name = `${Buffer.from(digest).toString('hex')} ${leaf}`
        drawn.set(name, (drawn.get(name) ?? 0) + 1)
      }
    }
    assert.equal(drawn.size, LEAVES, 'every leaf was drawn, and none that is not there')
    const expected = (rounds * CHALLENGE_SAMPLES) / LEAVES
    const chiSquare = [...drawn.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 39 degrees of freedom: a fair draw is above it once in 10,000 times, and the seed is fixed.
    assert.ok(chiSquare < 80, `chi-square ${chiSquare}`)
    assert.equal(new Set(asked.map(({ nonce }) => Buffer.from(nonce).toString('hex'))).size, rounds)
  })
})
