import assert from 'node:assert/strict'
import { release, releaseWithRest } from '../../../src/base/release.js'

const MIB = 1024 * 1024

describe('release', () => {
  it('empties every view of a whole buffer', () => {
    const bytes = new Uint8Array(MIB)
    const view = bytes.subarray(5, 10)
    release(bytes)
    assert.deepEqual([bytes.length, view.length], [0, 0])
  })

  it('leaves a part of a larger buffer alone, and shared memory', () => {
    const whole = new Uint8Array(10).fill(7)
    release(whole.subarray(0, 5))
    assert.equal(whole.length, 10)
    const pooled = Buffer.from('text')
    release(pooled)
    assert.equal(pooled.toString(), 'text')
    const shared = new Uint8Array(new SharedArrayBuffer(8))
    release(shared)
    assert.equal(shared.length, 8)
  })

  it('frees what is most of its buffer with the rest, if told so', () => {
    const whole = new Uint8Array(10)
    releaseWithRest(whole.subarray(0, 5))
    assert.equal(whole.length, 10)
    releaseWithRest(whole.subarray(0, 6))
    assert.equal(whole.length, 0)
    releaseWithRest(whole)
  })

  it('takes what is empty or released already', () => {
    const bytes = new Uint8Array(MIB)
    release(bytes)
    release(bytes)
    release(new Uint8Array(0))
  })

  it('frees at once, not when the collector comes by', () => {
    const before = process.memoryUsage().arrayBuffers
    for (let round = 0; round < 50; round += 1) {
      release(new Uint8Array(MIB))
      assert.ok(process.memoryUsage().arrayBuffers - before < 10 * MIB)
    }
  })

  it('goes on freeing when the port has closed on both sides', async () => {
    // By the next turn the loop has told the port that its other end is gone.
    await new Promise((resolve) => setImmediate(resolve))
    for (let round = 0; round < 1_000; round += 1) {
      const bytes = new Uint8Array(4_096)
      release(bytes)
      assert.equal(bytes.length, 0)
    }
  })
})
