import assert from 'node:assert/strict'
import { CHALLENGE_SAMPLES, type Challenge } from '../../../../protocols/challenge/messages.js'
import { type ChallengeHandler, serveChallenge } from '../../../../protocols/challenge/server.js'
import type { LeaseEntry } from '../../../../protocols/lease/lease.js'
import { SubnetError } from '../../../../src/base/errors.js'
import { silentLogger } from '../../../../src/base/log.js'
import { seededRandom } from '../../../../src/base/random.js'
import type { Member } from '../../../../src/chain/subnet-view.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { LEAF_BYTES } from '../../../../src/crypto/merkle.js'
import { Prover } from '../../../../src/roles/miner/prover.js'
import { Auditor } from '../../../../src/roles/validator/auditor.js'
import { Ledger } from '../../../../src/roles/validator/ledger.js'
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
    const random = seededRandom('audit')
    auditor = new Auditor({ sessions, clock, ledger, view: subnet.view, random }, TEST_DOMAIN)
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
    const name = testId(32, object)
    const { signer } = MINER(miner)
    const terms = { object: name, validator: testHotkey(100).signer.publicKey, endBlock }
    const signed = testLease(signer, chunks.map(entryOf), terms)
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
    assert.equal(await ledger.markLost(MINER(0).address, [last.digest, testId(32, 1)], 2), 1)
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
