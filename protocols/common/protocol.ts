/** A protocol as a value: its name, its version and everything that bounds it. */
import type { Rate } from '../../src/base/rate-limit.js'
import type { FrameInit } from './frames.js'

export interface ProtocolSpec extends FrameInit {
  readonly name: string
  /** Grows with every change of the wire. */
  readonly version: number
  /** Streams of this protocol that one connection may have open, either way. */
  readonly streamsMax: number
  /** Streams that one peer, and one hotkey over all its peers, may open to us. Beyond that: `BUSY`. */
  readonly opens: Rate
}

/** e.g. `/subnet/1/store/1`. */
export function protocolId(spec: ProtocolSpec, netuid: number): string {
  return `/subnet/${netuid}/${spec.name}/${spec.version}`
}
