/** Coding on the caller's own thread: the same order of events every time, for the simulator, tests and small machines. */
import type { AbortOptions } from '../base/abort.js'
import { decodeSegment, encodeSegment } from '../redundancy/segment.js'
import type { CodingPool } from './coding-pool.js'

/** It has no state: starting and stopping do nothing. */
export const inlineCoding: CodingPool = {
  start: async () => undefined,
  stop: async () => undefined,
  async encode(init, options: AbortOptions = {}) {
    options.signal?.throwIfAborted()
    return encodeSegment(init)
  },
  async decode(source, objectKey, options: AbortOptions = {}) {
    options.signal?.throwIfAborted()
    return decodeSegment(source, objectKey)
  },
}
