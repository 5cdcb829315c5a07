import assert from 'node:assert/strict'
import { InvariantError, isSubnetError } from '../../../src/base/errors.js'
import { WorkerCoding, type WorkerCodingInit } from '../../../src/coding/worker-coding.js'
import { encodeSegment } from '../../../src/redundancy/segment.js'
import { codingPoolConformance } from '../../conformance/coding-pool.js'
import { ENDS_BY_ERROR, ENDS_BY_EXIT } from '../../kit/ending-coding-worker.js'
import { pattern } from '../../kit/redundancy-reference.js'
import { verifiedChunk } from '../../kit/verified-chunk.js'

codingPoolConformance('one thread', () => new WorkerCoding({ threads: 1 }))
codingPoolConformance('two threads', () => new WorkerCoding({ threads: 2 }))

const objectKey = pattern(32, 1)

function segment(index: number, firstByte = 0) {
  const plaintext = pattern(50_000, index)
  plaintext[0] = firstByte
  return { code: { k: 1, n: 3 }, index, isLast: true, plaintext, objectKey }
}

/** Until a thread has the task: then the bytes are not here any more. */
async function given({ plaintext }: { plaintext: Uint8Array }): Promise<void> {
  for (let turn = 0; turn < 20 && plaintext.length > 0; turn++) await Promise.resolve()
  assert.equal(plaintext.length, 0)
}

describe('worker coding', () => {
  const pools: WorkerCoding[] = []

  async function started(init: Partial<WorkerCodingInit> = {}): Promise<WorkerCoding> {
    const pool = new WorkerCoding({ threads: 1, ...init })
    pools.push(pool)
    await pool.start()
    return pool
  }

  afterEach(async () => {
    await Promise.all(pools.splice(0).map((pool) => pool.stop()))
  })

  it('moves bytes instead of copying them, there and back', async () => {
    const pool = await started()
    const init = segment(0)
    const encoded = await pool.encode(init)
    assert.equal(init.plaintext.buffer.byteLength, 0)
    assert.equal(init.objectKey.length, 32)
    const [first] = encoded.chunks
    assert.ok(first !== undefined && first.bytes.length > 0)
    const span = verifiedChunk(first, first.bytes)
    const { bytes } = span.content
    const chunks = [span]
    assert.deepEqual(await pool.decode({ shape: encoded.shape, entry: encoded, chunks }, objectKey), [
      segment(0).plaintext,
    ])
    assert.equal(bytes.length, 0)
  })

  it('refuses with BUSY when more wait than may', async () => {
    const pool = await started({ waitersMax: 1 })
    const accepted = [pool.encode(segment(0)), pool.encode(segment(1))]
    await assert.rejects(pool.encode(segment(2)), (error) => isSubnetError(error, 'BUSY'))
    await Promise.all(accepted)
  })

  it('forgets a waiting task that is aborted, and lets the next one have its place', async () => {
    const pool = await started({ waitersMax: 1 })
    const running = pool.encode(segment(0))
    const controller = new AbortController()
    const init = segment(1)
    const waiting = pool.encode(init, controller)
    controller.abort(new Error('changed my mind'))
    const next = pool.encode(segment(2))
    await assert.rejects(waiting, /changed my mind/)
    assert.equal(init.plaintext.length, 50_000)
    assert.equal((await running).shape.index, 0)
    assert.equal((await next).shape.index, 2)
  })

  it('rejects at once when a running task is aborted; its thread goes on to the next one', async () => {
    const pool = await started()
    const controller = new AbortController()
    const init = segment(0)
    const running = pool.encode(init, controller)
    const next = pool.encode(segment(1))
    await given(init)
    controller.abort(new Error('changed my mind'))
    await assert.rejects(running, /changed my mind/)
    assert.equal((await next).shape.index, 1)
  })

  it('ends what runs and refuses what waits and what comes later when it is stopped', async () => {
    const pool = await started()
    const init = segment(0)
    const running = pool.encode(init)
    const waiting = pool.encode(segment(1))
    const isStopped = (error: unknown): boolean => isSubnetError(error, 'STOPPED')
    const refused = assert.rejects(waiting, isStopped)
    await given(init)
    await pool.stop()
    assert.equal((await running).shape.index, 0)
    await refused
    await assert.rejects(pool.encode(segment(2)), isStopped)
  })

  it('does not work before it is started', async () => {
    await assert.rejects(new WorkerCoding({ threads: 1 }).encode(segment(0)), InvariantError)
  })

  it('fails the task of a thread that ends, and has another thread do the next one', async () => {
    const program = new URL('../../kit/ending-coding-worker.js', import.meta.url)
    const pool = await started({ program })
    for (const [order, cause] of [
      [ENDS_BY_EXIT, /exit code 3/],
      [ENDS_BY_ERROR, /out of memory/],
    ] as const) {
      const ended = pool.encode(segment(0, order))
      const next = pool.encode(segment(1))
      await assert.rejects(ended, (error) => {
        assert.ok(isSubnetError(error, 'INTERNAL'))
        assert.equal(error.retryable, true)
        assert.match(String(error.cause), cause)
        return true
      })
      assert.deepEqual(await next, encodeSegment(segment(1)))
    }
  })

  it('fails a task when the program cannot be loaded', async () => {
    const pool = await started({ program: new URL('./missing.js', import.meta.url) })
    await assert.rejects(pool.encode(segment(0)), (error) => isSubnetError(error, 'INTERNAL'))
  })
})
