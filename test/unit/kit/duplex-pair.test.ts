import assert from 'node:assert/strict'
import { KIB } from '../../../src/base/units.js'
import { duplexConformance } from '../../conformance/duplex.js'
import { duplexPair } from '../../kit/duplex-pair.js'

const nothingToDispose = { [Symbol.asyncDispose]: async () => undefined }

duplexConformance({
  name: 'in memory',
  freeBytes: 256 * KIB,
  heldMaxBytes: 512 * KIB,
  link: async () => {
    const [a, b] = duplexPair()
    return { a, b, ...nothingToDispose }
  },
})

duplexConformance({
  name: 'in memory, cut into 1000-byte reads',
  freeBytes: 32 * KIB,
  heldMaxBytes: 128 * KIB,
  link: async () => {
    const [a, b] = duplexPair({ bufferBytes: 32 * KIB, fragmentBytes: 1000 })
    return { a, b, ...nothingToDispose }
  },
})

describe('duplexPair', () => {
  it('names each end for the other', () => {
    const [a, b] = duplexPair({ peers: ['miner', 'client'] })
    assert.deepEqual([a.remotePeer, b.remotePeer], ['client', 'miner'])
  })
})
