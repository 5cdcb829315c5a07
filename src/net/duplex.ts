/**
 * `Duplex`: one bidirectional byte stream to one peer, with real backpressure both ways. The only shape in which
 * protocols see the network; adapters (libp2p, simulator, in-memory pair) implement it.
 */
import type { AbortOptions } from '../base/abort.js'

/**
 * A write is handed on in pieces of this size, each whole or not at all. Over libp2p it is one yamux frame, whose 12 bytes of
 * header fill one Noise message (65,519 bytes) with it. A reader gets no byte of a piece before the last, so on a slow
 * line its size is a silence. A writer that joins small parts up to it saves pieces.
 */
export const WRITE_PIECE_BYTES = 65_519 - 12

export interface WriteOptions extends AbortOptions {
  /** Called whenever the other end has taken some of the bytes: a writer is slow, not stuck, while this goes on. */
  readonly onProgress?: () => void
}

export interface Duplex {
  /** Peer id of the other end, proven by the transport's handshake. */
  readonly remotePeer: string

  /**
   * The next bytes as they arrived (any length ≥ 1), or `undefined` once the other end closed its side.
   * The bytes belong to the caller. Unread input is bounded by the adapter; the sender is held back, not cut.
   * Rejects with `DISCONNECTED` (`TIMEOUT` if the connection died of silence) when the stream was cut, dropping what was
   * unread: a cut stream never looks like a clean end. Input that the peer had ended before stays readable. One read at
   * a time.
   */
  read(options?: AbortOptions): Promise<Uint8Array | undefined>

  /**
   * Queues bytes and resolves when more may be written: awaiting every write bounds memory. The adapter may keep a
   * reference to `bytes` until they are sent, so the caller must not change them afterwards. Rejects with
   * `DISCONNECTED` when the stream is gone. A write whose signal fires may still be sent in part: only `abort` makes
   * sense then. One write at a time.
   */
  write(bytes: Uint8Array, options?: WriteOptions): Promise<void>

  /**
   * Resolves when nothing of what was written waits here any more. A write that resolved may have left its end in memory;
   * this says when that is free. One such wait at a time, beside a write or not; rejects as `write` does.
   */
  drained(options?: AbortOptions): Promise<void>

  /** Says that nothing more will be written; what was written is delivered first. Reading goes on. */
  closeWrite(options?: AbortOptions): Promise<void>

  /** Ends both directions at once; pending calls reject with `reason`. Harmless on a stream that has ended. */
  abort(reason: Error): void
}
