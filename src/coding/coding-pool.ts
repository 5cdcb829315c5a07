/**
 * The port to where segments are encoded and decoded: tens of milliseconds of hashing, ciphers and Reed–Solomon each.
 * `inline-coding.ts` does it in place, `worker-coding.ts` on threads of their own. What is done is `redundancy/segment.ts`.
 */
import type { AbortOptions } from '../base/abort.js'
import type { Startable } from '../base/lifecycle.js'
import type { EncodedSegment, EncodeSegmentInit, SegmentSource } from '../redundancy/segment.js'

/**
 * Bytes given are given away, also when the call fails: plaintext and chunks may go to another thread, and then no longer
 * exist in this one. Keys and what names chunks stay the caller's.
 *
 * Both calls reject as the functions they are named after throw, and with `BUSY` when too many calls wait, `STOPPED`
 * after the pool's stop, `INTERNAL` (to be tried again) when the thread at work ended, or the signal's reason.
 */
export interface SegmentCoder {
  encode(init: EncodeSegmentInit, options?: AbortOptions): Promise<EncodedSegment>
  /** The plaintext in pieces. `objectKey` is given exactly if the segment is private. */
  decode(
    source: SegmentSource,
    objectKey: Uint8Array | undefined,
    options?: AbortOptions,
  ): Promise<readonly Uint8Array[]>
}

export interface CodingPool extends SegmentCoder, Startable {}
