import assert from 'node:assert/strict'
import { CHUNK_SIZE } from '../../../src/redundancy/profiles.js'
import { encodeSegment } from '../../../src/redundancy/segment.js'
import { ChunkBuffers } from '../../../src/transfer/chunk-buffers.js'

const encoded = (index: number) =>
  encodeSegment({
    code: { k: 1, n: 3 },
    index,
    isLast: false,
    plaintext: new Uint8Array(CHUNK_SIZE).fill(index),
  })

describe('ChunkBuffers', () => {
  it('gives the same chunks in buffers of its own, and lets go of the others', () => {
    const segment = encoded(1)
    const own = new ChunkBuffers(3).adopt(segment)
    assert.deepEqual(own, encoded(1))
    assert.deepEqual(
      segment.chunks.map(({ bytes }) => bytes.length),
      [0, 0, 0],
    )
  })

  it('uses again what it is given back, and nothing else', () => {
    const buffers = new ChunkBuffers(3)
    const first = buffers.adopt(encoded(1))
    buffers.give(first.chunks[1]?.bytes as Uint8Array)
    const second = buffers.adopt(encoded(2))
    const [kept, again] = first.chunks.map(({ bytes }) => bytes)
    assert.ok(second.chunks.some(({ bytes }) => bytes === again))
    assert.deepEqual(kept, encoded(1).chunks[0]?.bytes)
    assert.deepEqual(second, encoded(2))
  })

  it('gives its free ones back to the system', () => {
    const buffers = new ChunkBuffers(3)
    const { chunks } = buffers.adopt(encoded(1))
    buffers.give(chunks[0]?.bytes as Uint8Array)
    buffers.clear()
    assert.deepEqual(
      chunks.map(({ bytes }) => bytes.length),
      [0, CHUNK_SIZE, CHUNK_SIZE],
    )
  })
})
