/** The corners of the libp2p duplex that a real connection reaches only by luck. */
import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { type Stream, StreamAbortEvent, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { isSubnetError } from '../../../src/base/errors.js'
import {
  Libp2pDuplex,
  UNREAD_MAX_BYTES,
  UNSENT_MAX_BYTES,
  WINDOW_STEP_BYTES,
} from '../../../src/net/libp2p-duplex.js'

describe('Libp2pDuplex', () => {
  describe('writing', () => {
    it('keeps waiting when a drain event comes while its own window is shut', async () => {
      const { stream, duplex } = open()
      const write = settling(duplex.write(new Uint8Array(UNSENT_MAX_BYTES + 1)))
      for (let event = 0; event < 3; event += 1) {
        stream.dispatchEvent(new Event('drain'))
        await turn()
        assert.equal(write.state, 'pending')
      }
      stream.drain()
      await turn()
      assert.equal(write.state, 'done')
    })

    it('reports progress when bytes left, and none for an event that moved nothing', async () => {
      const { stream, duplex } = open()
      let progress = 0
      const onProgress = () => {
        progress += 1
      }
      const write = settling(duplex.write(new Uint8Array(UNSENT_MAX_BYTES + 1), { onProgress }))
      await turn()
      stream.dispatchEvent(new Event('drain'))
      await turn()
      assert.equal(progress, 0)
      stream.drain()
      await turn()
      assert.deepEqual([progress, write.state], [1, 'done'])
    })

    it('waits for a fresh drain event the hundredth time as the first', async () => {
      const { stream, duplex } = open()
      for (let round = 1; round <= 100; round += 1) {
        const write = settling(duplex.write(new Uint8Array(UNSENT_MAX_BYTES + 1)))
        await turn()
        assert.equal(write.state, 'pending', `round ${round}`)
        stream.drain()
        await turn()
        assert.equal(write.state, 'done', `round ${round}`)
      }
    })

    it('hands a large write over in slices, the next only when the last is on its way', async () => {
      const { stream, duplex } = open()
      const write = settling(duplex.write(new Uint8Array(10 * UNSENT_MAX_BYTES)))
      await turn()
      assert.ok(stream.writeBufferLength <= 2 * UNSENT_MAX_BYTES)
      while (write.state === 'pending') {
        stream.drain()
        await turn()
        assert.ok(stream.writeBufferLength <= 2 * UNSENT_MAX_BYTES)
      }
      assert.equal(stream.sentBytes, 10 * UNSENT_MAX_BYTES)
    })

    it('wakes when the connection ends quietly after the peer closed its side', async () => {
      const { stream, duplex } = open()
      stream.peerCloses()
      const writing = duplex.write(new Uint8Array(UNSENT_MAX_BYTES + 1))
      stream.end('closed')
      await assert.rejects(writing, withCode('DISCONNECTED'))
      assert.equal(await duplex.read(), undefined)
    })

    it('rejects with DISCONNECTED when libp2p takes no more', async () => {
      const { stream, duplex } = open()
      stream.send = () => {
        throw new Error('Cannot write to a stream that is closed')
      }
      await assert.rejects(duplex.write(Uint8Array.of(1)), withCode('DISCONNECTED'))
    })
  })

  describe('reading', () => {
    it('gives the sender new window once for many frames, when enough was read', async () => {
      const { stream, duplex } = open()
      const piece = new Uint8Array(WINDOW_STEP_BYTES / 4)
      for (let round = 0; round < 3; round += 1) {
        for (let frame = 0; frame < 4; frame += 1) stream.message(piece)
        assert.deepEqual(stream.calls, ['sendPause'])
        for (let read = 0; read < 3; read += 1) await duplex.read()
        assert.deepEqual(stream.calls, ['sendPause'])
        await duplex.read()
        assert.deepEqual(stream.calls.splice(0), ['sendPause', 'sendResume'])
      }
    })

    it('gives the sender no window while too much is unread', async () => {
      const { stream, duplex } = open()
      const piece = new Uint8Array(WINDOW_STEP_BYTES)
      let unread = 2 * UNREAD_MAX_BYTES
      for (let bytes = 0; bytes < unread; bytes += piece.length) stream.message(piece)
      while (unread > UNREAD_MAX_BYTES) {
        assert.deepEqual(stream.calls, ['sendPause'])
        unread -= (await duplex.read())?.length ?? 0
      }
      assert.deepEqual(stream.calls, ['sendPause', 'sendResume'])
    })

    it('copies what libp2p shows it, and joins a flood of small pieces', async () => {
      const { stream, duplex } = open()
      const shared = new Uint8Array(1)
      for (let count = 0; count < 100_000; count += 1) {
        shared[0] = count % 256
        stream.message(shared)
      }
      let [bytes, reads] = [0, 0]
      while (bytes < 100_000) {
        const piece = await duplex.read()
        assert.ok(piece !== undefined)
        for (const byte of piece) assert.equal(byte, bytes++ % 256)
        reads += 1
      }
      assert.ok(reads <= 4, `${reads} reads`)
    })

    it('does not let a piece that was read change when the next arrives', async () => {
      const { stream, duplex } = open()
      stream.message(Uint8Array.of(1))
      stream.message(Uint8Array.of(2))
      const read = await duplex.read()
      stream.message(Uint8Array.of(3))
      assert.deepEqual(read, Uint8Array.of(1, 2))
      assert.deepEqual(await duplex.read(), Uint8Array.of(3))
    })

    it('delivers bytes and end that came before it was there', async () => {
      const stream = new FakeStream()
      stream.remoteWriteStatus = 'closed'
      const duplex = new Libp2pDuplex(stream.asStream(), 'peer')
      // libp2p delivers what it kept in a microtask that the first listener starts.
      stream.message(Uint8Array.of(7))
      assert.deepEqual(await duplex.read(), Uint8Array.of(7))
      assert.equal(await duplex.read(), undefined)
    })

    it('rejects on a stream that was over before it was there', async () => {
      const stream = new FakeStream()
      stream.status = 'reset'
      const ended: unknown[] = []
      const duplex = new Libp2pDuplex(stream.asStream(), 'peer', (over) => ended.push(over))
      await assert.rejects(duplex.read(), withCode('DISCONNECTED'))
      await assert.rejects(duplex.write(Uint8Array.of(1)), withCode('DISCONNECTED'))
      assert.deepEqual(ended, [duplex])
    })

    it('takes a connection that closes quietly without a FIN for a cut, not for the end', async () => {
      const { stream, duplex } = open()
      stream.message(Uint8Array.of(1))
      stream.end('closed')
      await assert.rejects(duplex.read(), withCode('DISCONNECTED'))
    })

    it('keeps complete input when the connection breaks after the FIN', async () => {
      const { stream, duplex } = open()
      stream.message(Uint8Array.of(1))
      stream.peerCloses()
      stream.end('reset', new Error('reset'))
      assert.deepEqual(await duplex.read(), Uint8Array.of(1))
      assert.equal(await duplex.read(), undefined)
      await assert.rejects(duplex.closeWrite(), withCode('DISCONNECTED'))
    })

    it('says TIMEOUT when the connection died of silence', async () => {
      const { stream, duplex } = open()
      const cause = Object.assign(new Error('no answer'), { name: 'TimeoutError' })
      stream.end('aborted', cause)
      await assert.rejects(duplex.read(), (error) => isSubnetError(error, 'TIMEOUT') && error.cause === cause)
    })

    it('breaks off when the window cannot be reopened because the connection is gone', async () => {
      const { stream, duplex } = open()
      stream.message(new Uint8Array(UNREAD_MAX_BYTES + 1))
      stream.sendResume = () => {
        throw new Error('Cannot write to a stream that is closed')
      }
      await duplex.read()
      await assert.rejects(duplex.read(), withCode('DISCONNECTED'))
    })

    it('ignores what still arrives after it broke off', async () => {
      const { stream, duplex } = open()
      const reason = new Error('enough')
      duplex.abort(reason)
      stream.message(Uint8Array.of(1))
      stream.peerCloses()
      await assert.rejects(duplex.read(), reason)
    })
  })

  it('reports its end once, when both directions are over', async () => {
    const stream = new FakeStream()
    const ended: unknown[] = []
    const duplex = new Libp2pDuplex(stream.asStream(), 'peer', (over) => ended.push(over))
    stream.peerCloses()
    assert.deepEqual(ended, [])
    await duplex.closeWrite()
    duplex.abort(new Error('late'))
    assert.deepEqual(ended, [duplex])
  })
})

function open(): { stream: FakeStream; duplex: Libp2pDuplex } {
  const stream = new FakeStream()
  return { stream, duplex: new Libp2pDuplex(stream.asStream(), 'peer') }
}

function settling(work: Promise<void>): { readonly state: string } {
  const seen = { state: 'pending' }
  work.then(
    () => {
      seen.state = 'done'
    },
    (error) => {
      seen.state = String(error)
    },
  )
  return seen
}

function withCode(code: 'DISCONNECTED'): (error: unknown) => boolean {
  return (error) => isSubnetError(error, code)
}

/** As much of a libp2p stream as the duplex touches, with the muxer's side in the test's hand. */
class FakeStream extends EventTarget {
  status: Stream['status'] = 'open'
  remoteWriteStatus: Stream['remoteWriteStatus'] = 'writable'
  writeBufferLength = 0
  sentBytes = 0
  readonly calls: string[] = []

  asStream(): Stream {
    return this as unknown as Stream
  }

  message(bytes: Uint8Array): void {
    this.dispatchEvent(new StreamMessageEvent(bytes))
  }

  peerCloses(): void {
    this.remoteWriteStatus = 'closed'
    this.dispatchEvent(new Event('remoteCloseWrite'))
  }

  end(status: Stream['status'], error?: Error): void {
    this.status = status
    this.remoteWriteStatus = 'closed'
    this.dispatchEvent(new StreamCloseEvent(false, error))
  }

  drain(): void {
    this.writeBufferLength = 0
    this.dispatchEvent(new Event('drain'))
  }

  send(bytes: Uint8Array): boolean {
    this.writeBufferLength += bytes.length
    this.sentBytes += bytes.length
    return false
  }

  async close(): Promise<void> {
    if (this.remoteWriteStatus === 'closed' && this.status === 'open') this.end('closed')
  }

  abort(error: Error): void {
    if (this.status !== 'open') return
    this.status = 'aborted'
    this.dispatchEvent(new StreamAbortEvent(error))
  }

  sendPause(): void {
    this.calls.push('sendPause')
  }

  sendResume(): void {
    this.calls.push('sendResume')
  }
}
