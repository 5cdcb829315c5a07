/**
 * The `Duplex` over a libp2p 3 stream: the only file that touches one. It is here because every ready-made way to read
 * such a stream (async iterator, `pipe`, `lpStream`) buffers without bound or kills the stream when the reader is slow.
 * It knows nothing of protocols or connections; `libp2p-net.ts` opens and hands over the streams.
 */
import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { type AbortOptions, raceAbort } from '../base/abort.js'
import { invariant, isSubnetError, SubnetError } from '../base/errors.js'
import { KIB } from '../base/units.js'
import { type Duplex, WRITE_PIECE_BYTES, type WriteOptions } from './duplex.js'

/** Unread input above which the sender gets no more window. What it still may send then is one yamux window. */
export const UNREAD_MAX_BYTES = 256 * KIB
/** Unsent output above which a write waits: enough to keep the connection busy while the writer prepares more. */
export const UNSENT_MAX_BYTES = 256 * KIB
/**
 * Consumed input after which the sender gets new window: half of yamux's first, and half of what that has grown to, so
 * that it never waits for the rest.
 */
export const WINDOW_STEP_BYTES = 128 * KIB
/** Unread pieces up to this size are joined with the one before: a flood of one-byte frames must not cost an object each. */
const SMALL_PIECE_BYTES = 4 * KIB
const JOINED_MAX_BYTES = 64 * KIB

/** The two methods of every libp2p stream (its base class `AbstractStream`) that stop and restart the sender. */
type HoldableStream = Stream & {
  sendPause(): void
  sendResume(): void
  /** Yamux: what the sender may have under way. */
  readonly recvWindow?: number
}

export class Libp2pDuplex implements Duplex {
  readonly remotePeer: string
  readonly #stream: HoldableStream
  readonly #readable = new Gate()
  readonly #writable = new Gate()
  readonly #drained = new Gate()
  readonly #onEnd: (duplex: Libp2pDuplex) => void
  readonly #unread = new Unread()
  /** The peer said that it writes nothing more (yamux FIN), so all it wrote is unread or read. */
  #inputComplete = false
  #held = false
  /** Since the sender last got new window. */
  #consumedBytes = 0
  #failure: Error | undefined
  #writeEnded = false
  #closing: Promise<void> | undefined
  #reading = false
  #writing = false

  /**
   * To be called as soon as libp2p hands the stream over: until someone listens, it buffers input without holding the
   * sender back, and resets the stream at its limit. `onEnd` is called once, when both directions are over.
   */
  constructor(stream: Stream, remotePeer: string, onEnd: (duplex: Libp2pDuplex) => void = () => undefined) {
    this.remotePeer = remotePeer
    this.#stream = stream as HoldableStream
    this.#onEnd = onEnd
    stream.addEventListener('message', this.#onMessage)
    stream.addEventListener('drain', this.#onDrain)
    stream.addEventListener('remoteCloseWrite', this.#onPeerClosed)
    stream.addEventListener('close', this.#onClose)
    if (stream.status !== 'open') this.#onClose(new Event('close'))
    // The FIN came before us. Bytes that libp2p kept for us are delivered in a microtask of the first listener.
    else if (stream.remoteWriteStatus === 'closed') queueMicrotask(this.#onPeerClosed)
  }

  async read(options: AbortOptions = {}): Promise<Uint8Array | undefined> {
    invariant(!this.#reading, 'one read at a time')
    this.#reading = true
    try {
      for (;;) {
        options.signal?.throwIfAborted()
        const piece = this.#unread.shift()
        if (piece !== undefined) {
          this.#consumed(piece.length)
          return piece
        }
        if (this.#inputComplete) return undefined
        if (this.#failure !== undefined) throw this.#failure
        await this.#readable.wait(options)
      }
    } finally {
      this.#reading = false
    }
  }

  async write(bytes: Uint8Array, options: WriteOptions = {}): Promise<void> {
    invariant(!this.#writing, 'one write at a time')
    invariant(!this.#writeEnded, 'a write after closeWrite')
    this.#writing = true
    try {
      for (let at = 0; at < bytes.length; at += WRITE_PIECE_BYTES) {
        options.signal?.throwIfAborted()
        this.#send(bytes.subarray(at, at + WRITE_PIECE_BYTES))
        // Not `send`'s answer nor libp2p's `onDrain()`: a drain event of the connection wakes every stream on it, also
        // those whose own window is still shut, and `onDrain()` resolves at once from its second use on.
        while (this.#stream.writeBufferLength > UNSENT_MAX_BYTES) {
          const beforeBytes = this.#stream.writeBufferLength
          await this.#writable.wait(options)
          if (this.#failure !== undefined) throw this.#failure
          if (this.#stream.writeBufferLength < beforeBytes) options.onProgress?.()
        }
      }
    } finally {
      this.#writing = false
    }
  }

  async drained(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    while (this.#failure === undefined && this.#stream.writeBufferLength > 0)
      await this.#drained.wait(options)
    if (this.#failure !== undefined) throw this.#failure
  }

  async closeWrite(options: AbortOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    this.#writeEnded = true
    // Without the caller's signal: libp2p never sends the FIN of a close that was aborted once, nor tries again.
    this.#closing ??= this.#close()
    await raceAbort(this.#closing, options.signal)
  }

  abort(reason: Error): void {
    this.#inputComplete = false
    this.#fail(reason)
    // Reports to `#onClose` in this very call, unless the stream is over already.
    this.#stream.abort(reason)
  }

  #send(slice: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#stream.send(slice)
    } catch (cause) {
      // When the connection breaks under the send, `close` came first and says more.
      throw this.#failure ?? disconnected('the stream does not take more bytes', cause)
    }
  }

  async #close(): Promise<void> {
    try {
      await this.#stream.close()
    } catch (cause) {
      throw this.#failure ?? disconnected('the stream broke before its last bytes were sent', cause)
    }
    // libp2p's close resolves quietly on a stream that was reset meanwhile.
    if (this.#failure !== undefined) throw this.#failure
  }

  readonly #onMessage = (event: StreamMessageEvent): void => {
    if (this.#failure !== undefined) return
    this.#unread.push(event.data)
    this.#holdSender()
    this.#readable.open()
  }

  readonly #onDrain = (): void => {
    // libp2p sends what it has queued in a microtask of this event, before the woken writer looks again.
    this.#writable.open()
    this.#drained.open()
  }

  readonly #onPeerClosed = (): void => {
    if (this.#failure !== undefined) return
    this.#inputComplete = true
    this.#readable.open()
  }

  readonly #onClose = (event: Event): void => {
    const cause = (event as StreamCloseEvent).error
    const outputComplete = this.#writeEnded && this.#stream.writeBufferLength === 0
    // Without a FIN the input is cut, whatever libp2p says: its `end` also comes when the connection just went away.
    if (cause !== undefined || !this.#inputComplete || !outputComplete) {
      this.#fail(disconnected('the stream was reset or its connection lost', cause))
    }
    for (const gate of [this.#readable, this.#writable, this.#drained]) gate.close()
    this.#onEnd(this)
  }

  /**
   * Not `pause` and `resume` of the stream: those keep what still arrives in libp2p's own buffer, as an object per
   * frame, and `resume` reopens the window also when the delivery it begins with has just paused the stream again;
   * then the buffer fills until libp2p resets the stream. All input comes here instead and only the window is stopped.
   * It is stopped from the first frame on, not only above a bound: yamux answers each frame with an update of its own,
   * and sending those cost a reader as much as decrypting.
   */
  #holdSender(): void {
    if (this.#held) return
    this.#held = true
    this.#stream.sendPause()
  }

  #consumed(bytes: number): void {
    this.#consumedBytes += bytes
    const stepBytes = Math.max(WINDOW_STEP_BYTES, (this.#stream.recvWindow ?? 0) / 2)
    if (this.#consumedBytes < stepBytes || this.#unread.bytes > UNREAD_MAX_BYTES) return
    if (!this.#held || this.#stream.status !== 'open') return
    this.#held = false
    this.#consumedBytes = 0
    try {
      this.#stream.sendResume()
    } catch (error) {
      // The connection died under us and has not told the stream yet.
      this.#stream.abort(disconnected('the connection is gone', error))
    }
  }

  /** Complete input stays readable: a reset after the peer's last byte takes nothing away from it. */
  #fail(reason: Error): void {
    this.#failure ??= reason
    if (!this.#inputComplete) this.#unread.clear()
    this.#readable.open()
    this.#writable.open()
    this.#drained.open()
  }
}

/**
 * Input in arrival order. libp2p hands out views into socket and cipher buffers, each used once. A large view of most
 * of its buffer is taken as it is; any other is copied and small ones are joined: a queued 30-byte view would pin 64 KiB.
 */
class Unread {
  #pieces: Uint8Array[] = []
  /** The last piece, if it is a copy of ours that may have room behind it. */
  #open: Uint8Array<ArrayBuffer> | undefined
  bytes = 0

  push(data: Iterable<Uint8Array> | Uint8Array): void {
    for (const piece of data instanceof Uint8Array ? [data] : data) {
      this.bytes += piece.length
      if (piece.length > SMALL_PIECE_BYTES && piece.length * 2 >= piece.buffer.byteLength) {
        this.#open = undefined
        this.#pieces.push(piece)
      } else if (
        this.#open !== undefined &&
        piece.length <= SMALL_PIECE_BYTES &&
        this.#open.length + piece.length <= JOINED_MAX_BYTES
      ) {
        this.#open = join(this.#open, piece)
        this.#pieces[this.#pieces.length - 1] = this.#open
      } else {
        this.#open = new Uint8Array(piece)
        this.#pieces.push(this.#open)
      }
    }
  }

  shift(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (piece === this.#open) this.#open = undefined
    this.bytes -= piece?.length ?? 0
    return piece
  }

  clear(): void {
    this.#pieces = []
    this.#open = undefined
    this.bytes = 0
  }
}

/** `last` followed by `next`, in the buffer of `last` where it has room, else in one twice as large. */
function join(last: Uint8Array<ArrayBuffer>, next: Uint8Array): Uint8Array<ArrayBuffer> {
  const length = last.length + next.length
  const fits = last.buffer.byteLength >= length
  const joined = new Uint8Array(fits ? last.buffer : new ArrayBuffer(2 * length), 0, length)
  if (!fits) joined.set(last)
  joined.set(next, last.length)
  return joined
}

/** Where one waiter sleeps until something changed, and then looks again. */
class Gate {
  #open: () => void = () => undefined
  #reject: (reason: unknown) => void = () => undefined
  /** Of the last waiter: mostly the next one's too, so its listener stays. */
  #signal: AbortSignal | undefined
  readonly #onAbort = () => this.#reject(this.#signal?.reason)

  wait({ signal }: AbortOptions): Promise<void> {
    if (signal !== this.#signal) this.#follow(signal)
    return new Promise((resolve, reject) => {
      this.#open = resolve
      this.#reject = reject
      if (signal?.aborted === true) reject(signal.reason)
    })
  }

  open(): void {
    this.#open()
  }

  /** Nobody will wait any more. */
  close(): void {
    this.#follow(undefined)
  }

  #follow(signal: AbortSignal | undefined): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
  }
}

function disconnected(what: string, cause: unknown): SubnetError {
  if (isSubnetError(cause)) return cause
  const timedOut = cause instanceof Error && /timeout/i.test(cause.name)
  return new SubnetError(timedOut ? 'TIMEOUT' : 'DISCONNECTED', what, cause === undefined ? {} : { cause })
}
