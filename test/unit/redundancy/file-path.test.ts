import assert from 'node:assert/strict'
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import type { CID } from 'multiformats/cid'
import { isSubnetError, SubnetError } from '../../../src/base/errors.js'
import { MIB } from '../../../src/base/units.js'
import { sha256 } from '../../../src/crypto/hash.js'
import { dagPbCid, EMPTY_FILE_DIGEST, FileDagBuilder, rawCid } from '../../../src/redundancy/file-dag.js'
import { FilePath } from '../../../src/redundancy/file-path.js'

const digests = Array.from({ length: 3 }, (_, i) => sha256(Uint8Array.of(i)))
const SIZE = 2 * MIB + 5
const SIZES = [MIB, MIB, 5]

interface NodeParts {
  readonly type?: 'file' | 'raw' | 'directory'
  readonly data?: Uint8Array
  readonly sizes?: readonly number[]
  readonly links?: readonly CID[]
  readonly name?: string
}

/** The node above the three leaves, or one that differs from it. */
function node({
  type = 'file',
  data,
  sizes = SIZES,
  links = digests.map(rawCid),
  name = '',
}: NodeParts = {}) {
  const file = new UnixFS({ type, ...(data === undefined ? {} : { data }) })
  for (const size of sizes) file.addBlockSize(BigInt(size))
  return dagPb.encode(
    dagPb.prepare({
      Data: file.marshal(),
      Links: links.map((Hash) => ({ Hash, Name: name, Tsize: 9 })),
    }),
  )
}

/** A path whose root is this block, and nothing is wrong with loading it. */
function pathUnder(bytes: Uint8Array, sizeBytes = SIZE) {
  return new FilePath({ sizeBytes, rootDigest: sha256(bytes) }, async () => bytes)
}

const isMismatch = (error: unknown) => isSubnetError(error, 'MISMATCH')

describe('FilePath', () => {
  it('takes each leaf at its place and at no other', async () => {
    const path = pathUnder(node())
    for (const [leaf, own] of digests.entries()) {
      for (const digest of digests) {
        if (digest === own) await path.check(leaf, digest)
        else await assert.rejects(path.check(leaf, digest), isMismatch)
      }
    }
  })

  it('says which nodes it loaded, root first and once', async () => {
    const bytes = node()
    const path = pathUnder(bytes)
    assert.deepEqual(await path.check(0, digests[0] as Uint8Array), [{ digest: sha256(bytes), bytes }])
    assert.deepEqual(await path.check(1, digests[1] as Uint8Array), [])
  })

  it('takes the only leaf for the root', async () => {
    const [digest] = digests as [Uint8Array]
    const path = new FilePath({ sizeBytes: MIB, rootDigest: digest }, async () =>
      assert.fail('nothing to load'),
    )
    assert.deepEqual(await path.check(0, digest), [])
    await assert.rejects(path.check(0, EMPTY_FILE_DIGEST), isMismatch)
  })

  const wrong: Readonly<Record<string, Uint8Array>> = {
    garbage: Uint8Array.of(1, 2, 3),
    nothing: new Uint8Array(0),
    'a leaf too few': node({ sizes: SIZES.slice(1), links: digests.slice(1).map(rawCid) }),
    'a leaf too many': node({ sizes: [...SIZES, 1], links: [...digests, EMPTY_FILE_DIGEST].map(rawCid) }),
    'other sizes': node({ sizes: [MIB - 1, MIB + 1, 5] }),
    'fewer sizes than links': node({ sizes: [2 * MIB, 5] }),
    'links to nodes where leaves belong': node({ links: digests.map(dagPbCid) }),
    'CIDs of version 0': node({ links: digests.map((digest) => dagPbCid(digest).toV0()) }),
    'bytes of its own': node({ data: Uint8Array.of(1), sizes: [MIB, MIB, 4] }),
    'the form of a directory': node({ type: 'directory', name: 'a' }),
    names: node({ name: 'a' }),
    'more bytes than a node has': node({ data: new Uint8Array(20_000) }),
  }
  for (const [what, bytes] of Object.entries(wrong)) {
    it(`refuses a root that has ${what}`, async () => {
      await assert.rejects(pathUnder(bytes).check(0, digests[0] as Uint8Array), isMismatch)
    })
  }

  it('refuses bytes that are not those of the named node, and passes on why one cannot be had', async () => {
    const rootDigest = sha256(node())
    const other = new FilePath({ sizeBytes: SIZE, rootDigest }, async () => node({ sizes: [1, 2, 3] }))
    await assert.rejects(other.check(0, digests[0] as Uint8Array), isMismatch)
    const gone = new FilePath({ sizeBytes: SIZE, rootDigest }, async () => {
      throw new SubnetError('UNRECOVERABLE', 'gone')
    })
    await assert.rejects(gone.check(0, digests[0] as Uint8Array), (error) =>
      isSubnetError(error, 'UNRECOVERABLE'),
    )
  })

  it('holds a node of a file against its own place: a tree of another size is another file', async () => {
    const dag = new FileDagBuilder()
    const leaves = Array.from({ length: 200 }, (_, i) => ({
      digest: sha256(Uint8Array.of(i, 1)),
      auditRoot: EMPTY_FILE_DIGEST,
      sizeBytes: MIB,
    }))
    const nodes = dag.add(leaves, true)
    const load = async (digest: Uint8Array) =>
      nodes.find((each) => Buffer.from(digest).equals(each.digest))?.bytes ?? assert.fail('unknown node')
    const { rootDigest } = dag
    const first = leaves[0]?.digest as Uint8Array
    await new FilePath({ sizeBytes: 200 * MIB, rootDigest }, load).check(0, first)
    for (const sizeBytes of [199 * MIB, 200 * MIB - 1, 174 * MIB, 201 * MIB]) {
      await assert.rejects(new FilePath({ sizeBytes, rootDigest }, load).check(0, first), isMismatch)
    }
  })

  it('goes back and forth', async () => {
    const dag = new FileDagBuilder()
    const leaves = Array.from({ length: 400 }, (_, i) => ({
      digest: sha256(Uint8Array.of(i & 255, i >> 8)),
      auditRoot: EMPTY_FILE_DIGEST,
      sizeBytes: MIB,
    }))
    const nodes = dag.add(leaves, true)
    const path = new FilePath({ sizeBytes: 400 * MIB, rootDigest: dag.rootDigest }, async (_, number) => {
      return nodes[number]?.bytes ?? assert.fail('unknown node')
    })
    for (const leaf of [399, 0, 174, 173, 348, 347, 0, 399]) {
      await path.check(leaf, leaves[leaf]?.digest as Uint8Array)
      await assert.rejects(path.check(leaf, leaves[(leaf + 174) % 400]?.digest as Uint8Array), isMismatch)
    }
  })
})
