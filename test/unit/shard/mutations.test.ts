import assert from 'node:assert/strict'
import { isSubnetError } from '../../../src/base/errors.js'
import {
  chunkKey,
  decodeChunkRow,
  EMPTY_FILE,
  encodeFileRow,
  fileKey,
  keyText,
} from '../../../src/shard/index-codec.js'
import { IndexDraft } from '../../../src/shard/index-draft.js'
import { type Mutation, moveChunk, putChunk, removeChunk } from '../../../src/shard/mutations.js'
import { testChunk } from '../../kit/test-chunk.js'

/** A draft over an empty index that knows the keys of the mutations. */
function draftFor(...mutations: readonly Mutation<unknown>[]): IndexDraft {
  const keys = mutations.flatMap((mutation) => mutation.keys)
  return new IndexDraft({
    values: new Map(keys.map((key) => [keyText(key), undefined])),
    files: new Map(),
    place: { file: 7, offset: 0 },
    freeBytes: 10_000,
  })
}

function placeIn(draft: IndexDraft, digest: Uint8Array): unknown {
  const value = draft.get(chunkKey(digest))
  const row = value && decodeChunkRow(value)
  return row && { file: row.file, offset: row.offset }
}

describe('mutations of a shard', () => {
  const chunk = testChunk(1, 1_000)
  const put = putChunk(chunk)
  const body = new Uint8Array(1_000)

  it('see what those before them in the group did', () => {
    const draft = draftFor(put)
    assert.equal(put.apply(draft, 0), 'stored')
    assert.equal(put.apply(draft, 0), 'present')
    assert.equal(removeChunk(chunk.digest).apply(draft, 0), true)
    assert.equal(removeChunk(chunk.digest).apply(draft, 0), false)
    assert.equal(put.apply(draft, 0), 'stored')
    assert.deepEqual(placeIn(draft, chunk.digest), { file: 7, offset: 1_000 })
    assert.deepEqual(draft.files.get(7), {
      ...EMPTY_FILE,
      lengthBytes: 2_000,
      liveBytes: 1_000,
      liveChunks: 1,
    })
  })

  it('give a body a new place', () => {
    const draft = draftFor(put)
    put.apply(draft, 0)
    moveChunk(chunk.digest, { file: 7, offset: 0 }, body).apply(draft, 0)
    assert.deepEqual(placeIn(draft, chunk.digest), { file: 7, offset: 1_000 })
    assert.deepEqual(draft.files.get(7), {
      ...EMPTY_FILE,
      lengthBytes: 2_000,
      liveBytes: 1_000,
      liveChunks: 1,
    })
  })

  it('leave a body alone that is elsewhere by now, or gone', () => {
    const draft = draftFor(put)
    moveChunk(chunk.digest, { file: 7, offset: 0 }, body).apply(draft, 0)
    assert.deepEqual(draft.changes(), [])
    put.apply(draft, 0)
    moveChunk(chunk.digest, { file: 7, offset: 4 }, body).apply(draft, 0)
    moveChunk(chunk.digest, { file: 6, offset: 0 }, body).apply(draft, 0)
    assert.deepEqual(placeIn(draft, chunk.digest), { file: 7, offset: 0 })
    assert.equal(
      draft.bodies.reduce((sum, piece) => sum + piece.length, 0),
      1_000,
    )
  })

  it('change nothing when there is no room for the body', () => {
    const draft = draftFor(put)
    assert.throws(
      () => put.apply(draft, 9_001),
      (error) => isSubnetError(error, 'NO_SPACE'),
    )
    assert.deepEqual(draft.changes(), [])
    assert.equal(put.apply(draft, 9_000), 'stored')
  })

  it('take a body file out of the index with its last chunk', () => {
    const draft = draftFor(put)
    put.apply(draft, 0)
    const kept = draft.changes().find(({ key }) => keyText(key) === keyText(fileKey(7)))
    assert.deepEqual(
      kept?.value,
      encodeFileRow({ ...EMPTY_FILE, lengthBytes: 1_000, liveBytes: 1_000, liveChunks: 1 }),
    )
    removeChunk(chunk.digest).apply(draft, 0)
    const gone = draft.changes().find(({ key }) => keyText(key) === keyText(fileKey(7)))
    assert.ok(gone !== undefined && gone.value === undefined)
  })
})
