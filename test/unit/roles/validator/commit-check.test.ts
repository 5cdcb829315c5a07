import assert from 'node:assert/strict'
import { decode, encode } from '@ipld/dag-cbor'
import { DAG_SEGMENT, type LeaseEntry, MANIFEST_SEGMENT } from '../../../../protocols/lease/lease.js'
import { packLease } from '../../../../protocols/lease/packed-lease.js'
import type { CommitRequest } from '../../../../protocols/order/server.js'
import type { ErrorCode, SubnetError } from '../../../../src/base/errors.js'
import { isSubnetError } from '../../../../src/base/errors.js'
import { MIB } from '../../../../src/base/units.js'
import { cryptoReady } from '../../../../src/crypto/keys.js'
import { dagPbCid } from '../../../../src/redundancy/file-dag.js'
import { segmentSize } from '../../../../src/redundancy/layout.js'
import { parseManifestRoot, signedBytes } from '../../../../src/redundancy/manifest.js'
import { objectSigner } from '../../../../src/redundancy/manifest-builder.js'
import { maskRootOf } from '../../../../src/redundancy/mask.js'
import { CHUNK_SIZE } from '../../../../src/redundancy/profiles.js'
import type { CommitCheck } from '../../../../src/roles/validator/commit-check.js'
import { checkCommit } from '../../../../src/roles/validator/commit-check.js'
import { testHotkey } from '../../../kit/chain-keys.js'
import { testId } from '../../../kit/test-chunk.js'
import {
  chunkEntry,
  dagEntry,
  spreadOver,
  type TestLeaseTerms,
  type TestObject,
  testLease,
  testObject,
} from '../../../kit/test-object.js'
import { TEST_DOMAIN } from '../../../kit/test-subnet.js'

const MINERS = 10
/** One full segment of 10 chunks, quorum 9, and a last one of 7 with one data chunk, quorum 6. At most 2 per group. */
let SMALL: TestObject
let INLINE: TestObject

const validator = () => testHotkey(100).signer
const minerKey = (miner: number) => testHotkey(miner)

/** Miner i is of the group `groupOf(i)`. */
function checkOf(groupOf = (miner: number) => `g${miner}`): CommitCheck {
  const groups = Array.from(
    { length: MINERS },
    (_, miner) => [minerKey(miner).address, groupOf(miner)] as const,
  )
  return { domain: TEST_DOMAIN, validator: validator().publicKey, block: 5, groups: new Map(groups) }
}

/** A commit of these entries by miner; miners without any send no lease. */
function commitOf(
  object: TestObject,
  entries: readonly (readonly LeaseEntry[])[] = spreadOver(object, MINERS),
  terms: Partial<TestLeaseTerms> = {},
): Omit<CommitRequest, 'sender'> {
  const leases = entries.flatMap((own, miner) => {
    const full = { object: object.address, validator: validator().publicKey, ...terms }
    return own.length === 0 ? [] : [packLease(testLease(minerKey(miner).signer, own, full))]
  })
  const body = {
    object: object.address,
    profile: object.profile,
    ...(object.dagNodes.length === 0 ? { maskRoot: maskRootOf(object.objectKey) } : {}),
    nodes: object.nodes.map(({ length }) => length),
    leases: leases.length,
  }
  return { body, nodes: object.nodes, leases }
}

/** The entries without those that `drop` names. */
function without(
  entries: readonly (readonly LeaseEntry[])[],
  drop: (segment: number, index: number, miner: number) => boolean,
): LeaseEntry[][] {
  return entries.map((own, miner) => own.filter(([, , , segment, index]) => !drop(segment, index, miner)))
}

function refuses(
  commit: Omit<CommitRequest, 'sender'>,
  code: ErrorCode,
  text: RegExp,
  check = checkOf(),
): SubnetError {
  let thrown: unknown
  try {
    checkCommit(commit, check)
  } catch (error) {
    thrown = error
  }
  assert.ok(isSubnetError(thrown, code), `${code}, not ${String(thrown)}`)
  assert.match(thrown.message, text)
  return thrown
}

before(async () => {
  await cryptoReady()
  SMALL = testObject('small', segmentSize('private', 4) + 1_000)
  INLINE = testObject('small', 100)
})

describe('checkCommit: what counts', () => {
  it('names the holders of every chunk and node, and the weakest segment', () => {
    const checked = checkCommit(commitOf(SMALL), checkOf())
    assert.deepEqual(checked.manifest.address, SMALL.address)
    assert.deepEqual(checked.nodeHolders, [Array.from({ length: MINERS }, (_, miner) => miner)])
    assert.deepEqual(
      [...checked.segments][0],
      Array.from({ length: 10 }, (_, chunk) => [chunk]),
    )
    assert.deepEqual(
      [...checked.segments][1],
      Array.from({ length: 7 }, (_, chunk) => [chunk + 1]),
    )
    assert.deepEqual([checked.weakestReceipts, checked.fullReceipts], [10, 10])
  })

  it('takes a segment exactly at its quorum and refuses it one below', () => {
    const all = spreadOver(SMALL, MINERS)
    const checked = checkCommit(
      commitOf(
        SMALL,
        without(all, (s, i) => s === 0 && i === 3),
      ),
      checkOf(),
    )
    assert.deepEqual([checked.weakestReceipts, checked.fullReceipts], [9, 10])
    const below = commitOf(
      SMALL,
      without(all, (s, i) => s === 0 && i < 2),
    )
    const { data } = refuses(below, 'NOT_DURABLE', /segment 0 has 8 receipts that count, 9 are needed/)
    assert.deepEqual(data, { segment: 0, receipts: 8, needed: 9 })
  })

  it('takes a shrunken last segment at its own quorum and refuses it one below', () => {
    const all = spreadOver(SMALL, MINERS)
    const checked = checkCommit(
      commitOf(
        SMALL,
        without(all, (s, i) => s === 1 && i === 0),
      ),
      checkOf(),
    )
    assert.deepEqual([checked.weakestReceipts, checked.fullReceipts], [6, 7])
    const below = commitOf(
      SMALL,
      without(all, (s, i) => s === 1 && i < 2),
    )
    refuses(below, 'NOT_DURABLE', /segment 1 has 5 receipts that count, 6 are needed/)
  })

  it('counts no more chunks of a group than the cap', () => {
    // Groups of two hold two each: all 10 count. With three in one, one of them does not.
    assert.equal(
      checkCommit(
        commitOf(SMALL),
        checkOf((miner) => `g${miner >> 1}`),
      ).weakestReceipts,
      10,
    )
    const three = (miner: number) => (miner < 3 ? 'one' : `g${miner}`)
    assert.equal(checkCommit(commitOf(SMALL), checkOf(three)).weakestReceipts, 9)
    const four = (miner: number) => (miner < 4 ? 'one' : `g${miner}`)
    refuses(commitOf(SMALL), 'NOT_DURABLE', /segment 0 has 8 receipts/, checkOf(four))
  })

  it('counts a chunk for another holder of it when the first one is of a full group', () => {
    const three = (miner: number) => (miner < 3 ? 'one' : `g${miner}`)
    const entries = spreadOver(SMALL, MINERS)
    entries[9]?.push(chunkEntry(SMALL, 0, 2))
    const checked = checkCommit(commitOf(SMALL, entries), checkOf(three))
    assert.deepEqual([...checked.segments][0]?.[2], [2, 9])
    assert.equal(checked.weakestReceipts, 10)
  })

  it('counts a miner that holds two chunks of a segment as long as the cap allows', () => {
    const entries = without(spreadOver(SMALL, MINERS), (segment, index) => segment === 0 && index < 2)
    entries[9]?.push(chunkEntry(SMALL, 0, 0))
    assert.equal(checkCommit(commitOf(SMALL, entries), checkOf()).weakestReceipts, 9)
    entries[9]?.push(chunkEntry(SMALL, 0, 1))
    assert.equal(
      checkCommit(commitOf(SMALL, entries), checkOf()).weakestReceipts,
      9,
      'the third is over the cap',
    )
  })

  it('counts a chunk named twice in a lease once', () => {
    const entries = spreadOver(SMALL, MINERS)
    entries[0]?.push(chunkEntry(SMALL, 0, 0))
    const { segments } = checkCommit(commitOf(SMALL, entries), checkOf())
    assert.deepEqual([...segments][0]?.[0], [0])
  })

  it('takes an object inside its manifest at the quorum of copies and refuses it one below', () => {
    const all = spreadOver(INLINE, MINERS)
    const checked = checkCommit(
      commitOf(
        INLINE,
        without(all, (_s, _i, miner) => miner >= 5),
      ),
      checkOf(),
    )
    assert.deepEqual([checked.weakestReceipts, checked.fullReceipts], [10, 10])
    assert.deepEqual([...checked.segments], [])
    const below = commitOf(
      INLINE,
      without(all, (_s, _i, miner) => miner >= 4),
    )
    const { data } = refuses(below, 'NOT_DURABLE', /manifest node 0 has 4 copies, 5 are needed/)
    assert.deepEqual(data, { receipts: 4, needed: 5 })
  })
})

describe('checkCommit: list nodes', () => {
  it('reads the segments from them and asks for copies of each', () => {
    // 900 segments of 4 chunks do not fit a root.
    const object = testObject('copies', 900 * segmentSize('private', 1))
    assert.ok(object.nodes.length > 2)
    const all = spreadOver(object, 5)
    const checked = checkCommit(commitOf(object, all), checkOf())
    assert.equal(checked.segments.length, 900)
    assert.equal(checked.nodes.length, object.nodes.length)
    const fewer = without(
      all,
      (segment, index, miner) => segment === MANIFEST_SEGMENT && index === 1 && miner > 2,
    )
    refuses(commitOf(object, fewer), 'NOT_DURABLE', /manifest node 1 has 3 copies, 4 are needed/)
    const commit = commitOf(object)
    refuses({ ...commit, nodes: commit.nodes.slice(0, -1) }, 'INVALID', /not all manifest nodes/)
    const [root = new Uint8Array(0), first = root, second = root] = commit.nodes
    refuses({ ...commit, nodes: [root, second, first, ...commit.nodes.slice(3)] }, 'MISMATCH', /list node/)
  })
})

describe('checkCommit: what it refuses', () => {
  it('a commit without a manifest, or with one that is none', () => {
    refuses({ ...commitOf(SMALL), nodes: [] }, 'INVALID', /no manifest/)
    refuses({ ...commitOf(SMALL), nodes: [new Uint8Array(10)] }, 'INVALID', /manifest/)
  })

  it('the manifest of another object, or of another profile than it says', () => {
    const commit = commitOf(SMALL)
    refuses({ ...commit, nodes: INLINE.nodes }, 'MISMATCH', /another object/)
    refuses({ ...commit, body: { ...commit.body, profile: 'copies' } }, 'MISMATCH', /another profile/)
  })

  it('a mask root that is missing or not the one of the manifest', () => {
    const commit = commitOf(SMALL)
    const { maskRoot: _, ...bare } = commit.body
    refuses({ ...commit, body: bare }, 'MISMATCH', /mask root/)
    refuses({ ...commit, body: { ...bare, maskRoot: new Uint8Array(32) } }, 'MISMATCH', /mask root/)
  })

  it('a lease of another object or another validator', () => {
    refuses(commitOf(SMALL, undefined, { object: INLINE.address }), 'MISMATCH', /another object/)
    refuses(
      commitOf(SMALL, undefined, { validator: minerKey(1).signer.publicKey }),
      'REFUSED',
      /another validator/,
    )
  })

  it('a miner that is not registered', () => {
    const check = checkOf()
    const groups = new Map(check.groups)
    groups.delete(minerKey(3).address)
    refuses(commitOf(SMALL), 'REFUSED', /no registered miner/, { ...check, groups })
  })

  it('a lease that ends before it begins, or has ended', () => {
    refuses(commitOf(SMALL, undefined, { startBlock: 9, endBlock: 9 }), 'INVALID', /ends before it begins/)
    refuses(commitOf(SMALL, undefined, { startBlock: 1, endBlock: 5 }), 'REFUSED', /ended at block 5/)
    checkCommit(commitOf(SMALL, undefined, { startBlock: 1, endBlock: 6 }), checkOf())
  })

  it('two leases of one miner', () => {
    const commit = commitOf(SMALL)
    const [first] = commit.leases
    assert.ok(first)
    refuses({ ...commit, leases: [...commit.leases, first] }, 'INVALID', /has two of them/)
  })

  it("a signature that is not the miner's, or of another chain", () => {
    const commit = commitOf(SMALL)
    const [first, second] = commit.leases
    assert.ok(first && second)
    const swapped = { ...first, minerSignature: second.minerSignature }
    refuses({ ...commit, leases: [swapped, second] }, 'BAD_SIGNATURE', /does not verify/)
    const domain = { ...TEST_DOMAIN, netuid: 2 }
    refuses(commitOf(SMALL, undefined, { domain }), 'BAD_SIGNATURE', /does not verify/)
  })

  it('chunks the manifest does not have, or names otherwise', () => {
    const [digest, auditRoot, sizeBytes] = chunkEntry(SMALL, 0, 0)
    const wrong: [LeaseEntry, ErrorCode][] = [
      [[digest, auditRoot, sizeBytes, 2, 0], 'INVALID'],
      [[digest, auditRoot, sizeBytes, 0, 10], 'INVALID'],
      [[digest, auditRoot, sizeBytes, 1, 7], 'INVALID'],
      [[digest, auditRoot, sizeBytes, MANIFEST_SEGMENT, 1], 'INVALID'],
      [[digest, auditRoot, sizeBytes, 0, 1], 'MISMATCH'],
      [[digest, digest, sizeBytes, 0, 0], 'MISMATCH'],
      [[digest, auditRoot, sizeBytes - 1, 0, 0], 'MISMATCH'],
      [[digest, auditRoot, MIB, MANIFEST_SEGMENT, 0], 'MISMATCH'],
    ]
    for (const [entry, code] of wrong) {
      const entries = spreadOver(SMALL, MINERS)
      entries[0]?.push(entry)
      refuses(commitOf(SMALL, entries), code, /^lease: /)
    }
  })

  it('a commit whose leases hold the chunks and no copy of the manifest', () => {
    const entries = spreadOver(SMALL, MINERS).map((own) => own.filter(([, , , segment]) => segment >= 0))
    refuses(commitOf(SMALL, entries), 'NOT_DURABLE', /manifest node 0 has 0 copies/)
  })
})

describe('checkCommit: public objects', () => {
  let open: TestObject
  before(() => {
    open = testObject('small', 5 * CHUNK_SIZE, 'public', 'public')
  })

  it('names the holders of the blocks of the IPFS file behind those of the manifest', () => {
    const { nodes, nodeHolders, manifest } = checkCommit(commitOf(open), checkOf())
    const everybody = Array.from({ length: MINERS }, (_, miner) => miner)
    assert.deepEqual(nodeHolders, [everybody, everybody])
    assert.deepEqual(nodes, [manifest.address, manifest.fileDigest])
  })

  it('wants as many copies of the file as of the manifest', () => {
    const all = spreadOver(open, MINERS)
    const few = (copies: number) =>
      without(all, (segment, _, miner) => segment === DAG_SEGMENT && miner >= copies)
    checkCommit(commitOf(open, few(5)), checkOf())
    const { data } = refuses(
      commitOf(open, few(4)),
      'NOT_DURABLE',
      /^block of the IPFS file 0 has 4 copies, 5/,
    )
    assert.deepEqual(data, { receipts: 4, needed: 5 })
    refuses(commitOf(open, few(0)), 'NOT_DURABLE', /has 0 copies/)
  })

  it('wants copies of the only leaf as a root too', () => {
    const leaf = testObject('small', 9, 'leaf', 'public')
    const all = spreadOver(leaf, MINERS)
    checkCommit(commitOf(leaf, all), checkOf())
    const bare = without(all, (segment) => segment === DAG_SEGMENT)
    refuses(commitOf(leaf, bare), 'NOT_DURABLE', /block of the IPFS file 0/)
  })

  it('refuses a block that the manifest does not list, and one that is another', () => {
    const all = spreadOver(open, MINERS)
    const [digest, auditRoot, sizeBytes] = dagEntry(open, 0)
    const more: LeaseEntry = [digest, auditRoot, sizeBytes, DAG_SEGMENT, 1]
    refuses(commitOf(open, all.with(0, [more])), 'INVALID', /no chunk 1 in segment -2/)
    const other: LeaseEntry = [digest, digest, sizeBytes, DAG_SEGMENT, 0]
    refuses(commitOf(open, all.with(0, [other])), 'MISMATCH', /chunk 0 of segment -2/)
  })

  it('refuses a file that is not that of its chunks, also over list nodes', () => {
    const long = testObject('copies', 900 * CHUNK_SIZE, 'long', 'public')
    assert.ok(long.nodes.length > 1)
    checkCommit(commitOf(long), checkOf())
    const [root, ...lists] = long.nodes as [Uint8Array, ...Uint8Array[]]
    const { signature: _, ...fields } = decode<Record<string, unknown>>(root)
    const changed = { ...fields, file: dagPbCid(testId(32, 1)) }
    const forged = encode({ ...changed, signature: objectSigner(long.objectKey).sign(signedBytes(changed)) })
    const { address } = parseManifestRoot(forged)
    const lying = { ...long, address, nodes: [forged, ...lists] }
    refuses(commitOf(lying), 'INVALID', /^manifest.file: is not the root of the data chunks/)
  })
})
