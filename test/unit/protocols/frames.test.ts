import assert from 'node:assert/strict'
import { z } from 'zod'
import { BYTES_PER_SECOND_MIN, FrameStream, serveFrames } from '../../../protocols/common/frames.js'
import { encodeMessage } from '../../../protocols/common/schema.js'
import { failureSchema, WIRE_STATUS } from '../../../protocols/common/status.js'
import { SubnetError } from '../../../src/base/errors.js'
import { KIB } from '../../../src/base/units.js'
import type { Duplex } from '../../../src/net/duplex.js'
import { type DuplexPairInit, duplexPair } from '../../kit/duplex-pair.js'
import { FakeClock } from '../../kit/fake-clock.js'
import { settle } from '../../kit/sessions-pair.js'

const INIT = { headerBytesMax: 100, stallTimeoutMs: 5_000 }
const schema = z.strictObject({ type: z.literal('ping'), count: z.number().int() })
const ping = { type: 'ping', count: 1 }

interface Fixture {
  readonly clock: FakeClock
  /** What the test reads and writes with. */
  readonly peer: Duplex
  readonly frames: FrameStream
}

function fixture(init: DuplexPairInit = {}): Fixture {
  const clock = new FakeClock()
  const [peer, ours] = duplexPair(init)
  return { clock, peer, frames: new FrameStream(ours, clock, INIT) }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

describe('frames: reading', () => {
  it('takes headers and bodies that arrive one byte at a time, and all in one piece', async () => {
    for (const fragmentBytes of [1, 3, 1_000]) {
      const { peer, frames } = fixture({ fragmentBytes })
      const header = encodeMessage(ping)
      await peer.write(
        Buffer.concat([u32(header.length), header, Uint8Array.of(1, 2, 3), u32(header.length), header]),
      )
      await peer.closeWrite()
      assert.deepEqual(await frames.readMessage(schema, 'ping'), ping)
      assert.deepEqual(await frames.readBytes(3), Uint8Array.of(1, 2, 3))
      assert.deepEqual(await frames.readMessage(schema, 'ping'), ping)
      assert.equal(await frames.readOptional(schema, 'ping'), undefined)
    }
  })

  it('refuses a header of no bytes, and one above the cap before it reads or sets aside any of it', async () => {
    for (const [lengthBytes, options] of [
      [0, {}],
      [101, {}],
      [0xffffffff, {}],
      [21, { headerBytesMax: 20 }],
    ] as const) {
      const { peer, frames } = fixture()
      await peer.write(u32(lengthBytes))
      await assert.rejects(frames.readHeader(options), { code: 'INVALID', message: /a header of/ })
    }
  })

  it('says DISCONNECTED for an end inside a length, a header or a body, and where a message is due', async () => {
    for (const bytes of [u32(9).subarray(0, 2), u32(9), Uint8Array.of(0, 0, 0, 9, 1, 2)]) {
      const { peer, frames } = fixture()
      await peer.write(bytes)
      await peer.closeWrite()
      await assert.rejects(frames.readHeader(), { code: 'DISCONNECTED' })
    }
    const { peer, frames } = fixture()
    await peer.write(Uint8Array.of(1, 2))
    await peer.closeWrite()
    await assert.rejects(frames.readBytes(3), { code: 'DISCONNECTED', message: /1 bytes too early/ })
    await assert.rejects(frames.readMessage(schema, 'ping'), {
      code: 'DISCONNECTED',
      message: /ping was due/,
    })
  })

  it('takes what is beyond a body for the next header', async () => {
    const { peer, frames } = fixture()
    await peer.write(new Uint8Array(14).fill(0xff))
    assert.equal((await frames.readBytes(10)).length, 10)
    await assert.rejects(frames.readHeader(), { code: 'INVALID' })
  })

  it('gives up a peer that is silent for the stall timeout, wherever it stops', async () => {
    for (const bytes of [undefined, u32(9).subarray(0, 1), u32(9), Uint8Array.of(0, 0, 0, 9, 1)]) {
      const { clock, peer, frames } = fixture()
      if (bytes !== undefined) await peer.write(bytes)
      const reading = assert.rejects(frames.readHeader(), { code: 'TIMEOUT' })
      await clock.advance(INIT.stallTimeoutMs)
      await reading
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('waits longer for the start of a header where it is told to, and only there', async () => {
    const { clock, peer, frames } = fixture()
    const reading = assert.rejects(frames.readHeader({ waitMs: 60_000 }), { code: 'TIMEOUT' })
    await clock.advance(59_000)
    await peer.write(u32(9))
    await clock.advance(INIT.stallTimeoutMs)
    await reading
  })

  it('gives up a peer that sends one byte before every stall timeout', async () => {
    const { clock, peer, frames } = fixture()
    const lengthBytes = 20 * KIB
    const allowedMs = INIT.stallTimeoutMs + (lengthBytes * 1000) / BYTES_PER_SECOND_MIN
    let failedMs: number | undefined
    const reading = frames.readBytes(lengthBytes).catch((error: unknown) => {
      failedMs = clock.monotonicMs()
      return error
    })
    for (let ms = 0; failedMs === undefined && ms < 10 * allowedMs; ms += 4_000) {
      await peer.write(Uint8Array.of(1))
      await clock.advance(4_000)
    }
    assert.equal(((await reading) as SubnetError).code, 'TIMEOUT')
    assert.equal(failedMs, allowedMs)
  })

  it('lets a slow peer through that keeps the least rate', async () => {
    const { clock, peer, frames } = fixture()
    const reading = frames.readBytes(20 * KIB)
    for (let sent = 0; sent < 20 * KIB; sent += 4 * KIB) {
      await clock.advance(2_000)
      await peer.write(new Uint8Array(4 * KIB))
    }
    assert.equal((await reading).length, 20 * KIB)
  })
})

describe('frames: writing', () => {
  it('resets the stream when the peer does not read, since half a frame may be on its way', async () => {
    const { clock, peer, frames } = fixture({ bufferBytes: 10 })
    const writing = assert.rejects(frames.writeBody(new Uint8Array(2 * KIB)), { code: 'TIMEOUT' })
    await clock.advance(INIT.stallTimeoutMs + 1_000)
    await writing
    await assert.rejects(peer.read(), { code: 'DISCONNECTED' })
    assert.equal(clock.pendingTimers, 0)
  })

  it('resets the stream when the peer does not take the end', async () => {
    const { clock, peer, frames } = fixture()
    frames.duplex.closeWrite = (options) =>
      new Promise((_, reject) =>
        options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)),
      )
    const ending = assert.rejects(frames.end(), { code: 'TIMEOUT' })
    await clock.advance(INIT.stallTimeoutMs)
    await ending
    await assert.rejects(peer.read(), { code: 'DISCONNECTED' })
  })

  it('does not write a header that the other side must refuse', async () => {
    const { frames } = fixture()
    await assert.rejects(frames.writeHeader(new Uint8Array(101)), /within the limit/)
  })
})

describe('serveFrames', () => {
  async function told(error: Error): Promise<unknown> {
    const clock = new FakeClock()
    const [peer, ours] = duplexPair()
    const frames = new FrameStream(ours, clock, { ...INIT, headerBytesMax: 1024 })
    const serving = serveFrames(frames, async () => {
      throw error
    })
    await assert.rejects(serving, error)
    const peerFrames = new FrameStream(peer, clock, { ...INIT, headerBytesMax: 1024 })
    return await peerFrames.readMessage(failureSchema, 'failure').catch((failure: unknown) => failure)
  }

  it('tells the peer an expected failure, and rethrows it', async () => {
    const error = new SubnetError('BUSY', 'too much', { data: { retryAfterMs: 250 } })
    assert.deepEqual(await told(error), {
      type: 'failure',
      status: WIRE_STATUS.BUSY,
      reason: 'too much',
      retryAfterMs: 250,
    })
  })

  it('tells nothing but INTERNAL of an unexpected one, or of one that is not for others', async () => {
    for (const error of [new TypeError('x of undefined'), new SubnetError('DISK', '/home/me/shard')]) {
      assert.deepEqual(await told(error), { type: 'failure', status: WIRE_STATUS.INTERNAL, reason: '' })
    }
  })

  it('cuts a long reason and a long pause to what the peer accepts', async () => {
    const long = new SubnetError('BUSY', 'x'.repeat(1_000), { data: { retryAfterMs: 1e9 } })
    const failure = (await told(long)) as { reason: string; retryAfterMs: number }
    assert.equal(failure.reason.length, 200)
    assert.equal(failure.retryAfterMs, 60_000)
  })

  it('resets a stream whose peer is gone, and one whose peer does not read the failure', async () => {
    assert.equal(((await told(new SubnetError('DISCONNECTED', 'gone'))) as SubnetError).code, 'DISCONNECTED')
    const { clock, peer, frames } = fixture({ bufferBytes: 1 })
    const failing = frames.fail(new SubnetError('REFUSED', 'no'))
    await clock.advance(10 * INIT.stallTimeoutMs)
    await failing
    await settle()
    await assert.rejects(peer.closeWrite(), { code: 'DISCONNECTED' })
  })
})
