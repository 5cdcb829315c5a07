import assert from 'node:assert/strict'
import { DAG_SEGMENT } from '../../../protocols/lease/lease.js'
import type { PackedLease } from '../../../protocols/lease/packed-lease.js'
import type { CommitBody, Committed, PlaceBody, Placed } from '../../../protocols/order/messages.js'
import type { ErrorCode } from '../../../src/base/errors.js'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { GIB, KIB } from '../../../src/base/units.js'
import { inlineCoding } from '../../../src/coding/inline-coding.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { cryptoReady } from '../../../src/crypto/keys.js'
import { rawCid } from '../../../src/redundancy/file-dag.js'
import { type ObjectClass, segmentAt, segmentSize } from '../../../src/redundancy/layout.js'
import { openInline, parseManifestRoot } from '../../../src/redundancy/manifest.js'
import { CHUNK_SIZE, PROFILES, type Profile } from '../../../src/redundancy/profiles.js'
import { decodeSegment } from '../../../src/redundancy/segment.js'
import { type CheckedCommit, checkCommit } from '../../../src/roles/validator/commit-check.js'
import { type UploadOptions, type UploadProgress, upload } from '../../../src/transfer/upload.js'
import type { UploadReport } from '../../../src/transfer/upload-report.js'
import { testHotkey } from '../../kit/chain-keys.js'
import { turn } from '../../kit/fake-clock.js'
import { type ScriptedMiner, STORE_VALIDATOR, StorePeers } from '../../kit/store-peers.js'
import { testId } from '../../kit/test-chunk.js'
import { TEST_DOMAIN } from '../../kit/test-subnet.js'
import { until } from '../../kit/until.js'
import { verifiedChunk } from '../../kit/verified-chunk.js'

const coded = (code: ErrorCode) => (error: unknown) => isSubnetError(error, code)
const objectKey = testId(32, 5)
/** Any 1 of 4 chunks, all four of which must be kept; so must four copies of the manifest. */
const COPIES = PROFILES.copies

function bytesOf(sizeBytes: number): Uint8Array {
  return new Uint8Array(sizeBytes).map((_, i) => i % 253)
}

async function* inPieces(bytes: Uint8Array, pieceBytes = 300_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

/** A validator that offers all miners, and judges a commit as a real one does. */
class FakeOrders {
  readonly placed: PlaceBody[] = []
  readonly committed: CheckedCommit[] = []
  nodes: readonly Uint8Array[] = []
  leases: readonly PackedLease[] = []
  refusal: Error | undefined
  /** What the next commits are refused with, in turn. */
  commitRefusals: Error[] = []
  readonly #peers: StorePeers

  constructor(peers: StorePeers) {
    this.#peers = peers
  }

  async place(_validator: unknown, body: PlaceBody): Promise<Placed> {
    this.placed.push(body)
    if (this.refusal !== undefined) throw this.refusal
    const candidates = this.#peers.offer(this.#peers.authority.block + 999)
    return { type: 'placed', seed: testId(32, 6), candidates, leaseEndBlock: 500, warning: 'a small network' }
  }

  async commit(
    _validator: unknown,
    body: Omit<CommitBody, 'nodes' | 'leases'>,
    parts: { readonly nodes: readonly Uint8Array[]; readonly leases: readonly PackedLease[] },
  ): Promise<Committed> {
    const refused = this.commitRefusals.shift()
    if (refused !== undefined) throw refused
    const { nodes, leases } = parts
    const groups = this.#peers.candidates.map(
      ({ group }, miner) => [testHotkey(miner).address, group] as const,
    )
    const whole = { ...body, nodes: nodes.map(({ length }) => length), leases: leases.length }
    const validator = testHotkey(STORE_VALIDATOR).signer.publicKey
    const check = { domain: TEST_DOMAIN, validator, block: 1, groups: new Map(groups) }
    const checked = checkCommit({ body: whole, nodes, leases }, check)
    this.committed.push(checked)
    this.nodes = nodes
    this.leases = leases
    const { weakestReceipts, fullReceipts } = checked
    return { type: 'committed', countersignatures: [], weakestReceipts, fullReceipts }
  }
}

function setUp(miners = 6) {
  const peers = new StorePeers(miners)
  const orders = new FakeOrders(peers)
  const progress: UploadProgress[] = []
  const put = (
    source: AsyncIterable<Uint8Array>,
    options: UploadOptions = {},
    resumes = false,
    sizeBytes: number | undefined = undefined,
    profile: Profile = COPIES,
    objectClass: ObjectClass = 'private',
  ): Promise<UploadReport> =>
    upload(
      source,
      {
        domain: TEST_DOMAIN,
        validator: {
          peerId: 'validator',
          addresses: [],
          hotkey: testHotkey(STORE_VALIDATOR).signer.publicKey,
        },
        profile,
        class: objectClass,
        objectKey,
        ...(sizeBytes === undefined ? {} : { sizeBytes }),
        leaseBlocks: 100,
        createdUnixSeconds: 1,
        put: testId(16, 7),
        resumes,
      },
      { ...peers.components, orders, authority: peers.authority, coding: inlineCoding },
      { onProgress: (each) => progress.push(each), ...options },
    )
  const kept = () => peers.miners.map((miner) => miner.kept.length)
  return {
    peers,
    orders,
    put,
    progress,
    kept,
    miner: (number: number) => peers.miners[number] as ScriptedMiner,
  }
}

/** The plaintext, from what the miners keep alone. */
function readBack({ peers, orders }: ReturnType<typeof setUp>): Uint8Array {
  const [root = new Uint8Array(0)] = orders.nodes
  const manifest = parseManifestRoot(root)
  if (manifest.content.kind === 'inline') return openInline(manifest, objectKey)
  assert.ok(manifest.content.kind === 'segments')
  const bodies = new Map<string, Uint8Array>()
  for (const chunk of peers.miners.flatMap((miner) => miner.kept)) {
    bodies.set(Buffer.from(chunk.digest).toString('hex'), Buffer.concat(chunk.body))
  }
  const plaintexts = manifest.content.segments.flatMap((entry, index) => {
    const chunks = entry.chunks.map((reference) => {
      const body = bodies.get(Buffer.from(reference.digest).toString('hex'))
      return body && verifiedChunk(reference, Uint8Array.from(body))
    })
    return decodeSegment({ shape: segmentAt(manifest, index), entry, chunks }, objectKey)
  })
  return Uint8Array.from(Buffer.concat(plaintexts))
}

describe('upload', () => {
  before(cryptoReady)

  it('sends a small object as copies of its manifest alone', async () => {
    const set = setUp()
    const bytes = bytesOf(64 * KIB)
    const report = await set.put(inPieces(bytes))
    assert.equal(
      set.kept().reduce((sum, count) => sum + count, 0),
      4,
    )
    assert.deepEqual([report.segments, report.sizeBytes, report.endBlock], [0, bytes.length, 500])
    assert.deepEqual([report.weakestReceipts, report.fullReceipts], [4, 4])
    assert.equal(report.warning, 'a small network')
    assert.ok(report.holders.every(({ chunks, holdsManifest }) => chunks === 1 && holdsManifest))
    assert.equal(report.storedBytes, 4 * (set.orders.nodes[0]?.length ?? 0))
    assert.deepEqual(readBack(set), bytes)
    assert.deepEqual(set.progress, [])
  })

  it('stores the empty object', async () => {
    const set = setUp()
    assert.equal((await set.put(inPieces(new Uint8Array(0)))).sizeBytes, 0)
    assert.deepEqual(readBack(set), new Uint8Array(0))
  })

  it('stores a public leaf once at each holder, as a chunk and as the root of its file', async () => {
    const set = setUp()
    const bytes = bytesOf(1_000)
    const report = await set.put(inPieces(bytes), {}, false, undefined, COPIES, 'public')
    assert.equal(report.fileCid, rawCid(sha256(bytes)).toString())
    const kept = set.peers.miners.map(
      (miner) => miner.kept.filter(({ sizeBytes }) => sizeBytes === 1_000).length,
    )
    assert.deepEqual(kept.toSorted(), [0, 0, 1, 1, 1, 1], 'four miners have it, and none was sent it twice')
    const manifestBytes = set.orders.nodes[0]?.length ?? 0
    assert.equal(report.sentBytes, 4 * (1_000 + manifestBytes))
    assert.equal(report.storedBytes, report.sentBytes)
    assert.equal(report.reusedBytes, 0)
    const named = set.orders.leases.map(({ entries }) => [...entries].map(([, , , segment]) => segment))
    for (const segments of named) assert.equal(segments.includes(DAG_SEGMENT), segments.includes(0))
  })

  it('stores the empty public object as its manifest alone', async () => {
    const set = setUp()
    const report = await set.put(inPieces(new Uint8Array(0)), {}, false, undefined, COPIES, 'public')
    assert.deepEqual([report.sizeBytes, report.segments], [0, 0])
    assert.equal(report.fileCid, rawCid(sha256(new Uint8Array(0))).toString())
    assert.equal(
      set.kept().reduce((sum, count) => sum + count, 0),
      4,
    )
  })

  it('leases equal chunks of a public object each at its place, and keeps the manifest without a key', async () => {
    const set = setUp()
    const zeros = new Uint8Array(5 * CHUNK_SIZE)
    const report = await set.put(inPieces(zeros), {}, false, undefined, COPIES, 'public')
    assert.deepEqual([report.segments, report.weakestReceipts], [5, 4])
    const places = set.orders.leases.flatMap(({ entries }) =>
      [...entries]
        .filter(([, , , segment]) => segment >= 0)
        .map(([, , , segment, index]) => `${segment}/${index}`),
    )
    assert.equal(new Set(places).size, 5 * 4)
    const bodies = set.peers.miners.map(
      (miner) => new Set(miner.kept.map(({ digest }) => digest.join())).size,
    )
    assert.ok(report.holders.every(({ chunks }) => chunks <= Math.max(...bodies)))
    const { manifest } = set.orders.committed.at(-1) as CheckedCommit
    assert.deepEqual([manifest.class, manifest.maskCommitment], ['public', undefined])
  })

  it('cuts, spreads and commits a large one, and the miners can give it back', async () => {
    const set = setUp()
    const bytes = bytesOf(2 * segmentSize('private', 1) + 70_000)
    const report = await set.put(inPieces(bytes))
    assert.deepEqual([report.segments, report.sizeBytes, report.retries], [3, bytes.length, 0])
    assert.equal(
      set.kept().reduce((sum, count) => sum + count, 0),
      3 * 4 + 4,
    )
    assert.equal(
      report.holders.reduce((sum, { chunks }) => sum + chunks, 0),
      3 * 4 + 4,
    )
    assert.equal(report.holders.filter(({ holdsManifest }) => holdsManifest).length, 4)
    assert.deepEqual(readBack(set), bytes)
    assert.deepEqual(
      set.progress.map(({ doneBytes }) => doneBytes).at(-1),
      bytes.length,
      'progress ends with the whole object',
    )
    const done = set.progress.map(({ doneBytes }) => doneBytes)
    assert.deepEqual(
      done,
      [...done].sort((a, b) => a - b),
    )
  })

  it('makes a segment of the first byte beyond what lies inline', async () => {
    const set = setUp()
    assert.equal((await set.put(inPieces(bytesOf(64 * KIB + 1)))).segments, 1)
  })

  it('goes on with spares when miners are down', async () => {
    const set = setUp()
    set.peers.mesh.set('peer 0', 'down')
    set.peers.mesh.set('peer 1', 'down')
    const bytes = bytesOf(3 * segmentSize('private', 1))
    const report = await set.put(inPieces(bytes))
    assert.ok(report.retries > 0)
    assert.equal(report.holders.length, 4)
    assert.deepEqual(readBack(set), bytes)
  })

  it('does not count what a miner kept before it went down: it signs nothing any more', async () => {
    const set = setUp()
    async function* source() {
      yield bytesOf(segmentSize('private', 1) + 1)
      while (set.progress.length === 0) await turn()
      const holder = set.kept().findIndex((count) => count > 0)
      set.peers.mesh.set(`peer ${holder}`, 'down')
      yield bytesOf(100_000)
    }
    await assert.rejects(set.put(source()), coded('NOT_DURABLE'))
    assert.deepEqual(set.orders.committed, [])
  })

  it('is NOT_DURABLE when too few miners keep a segment, commits nothing and resets its streams', async () => {
    const set = setUp()
    for (const number of [0, 1, 2]) set.peers.mesh.set(`peer ${number}`, 'down')
    await assert.rejects(set.put(inPieces(bytesOf(100_000))), (error) => {
      assert.ok(isSubnetError(error, 'NOT_DURABLE') && error.retryable)
      assert.equal(error.message, 'segment 0: 3 miners keep it, 4 are needed')
      assert.deepEqual(error.data, { kept: 3, quorum: 4 })
      return isSubnetError(error.cause, 'DISCONNECTED')
    })
    assert.deepEqual(set.orders.committed, [])
  })

  it('is NOT_DURABLE when too few keep the manifest', async () => {
    const set = setUp(4)
    set.miner(2).refusals = [new SubnetError('NO_SPACE', 'full')]
    await assert.rejects(set.put(inPieces(bytesOf(10))), (error) => {
      return (
        isSubnetError(error, 'NOT_DURABLE') &&
        error.message === 'the manifest: 3 miners keep it, 4 are needed'
      )
    })
  })

  it('commits without a miner that does not sign, and leaves the judgement to the validator', async () => {
    const set = setUp()
    const [holder] = (await setUp().put(inPieces(bytesOf(10)))).holders
    const number = Number(holder?.peerId.split(' ')[1])
    set.miner(number).leaseRefusal = new SubnetError('NOT_FOUND', 'not held')
    await assert.rejects(set.put(inPieces(bytesOf(10))), coded('NOT_DURABLE'))
    assert.deepEqual(set.orders.committed, [])
  })

  it('waits for a miner that is busy', async () => {
    const set = setUp(4)
    set.miner(1).refusals = [new SubnetError('BUSY', 'later', { data: { retryAfterMs: 100 } })]
    const putting = set.put(inPieces(bytesOf(10)))
    await set.peers.clock.advance(200)
    assert.equal((await putting).retries, 1)
  })

  it('reads nothing of the source when it is not placed', async () => {
    const set = setUp()
    set.orders.refusal = new SubnetError('TOO_FEW_PEERS', 'no')
    let read = false
    async function* source() {
      read = true
      yield bytesOf(10)
    }
    await assert.rejects(set.put(source()), coded('TOO_FEW_PEERS'))
    assert.equal(read, false)
  })

  it("fails with the source's own failure and commits nothing", async () => {
    const set = setUp()
    async function* torn() {
      yield bytesOf(200_000)
      throw new Error('the pipe broke')
    }
    await assert.rejects(set.put(torn()), /the pipe broke/)
    assert.deepEqual(set.orders.committed, [])
  })

  it('ends with the reason of an abort, also while the source has nothing to give', async () => {
    const set = setUp()
    const stop = new AbortController()
    async function* stalls() {
      yield bytesOf(200_000)
      await new Promise(() => undefined)
    }
    const putting = set.put(stalls(), { signal: stop.signal })
    putting.catch(() => undefined)
    await turn()
    stop.abort(new Error('changed my mind'))
    await assert.rejects(putting, /changed my mind/)
    assert.deepEqual(set.orders.committed, [])
  })

  it('tells the validator size and lease only as far as it knows', async () => {
    const set = setUp()
    await set.put(inPieces(bytesOf(10)))
    const [body] = set.orders.placed
    assert.deepEqual({ ...body, put: undefined }, { profile: 'copies', leaseBlocks: 100, put: undefined })
    assert.equal(body?.put.length, 16)
  })

  it('sends only what is missing when it is run again', async () => {
    const set = setUp()
    const bytes = bytesOf(2 * segmentSize('private', 1) + 70_000)
    const stop = new AbortController()
    const onProgress = ({ doneBytes }: UploadProgress) => doneBytes > 0 && stop.abort(new Error('killed'))
    await assert.rejects(set.put(inPieces(bytes), { signal: stop.signal, onProgress }), /killed/)
    const keptBefore = set.peers.miners
      .flatMap((miner) => miner.kept)
      .reduce((sum, each) => sum + each.sizeBytes, 0)
    assert.ok(keptBefore > 0)
    const report = await set.put(inPieces(bytes), {}, true)
    assert.equal(report.reusedBytes, keptBefore)
    assert.equal(report.sentBytes + report.reusedBytes, report.storedBytes)
    assert.deepEqual(readBack(set), bytes)
  })

  it('is not held up by a miner that takes a chunk and says nothing', async () => {
    const set = setUp(8)
    const bytes = bytesOf(segmentSize('private', 1))
    set.miner(2).hold()
    const putting = set.put(inPieces(bytes))
    let over = false
    putting.finally(() => {
      over = true
    })
    for (let seconds = 0; !over && seconds < 60; seconds += 1) await set.peers.clock.advance(1_000)
    const report = await putting
    assert.equal(report.weakestReceipts, 4)
    assert.equal(set.miner(2).kept.length, 0)
    assert.deepEqual(readBack(set), bytes)
    set.miner(2).release()
  })

  describe('that takes longer than an order lasts', () => {
    const bytes = bytesOf(2 * segmentSize('private', 1) + 1)

    /** Gives the first segment, then the rest when `when` says so. */
    async function* slowly(set: ReturnType<typeof setUp>, when: () => Promise<void>) {
      const first = segmentSize('private', 1) + 1
      yield bytes.subarray(0, first)
      while (set.progress.length === 0) await turn()
      await when()
      yield bytes.subarray(first)
    }

    it('has its orders renewed, and what is kept is kept for longer', async () => {
      const set = setUp()
      const { authority, clock } = set.peers
      const report = await set.put(
        slowly(set, async () => {
          authority.block = 501
          await clock.advance(5_000)
          await until(() => set.peers.miners.some((miner) => miner.asked > 0 && miner.extended > 0), {
            title: 'miners were told to keep what they have',
            deadlineMs: 5_000,
          })
          // The first orders are over.
          authority.block = 1_100
        }),
      )
      assert.equal(set.orders.placed.length, 2)
      assert.deepEqual(set.orders.placed[1], { ...set.orders.placed[0], continues: true })
      assert.equal(report.weakestReceipts, 4)
      assert.equal(report.retries, 0)
      assert.deepEqual(readBack(set), bytes)
    })

    it('does not ask before half of their life is over', async () => {
      const set = setUp()
      const { authority, clock } = set.peers
      await set.put(
        slowly(set, async () => {
          authority.block = 499
          await clock.advance(60_000)
        }),
      )
      assert.equal(set.orders.placed.length, 1)
    })

    it('ends when the validator renews none before they are over, and says that it is lost', async () => {
      const set = setUp()
      const { authority, clock } = set.peers
      const putting = set.put(
        slowly(set, async () => {
          set.orders.refusal = new SubnetError('DISCONNECTED', 'gone')
          authority.block = 900
          await clock.advance(5_000)
          authority.block = 1_001
          await clock.advance(5_000)
          await new Promise(() => undefined)
        }),
      )
      await assert.rejects(putting, (error) => {
        assert.ok(isSubnetError(error, 'DISCONNECTED'))
        return error.data.lostValidator === testHotkey(STORE_VALIDATOR).address
      })
      assert.equal(set.orders.placed.length, 3)
      assert.equal(clock.pendingTimers, 0)
    })

    it('leases nothing of what a miner has lost meanwhile', async () => {
      const set = setUp(8)
      const { authority, clock } = set.peers
      const putting = set.put(
        slowly(set, async () => {
          const holder = set.peers.miners.find((miner) => miner.kept.length > 0)
          holder?.kept.splice(0)
          authority.block = 501
          await clock.advance(5_000)
        }),
      )
      await assert.rejects(putting, coded('NOT_DURABLE'))
    })
  })

  it('asks a validator again for a minute that restarts when it should count the object', async () => {
    const set = setUp()
    set.orders.commitRefusals = [
      new SubnetError('DISCONNECTED', 'gone'),
      new SubnetError('BUSY', 'just started'),
    ]
    const putting = set.put(inPieces(bytesOf(10)))
    for (let i = 0; i < 5; i += 1) await set.peers.clock.advance(1_000)
    assert.equal((await putting).weakestReceipts, 4)
    assert.equal(set.orders.committed.length, 1)
  })

  it('says that its validator is lost when that counts nothing for a minute', async () => {
    const set = setUp()
    set.orders.commitRefusals = Array.from({ length: 99 }, () => new SubnetError('TIMEOUT', 'silent'))
    const putting = set.put(inPieces(bytesOf(10)))
    putting.catch(() => undefined)
    for (let i = 0; i < 61; i += 1) await set.peers.clock.advance(1_000)
    await assert.rejects(putting, (error) => isSubnetError(error, 'TIMEOUT') && 'lostValidator' in error.data)
  })

  it('refuses what the leases cannot name before it reads anything', async () => {
    const set = setUp()
    let read = false
    async function* source() {
      read = true
      yield bytesOf(10)
    }
    await assert.rejects(set.put(source(), {}, false, 2 ** 40), (error) => {
      assert.ok(isSubnetError(error, 'INVALID'))
      return Number(error.data.largestBytes) > 10 * GIB
    })
    assert.equal(read, false)
  })

  it('takes a miner back that failed on the way and is there again when leases are signed', async () => {
    const set = setUp(4)
    async function* source() {
      yield bytesOf(segmentSize('private', 1) + 1)
      while (set.progress.length === 0) await turn()
      set.miner(1).refusals = [new SubnetError('DISK', 'a moment')]
    }
    // Of four holders each is needed: without the second try there were three leases.
    const report = await set.put(source()).catch((error: unknown) => error)
    assert.ok(isSubnetError(report, 'NOT_DURABLE'), 'a chunk that it refused has no other holder')
    set.miner(1).refusals = []
    assert.equal((await set.put(inPieces(bytesOf(10)))).holders.length, 4)
  })

  it('reads the next segment when chunks of the one before are durable, not before there is memory', async () => {
    const set = setUp(30)
    let given = 0
    async function* source() {
      for (; given < 2; given += 1) yield bytesOf(segmentSize('private', 10))
    }
    for (const miner of set.peers.miners) miner.hold()
    const putting = set.put(source(), {}, false, undefined, PROFILES.high)
    await until(() => set.peers.miners.filter((miner) => miner.asked > 0).length === 30, {
      title: 'all chunks of the first segment are on their way',
      deadlineMs: 10_000,
    })
    // One segment is on its way, one piece is cut ahead: a second one would be 60 MiB.
    assert.equal(given, 1)
    for (const miner of set.peers.miners.slice(0, 12)) miner.release()
    await until(() => given > 1, { title: 'the second one is read', deadlineMs: 10_000 })
    assert.equal(set.progress.length, 0, 'the first one is not whole yet')
    for (const miner of set.peers.miners) miner.release()
    assert.equal((await putting).segments, 2)
  })
})
