/**
 * Frames on a `Duplex`: length (u32, big-endian) ‖ dag-cbor header, then the raw body the header announces. Every read and write
 * has a deadline, for silence and for the whole, every header a cap, so a peer can neither stall nor swell us.
 */
import { concat } from 'uint8arrays'
import type { z } from 'zod'
import type { AbortOptions } from '../../src/base/abort.js'
import {
  childSignal,
  deadline,
  type ScopedSignal,
  type WatchedSignal,
  watchdog,
} from '../../src/base/abort.js'
import type { Clock } from '../../src/base/clock.js'
import { invariant, isSubnetError, SubnetError } from '../../src/base/errors.js'
import { KIB } from '../../src/base/units.js'
import { type Duplex, WRITE_PIECE_BYTES } from '../../src/net/duplex.js'
import { decodeMessage, encodeMessage } from './schema.js'
import type { Failure } from './status.js'
import { fromFailure, toFailure } from './status.js'

export interface FrameInit {
  /** Largest header this protocol has, bytes. */
  readonly headerBytesMax: number
  /** Longest silence in the middle of an exchange before the stream is cut. */
  readonly stallTimeoutMs: number
}

export interface ReadOptions extends AbortOptions {
  /** Replaces the stall timeout for the start of a header; infinite where the caller measures the silence itself. */
  readonly waitMs?: number
  /** Largest header expected here, bytes, where the protocol's largest comes later. */
  readonly headerBytesMax?: number
}

/**
 * Slowest transfer of a header or body that is tolerated, bytes a second, after one stall timeout. Otherwise one byte
 * before each timeout would hold what was set aside for the whole. A line of 1 Mbit/s gets through to 40 miners at once.
 */
export const BYTES_PER_SECOND_MIN = 2 * KIB

/** Time that bytes may take on the slowest line there is patience with. */
export function slowestMs(lengthBytes: number): number {
  return (lengthBytes * 1000) / BYTES_PER_SECOND_MIN
}
const PREFIX_BYTES = 4

export class FrameStream {
  readonly duplex: Duplex
  readonly #clock: Clock
  readonly #init: FrameInit
  /** Input read from the duplex but not consumed yet: at most one piece. */
  #rest: Uint8Array = new Uint8Array(0)
  /** For reads and writes that no signal of their caller's can end: used for all of them in turn. */
  #readScope = childSignal()
  #writeScope = childSignal()

  constructor(duplex: Duplex, clock: Clock, init: FrameInit) {
    this.duplex = duplex
    this.#clock = clock
    this.#init = init
  }

  get remotePeer(): string {
    return this.duplex.remotePeer
  }

  /** The next header, or `undefined` at a clean end between frames. */
  async readHeader(options: ReadOptions = {}): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0) {
      const first = await this.#read(options.waitMs ?? this.#init.stallTimeoutMs, options)
      if (first === undefined) return undefined
      this.#rest = first
    }
    const prefix = await this.readBytes(PREFIX_BYTES, options)
    const lengthBytes = new DataView(prefix.buffer).getUint32(0)
    const headerBytesMax = options.headerBytesMax ?? this.#init.headerBytesMax
    if (lengthBytes === 0 || lengthBytes > headerBytesMax) {
      throw new SubnetError('INVALID', `a header of ${lengthBytes} bytes, allowed are 1 to ${headerBytesMax}`)
    }
    return await this.readBytes(lengthBytes, options)
  }

  /** The next message of this schema. The end of the stream where it is due is `DISCONNECTED`. */
  async readMessage<T>(schema: z.ZodType<T>, what: string, options: ReadOptions = {}): Promise<T> {
    const message = await this.readOptional(schema, what, options)
    if (message === undefined) {
      throw new SubnetError('DISCONNECTED', `${this.remotePeer} ended the stream where ${what} was due`)
    }
    return message
  }

  /** As `readMessage`, with `undefined` for a clean end. */
  async readOptional<T>(
    schema: z.ZodType<T>,
    what: string,
    options: ReadOptions = {},
  ): Promise<T | undefined> {
    const header = await this.readHeader(options)
    return header === undefined ? undefined : decodeMessage(schema, header, what)
  }

  /** Passes exactly `lengthBytes` to `onPiece` as they arrive; the pieces belong to the receiver. */
  async readBody(
    lengthBytes: number,
    onPiece: (piece: Uint8Array) => void,
    options: AbortOptions = {},
  ): Promise<void> {
    let missing = lengthBytes - this.#take(lengthBytes, onPiece)
    if (missing === 0) return
    if (this.#readScope.signal.aborted) this.#readScope = childSignal()
    using scope = options.signal === undefined ? kept(this.#readScope) : childSignal(options.signal)
    using watch = this.#watch(missing, `waiting for ${this.remotePeer}`, scope)
    while (missing > 0) {
      const piece = await this.duplex.read(watch)
      if (piece === undefined) {
        throw new SubnetError(
          'DISCONNECTED',
          `${this.remotePeer} ended the stream ${missing} bytes too early`,
        )
      }
      watch.alive()
      this.#rest = piece
      missing -= this.#take(missing, onPiece)
    }
  }

  /** Exactly `lengthBytes` in one buffer. For what is small or bounded by its header's schema. */
  async readBytes(lengthBytes: number, options: AbortOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    // Not zeroed first: every byte is filled, or nobody gets to see the buffer.
    const bytes = new Uint8Array(Buffer.allocUnsafeSlow(lengthBytes).buffer)
    let filled = 0
    await this.readBody(
      lengthBytes,
      (piece) => {
        bytes.set(piece, filled)
        filled += piece.length
      },
      options,
    )
    return bytes
  }

  async writeMessage(message: unknown, options: AbortOptions = {}): Promise<void> {
    await this.writeHeader(encodeMessage(message), options)
  }

  /** Several messages at once. */
  async writeMessages(messages: readonly unknown[], options: AbortOptions = {}): Promise<void> {
    await this.writeBody(concat(messages.map((message) => this.#frame(encodeMessage(message)))), options)
  }

  /** A message and the body that it announces: what of the body has room beside the message leaves together with it. */
  async writeMessageAndBody(message: unknown, body: Uint8Array, options: AbortOptions = {}): Promise<void> {
    const frame = this.#frame(encodeMessage(message))
    const beside = body.subarray(0, Math.max(0, WRITE_PIECE_BYTES - frame.length))
    await this.#write([concat([frame, beside]), body.subarray(beside.length)], options)
  }

  async writeHeader(header: Uint8Array, options: AbortOptions = {}): Promise<void> {
    await this.#write([this.#frame(header)], options)
  }

  async writeBody(bytes: Uint8Array, options: AbortOptions = {}): Promise<void> {
    await this.#write([bytes], options)
  }

  #frame(header: Uint8Array): Uint8Array {
    invariant(header.length <= this.#init.headerBytesMax, 'a header is within the limit of its protocol')
    const frame = new Uint8Array(PREFIX_BYTES + header.length)
    new DataView(frame.buffer).setUint32(0, header.length)
    frame.set(header, PREFIX_BYTES)
    return frame
  }

  /** A write that fails ends the stream: half a frame may be on its way, and nothing said after it would be understood. */
  async #write(parts: readonly Uint8Array[], options: AbortOptions): Promise<void> {
    const lengthBytes = parts.reduce((sum, part) => sum + part.length, 0)
    try {
      if (this.#writeScope.signal.aborted) this.#writeScope = childSignal()
      using scope = options.signal === undefined ? kept(this.#writeScope) : childSignal(options.signal)
      using watch = this.#watch(lengthBytes, `writing to ${this.remotePeer}`, scope)
      for (const part of parts)
        await this.duplex.write(part, { signal: watch.signal, onProgress: watch.alive })
    } catch (error) {
      this.abort(error)
      throw error
    }
  }

  /** Resolves when the last `lengthBytes` written wait here no more. Who takes them too slowly loses the stream. */
  async drained(lengthBytes: number, options: AbortOptions = {}): Promise<void> {
    const what = `writing to ${this.remotePeer}`
    const timeoutMs = this.#init.stallTimeoutMs + slowestMs(lengthBytes)
    using scope = deadline(this.#clock, timeoutMs, what, options.signal)
    await this.duplex.drained({ signal: scope.signal })
  }

  /** Says that we write nothing more. A stream whose peer does not take the last bytes in time is aborted. */
  async end(options: AbortOptions = {}): Promise<void> {
    const what = `ending the stream to ${this.remotePeer}`
    using scope = deadline(this.#clock, this.#init.stallTimeoutMs, what, options.signal)
    try {
      await this.duplex.closeWrite({ signal: scope.signal })
    } catch (error) {
      this.abort(error)
      throw error
    }
  }

  /** Ends our side and waits for the peer to end its own; where either takes too long the stream is reset. Never throws. */
  async finish(): Promise<void> {
    try {
      await this.end()
      const more = this.#rest.length > 0 || (await this.#read(this.#init.stallTimeoutMs, {})) !== undefined
      if (more) throw new SubnetError('INVALID', `${this.remotePeer} goes on after its last message`)
    } catch (error) {
      // The exchange is over and its answer taken: this is only about not keeping the stream.
      this.abort(error)
    }
  }

  /** Tells the peer why this exchange ends, as far as it may know, and ends our side. Never throws. */
  async fail(error: unknown): Promise<void> {
    try {
      await this.writeMessage(toFailure(error))
      await this.end()
    } catch {
      // The peer is gone or does not read: the stream is aborted and nobody is left to be told.
      this.abort(error)
    }
  }

  /** Resets the stream: the peer learns nothing but that. */
  abort(reason: unknown): void {
    this.duplex.abort(reason instanceof Error ? reason : new Error(String(reason)))
  }

  async #read(timeoutMs: number, options: AbortOptions): Promise<Uint8Array | undefined> {
    if (timeoutMs === Number.POSITIVE_INFINITY) return await this.duplex.read(options)
    using scope = deadline(this.#clock, timeoutMs, `waiting for ${this.remotePeer}`, options.signal)
    return await this.duplex.read({ signal: scope.signal })
  }

  /** Passes on what is at hand of the next `lengthBytes`, and returns how many that were. */
  #take(lengthBytes: number, onPiece: (piece: Uint8Array) => void): number {
    if (this.#rest.length === 0 || lengthBytes === 0) return 0
    const taken = this.#rest.subarray(0, lengthBytes)
    this.#rest = this.#rest.subarray(taken.length)
    onPiece(taken)
    return taken.length
  }

  /** For the transfer of `lengthBytes`, either way. */
  #watch(lengthBytes: number, what: string, scope: ScopedSignal): WatchedSignal {
    const silenceMs = this.#init.stallTimeoutMs
    const totalMs = silenceMs + slowestMs(lengthBytes)
    return watchdog(this.#clock, { silenceMs, totalMs }, what, scope)
  }
}

/** The same scope, not ended with the block that uses it. */
function kept({ signal, abort }: ScopedSignal): ScopedSignal {
  return { signal, abort, [Symbol.dispose]: () => undefined }
}

/**
 * Runs a server's exchange: an expected failure is told to the peer, then rethrown for the log. The stream is over
 * either way.
 */
export async function serveFrames(stream: FrameStream, exchange: () => Promise<void>): Promise<void> {
  try {
    await exchange()
    await stream.end()
  } catch (error) {
    if (isSubnetError(error, 'DISCONNECTED')) stream.abort(error)
    else await stream.fail(error)
    throw error
  }
}

/** Throws the error behind a peer's `failure` message, returns any other message. */
export function unlessFailure<T extends { readonly type: string }>(
  message: T | Failure,
  peer: string,
): Exclude<T, Failure> {
  if (message.type === 'failure') throw fromFailure(message as Failure, peer)
  return message as Exclude<T, Failure>
}
