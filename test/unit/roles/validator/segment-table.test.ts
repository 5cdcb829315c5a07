import assert from 'node:assert/strict'
import type { ChunkReference } from '../../../../src/redundancy/chunk.js'
import { SegmentTable } from '../../../../src/roles/validator/segment-table.js'
import { keptBytes } from '../../../kit/kept-bytes.js'
import { testId } from '../../../kit/test-chunk.js'

function chunk(number: number): ChunkReference {
  return { digest: testId(32, number), auditRoot: testId(32, number + 1), sizeBytes: number + 1 }
}

/** Segments of 3, 1 and 2 chunks. */
function setUp(): SegmentTable {
  const table = new SegmentTable()
  for (const numbers of [[0, 1, 2], [3], [4, 5]]) table.add(numbers.map(chunk))
  return table
}

describe('SegmentTable', () => {
  it('knows each chunk by its segment and index, and no other', () => {
    const table = setUp()
    assert.equal(table.length, 3)
    assert.deepEqual(table.reference(0, 2), chunk(2))
    assert.deepEqual(table.reference(1, 0), chunk(3))
    assert.deepEqual(table.reference(2, 1), chunk(5))
    for (const [segment, index] of [
      [0, 3],
      [1, 1],
      [2, 2],
      [3, 0],
      [2 ** 31, 2 ** 31],
    ] as const)
      assert.equal(table.reference(segment, index), undefined, `${segment} ${index}`)
  })

  it('counts each holder of a chunk once, in the order in which they are said', () => {
    const table = setUp()
    for (const position of [7, 0, 7, 255, 0]) table.hold(0, 1, position)
    table.hold(1, 0, 0)
    table.hold(2, 1, 3)
    assert.deepEqual([...table], [[[], [7, 0, 255], []], [[0]], [[], [3]]])
    assert.deepEqual([...setUp()], [[[], [], []], [[]], [[], []]])
  })

  it('takes less than 200 bytes a chunk, holders included', async () => {
    const [segments, n] = [2_000, 10]
    const { thing, bytes } = await keptBytes(() => {
      const table = new SegmentTable()
      for (let segment = 0; segment < segments; segment += 1)
        table.add(Array.from({ length: n }, (_, index) => chunk(segment + index)))
      for (let segment = 0; segment < segments; segment += 1)
        for (let index = 0; index < n; index += 1) table.hold(segment, index, index)
      return table
    })
    assert.equal(thing.length, segments)
    assert.ok(bytes / (segments * n) < 200, `${bytes / (segments * n)} bytes a chunk`)
  })
})
